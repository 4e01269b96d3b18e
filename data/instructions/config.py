"""What a dataset is made from.

DatasetConfig(name="alpaca", input=("alpaca/*.jsonl",))
"""

from typing import Any, Literal

from pydantic import Field

from catalog.config import Config


class DatasetConfig(Config):
    """A dataset. Identity is everything but `name`, `version` and `input` (the files' content counts instead)."""

    name: str
    """The dataset: letters, digits, '.', '_', '-'."""
    version: str = ""
    """Empty takes the next free number, or the version that is this very dataset."""
    input: tuple[str, ...] = ()
    """Files, globs or folders: .jsonl, .json, .csv (each also .gz, .zst, .bz2), .parquet."""
    corpus: str = ""
    """Instead of `input`: a corpus version that questions are derived from."""
    format: str = "auto"
    """The format of the files (`just dataset --help` lists them); `auto` looks at the fields of each file."""
    kind: Literal["auto", "instructions", "preferences", "labels", "texts", "classes"] = "auto"
    """What the rows are. Preferences can also be taken as instructions (their chosen answers), and so can labels."""
    held_out: float = Field(default=0.1, ge=0, le=0.5)
    """The share of prompts that is kept out of training, chosen by their hash."""
    near: float = Field(default=0.0, ge=0, lt=1)
    """Drop near-duplicates of this Jaccard similarity of 5-grams and more (0.5 to 0.95); 0 leaves them in."""
    unwrap: bool = True
    """Take prompts out of the template "Below is an instruction …", since the chat template takes its place."""
    bad_rows: Literal["stop", "skip"] = "stop"
    """What a malformed row does: stop everything before anything is written, or be counted as failed."""
    rows: int = Field(default=6000, ge=10)
    """How many questions are derived from a corpus at most."""

    def identity(self) -> dict[str, Any]:
        """The config as the record keeps it and the fingerprint counts it."""
        unused = {"rows"} if self.input else {"format", "bad_rows", "unwrap"}
        return self.model_dump(mode="json", exclude={"name", "version", "input", "corpus"} | unused)
