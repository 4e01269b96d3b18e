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
from catalog.records import Record, fingerprint, version_for
from catalog.wanted import Wanted
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
    wanted: Wanted


def plan(config: TokenizerConfig, home: Home) -> Plan[TokenizerConfig]:
    """The version that a config means. Raises BadInput, NotFound, or Conflict where that version is another one."""
    config.check()
    inputs = find_texts(home, config.texts)
    key = fingerprint(KIND, config.identity(), inputs.keys)
    version = version_for(home, KIND, config.name, config.version, key)
    wanted = Wanted(home, KIND, config.name, version, inputs.refs, config.identity(), key)
    wanted.found()  # raises Conflict
    return Plan(config, inputs, wanted)


def make(config: TokenizerConfig, home: Home, on_text: Callable[[], None] = lambda: None) -> Made:
    """Train, measure and register a tokenizer; one that is there is only registered. `on_text`: one more was read."""
    planned = plan(config, home)
    with planned.wanted.making() as found:
        return Made(found or _made(planned, on_text), planned.wanted.folder, fresh=not found)


def _made(planned: Plan[TokenizerConfig], on_text: Callable[[], None]) -> Record:
    config, wanted = planned.config, planned.wanted
    peers = {name: load_peer(wanted.home, name) for name in config.against}
    with Sample(planned.inputs, config.texts) as sample:

        def texts() -> Iterator[str]:
            for text in sample.learnt():
                on_text()
                yield text

        tokenizer = train(config, texts)
        _check_size(tokenizer.get_vocab_size(), config.vocab)
        report = measure({config.name: tokenizer, **peers}, sample.held_out())
        groups: list[JsonValue] = [group._asdict() for group in sample.groups]
    write_tokenizer(wanted.folder, tokenizer, config)
    write_text(wanted.folder / FERTILITY, report.model_dump_json(indent=1))
    return wanted.publish({"vocab": tokenizer.get_vocab_size(), "sample": groups})


def _check_size(size: int, asked: int) -> None:
    if size > asked:
        raise BadInput(
            f"vocab={asked} is too small: special tokens and the alphabet alone take {size}. "
            "Raise it, or lower coverage."
        )


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
