"""Rows of a dataset as examples of token ids: encoded and counted before anything is trained.

>>> rows = read_rows(home, "docs-questions@1", "train")
>>> found = encode(rows, "sft", chat, max_length=512)
>>> len(found.examples), found.left_out
(5407, {})

No row is cut: one that is too long, that writes out a special token, or in which nothing is learnt is left out and
counted by reason (TRL would cut it at 1,024 tokens, and train on what is left without a word).
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import JsonValue

from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.records import Record
from training.loader.batches import IGNORED
from training.tuning.template import Chat

Ids = NDArray[np.int32]


class Source(NamedTuple):
    """A row as the dataset has it."""

    row_id: str
    lang: str
    place: str
    parts: dict[str, JsonValue]


class Example(NamedTuple):
    """What one row gives a trainer."""

    arrays: dict[str, Ids]
    """By the names that TRL's collators know: `input_ids` and `labels`, `prompt_ids`, `chosen_ids`, …"""
    rest: dict[str, Any]
    """What is no tokens: a label, or the prompt as messages and its answer."""
    sample_id: int
    lang: str
    tokens: int
    """Of its longest sequence."""


@dataclass(frozen=True)
class Examples:
    """The examples of one side of a dataset."""

    examples: list[Example]
    left_out: dict[str, int] = field(default_factory=dict)
    """Rows by the reason why they are not read."""

    @property
    def trained_tokens(self) -> int:
        """Tokens that a loss is taken of, where examples say so."""
        labels = [example.arrays["labels"] for example in self.examples if "labels" in example.arrays]
        return sum(int((one != IGNORED).sum()) for one in labels)


def read_rows(home: Home, record: Record, split: str) -> list[Source]:
    """The rows of `train` or `held_out`, in the order of the files. Raises Damaged for a file that cannot be read."""
    folder, found = home.artifact("datasets", record.name, record.version), list[Source]()
    for entry in record.files:
        if not entry.path.startswith(f"{split}/"):
            continue
        try:
            rows = pq.read_table(folder / entry.path).to_pylist()
        except (OSError, ValueError) as error:
            raise Damaged(f"{folder / entry.path} cannot be read: make {record.ref} again ({error}).") from error
        found += [Source(row["row_id"], row["lang"], f"{row['source']}:{row['line']}", _parts(row)) for row in rows]
    return found


def encode(rows: Sequence[Source], method: str, chat: Chat, max_length: int, classes: Sequence[str] = ()) -> Examples:
    """Encode every row for a method: TuneConfig's, `on-policy`, or `judged` (grpo with a reward model).

    `classes`: the labels of a classifier, in the order of its outputs.
    """
    read = _READERS[method]
    kept, reasons = [], Counter[str]()
    for row in rows:
        example, why = _example(row, read, chat, classes)
        if example and example.tokens > max_length:
            why = "too_long"
        if why or not example:
            reasons[why] += 1
        else:
            kept.append(example)
    return Examples(kept, dict(sorted(reasons.items())))


def row_sample_id(row_id: str) -> int:
    """The sample id of a dataset's row: negative, so that none is a sample of tokens (migration 0007 has it in SQL)."""
    return -1 - int(row_id[:15], 16)


def _parts(row: dict[str, object]) -> dict[str, JsonValue]:
    read = {"messages", "prompt", "chosen", "rejected", "completion", "tools"}
    values = {name: json.loads(str(row[name])) for name in read if row.get(name) is not None}
    return {**values, **{name: row[name] for name in ("text", "label", "class") if row.get(name) is not None}}  # type: ignore[dict-item]


Values = tuple[dict[str, Ids], dict[str, Any]]
Reader = Callable[[Source, Chat, Sequence[str]], Values]
ANSWERS = ("chosen_ids", "rejected_ids", "completion_ids")


