"""Repetition in texts: groups of equal things, and Gopher's n-gram measures (arXiv 2112.11446, table A1).

>>> from data.signals.words import split
>>> ngram_measures(split(["a b a b"], ["en"]))["top_2gram_char_ratio"].tolist()  # "a b" twice: 6 of 7 characters
[0.8571428571428571]
"""

from typing import NamedTuple

import numpy as np

from data.signals.words import Words

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
_SPREAD = np.uint64(0x94D049BB133111EB)


class Groups(NamedTuple):
    """Equal keys, numbered; a group's members keep their order."""

    ids: np.ndarray
    """int64 group of each key."""
    sizes: np.ndarray
    """int64 members of each group."""
    firsts: np.ndarray
    """int64 index of each group's first member."""


def group(keys: np.ndarray) -> Groups:
    """Number equal uint64 keys. Sorts the keys with their positions in the low bits, which is several times faster than
    argsort, and falls back to a stable argsort in the rare case that the bits left do not tell two keys apart."""
    count = len(keys)
    if not count:
        return Groups(*(np.zeros(0, np.int64) for _ in range(3)))
    bits = count.bit_length()
    low = np.uint64((1 << bits) - 1)
    packed = (keys & ~low) | np.arange(count, dtype=np.uint64)
    packed.sort()
    order = (packed & low).astype(np.int64)
    ordered = keys[order]
    fresh = np.ones(count, bool)
    np.not_equal(ordered[1:], ordered[:-1], out=fresh[1:])
    if (fresh[1:] & ((packed[1:] ^ packed[:-1]) <= low)).any():
        order = np.argsort(keys, kind="stable")
        np.not_equal(keys[order[1:]], keys[order[:-1]], out=fresh[1:])
    heads = np.flatnonzero(fresh)
    sizes = np.empty(len(heads), np.int64)
    np.subtract(heads[1:], heads[:-1], out=sizes[:-1])
    sizes[-1] = count - heads[-1]
    ids = np.empty(count, np.int64)
    ids[order] = np.cumsum(fresh) - 1
    return Groups(ids, sizes, order[heads])


def by_text(hashes: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Keys that are equal only for equal hashes of one text."""
    return (hashes ^ (owner.astype(np.uint64) * _SPREAD)) * _SPREAD


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole as float64, 0.0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(whole)), where=whole > 0, dtype=np.float64)


def total(values: np.ndarray, owner: np.ndarray, texts: int) -> np.ndarray:
    """The values' sum for each text: exact for whole numbers, whatever their order."""
    return np.bincount(owner, values, texts)


def largest(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Each text's maximum as float64, 0.0 where it has no values: text i has values[first[i] : first[i + 1]]."""
    some = first[:-1] < first[1:]
    result = np.zeros(len(first) - 1)
    if len(values):
        result[some] = np.maximum.reduceat(values, first[:-1][some])
    return result


def ngram_measures(words: Words, unigrams: Groups | None = None) -> dict[str, np.ndarray]:
    """Shares of characters in the most frequent 2- to 4-grams and in repeated 5- to 10-grams, as datatrove's
    GopherRepetitionFilter counts them: an n-gram that was seen is counted and stepped over as a whole."""
    from data.signals.ngrams import ngram_chars  # brings the compiler's run time

    lengths = np.concatenate(([0], np.cumsum(words.end - words.start)))
    groups = unigrams or group(by_text(words.hashes, words.owner()))
    chars = ngram_chars(groups.ids, groups.sizes, words.first, lengths)
    names = [*(f"top_{n}gram_char_ratio" for n in TOP), *(f"dup_{n}gram_char_ratio" for n in DUPLICATE)]
    return {name: ratio(found, words.characters.lengths) for name, found in zip(names, chars, strict=True)}
