"""N-grams of tokens, as sets of hashes: what near-duplicates share.

>>> grams = hash_grams(["one two three four five six"], 5)
>>> grams.of(0).size
2

A text of fewer tokens than n has one gram, of all its tokens; a text without tokens has none.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from data.dedup.tokens import Tokens, hash_tokens, mix
from data.signals.measures import chunks

_FACTOR = np.uint64(0xD6E8FEB86659FD93)


class Grams(NamedTuple):
    """The n-grams of some texts."""

    hashes: np.ndarray
    """uint32, sorted and different within each text. Two sets of 1,000 share one by accident once in 4,000 times."""
    first: np.ndarray
    """int64[texts + 1]."""

    def of(self, text: int) -> np.ndarray:
        """The grams of one text."""
        return self.hashes[self.first[text] : self.first[text + 1]]


def hash_grams(texts: Sequence[str], n: int, fold_han: bool = False) -> Grams:
    """The set of n-grams of each text, worked out in chunks that stay in the cache."""
    tokens = ((b - a, hash_tokens(texts[a:b], fold_han=fold_han)) for a, b in chunks(texts))
    parts = [_set_of_each(*gram_hashes(chunk, n)[:2], count) for count, chunk in tokens]
    counts = np.concatenate([np.diff(part.first) for part in parts]) if parts else np.zeros(0, np.int64)
    first = np.concatenate(([0], np.cumsum(counts)))
    return Grams(np.concatenate([part.hashes for part in parts]) if parts else np.zeros(0, np.uint32), first)


def gram_hashes(tokens: Tokens, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(uint64 hash, text, first token) of each gram of a batch, in order, repetitions included."""
    counts = np.diff(tokens.first)
    short = np.flatnonzero((counts > 0) & (counts < n))
    at = _whole(tokens, counts, n)
    texts = np.repeat(np.arange(len(counts)), np.maximum(counts - n + 1, 0))
    hashes = _fold_tokens(tokens.hashes, at, np.full(len(at), n), n)
    if len(short):
        short_at = tokens.first[short]
        hashes = np.concatenate((hashes, _fold_tokens(tokens.hashes, short_at, counts[short], n)))
        texts, at = np.concatenate((texts, short)), np.concatenate((at, short_at))
        order = np.argsort(at, kind="stable")
        hashes, texts, at = hashes[order], texts[order], at[order]
    return mix(hashes), texts, at


def _whole(tokens: Tokens, counts: np.ndarray, n: int) -> np.ndarray:
    """Tokens at which n tokens of one text begin."""
    begins = np.ones(len(tokens.hashes), bool)
    for back in range(1, n):
        last = tokens.first[1:] - back
        begins[last[counts >= back]] = False
    return np.flatnonzero(begins)


def _fold_tokens(hashes: np.ndarray, at: np.ndarray, lengths: np.ndarray, n: int) -> np.ndarray:
    """The polynomial of `lengths` (at most n) tokens from each place on."""
    if not len(at):
        return np.zeros(0, np.uint64)
    if lengths.min() == n:
        whole = _rolled(hashes, n)
        return whole[at]
    total = np.zeros(len(at), np.uint64)
    for step in range(n):
        within = step < lengths
        total[within] = total[within] * _FACTOR + hashes[at[within] + step]
    return total + lengths.astype(np.uint64)


def _rolled(hashes: np.ndarray, n: int) -> np.ndarray:
    """The polynomial of n tokens from every token on, for as long as there are n."""
    size = len(hashes) - n + 1
    total = hashes[:size].copy()
    for step in range(1, n):
        total *= _FACTOR
        total += hashes[step : size + step]
    return total + np.uint64(n)


def _set_of_each(hashes: np.ndarray, texts: np.ndarray, count: int) -> Grams:
    """Sorted, different 32-bit grams of each of `count` texts."""
    keys = (texts.astype(np.uint64) << np.uint64(32)) | (hashes >> np.uint64(32))
    keys.sort()
    keys = keys[np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))] if len(keys) else keys
    first = np.searchsorted(keys, np.arange(count + 1, dtype=np.uint64) << np.uint64(32))
    return Grams((keys & np.uint64(0xFFFFFFFF)).astype(np.uint32), first)
