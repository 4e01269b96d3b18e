"""Tokens of texts for near-duplicates: words where a script puts spaces, single characters where it does not.

>>> hash_tokens(["Two words.", "两个字"]).first.tolist()
[0, 2, 5]

A token is a word of any script with spaces, or one character of Chinese, Japanese, Thai, Lao, Khmer, Burmese or
Tibetan: one rule for a page whatever its language, so that a mixed page does not change its measure when one sentence
of it changes. Case, width (`Ａ` and `A`), punctuation, symbols and white space make no difference; with `fold_han`,
nor does whether Chinese is written in traditional or in simplified characters.
"""

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from data.dedup.passes import ALONE, BASE, cut_tokens
from data.signals.characters import LONE, SCRIPTS, WORD, classes
from data.text.han_forms import compared_forms

_MARK = np.uint32(1 << 31)
_MARKS = (*range(0x300, 0x370), 0x3099, 0x309A)
"""Combining marks that composition may take into a letter."""
_WIDE = (*range(0xFF01, 0xFFEF), *range(0x2F00, 0x2FD6), *range(0xF900, 0xFB00))
"""Full and half width forms, radicals and compatibility ideographs: read as the character that they stand for."""


class Tokens(NamedTuple):
    """Tokens of a batch of texts, in order."""

    hashes: np.ndarray
    """uint64, the same for the same token in any text."""
    first: np.ndarray
    """int64[texts + 1]: the first token of each text."""
    starts: np.ndarray
    """int64: the character of the batch at which each token starts; one newline stands after every text."""


def hash_tokens(texts: Sequence[str], compose: bool = True, fold_han: bool = False) -> Tokens:
    """The tokens of each text. Without `compose`, combining marks stay as they stand and so do positions."""
    codes, bounds = _lay_out(texts, compose, fold_han)
    hashes, starts = np.empty(len(codes), np.uint64), np.empty(len(codes), np.int64)
    first = np.empty(len(bounds), np.int64)
    count = cut_tokens(codes, bounds, hashes, first, starts)
    return Tokens(hashes[:count], first, starts[:count])


def _lay_out(texts: Sequence[str], compose: bool, fold_han: bool) -> tuple[np.ndarray, np.ndarray]:
    """Folded code points (0 for what is in no token) of texts end to end, and where each text starts."""
    codes = _fold("\n".join(texts) + "\n", fold_han)
    if codes.max(initial=0) >= _MARK:
        texts = [unicodedata.normalize("NFC", text) for text in texts] if compose else texts
        codes = _fold("\n".join(texts) + "\n", fold_han) & ~_MARK
    bounds = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1, out=bounds[1:])
    return codes, bounds


def _fold(text: str, fold_han: bool) -> np.ndarray:
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.take(folding(fold_han), points, mode="clip")


_CASED = (*range(0x3400), *range(0xA000, 0xAC00), *range(0xD800, 0x20000))
"""Code points that may have a small form: all but those of Chinese characters and Hangul."""


@lru_cache(maxsize=2)
def folding(fold_han: bool) -> np.ndarray:
    """uint32 for each code point: 0 outside tokens, else its folded code point with flags (0.15 s, once a process)."""
    tables = classes()
    shape = np.frombuffer(tables.shape, np.uint8)[tables.of_point]
    script = np.frombuffer(tables.script, np.uint8)[tables.of_point]
    kana = [SCRIPTS.index(name) for name in ("hiragana", "katakana")]
    folded = np.arange(0x110000, dtype=np.uint32)
    for point in _WIDE:
        wide = unicodedata.normalize("NFKC", chr(point))
        folded[point] = ord(wide) if len(wide) == 1 else point
    for point in _CASED:
        small = chr(int(folded[point])).lower()
        folded[point] = ord(small) if len(small) == 1 else folded[point]
    if fold_han:
        forms = np.array(list(compared_forms().items()), np.uint32)
        simple = np.arange(0x110000, dtype=np.uint32)
        simple[forms[:, 0]] = forms[:, 1]
        folded = simple[folded]
    flags = np.where(((shape & LONE) > 0) | np.isin(script, kana), ALONE, np.uint32(0))
    flags[list(_MARKS)] |= _MARK
    return np.where((shape & WORD) > 0, folded | flags, np.uint32(0)).astype(np.uint32)


_KEPT = 1 << 18


def powers_of(size: int) -> tuple[np.ndarray, np.ndarray]:
    """The base's powers and their inverses modulo 2**64, at least `size` of each."""
    return _kept_powers() if size <= _KEPT else _make_powers(size)


@lru_cache(maxsize=1)
def _kept_powers() -> tuple[np.ndarray, np.ndarray]:
    return _make_powers(_KEPT)


def _make_powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    tables = []
    for base in (BASE, pow(BASE, -1, 1 << 64)):
        factors = np.full(count, base, np.uint64)
        factors[:1] = 1
        tables.append(np.cumprod(factors))
    return tables[0], tables[1]
