"""MinHash signatures: how many places of two are equal estimates the Jaccard similarity of two sets of n-grams.

>>> signatures(hash_grams(["some text", "some other text"], 5), hashes=128).shape
(2, 128)

The sketch is that of Dahlgaard, Knudsen and Thorup, "Fast Similarity Sketching" (FOCS 2017, arXiv 1704.04370): each
gram falls into one place a round, and a place keeps the least of the first round in which any gram fell into it; what
is empty after ROUNDS takes the least of all grams under a hash of its own. Each place is equal with a probability of
exactly the Jaccard similarity, as with k independent hashes, for a cost near n + k log k instead of n times k.
"""

import numpy as np

from data.dedup.grams import Grams
from data.dedup.passes import sketch

ROUNDS = 6
_NONE = np.uint32(0xFFFFFFFF)


def signatures(grams: Grams, hashes: int) -> np.ndarray:
    """uint32[texts, hashes]. A text without grams has the largest number in every place."""
    made = np.full((len(grams.first) - 1, hashes), _NONE, np.uint32)
    sketch(grams.hashes, grams.first, ROUNDS, made)
    return made


def agreement(signature: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The share of equal places, row by row: the estimated Jaccard similarity."""
    return np.count_nonzero(signature == other, axis=-1) / signature.shape[-1]
