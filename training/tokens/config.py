"""What a tokens artifact is made from: the config that a recipe returns.

TokensConfig(name="web", corpus=("web@2026.12",), tokenizer="web-32k", sequence_length=2048)
"""

import os

from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput

MAX_SEQUENCE = 1 << 20


class TextFields(Config):
    """Where text, domain and language are in files of the user's own, and what holds where a file does not say."""

    text_field: str = "text"
    domain_field: str = "domain"
    lang_field: str = "lang"
    domain: str = "text"
    lang: str = "und"


class TokensConfig(Config):
    """A tokenization. Identity is everything but `version`, `workers` and where the inputs lie."""

    name: str
    """The artifact: letters, digits, '.', '_', '-'."""
    version: str = ""
    """Empty takes the next free number, or the version that holds these very tokens."""
    corpus: tuple[str, ...] = ()
    """Corpus versions, each as name or name@version."""
    input: tuple[str, ...] = ()
    """Text files instead of a corpus: JSONL (.gz, .zst), Parquet, MDS folders; paths, globs and folders."""
    tokenizer: str = ""
    """A tokenizer of the home, as name or name@version, or a folder with a tokenizer.json."""
    leave_out: float = Field(default=0.0, ge=0, lt=1)
    """The part of the documents, by a hash of their ids, that get no tokens: text to compare models on. A document
    is left out of every corpus or of none."""
    sequence_length: int = Field(default=1024, ge=1, le=MAX_SEQUENCE)
    """Tokens in a sample: the longest that a mixture of them will ask for (it may cut samples, not join them)."""
    fields: TextFields = TextFields()
    """Counts for files only; a corpus knows its fields."""
    shard_mb: float = Field(default=32.0, gt=0, le=1024)
    """Size of an MDS shard before compression; a worker takes about six times as much memory."""
    workers: int = Field(default=0, ge=0)
    """Processes; 0 takes every core."""

    @property
    def processes(self) -> int:
        return self.workers or len(os.sched_getaffinity(0))

    def check(self) -> None:
        """Raise BadInput for what cannot be, before anything is read."""
        if bool(self.corpus) == bool(self.input):
            raise BadInput("give a corpus, as corpus=docs, or files of your own, as input='texts/*.jsonl'; not both.")
        if not self.tokenizer:
            raise BadInput("no tokenizer is named. Give one, as tokenizer=web-32k; `just ls tokenizers` lists them.")
