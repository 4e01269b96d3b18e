"""The band keys of the documents of a build, one band at a time, from the sorted keys beside each signature file.

>>> keys = BandKeys(store, bands, numbers)
>>> for tagged in keys.sorted(band=0): ...   # uint64: key and rank, ascending
"""

from collections.abc import Iterator

import numpy as np

from data.dedup.bands import Bands
from data.dedup.segments import Segment, index_path
from data.dedup.spill import halves, join_halves
from data.dedup.store import Store

RANGE_ROWS = 1 << 21
"""Keys that are sorted at once: about 100 MB."""
NOBODY = np.uint32(0xFFFFFFFF)


class BandKeys:
    """Keys by document; `numbers` says where in the store the document of each rank lies."""

    def __init__(self, store: Store, bands: Bands, numbers: np.ndarray) -> None:
        self.bands, self.documents = bands.bands, len(numbers)
        self._paths = [index_path(part.path, bands) for part in store.parts]
        self._bounds = store.bounds
        self.rank_of = np.full(store.bounds[-1], NOBODY)
        """uint32 by number in the store; NOBODY for documents that are not looked at."""
        self.rank_of[numbers] = np.arange(len(numbers), dtype=np.uint32)

    def leave_out(self, numbers: np.ndarray) -> None:
        """Look at these documents of the store no more."""
        self.rank_of[numbers] = NOBODY

    def sorted(self, band: int) -> Iterator[np.ndarray]:
        """uint64, ascending: key and rank of every document, in stretches of whole keys that memory holds."""
        bits = max(0, int(np.ceil(np.log2(max(1, len(self.rank_of)) / RANGE_ROWS))))
        for share in range(1 << bits):
            found = [np.zeros(0, np.uint64), *self._tagged(band, share, bits)]
            tagged = np.concatenate(found)
            tagged.sort()
            yield tagged

    def of(self, band: int) -> np.ndarray:
        """uint32[documents]; 0 for those that are not looked at."""
        made = np.zeros(self.documents, np.uint32)
        for tagged in self._tagged(band, 0, 0):
            key, rank = halves(tagged)
            made[rank] = key
        return made

    def _tagged(self, band: int, share: int, bits: int) -> Iterator[np.ndarray]:
        for path, begin in zip(self._paths, self._bounds.tolist(), strict=False):
            segment = Segment(path)  # not kept open: its pages would count as memory
            tagged = segment.tagged(band, np.array([begin]), share, bits)
            key, number = halves(tagged)
            rank = self.rank_of[number]
            looked_at = np.flatnonzero(rank != NOBODY)
            yield join_halves(key[looked_at], rank[looked_at])
