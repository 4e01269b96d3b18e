"""The formats that instruction and preference data comes in, each with the fields it is known by.

>>> detect({"instruction": "…", "input": "", "output": "…"}, place)
'alpaca'
>>> row(raw, "alpaca", DatasetConfig(name="a"))
Row(…)
"""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from pydantic import JsonValue

from catalog.errors import BadInput, near
from data.instructions.config import DatasetConfig
from data.instructions.files import Place, Raw, named
from data.instructions.form import Row, as_json
from data.instructions.messages import Message, bad, messages_of, text_of, tools_of, transcript, turns_of

Parts = dict[str, list[Message] | list[JsonValue] | str | bool]

_WRAPPED = re.compile(
    r"\s*Below is an instruction that describes a task.{0,200}?"
    r"### Instruction:\s*(.*?)\s*(?:### Input:\s*(.*?)\s*)?### Response:\s*",
    re.S,
)
"""The prompt template of Stanford Alpaca (and Dolly), around an instruction."""


class Format(NamedTuple):
    """How one format is known and read."""

    fields: tuple[frozenset[str], ...]
    """Sets of fields, any of which names the format when all of it is there."""
    read: Callable[[Raw], Parts]
    says: str


def detect(fields: Iterable[str], place: Place) -> str:
    """The format that has these fields; the first of `FORMATS` where several do. Raises BadInput."""
    there = set(fields)
    for name, form in FORMATS.items():
        if any(wanted <= there for wanted in form.fields):
            return name
    raise BadInput(
        f"{place}: no format has the fields {', '.join(sorted(there)) or '(none)'}. Rename them, or name the format: "
        f"format={'|'.join(FORMATS)}."
    )


def checked(name: str) -> str:
    """The name of a format that there is, or `auto`. Raises BadInput."""
    if name != "auto" and name not in FORMATS:
        raise BadInput(f"no format {name!r}. {near(name, ['auto', *FORMATS])}")
    return name


def row(raw: Raw, form: str, config: DatasetConfig) -> Row:
    """A record in the one form. Raises BadInput that names the file, the line and the field."""
    parts = FORMATS[form].read(raw)
    if config.unwrap:
        parts = {name: _unwrapped(value) for name, value in parts.items()}
    made = Row(raw.place, parts, str(raw.fields.get("source_doc_id", "")), str(raw.fields.get("lang", "")))
    try:
        as_json(parts).encode()
    except UnicodeEncodeError as error:
        raise BadInput(
            f"{raw.place}: half of a character ({error.object[error.start]!r}), which no text can hold."
        ) from error
    return made


def _unwrapped(value: list[Message] | list[JsonValue] | str | bool) -> list[Message] | list[JsonValue] | str | bool:
    if not isinstance(value, list):
        return value
    return [_bare(item) if isinstance(item, dict) and item.get("role") == "user" else item for item in value]  # type: ignore[return-value]


def _bare(message: Message) -> Message:
    match = _WRAPPED.fullmatch(str(message["content"]))
    return {**message, "content": "\n\n".join(filter(None, match.groups()))} if match else message


def _system(raw: Raw) -> list[Message]:
    said = text_of(raw, "system", "") or text_of(raw, "system_prompt", "")
    return [{"role": "system", "content": said}] if said else []


def _asked(raw: Raw) -> list[Message]:
    """What Alpaca asks: system, earlier turns (`history`, pairs of texts), the instruction with its input."""
    history = raw.fields.get("history", [])
    if not isinstance(history, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in history):
        raise bad(raw.place, "history", "a list of pairs of texts is wanted")
    said = [text for pair in history if isinstance(pair, list) for text in pair]
    if not all(isinstance(text, str) for text in said):
        raise bad(raw.place, "history", "a list of pairs of texts is wanted")
    earlier: list[Message] = [
        {"role": "assistant" if at % 2 else "user", "content": text} for at, text in enumerate(said)
    ]
    instruction, more = text_of(raw, "instruction"), text_of(raw, "input", "")
    question = f"{instruction}\n\n{more}" if instruction and more else instruction or more
    return [*_system(raw), *earlier, {"role": "user", "content": question}]


def _alpaca(raw: Raw) -> Parts:
    return _pair(raw, _asked(raw), [{"role": "assistant", "content": text_of(raw, "output")}])


def _alpaca_preferences(raw: Raw) -> Parts:
    return _preference(raw, _asked(raw))


def _conversation(raw: Raw) -> list[Message]:
    field = "messages" if "messages" in raw.fields else "conversations"
    return [*_system(raw), *messages_of(raw.fields.get(field), raw.place, field)]


def _messages(raw: Raw) -> Parts:
    return {"messages": list(_conversation(raw)), "tools": tools_of(raw)}


def _conversation_preferences(raw: Raw) -> Parts:
    return _preference(raw, _conversation(raw))


def _prompted(field: str) -> Callable[[Raw], list[Message]]:
    def read(raw: Raw) -> list[Message]:
        return [*_system(raw), *turns_of(raw.fields.get(field), raw.place, field, "user")]

    return read


def _answered(question: str, answers: tuple[str, ...]) -> Callable[[Raw], Parts]:
    def read(raw: Raw) -> Parts:
        answer = next((name for name in answers if name in raw.fields), answers[0])
        said = turns_of(raw.fields.get(answer), raw.place, answer, "assistant")
        return _pair(raw, _prompted(question)(raw), said)

    return read


