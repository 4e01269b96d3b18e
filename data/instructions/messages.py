"""Conversations in their one form: a list of messages with a role, a content and, where there are any, tool calls.

    [{"role": "user", "content": "…"},
     {"role": "assistant", "content": "",
      "tool_calls": [{"type": "function", "function": {"name": "…", "arguments": {…}}}]},
     {"role": "tool", "content": "…"}, {"role": "assistant", "content": "…"}]

It is what chat templates take. A key that says nothing is not there.
"""

import json
import re
from collections.abc import Mapping

from pydantic import JsonValue

from catalog.errors import BadInput
from data.instructions.files import Place, Raw, named

Message = dict[str, JsonValue]

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "model": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "function_call": "call",
    "tool_call": "call",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""Names of roles in the wild, and what they are; `call` is an assistant's message that is nothing but tool calls."""

_TURN = re.compile(r"\n\n(Human|Assistant):")


def bad(place: Place, field: str, what: str) -> BadInput:
    """The error for a field of a record."""
    return BadInput(f"{place}, field {field}: {what}.")


def text_of(raw: Raw, field: str, default: str | None = None) -> str:
    """A field that is a text. Raises BadInput where it is missing (and there is no default) or something else."""
    value = raw.fields.get(field, default)
    if value is None:
        raise bad(raw.place, field, f"it is missing (there are: {', '.join(raw.fields) or 'none'})")
    if not isinstance(value, str):
        raise bad(raw.place, field, f"a text is wanted, not {named(value)}")
    return value


def messages_of(value: JsonValue | None, place: Place, field: str) -> list[Message]:
    """A list of messages, with `role` and `content` or `from` and `value`."""
    if not isinstance(value, list) or not value:
        raise bad(place, field, f"a list of messages is wanted, not {'an empty one' if value == [] else named(value)}")
    return [_message(item, place, f"{field}[{at}]") for at, item in enumerate(value)]


def turns_of(value: JsonValue | None, place: Place, field: str, role: str) -> list[Message]:
    """A text said by `role`, one message, or a list of them."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return messages_of([value] if isinstance(value, dict) else value, place, field)


def transcript(text: str, place: Place, field: str) -> list[Message]:
    """A dialogue written as `\\n\\nHuman: … \\n\\nAssistant: …`."""
    start, *parts = _TURN.split(text if text.startswith("\n\n") else f"\n\n{text}")
    if start.strip() or not parts:
        raise bad(place, field, 'a transcript is wanted that starts with "Human:" or "Assistant:"')
    roles = {"Human": "user", "Assistant": "assistant"}
    return [{"role": roles[who], "content": said.strip()} for who, said in zip(parts[::2], parts[1::2], strict=True)]


def tools_of(raw: Raw) -> list[JsonValue]:
    """The tools that a conversation may call, each as `{"type": "function", "function": {…}}`."""
    value = raw.fields.get("tools", raw.fields.get("functions", []))
    value = _json_text(value, raw.place, "tools") if isinstance(value, str) else value
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise bad(raw.place, "tools", f"a list of objects is wanted, not {named(value)}")
    return [tool if isinstance(tool, dict) and "function" in tool else _function(tool) for tool in value]


def _function(value: JsonValue) -> JsonValue:
    return {"type": "function", "function": value}


def _message(value: JsonValue, place: Place, field: str) -> Message:
    if not isinstance(value, dict):
        raise bad(place, field, f"a message is wanted, not {named(value)}")
    said = _one_of(value, ("role", "from"), place, field)
    role = ROLES.get(str(said).lower())
    if role is None:
        raise bad(place, f"{field}.role", f"{said!r} is no role that is known: {', '.join(sorted(ROLES))}")
    calls = _calls(value.get("tool_calls") or value.get("function_call"), place, f"{field}.tool_calls")
    content = value.get("content", value.get("value", "" if calls else None))
    if isinstance(content, list):
        content = _joined(content, place, f"{field}.content")
    if role == "call":
        calls, content = _calls(content, place, f"{field}.value"), ""
    if not isinstance(content, str):
        raise bad(
            place, f"{field}.content", "it is missing" if content is None else f"a text is wanted, not {named(content)}"
        )
    message: Message = {"role": "assistant" if role == "call" else role, "content": content}
    if calls:
        message["tool_calls"] = calls
    return message | {key: value[key] for key in ("name", "tool_call_id") if value.get(key)}


def _one_of(value: Mapping[str, JsonValue], names: tuple[str, ...], place: Place, field: str) -> JsonValue:
    for name in names:
        if name in value:
            return value[name]
    raise bad(place, f"{field}.{names[0]}", f"it is missing (there are: {', '.join(value) or 'none'})")


def _joined(parts: list[JsonValue], place: Place, field: str) -> str:
    """Content in parts, of which only texts can be learnt here."""
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    if len(texts) != len(parts) or not all(isinstance(text, str) for text in texts):
        raise bad(place, field, "only parts of text are read")
    return "".join(str(text) for text in texts)


def _calls(value: JsonValue | None, place: Place, field: str) -> list[JsonValue]:
    value = _json_text(value, place, field) if isinstance(value, str) and value else value
    calls = [] if not value else value if isinstance(value, list) else [value]
    return [_call(call, place, field) for call in calls]


def _call(value: JsonValue, place: Place, field: str) -> JsonValue:
    """A call as `{"type": "function", "function": {"name", "arguments"}}`, its arguments an object."""
    inner = value.get("function", value) if isinstance(value, dict) else value
    if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
        raise bad(place, field, "a call with a name and arguments is wanted")
    arguments = inner.get("arguments", inner.get("parameters", {}))
    arguments = _json_text(arguments or "{}", place, f"{field}.arguments") if isinstance(arguments, str) else arguments
    call: Message = {"type": "function", "function": {"name": inner["name"], "arguments": arguments}}
    return call | {"id": value["id"]} if isinstance(value, dict) and value.get("id") else call


def _json_text(text: str, place: Place, field: str) -> JsonValue:
    try:
        return json.loads(text) if text.strip() else []
    except json.JSONDecodeError as error:
        raise bad(place, field, f"not JSON ({error.msg}, column {error.colno})") from error
