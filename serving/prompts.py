"""A file of prompts, JSON lines, checked row by row before an engine is started.

>>> rows = list(read_prompts(Path("questions.jsonl")))
>>> rows[0].id, rows[0].prompt, rows[0].messages
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from catalog.errors import BadInput, near

FIELDS = ("id", "prompt", "messages")
ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Prompt:
    """A row of the file: a text to go on with, or messages to answer."""

    id: str | int
    prompt: str | None
    messages: tuple[dict[str, str], ...] = ()
    where: str = ""
    """Its file and line."""


def read_prompts(path: Path) -> Iterator[Prompt]:
    """The rows of a JSON-lines file; without an id, a row's is its line. Raises BadInput naming the line."""
    seen: set[str | int] = set()
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            prompt = _prompt(line, f"{path}:{number}", number)
            if prompt.id in seen:
                raise BadInput(f"{prompt.where}: the id {prompt.id!r} is there twice. Ids name answers.")
            seen.add(prompt.id)
            yield prompt
    if not seen:
        raise BadInput(f"{path} has no rows.")


def _prompt(line: bytes, where: str, number: int) -> Prompt:
    row = _row(line, where)
    id = row.get("id", number)
    if not isinstance(id, str | int) or isinstance(id, bool):
        raise BadInput(f"{where}: the id {id!r} is neither a text nor a whole number.")
    if "prompt" in row:
        if not isinstance(row["prompt"], str) or not row["prompt"]:
            raise BadInput(f"{where}: the prompt is no text, or an empty one.")
        return Prompt(id, row["prompt"], where=where)
    return Prompt(id, None, _messages(row["messages"], where), where)


def _row(line: bytes, where: str) -> dict[str, Any]:
    """A line as JSON, with the fields of a row and whole characters."""
    try:
        row = json.loads(line.decode("utf-8"))
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeDecodeError as error:
        raise BadInput(
            f"{where}: not UTF-8, at byte {error.start + 1:,} of the line. Save the file as UTF-8."
        ) from error
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise BadInput(f"{where}: {half} is half a character (a lone surrogate), which no text can hold.") from error
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{where}: not JSON ({error}).") from error
    if not isinstance(row, dict) or ("prompt" in row) == ("messages" in row):
        raise BadInput(f"{where}: a row has either prompt or messages, and perhaps an id.")
    if unknown := sorted(set(row) - set(FIELDS)):
        raise BadInput(
            f"{where}: a row has no {unknown[0]!r}. {near(unknown[0], FIELDS)} Sampling is set by field=value."
        )
    return row


def _messages(said: JsonValue, where: str) -> tuple[dict[str, str], ...]:
    good = isinstance(said, list) and said
    for message in said if isinstance(said, list) else []:
        good = good and isinstance(message, dict) and set(message) == {"role", "content"}
        good = good and isinstance(message, dict) and all(isinstance(text, str) for text in message.values())
    if not good or not isinstance(said, list):
        raise BadInput(f'{where}: messages are a list of {{"role": …, "content": …}}, both texts.')
    found = tuple({str(name): str(text) for name, text in dict(message).items()} for message in said)  # pyright: ignore
    if other := next((message["role"] for message in found if message["role"] not in ROLES), None):
        raise BadInput(f"{where}: no role {other!r}. Allowed: {', '.join(ROLES)}.")
    return found