def _pair(raw: Raw, prompt: list[Message], answer: list[Message]) -> Parts:
    return {"messages": [*prompt, *answer], "tools": tools_of(raw)}


def _dpo(raw: Raw) -> Parts:
    field = "prompt" if "prompt" in raw.fields else "question"
    return _preference(raw, _prompted(field)(raw))


def _preference(raw: Raw, prompt: list[Message]) -> Parts:
    """Chosen and rejected answers; where they repeat the prompt, that is taken away from them."""
    sides = {}
    for name in ("chosen", "rejected"):
        said = turns_of(raw.fields.get(name), raw.place, name, "assistant")
        sides[name] = said[len(prompt) :] if len(said) > len(prompt) and said[: len(prompt)] == prompt else said
    return {"prompt": list(prompt), **sides, "tools": tools_of(raw)}


def _hh(raw: Raw) -> Parts:
    """Two dialogues, as transcripts or messages: what they share is the prompt."""
    sides = [
        transcript(value, raw.place, name) if isinstance(value, str) else messages_of(value, raw.place, name)
        for name, value in ((name, raw.fields.get(name)) for name in ("chosen", "rejected"))
    ]
    shared = 0
    while shared < min(map(len, sides)) and sides[0][shared] == sides[1][shared]:
        shared += 1
    chosen, rejected = sides
    return {"prompt": chosen[:shared], "chosen": chosen[shared:], "rejected": rejected[shared:], "tools": tools_of(raw)}


def _kto(raw: Raw) -> Parts:
    """A conversation, or a prompt and a completion, with a label: was the last answer good?"""
    if "completion" in raw.fields or "response" in raw.fields:
        answer = "completion" if "completion" in raw.fields else "response"
        prompt = _prompted("prompt")(raw)
        said = turns_of(raw.fields.get(answer), raw.place, answer, "assistant")
    else:
        whole = _conversation(raw)
        at = max((at for at, message in enumerate(whole) if message["role"] != "assistant"), default=-1) + 1
        prompt, said = whole[:at], whole[at:]
    return {"prompt": prompt, "completion": said, "label": _label(raw), "tools": tools_of(raw)}


def _label(raw: Raw) -> bool:
    field = "label" if "label" in raw.fields else "kto_tag"
    value = raw.fields.get(field)
    known = {"true": True, "1": True, "desirable": True, "false": False, "0": False, "undesirable": False}
    if str(value).lower() not in known:
        said = repr(value) if isinstance(value, str | int | float) else named(value)
        raise bad(raw.place, field, f"true or false is wanted, not {said}")
    return known[str(value).lower()]


def _text(raw: Raw) -> Parts:
    return {"text": text_of(raw, "text")}


def _class(raw: Raw) -> Parts:
    """A text and its class, a text or a number."""
    field = next(name for name in ("label", "class", "category") if name in raw.fields or name == "category")
    value = raw.fields.get(field)
    if isinstance(value, bool | int):
        return {"text": text_of(raw, "text"), "class": str(value).lower()}
    return {"text": text_of(raw, "text"), "class": text_of(raw, field)}


def _sets(*wanted: str) -> tuple[frozenset[str], ...]:
    return tuple(frozenset(words.split()) for words in wanted)


FORMATS = {
    "kto": Format(
        _sets(
            "messages label",
            "conversations label",
            "messages kto_tag",
            "prompt completion label",
            "prompt response label",
        ),
        _kto,
        "messages (or prompt, completion), label",
    ),
    "dpo-conversations": Format(
        _sets("conversations chosen rejected", "messages chosen rejected"),
        _conversation_preferences,
        "conversations, chosen, rejected",
    ),
    "dpo-alpaca": Format(
        _sets("instruction chosen rejected"), _alpaca_preferences, "instruction, input, chosen, rejected"
    ),
    "dpo": Format(
        _sets("prompt chosen rejected", "question chosen rejected"), _dpo, "prompt (or question), chosen, rejected"
    ),
    "hh": Format(_sets("chosen rejected"), _hh, "chosen, rejected: two dialogues as transcripts or messages"),
    "messages": Format(_sets("messages"), _messages, "messages of role and content, with tool_calls; tools"),
    "sharegpt": Format(_sets("conversations"), _messages, "conversations of from and value, with function_call; tools"),
    "alpaca": Format(_sets("instruction output"), _alpaca, "instruction, input, output; system, history"),
    "prompt-response": Format(
        _sets("prompt response", "prompt completion", "prompt output"),
        _answered("prompt", ("response", "completion", "output")),
        "prompt, response (or completion, output)",
    ),
    "question-answer": Format(
        _sets("question answer", "query answer", "question response", "query response"),
        lambda raw: _answered("question" if "question" in raw.fields else "query", ("answer", "response"))(raw),
        "question (or query), answer (or response)",
    ),
    "classes": Format(
        _sets("text label", "text class", "text category"), _class, "text, label (or class, category): a text or number"
    ),
    "text": Format(_sets("text"), _text, "text: a plain completion"),
}
"""In the order in which they are tried: what says more comes first."""
