"""N-grams of tokens, as sets of hashes: what near-duplicates share.

>>> grams = hash_grams(["one two three four five six"], 5)
>>> grams.of(0).size
2

A text of fewer tokens than n has one gram, of all its tokens; a text without tokens has none.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from data.dedup.passes import hash_runs, keep_different
from data.dedup.tokens import Tokens, hash_tokens
from data.signals.measures import chunks


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
    parts = [_set_of_each(hash_tokens(texts[a:b], fold_han=fold_han), n) for a, b in chunks(texts)]
    counts = np.concatenate([np.diff(part.first) for part in parts]) if parts else np.zeros(0, np.int64)
    first = np.concatenate(([0], np.cumsum(counts)))
    return Grams(np.concatenate([part.hashes for part in parts]) if parts else np.zeros(0, np.uint32), first)


def gram_hashes(tokens: Tokens, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(uint64 hash, text, first token) of each gram of a batch, in order, repetitions included."""
    most = len(tokens.hashes)
    hashes, owner, at = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    count = hash_runs(tokens.hashes, tokens.first, n, hashes, owner, at)
    return hashes[:count], owner[:count], at[:count]


def _set_of_each(tokens: Tokens, n: int) -> Grams:
    """Sorted, different 32-bit grams of each text."""
    hashes, owner, _ = gram_hashes(tokens, n)
    grams, first = (hashes >> np.uint64(32)).astype(np.uint32), np.searchsorted(owner, np.arange(len(tokens.first)))
    for start, stop in pairwise(first.tolist()):
        grams[start:stop].sort()
    count = keep_different(grams, first)
    return Grams(grams[:count], first)
