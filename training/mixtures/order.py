"""The exact order in which samples are read, compiled from a plan and its seed.

>>> for block in phase_order(phase, pools, seed=17, position=0):    # blocks of int64 sample ids
...     stream.write(block.tobytes())

Each stream is read in epochs, each a permutation of its samples of its own; a later phase goes on where the earlier one
stopped. Within a phase, streams are interleaved evenly: after any number of samples, a stream is within two of its
share (a plain shuffle would stray by sqrt(p (1 - p) n), 50 of 10,000). Blocks keep the memory flat.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from training.mixtures.plan import PhasePlan, Plan, StreamKey
from training.sample_ids import parts

BLOCK = 1 << 20
"""Samples that are interleaved at a time, a constant: another size gives another order."""

Ids = NDArray[np.int64]


@dataclass
class Pool:
    """The samples of one stream that may be read, and how many have been."""

    ids: Ids
    """Sample ids of whole samples."""
    seed: Sequence[int]
    read: int = 0
    _epoch: int = field(default=-1, repr=False)
    _shuffled: Ids = field(default_factory=lambda: np.empty(0, np.int64), repr=False)

    def take(self, count: int) -> Ids:
        """The next `count` whole samples, going on into further epochs."""
        taken = []
        while count:
            epoch, start = divmod(self.read, len(self.ids))
            piece = self._in_epoch(epoch)[start : start + count]
            taken.append(piece)
            self.read += len(piece)
            count -= len(piece)
        return np.concatenate(taken) if taken else np.empty(0, np.int64)

    def _in_epoch(self, epoch: int) -> Ids:
        if epoch != self._epoch:
            self._shuffled = np.random.default_rng([*self.seed, epoch]).permutation(self.ids)
            self._epoch = epoch
        return self._shuffled


def compiled(plan: Plan, ids: Mapping[StreamKey, Ids], seed: int) -> Iterator[tuple[int, Ids]]:
    """Blocks of the whole order, each with the number of its phase."""
    keys = sorted(ids)
    pools = {key: Pool(ids[key], (seed, number)) for number, key in enumerate(keys)}
    for number, phase in enumerate(plan.phases):
        for block in phase_order(phase, pools, (seed, len(keys), number)):
            yield number, block


def phase_order(phase: PhasePlan, pools: Mapping[StreamKey, Pool], seed: Sequence[int]) -> Iterator[Ids]:
    """The sample ids of a phase in the order of reading, in blocks. Moves the pools on."""
    blocks = max(1, -(-phase.samples // BLOCK))
    for block in range(blocks):
        rng = np.random.default_rng([*seed, block])
        ids, places = [], []
        for stream in phase.streams:
            first, last = (stream.samples * edge // blocks for edge in (block, block + 1))
            taken = parts(pools[stream.key].take(last - first), stream.parts).ravel()
            ids.append(rng.permutation(taken))
            places.append((np.arange(len(taken)) + rng.random(len(taken))) / max(1, len(taken)))
        yield np.concatenate(ids)[np.argsort(np.concatenate(places), kind="stable")]
