"""Is one group of models better than another? A paired bootstrap over seeds and documents.

>>> compare(nats_a, nats_b, sizes, groups)["all"]
Difference(group='all', a=1.92, b=1.97, difference=-0.05, low=-0.08, high=-0.02, documents=214)

Both arms are scored on the same documents, and the s-th model of each has the same seed. Documents and seeds are drawn
anew, each on its own and with replacement (the two-way "pigeonhole" bootstrap of Owen, arXiv 0712.1111, which does not
understate the variance of crossed factors), a draw being the same for both arms (paired, as in Koehn 2004,
https://aclanthology.org/W04-3250). The interval is the percentile interval (Efron and Tibshirani 1993, chapter 13).
Three seeds say little about seeds: an interval that leaves out 0 only just is no proof.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REPLICATES = 10_000
LEVEL = 0.95
Floats = NDArray[np.float64]


class Difference(NamedTuple):
    """Bits a byte of two arms on a group of documents."""

    group: str
    a: float
    b: float
    difference: float
    """a - b: below 0 where a predicts the text better."""
    low: float
    high: float
    """The interval of the difference."""
    documents: int

    @property
    def verdict(self) -> str:
        """a, b, or no difference: the interval holds 0."""
        if self.low <= 0 <= self.high:
            return "no difference"
        return "a" if self.high < 0 else "b"


def compare(
    nats_a: Floats, nats_b: Floats, sizes: Floats, groups: Sequence[str], seed: int = 17, replicates: int = REPLICATES
) -> dict[str, Difference]:
    """By group, and `all`. `nats_*`: [seeds, documents]; `sizes` and `groups`: bytes and group of each document."""
    of = np.array(groups)
    names = sorted(set(groups))
    masks = {name: of == name for name in names} | ({"all": np.ones(len(of), bool)} if len(names) > 1 else {})
    return {
        name: _compare(name, nats_a[:, mask], nats_b[:, mask], sizes[mask], seed, replicates)
        for name, mask in masks.items()
    }


def _compare(name: str, a: Floats, b: Floats, sizes: Floats, seed: int, replicates: int) -> Difference:
    generator = np.random.default_rng(seed)
    seeds, documents = a.shape
    drawn_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), replicates) / seeds
    found = np.empty(replicates)
    for start in range(0, replicates, 1000):  # a thousand at a time: memory stays small for many documents
        weights = generator.multinomial(documents, np.full(documents, 1 / documents), min(1000, replicates - start))
        rates = np.einsum("rs,sd,rd->r", drawn_seeds[start : start + len(weights)], a - b, weights, optimize=True)
        found[start : start + len(weights)] = rates / (weights @ sizes) / math.log(2)
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    bits_a, bits_b = (float(arm.mean(0).sum() / sizes.sum() / math.log(2)) for arm in (a, b))
    return Difference(name, bits_a, bits_b, bits_a - bits_b, float(low), float(high), documents)
