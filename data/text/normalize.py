"""Normal forms of text: what a form changes, span by span, so that every change can be an edit.

    list(FORMS["quotes"].changes("It’s"))
    [Change(start=2, length=1, replacement="'")]

mojibake    UTF-8 that was read as another encoding, as ftfy repairs it (ftfy.readthedocs.io), line by line
control     control characters, soft hyphens, byte order marks, terminal escapes; every line break becomes a newline
invisible   zero-width spaces and marks of direction, which Thai or Arabic need and English and Chinese do not
spaces      spaces of other widths, no-break ones too, become the space
fullwidth   full-width letters, digits and signs become ASCII, half-width katakana full; Chinese punctuation stays
quotes      curly quotes, acute accents for apostrophes, and two hyphens, become ASCII
marks       ASCII punctuation between Chinese characters becomes full-width; a colon or point between digits ASCII
nfc, nfkc   Unicode normal forms, cluster by cluster
lower       small letters
simplified  traditional Chinese characters become simplified ones, one by one

A text that is in a form already is passed by after one scan: microseconds, not milliseconds.
As edit rules, `fullwidth`, `quotes` and `marks` leave fenced code (```) as it is.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from typing import Literal, NamedTuple

import ftfy
from ftfy.badness import MOJIBAKE_CATEGORIES, is_bad
from ftfy.chardata import DOUBLE_QUOTE_RE, SINGLE_QUOTE_RE

from data.text.han_forms import simplified_forms


class Change(NamedTuple):
    """Replace `length` code points from `start` on."""

    start: int
    length: int
    replacement: str


class Form(NamedTuple):
    """A normal form."""

    changes: Callable[[str], Iterator[Change]]
    """What brings a text into the form: in order, disjoint, never of length 0."""
    suspects: Callable[[], str] | None = None
    """The inside of a character class. A text with none of these is in the form; without it, only `changes` can say.

    It may say too much, not too little: all that is beyond the basic plane is one range, for the sake of speed (a
    class of many such ranges takes 80 ns a character, not 3)."""
    in_code: bool = True
    """Whether fenced code wants it as well as prose does."""


def _mapped(pattern: str, replace: Callable[[str], str], text: str) -> Iterator[Change]:
    for match in re.finditer(pattern, text):
        new = replace(match[0])
        if new != match[0]:
            yield Change(match.start(), len(match[0]), new)


# Mojibake

_UNPAIRED = ("common", "upper_common", "lower_common", "c1", "kaomoji")
_LONELY = "ŒœÂÃ"
"""With C1 controls, the characters that ftfy finds bad next to any other; it wants two of its own side by side else."""
_REACH = 8
"""Characters either side of a suspect that ftfy's patterns, of at most six characters, may look at."""
_FAR = 4096
"""Most characters that are looked at together where one suspect follows another: one by one they take 2 µs each."""


@lru_cache(maxsize=1)
def _mojibake_suspects() -> re.Pattern[str]:
    """Where ftfy's own pattern may match: a hundred times faster to search for (1.7 ms for 5 KB)."""
    every = "".join(MOJIBAKE_CATEGORIES.values()) + "°ЂÞž"
    paired = "".join(body for name, body in MOJIBAKE_CATEGORIES.items() if name not in _UNPAIRED) + "°ЂØÙ"
    first = f"[{paired}\x80-\x9f]"
    return re.compile(
        f"{first}(?:(?<=[\x80-\x9f])|(?=[{every}])|(?<=[{every}]{first})|(?<=[{_LONELY}])(?![A-Za-z]))", re.DOTALL
    )


def _mojibake(text: str) -> Iterator[Change]:
    if text.isascii():
        return
    at, ahead, suspects = 0, 0, _mojibake_suspects()
    while match := suspects.search(text, at):
        ahead = min(2 * ahead + _REACH, _FAR) if match.start() - at < _REACH else 0
        start, at = match.start(), match.end() + ahead
        if is_bad(text[max(0, start - _REACH) : at + _REACH]):
            start, end = text.rfind("\n", 0, start) + 1, text.find("\n", match.end())
            at = end = len(text) if end < 0 else end
            ahead = 0
            yield from _differences(text[start:end], ftfy.fix_encoding(text[start:end]), start)


_ASCII_RUNS = re.compile("([\x00-\x7f]+)")


def _differences(old: str, new: str, start: int) -> Iterator[Change]:
    """Where two lines differ: between the same runs of ASCII, or else all but the common ends."""
    olds, news = _ASCII_RUNS.split(old), _ASCII_RUNS.split(new)
    if olds[1::2] != news[1::2] or any(becomes and not was for was, becomes in zip(olds, news, strict=True)):
        olds, news = [old], [new]
    for was, becomes in zip(olds, news, strict=True):
        if was != becomes:
            before = min(_common(was, becomes), len(was) - 1)
            after = _common(was[before + 1 :][::-1], becomes[before:][::-1])
            yield Change(start + before, len(was) - after - before, becomes[before : len(becomes) - after])
        start += len(was)


def _common(one: str, other: str) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


# Characters, one by one

_BREAKS = "\r\x0b\x0c\x85\u2028\u2029"
_CONTROL = "\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u2060\u206a-\u206f\ufeff\ufff9-\ufffc\ufffe\uffff"
_INVISIBLE = "\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069"
_SPACES = "\xa0\u1680\u2000-\u200a\u202f\u205f"
_WIDE = "０-９Ａ-Ｚａ-ｚ＂＃＄％＆＇＊＋－／＝＠＼＾＿｀｜￠￡￥￦｡-ﾟ\u3000"
_HYPHENS = "\u2010\u2011"
_SINGLE, _DOUBLE = SINGLE_QUOTE_RE.pattern.strip("[]"), DOUBLE_QUOTE_RE.pattern.strip("[]")
_HAN = "\u3400-\u4dbf\u4e00-\u9fff"
_DIGITS = "0-9０-９"
_FULL = str.maketrans(",;:!?．：", "，；：！？.:")


