"""Bands and rows: which similarity of two signatures brings them together.

>>> bands_for(0.8, hashes=128, recall=0.99)
Bands(bands=21, rows=6)

Two documents of Jaccard similarity s share a bucket with probability 1 - (1 - s ** rows) ** bands.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from catalog.errors import BadInput

_ODD = np.uint64(0x9E3779B97F4A7C15)
_HALF = np.uint64(32)
WEIGHTS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9999)
"""How much a missed pair counts against one too many, from even to almost alone."""


class Bands(NamedTuple):
    """How a signature is cut: `bands` pieces of `rows` places; some places may be left over."""

    bands: int
    rows: int

    def match(self, similarity: float | np.ndarray) -> float | np.ndarray:
        """The probability that two documents of this similarity share a bucket."""
        return 1 - (1 - similarity**self.rows) ** self.bands


CALCULATED = {
    (0.7, 128, 0.99): Bands(24, 4),
    (0.8, 128, 0.99): Bands(21, 6),
    (0.9, 128, 0.99): Bands(12, 10),
}
"""What `calculated` gives for what is mostly asked: a build need not bring scipy for it. A test makes it again."""


def bands_for(similarity: float, hashes: int, recall: float) -> Bands:
    """The fewest candidates at which this share of pairs exactly at the similarity is found, as `calculated` has it."""
    return CALCULATED.get((similarity, hashes, recall)) or calculated(similarity, hashes, recall)


@lru_cache(maxsize=64)
def calculated(similarity: float, hashes: int, recall: float) -> Bands:
    """datasketch's calculator weighs missed pairs against needless ones; the weight rises until the share is reached.

    Raises BadInput where no cut reaches it.
    """
    from datasketch import MinHashLSH  # brings scipy, a second of imports

    for weight in WEIGHTS:
        lsh = MinHashLSH(threshold=similarity, num_perm=hashes, weights=(1 - weight, weight))
        bands = Bands(lsh.b, lsh.r)
        if bands.match(similarity) >= recall:
            return bands
    raise BadInput(
        f"no bands of {hashes} hashes find {recall:.0%} of pairs at similarity {similarity}. "
        "Give more hashes, or less recall."
    )


def curve(bands: Bands, step: float = 0.05) -> list[tuple[float, float]]:
    """(similarity, probability of a match) from 0 to 1."""
    return [(round(s, 4), float(bands.match(s))) for s in np.arange(0.0, 1.0 + step / 2, step)]


def band_keys(signatures: np.ndarray, bands: Bands) -> np.ndarray:
    """uint32[bands, documents]: one key a band, of its rows. Unequal bands share a key once in 4 billion."""
    keys = np.empty((bands.bands, len(signatures)), np.uint32)
    for band in range(bands.bands):
        total = np.full(len(signatures), band + 1, np.uint64)
        for place in range(band * bands.rows, (band + 1) * bands.rows):
            total = (total ^ signatures[:, place]) * _ODD
            total ^= total >> _HALF
        keys[band] = (total >> np.uint64(16)).astype(np.uint32)
    return keys
