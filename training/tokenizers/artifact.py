"""A trained tokenizer as an artifact: its files, its record, its place in the catalog.

>>> made = make(config, home)        # trains where it is not there yet
>>> made.record.ref, made.fresh
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import JsonValue
from tokenizers import Tokenizer

from catalog.config import Config
from catalog.errors import BadInput
from catalog.home import Home, written
from catalog.index import put_into_catalog
from catalog.locks import clear_partials, hold, lock_of
from catalog.records import (
    RECORD,
    Record,
    file_entry,
    fingerprint,
    load_record,
    now,
    same_or_conflict,
    version_for,
    write_record,
)
from training.tokenizers.config import CHAT, END, MASK, PAD, UNKNOWN, TokenizerConfig
from training.tokenizers.fertility import measure
from training.tokenizers.load import load_peer
from training.tokenizers.templates import CHATML
from training.tokenizers.texts import Inputs, Sample, find_texts
from training.tokenizers.train import train

C = TypeVar("C", bound=Config)
KIND = "tokenizers"
FERTILITY = "fertility.json"


@dataclass(frozen=True)
class Made:
    """A tokenizer that is there, and whether this call made it."""

    record: Record
    folder: Path
    fresh: bool


@dataclass(frozen=True)
class Plan(Generic[C]):
    """What would be made."""

    config: C
    inputs: Inputs
    version: str
    fingerprint: str
    there: bool


def plan(config: TokenizerConfig, home: Home) -> Plan[TokenizerConfig]:
    """The version that a config means. Raises BadInput, NotFound, or Conflict where that version is another one."""
    config.check()
    inputs = find_texts(home, config.texts)
    key = fingerprint(KIND, config.identity(), inputs.keys)
    version = version_for(home, KIND, config.name, config.version, key)
    there = there_already(home, config.name, version, key, config.identity(), inputs.refs)
    return Plan(config, inputs, version, key, there)


def there_already(
    home: Home, name: str, version: str, key: str, identity: dict[str, JsonValue], inputs: tuple[str, ...]
) -> bool:
    """Whether this very tokenizer is there. Raises Conflict where the version is another one."""
    path = home.artifact(KIND, name, version) / RECORD
    if path.exists():
        same_or_conflict(load_record(path), key, identity, inputs)
    return path.exists()


def make(config: TokenizerConfig, home: Home, on_text: Callable[[], None] = lambda: None) -> Made:
    """Train, measure and register a tokenizer; one that is there is only registered. `on_text`: one more was read."""
    planned = plan(config, home)
    folder = home.artifact(KIND, config.name, planned.version)
    with hold(lock_of(folder)):
        if (folder / RECORD).exists():
            made = Made(load_record(folder / RECORD), folder, fresh=False)
        else:
            clear_partials(folder)
            made = Made(_made(planned, home, folder, on_text), folder, fresh=True)
    put_into_catalog(home, made.record)
    return made


def _made(planned: Plan[TokenizerConfig], home: Home, folder: Path, on_text: Callable[[], None]) -> Record:
    config = planned.config
    peers = {name: load_peer(home, name) for name in config.against}
    with Sample(planned.inputs, config.texts) as sample:

        def texts() -> Iterator[str]:
            for text in sample.learnt():
                on_text()
                yield text

        tokenizer = train(config, texts)
        _check_size(tokenizer.get_vocab_size(), config.vocab)
        report = measure({config.name: tokenizer, **peers}, sample.held_out())
        groups: list[JsonValue] = [group._asdict() for group in sample.groups]
    write_tokenizer(folder, tokenizer, config)
    write_text(folder / FERTILITY, report.model_dump_json(indent=1))
    record = Record(
        kind=KIND,
        name=config.name,
        version=planned.version,
        inputs=planned.inputs.refs,
        config=config.identity(),
        fingerprint=planned.fingerprint,
        files=entries(folder),
        counts={"vocab": tokenizer.get_vocab_size(), "sample": groups},
        created=now(),
    )
    write_record(home, record)
    return record


def _check_size(size: int, asked: int) -> None:
    if size > asked:
        raise BadInput(
            f"vocab={asked} is too small: special tokens and the alphabet alone take {size}. "
            "Raise it, or lower coverage."
        )


def entries(folder: Path) -> tuple:
    """The files of an artifact's folder, hashed."""
    return tuple(file_entry(folder, path) for path in sorted(folder.glob("*.json")) if path.name != RECORD)


def write_tokenizer(folder: Path, tokenizer: Tokenizer, config: TokenizerConfig) -> None:
    """`tokenizer.json` and the two files by which transformers knows its special tokens."""
    roles: dict[str, JsonValue] = {"eos_token": END, "pad_token": PAD}
    roles |= {"mask_token": MASK} if config.special.mask else {}
    roles |= {"unk_token": UNKNOWN} if config.kind != "bpe" else {}
    others = [text for text in config.specials() if text not in roles.values()]
    settings: dict[str, JsonValue] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": 1_000_000,
        "clean_up_tokenization_spaces": False,
        "extra_special_tokens": list(others),
        **roles,
    }
    if all(text in others for text in CHAT):
        settings["chat_template"] = CHATML
    write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    write_json(folder / "tokenizer_config.json", settings)
    write_json(folder / "special_tokens_map.json", roles)


def write_json(path: Path, value: JsonValue) -> None:
    """One JSON file, whole or not there."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False))


def write_text(path: Path, text: str) -> None:
    """One text file, whole or not there."""
    with written(path) as partial:
        partial.write_text(text + "\n", encoding="utf-8")