def _control(text: str) -> Iterator[Change]:
    breaks_or_not = partial(re.compile(f"\r\n|[{_BREAKS}]|(.+)", re.DOTALL).sub, lambda match: "" if match[1] else "\n")
    return _mapped(f"\x1b\\[[\\d;]*[A-Za-z]|\r\n|[{_BREAKS}]|[{_CONTROL}]+", breaks_or_not, text)


def _quote(found: str) -> str:
    return '"' if re.match(f"[{_DOUBLE}]", found) else "-" if found in _HYPHENS else "'"


_ASCII_MARKS = f"[{_SINGLE}{_DOUBLE}{_HYPHENS}]|(?<=[A-Za-z])´(?=[A-Za-z])"
_CHINESE_MARKS = f"[,;:!?．：](?:(?<=[{_HAN}][,;:!?])(?=[{_HAN}])|(?<=[{_DIGITS}][．：])(?=[{_DIGITS}]))"


# Unicode's forms

_POINTS = (*range(0x80, 0x33500), *range(0xE0000, 0xE0200))
"""All assigned characters but those of private use."""


@lru_cache(maxsize=1)
def _continuing() -> str:
    """Characters that may join with what stands before them: marks, and second halves of compositions."""
    seconds = set(map(chr, (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))))  # vowels and finals of Korean syllables
    for point in _POINTS:
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(chr(int(parts[1], 16)))
    return _ranges(
        char
        for char in map(chr, _POINTS)
        if (first := unicodedata.normalize("NFKD", char)[0]) in seconds or unicodedata.combining(first)
    )


@lru_cache(maxsize=2)
def _changing(form: Literal["NFC", "NFKC"]) -> str:
    """Characters that a form changes even when they stand alone."""
    return _ranges(char for char in map(chr, _POINTS) if unicodedata.normalize(form, char) != char)


def _ranges(chars: Iterator[str]) -> str:
    """The inside of a character class."""
    spans: list[list[str]] = []
    for char in chars:
        if spans and ord(char) == ord(spans[-1][1]) + 1:
            spans[-1][1] = char
        else:
            spans.append([char, char])
    return "".join(f"{first}-{last}" for first, last in spans)


def _basic(ranges: str) -> str:
    """A class with everything beyond the basic plane in one range."""
    return re.sub(".-[\U00010000-\U0010ffff]", "", ranges) + "\U00010000-\U0010ffff"


@lru_cache(maxsize=2)
def _clusters(form: Literal["NFC", "NFKC"]) -> re.Pattern[str]:
    """A character with all that may join it, or one that changes by itself: nothing beyond can play a part."""
    joins = _continuing()
    return re.compile(f"[^{joins}]?[{joins}]+|[{_changing(form)}]", re.DOTALL)


def _unicode(form: Literal["NFC", "NFKC"], text: str) -> Iterator[Change]:
    if not unicodedata.is_normalized(form, text):
        yield from _mapped(_clusters(form), partial(unicodedata.normalize, form), text)  # type: ignore[arg-type]


# Letters


def _lower(text: str) -> Iterator[Change]:
    if (small := text.lower()) != text:
        start = at = 0
        for part in re.split("(İ)", text):  # the one letter that becomes two characters
            length = len(part) + (part == "İ")
            if part == "İ":
                yield Change(start, 1, small[at : at + length])
            else:
                yield from _runs(part, small[at : at + length], start)
            start, at = start + len(part), at + length


def _runs(old: str, new: str, offset: int) -> Iterator[Change]:
    """Runs of characters that differ in two texts of one length."""
    start = None
    for at, differs in enumerate([*map(str.__ne__, old, new), False]):
        if differs and start is None:
            start = at
        elif not differs and start is not None:
            yield Change(offset + start, at - start, new[start:at])
            start = None


_QIAN = "乾(?![隆坤卦元陵])"
"""乾 is 干 where it means dry, and stays itself in a few names."""


def _simplified(text: str) -> Iterator[Change]:
    forms = simplified_forms()
    others = "".join(map(chr, forms)).replace("乾", "")
    return _mapped(f"(?:[{others}]|{_QIAN})+", lambda run: run.translate(forms), text)


FORMS: Mapping[str, Form] = {
    "mojibake": Form(_mojibake),
    "control": Form(_control, lambda: _BREAKS + _CONTROL),
    "invisible": Form(partial(_mapped, f"[{_INVISIBLE}]+", lambda found: ""), lambda: _INVISIBLE),
    "spaces": Form(partial(_mapped, f"[{_SPACES}]", lambda found: " "), lambda: _SPACES),
    "fullwidth": Form(partial(_mapped, f"[{_WIDE}]+", partial(unicodedata.normalize, "NFKC")), lambda: _WIDE, False),
    "quotes": Form(partial(_mapped, _ASCII_MARKS, _quote), lambda: _SINGLE + _DOUBLE + _HYPHENS + "´", False),
    "marks": Form(partial(_mapped, _CHINESE_MARKS, lambda mark: mark.translate(_FULL)), in_code=False),
    "nfc": Form(partial(_unicode, "NFC"), lambda: _basic(_continuing() + _changing("NFC"))),
    "nfkc": Form(partial(_unicode, "NFKC"), lambda: _basic(_continuing() + _changing("NFKC"))),
    "lower": Form(_lower),
    "simplified": Form(_simplified, lambda: "".join(map(chr, simplified_forms()))),
}
"""The forms by name."""
