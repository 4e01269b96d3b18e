"""The one form of a dataset's rows, by kind, and the Parquet columns that hold it.

| kind | columns | read by |
|---|---|---|
| `instructions` | `messages`, `tools` | SFT |
| `preferences` | `prompt`, `chosen`, `rejected`, `tools` | DPO, reward models |
| `labels` | `prompt`, `completion`, `label`, `tools` | KTO |
| `texts` | `text` | plain language modelling |
| `classes` | `text`, `class` | classifiers |

Conversations (`messages`, `prompt`, `chosen`, `rejected`, `completion`) and `tools` are JSON texts: nested columns
would give every key of every row back as null. `json.loads` gives what a chat template takes; SQL reads them by
`messages ->> '$[0].content'`.
"""

import hashlib
import json
from typing import NamedTuple

import pyarrow as pa
from pydantic import JsonValue

from catalog.ids import canonical_json
from data.instructions.files import Place
from data.instructions.messages import Message

KINDS = {
    "instructions": ("messages", "tools"),
    "preferences": ("prompt", "chosen", "rejected", "tools"),
    "labels": ("prompt", "completion", "tools", "label"),
    "texts": ("text",),
    "classes": ("text", "class"),
}
ID_DIGITS = 16


class Row(NamedTuple):
    """A row of a dataset before it is written."""

    place: Place
    parts: dict[str, list[Message] | list[JsonValue] | str | bool]
    """By column: conversations, tools, the label or the text."""
    doc_id: str = ""
    """The document that it was derived from."""
    lang: str = ""
    detail: str = ""
    """What the ledger says of how it was made."""

    @property
    def kind(self) -> str:
        return next(kind for kind, columns in KINDS.items() if set(columns) == self.parts.keys())

    @property
    def row_id(self) -> str:
        """The hash of what the row says: the same content, the same id, in any dataset."""
        return _hash(self.parts)

    @property
    def prompt_key(self) -> str:
        """The hash of what is asked: rows that ask the same are on the same side of the split."""
        asked = self.parts.get("prompt", self.parts.get("text", ""))
        if "messages" in self.parts:
            messages = conversation(self, "messages")
            first = next((at for at, message in enumerate(messages) if message["role"] == "assistant"), len(messages))
            asked = messages[:first]
        return _hash(asked)

    def cells(self) -> dict[str, str | bool]:
        """The columns as they are written."""
        return {name: value if isinstance(value, str | bool) else as_json(value) for name, value in self.parts.items()}

    def all_text(self) -> str:
        """Everything that the row says, for near-duplicates and lengths."""
        said = [message["content"] for name in self.parts if name != "tools" for message in conversation(self, name)]
        return "\n".join(str(text) for text in said) or str(self.parts.get("text", ""))


def conversation(row: Row, column: str) -> list[Message]:
    """The messages in a column; empty where it holds something else."""
    value = row.parts.get(column)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def as_json(value: object) -> str:
    """JSON with the keys as they stand, so that templates and people find `role` before `content`."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def schema(kind: str) -> pa.Schema:
    """The columns of a kind's files."""
    own = [(name, pa.bool_() if name == "label" else pa.string()) for name in KINDS[kind]]
    fixed = ("dataset", "version", "row_id", "split", "kind")
    texts = [(name, pa.string()) for name in (*fixed, "source", "source_doc_id", "lang")]
    return pa.schema([*texts, ("line", pa.int64()), ("n_chars", pa.int64()), *own])


LEDGER = pa.schema(
    [
        *((name, pa.string()) for name in ("dataset", "version", "source")),
        ("line", pa.int64()),
        *((name, pa.string()) for name in ("row_id", "verdict", "reason", "kept_row_id", "detail")),
        ("value", pa.float64()),
    ]
)
"""One row a record: kept, dropped with a reason (and the row that was kept instead), or failed with what is wrong."""


def _hash(value: object) -> str:
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]