def _example(row: Source, read: Reader, chat: Chat, classes: Sequence[str]) -> tuple[Example | None, str]:
    said = [part for name, part in row.parts.items() if name not in ("label", "class")]
    if chat.special_in(said):
        return None, "special_token"
    try:
        arrays, rest = read(row, chat, classes)
    except BadInput as error:
        raise BadInput(f"{row.place}: {error}") from error
    if "labels" in arrays and not (arrays["labels"] != IGNORED).any():
        return None, "nothing_to_learn"
    if _tools(row) and not chat.shows_tools:
        return None, "template_without_tools"
    if _tools(row) and read is _judged:
        return None, "judge_without_tools"  # TRL renders what a reward model reads
    if any(name in arrays and not len(arrays[name]) for name in ANSWERS) or rest.get("answer") == "":
        return None, "empty_answer"
    return Example(arrays, rest, row_sample_id(row.row_id), row.lang, _length(arrays)), ""


def _length(arrays: dict[str, Ids]) -> int:
    size = {name: len(value) for name, value in arrays.items()}
    prompt = size.pop("prompt_ids", 0)
    return prompt + max(size.values(), default=0)


def _conversation(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    if "text" in row.parts:
        encoded = chat.text(str(row.parts["text"]))
    else:
        encoded = chat.encode(_messages(row, "messages"), _tools(row))
    ids = _ids(encoded.ids)
    return {"input_ids": ids, "labels": np.where(encoded.trained, ids, IGNORED).astype(np.int32)}, {}


def _preference(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    prompt, tools = _messages(row, "prompt"), _tools(row)
    sides = {f"{name}_ids": _ids(chat.answer(prompt, _messages(row, name), tools)) for name in ("chosen", "rejected")}
    return {"prompt_ids": _ids(chat.prompt(prompt, tools)), **sides}, {}


def _ranked(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    """Both whole texts, for a reward model."""
    arrays, _ = _preference(row, chat, classes)
    return {name: np.concatenate([arrays["prompt_ids"], arrays[name]]) for name in ("chosen_ids", "rejected_ids")}, {}


def _labelled(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    prompt, tools = _messages(row, "prompt"), _tools(row)
    answer = chat.answer(prompt, _messages(row, "completion"), tools)
    arrays = {"prompt_ids": _ids(chat.prompt(prompt, tools)), "completion_ids": _ids(answer)}
    return arrays, {"label": int(bool(row.parts["label"]))}


def _asked(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    """The first question of a conversation, and its true answer as a model would write it, for rewards."""
    messages, tools = _messages(row, "messages"), _tools(row)
    first = next(at for at, message in enumerate(messages) if message["role"] == "assistant")
    prompt, answer = messages[:first], str(messages[first].get("content") or "")
    if messages[first].get("tool_calls"):
        ids = chat.answer(prompt, messages[first : first + 1], tools)
        answer = str(chat.tokenizer.decode(ids, skip_special_tokens=True))
    return {"prompt_ids": _ids(chat.prompt(prompt, tools))}, {"prompt": prompt, "answer": answer}


def _judged(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    return _asked(row, chat, classes)


def _classed(row: Source, chat: Chat, classes: Sequence[str]) -> Values:
    return {"input_ids": _ids(chat.text(str(row.parts["text"])).ids)}, {"label": classes.index(str(row.parts["class"]))}


_READERS: dict[str, Reader] = {
    "sft": _conversation,
    "distill": _conversation,
    "dpo": _preference,
    "reward": _ranked,
    "kto": _labelled,
    "grpo": _asked,
    "on-policy": _asked,
    "judged": _judged,
    "classifier": _classed,
}


def unpaired(rows: Sequence[Source]) -> list[Source]:
    """Preferences as single answers with a label, the chosen one before the rejected one."""
    found = []
    for row in rows:
        for name, label in (("chosen", True), ("rejected", False)):
            parts = {"prompt": row.parts["prompt"], "tools": row.parts["tools"], "label": label}
            found.append(row._replace(parts={**parts, "completion": row.parts[name]}))
    return found


def _messages(row: Source, name: str) -> list[dict]:
    value = row.parts[name]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _tools(row: Source) -> list:
    value = row.parts.get("tools")
    return value if isinstance(value, list) else []


def _ids(ids: Sequence[int]) -> Ids:
    return np.array(ids, np.int32)
