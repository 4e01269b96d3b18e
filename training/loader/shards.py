"""Raw MDS shards, mapped from the disk: a sample is a slice, not two reads of a file that is opened each time."""

import numpy as np
from numpy.typing import NDArray
from streaming.base.format.mds.reader import MDSReader

from training.loader.batches import Sample

MOST_OPEN = 256
"""Shards that stay mapped."""

Raw = tuple[NDArray[np.uint8], NDArray[np.uint32]]


class OpenShards:
    """The shards that were opened last; several threads may ask at once."""

    def __init__(self) -> None:
        self._open: dict[int, Raw] = {}

    def get(self, number: int, reader: MDSReader) -> Raw | None:
        """A shard's bytes and the offsets of its samples; none where its file is not there."""
        found = self._open.get(number)
        if found is None:
            try:
                raw = np.memmap(f"{reader.dirname}/{reader.split}/{reader.raw_data.basename}", np.uint8, mode="r")
            except FileNotFoundError:
                return None
            # MDS: a uint32 count of samples, then the uint32 offset of each of them and of the end
            found = self._open[number] = raw, raw[4 : 4 + 4 * (reader.samples + 1)].view(np.uint32)
            for oldest in list(self._open)[:-MOST_OPEN]:
                self._open.pop(oldest, None)
        return found


def read_sample(reader: MDSReader, shard: Raw, row: int) -> Sample:
    """One sample of an open shard."""
    raw, offsets = shard
    values = reader.decode_sample(raw[offsets[row] : offsets[row + 1]].tobytes())
    return Sample(values["sample_id"], values["tokens"], values["bounds"])
