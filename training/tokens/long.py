"""Very long documents: encoded in parts, cut where the ids stay the same.

>>> parts = cut_long(text, tokenizer)        # [text] where it is short
>>> [part.text for part in parts], parts[0].safe

Encoding takes about 120 bytes of memory a token, so a text of 50 MB in one go takes gigabytes. A safe place is one
where the tokenizer itself ends a word: a letter before a space, a line end or a mark. Its expression reads from left to
right and no word crosses that place, so both sides have the ids that they have in the whole text; that the tokenizer at
hand is of that kind is tried on the text around each place. Without such a place within reach the cut is blind: no text
is lost, but a word at the cut may have other ids. The record counts both.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from tokenizers import Tokenizer

LONG = 500_000
"""Characters that are encoded at a time."""
REACH = 50_000
"""So far back from the longest part a safe place is looked for."""
AROUND = 200
"""Characters on either side of a place on which the tokenizer is tried."""
TRIES = 8

_PLACE = re.compile(r"[^\W\d_](?=[ \n,.;:，。、；：！？])")


class Part(NamedTuple):
    """A part of a document."""

    text: str
    safe: bool
    """Whether the ids at its end are those of the whole text."""
    last: bool
    """Whether the document ends here."""


def cut_long(text: str, tokenizer: Tokenizer, longest: int = LONG) -> Iterator[Part]:
    """The text in parts of at most `longest` characters."""
    start = 0
    while len(text) - start > longest:
        place = _safe_place(text, max(start + 1, start + longest - REACH), start + longest, tokenizer)
        stop = place or start + longest
        yield Part(text[start:stop], bool(place), False)
        start = stop
    yield Part(text[start:], True, True)


def _safe_place(text: str, start: int, stop: int, tokenizer: Tokenizer) -> int:
    """The last safe place after `start`, at most `stop`; 0 where none is found."""
    if tokenizer.pre_tokenizer is None:
        return 0  # one word from end to end
    places = [match.end() for match in _PLACE.finditer(text, start, stop)]
    return next((place for place in reversed(places[-TRIES:]) if _ends_a_word(text, place, tokenizer)), 0)


def _ends_a_word(text: str, place: int, tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer cuts at this place, and neither side changes the ids of the other."""
    left, right = text[max(0, place - AROUND) : place], text[place : place + AROUND]
    whole, *sides = (_ids(tokenizer, part) for part in (left + right, left, right))
    pieces = tokenizer.pre_tokenizer.pre_tokenize_str(left + right)
    return whole == sides[0] + sides[1] and any(span[0] == len(left) for _, span in pieces)


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text, add_special_tokens=False).ids
