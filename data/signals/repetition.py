"""Repetition in texts: equal words numbered, and Gopher's n-gram measures (arXiv 2112.11446, table A1).

>>> from data.signals.words import split
>>> ngram_measures(split(["a b a b"], ["en"]))["top_2gram_char_ratio"].tolist()  # "a b" twice: 6 of 7 characters
[0.8571428571428571]
"""

from typing import NamedTuple

import numpy as np

from data.signals.ngrams import ngram_chars
from data.signals.passes import number
from data.signals.words import Words

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)


class Groups(NamedTuple):
    """Equal words of one text, numbered in order."""

    ids: np.ndarray
    """int64 number of each word."""
    sizes: np.ndarray
    """int64: how often each number is there."""
    firsts: np.ndarray
    """int64: which word has each number first."""


def group(words: Words) -> Groups:
    """Number equal words of one text."""
    return Groups(*number(words.hashes, words.first))


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float64, 0.0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0, dtype=np.float64)


def ngram_measures(words: Words, groups: Groups | None = None) -> dict[str, np.ndarray]:
    """Shares of characters in the most frequent 2- to 4-grams and in repeated 5- to 10-grams, as datatrove's
    GopherRepetitionFilter counts them: an n-gram that was seen is counted and stepped over as a whole."""
    lengths = np.concatenate(([0], np.cumsum(words.end - words.start)))
    groups = groups or group(words)
    chars = ngram_chars(groups.ids, groups.sizes, words.first, lengths)
    names = [*(f"top_{n}gram_char_ratio" for n in TOP), *(f"dup_{n}gram_char_ratio" for n in DUPLICATE)]
    return {name: ratio(found, words.characters.lengths) for name, found in zip(names, chars, strict=True)}
