"""Typed, frozen configs and setting their fields from the command line.

    >>> config = set_fields(recipe(), ["min_words=80", "read.extractor=trafilatura"])

A field is named by its dotted path, or by its last part where that is unambiguous. An element of a tuple is named by
its `name` (`rules.min_words.threshold=80`, in short `min_words=80`: an element with a `threshold` is set by it).
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.errors import BadInput, UnknownField, near


class Config(BaseModel):
    """A frozen config that refuses unknown fields; `model_copy(update=…)` makes a variant."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    def variant(self, **changes: Any) -> Self:
        """A validated copy with fields changed."""
        return type(self).model_validate({**{name: getattr(self, name) for name in type(self).model_fields}, **changes})


C = TypeVar("C", bound=Config)
Texts = dict[tuple[str, ...], str]
"""What a command line says of fields, by path."""


def set_fields(config: C, assignments: Iterable[str]) -> C:
    """Apply `path=value` assignments, all at once. Values are JSON where they parse as JSON, else text; a tuple takes
    `a,b`.

    Raises UnknownField with the near names, BadInput where a value does not fit its field's type.
    """
    texts: Texts = {}
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise BadInput(f"not a field=value: {assignment!r}. Write for example version=2026.11.")
        texts[_resolve(config, path.replace("-", "_"))] = text
    return _assign(config, texts) if texts else config


def fields(config: Config) -> dict[str, object]:
    """Every field that a command line can set, by dotted path, with its value."""
    return {".".join(path): value for path, value in _walk(config)}


def _walk(value: object, prefix: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    if isinstance(value, Config):
        for name in type(value).model_fields:
            yield from _walk(getattr(value, name), (*prefix, name))
    elif (
        isinstance(value, tuple) and value and all(isinstance(item, Config) and hasattr(item, "name") for item in value)
    ):
        yield prefix, value
        for item in value:
            yield from _walk(item, (*prefix, item.name))
    else:
        yield prefix, value


def _resolve(config: Config, wanted: str) -> tuple[str, ...]:
    paths = [path for path, _ in _walk(config)]
    exact = [path for path in paths if ".".join(path) == wanted]
    tail = tuple(wanted.split("."))
    for ending in (tail, (*tail, "threshold")):
        found = exact or [path for path in paths if path[-len(ending) :] == ending]
        if len(found) == 1:
            return found[0]
        if found:
            shallow = min(len(path) for path in found)
            if sum(len(path) == shallow for path in found) == 1:
                return min(found, key=len)
            raise BadInput(f"{wanted} could be {', '.join('.'.join(path) for path in found)}: say which.")
    names = {path[-1] for path in paths} | {path[-2] for path in paths if len(path) > 1 and path[-1] == "threshold"}
    raise UnknownField(
        f"no field {wanted!r} in {type(config).__name__}. {near(wanted, names | {'.'.join(p) for p in paths})}"
    )


def _assign(config: C, texts: Texts) -> C:
    """All fields of a config together: some fit only with each other, as heads and kv_heads."""
    new = {name: _changed(getattr(config, name), _below(texts, name)) for name in dict.fromkeys(p[0] for p in texts)}
    try:
        return config.variant(**new)
    except ValidationError as error:
        first = error.errors()[0]
        named = {path[0]: text for path, text in texts.items() if path[0] in first["loc"][:1] or not first["loc"]}
        said = ", ".join(f"{name}={text!r}" for name, text in named.items())
        raise BadInput(f"{said} does not fit: {first['msg']}.") from error


def _changed(old: object, texts: Texts) -> object:
    """A field's value with what is said of it, or of what it holds."""
    if () in texts:
        if len(texts) > 1:
            raise BadInput(f"{texts[()]!r}, and a part of the same field besides: say it in one way.")
        return _parse(texts[()], old)
    if isinstance(old, tuple):
        return tuple(_assign(item, found) if (found := _below(texts, item.name)) else item for item in old)
    assert isinstance(old, Config)
    return _assign(old, texts)


def _below(texts: Texts, name: str) -> Texts:
    """What is said of one field, by the rest of its path."""
    return {path[1:]: text for path, text in texts.items() if path[0] == name}


def _parse(text: str, old: object) -> object:
    if isinstance(old, str):
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        pass
    if isinstance(old, tuple):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return {"none": None, "true": True, "false": False}.get(text.lower(), text)
