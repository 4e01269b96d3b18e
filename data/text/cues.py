"""Strings that every match of a regular expression holds one of: looked for first, they spare most searches.

>>> cues_of(r"(?i)^\\W*(?:read (?:more|less)|continue reading[^.]{0,60})$")
('read ', 'continue reading')

They are for text in `small` letters.
"""

from collections.abc import Iterable
from functools import lru_cache
from re import _parser  # type: ignore[attr-defined]
from typing import Any

LEAST = 3
"""Bytes of a cue in UTF-8: shorter ones stand in too many lines."""


def small(text: str) -> str:
    """Small letters, with the two that an expression without case takes for ASCII ones in their place."""
    return text.lower().replace("ſ", "s").replace("ı", "i")


@lru_cache(maxsize=1024)
def cues_of(pattern: str) -> tuple[str, ...]:
    """One of these is in every text that matches, in small letters; empty where no such strings are known."""
    return tuple(_best_of(_parser.parse(pattern)) or ())


def _best_of(sequence: Iterable[tuple[Any, Any]]) -> list[str] | None:
    """Of the parts that a match must have, the one whose shortest string is longest."""
    candidates: list[list[str]] = []
    run = ""
    for code, argument in [*sequence, (None, None)]:
        if code is _parser.LITERAL and _is_plain(chr(argument)):
            run += small(chr(argument))
            continue
        if run:
            candidates.append([run])
        run = ""
        if found := _of_part(code, argument):
            candidates.append(found)
    best = max(candidates, key=_least, default=None)
    return best if best and _least(best) >= LEAST else None


def _is_plain(char: str) -> bool:
    """Has it no case, or one that depends on nothing around it?"""
    return char.isascii() or char.lower() == char.upper()


def _least(strings: list[str]) -> int:
    return min(len(string.encode()) for string in strings)


def _of_part(code: Any, argument: Any) -> list[str] | None:
    if code is _parser.SUBPATTERN:
        return _best_of(argument[3])
    if code in (_parser.MAX_REPEAT, _parser.MIN_REPEAT) and argument[0]:
        return _best_of(argument[2])
    if code is not _parser.BRANCH:
        return None
    found: dict[str, None] = {}
    for way in argument[1]:
        strings = _best_of(way)
        if not strings:
            return None
        found |= dict.fromkeys(strings)
    return [string for string in found if not any(other in string for other in found if other != string)]
