"""Pieces to samples: some MDS shards, and the rows of `samples` that say what is in them.

>>> Cut(packing, shards, shape, ...)(3)       # the shards of group 3, with samples/part-00003.parquet

Shards are small where streams are: a group is as many in a row as make one full shard, and has one file of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.config import Config
from catalog.home import written
from catalog.records import FileEntry, file_entry
from training.sample_ids import sample_id
from training.tokens.columns import integers, repeated
from training.tokens.mds import Shape, shard_bytes, write_shard
from training.tokens.packing import PackedStream, Packing
from training.tokens.pieces import Piece
from training.tokens.pool import advance
from training.tokens.streams import stream_folder

Integers = npt.NDArray[np.int64]

SAMPLES = pa.schema(
    [
        ("sample_id", pa.int64()),
        ("tokens_id", pa.string()),
        ("domain", pa.string()),
        ("doc_id", pa.string()),
        ("sample_start", pa.int64()),
        ("doc_start", pa.int64()),
        ("length", pa.int64()),
    ]
)
ROW_GROUP = 65_536


class Shard(NamedTuple):
    """A shard to be cut: `samples` from the `first` of its stream."""

    stream: int
    number: int
    first: int
    samples: int


class ShardDone(Config):
    """A shard that is written."""

    stream: int
    documents: int
    """Documents that begin in it."""
    tokens: int
    entry: dict
    """What the stream's index says of it."""


class GroupDone(Config):
    """A group whose files are all there."""

    shards: tuple[ShardDone, ...]
    samples: FileEntry


class Contents(NamedTuple):
    """Parts of documents in the order in which they stand in a shard."""

    ids: npt.NDArray[np.unsignedinteger]
    doc_ids: pa.Array
    doc_starts: Integers
    """The first token of each part in its document."""
    lengths: Integers
    begins: npt.NDArray[np.bool_]
    """Whether it is the document's first part in this stream."""


def plan_groups(packing: Packing, shape: Shape) -> list[tuple[Shard, ...]]:
    """All shards, in groups of about one full shard."""
    groups, group, held = [], [], 0
    for index, stream in enumerate(packing.streams):
        for number, first in enumerate(range(0, stream.samples, shape.samples)):
            samples = min(shape.samples, stream.samples - first)
            if group and held + samples > shape.samples:
                groups.append(tuple(group))
                group, held = [], 0
            group.append(Shard(index, number, first, samples))
            held += samples
    return [*groups, tuple(group)] if group else groups


@dataclass(frozen=True)
class Cut:
    """The second stage, to be handed to workers."""

    packing: Packing
    groups: Sequence[tuple[Shard, ...]]
    shape: Shape
    pieces: Path
    folder: Path
    """The artifact."""
    done: Path
    """Where a word is left of every group that is done."""
    tokens_id: str
    key: int
    pad_id: int

    def __call__(self, number: int) -> GroupDone:
        """Write a group, or find it written."""
        note = self.done / f"{number:05d}.json"
        if note.exists():
            return GroupDone.model_validate_json(note.read_bytes())
        path = self.folder / "samples" / f"part-{number:05d}.parquet"
        shards = []
        with (
            written(path) as partial,
            pq.ParquetWriter(partial, SAMPLES, compression="zstd", compression_level=3) as to,
        ):
            for shard in self.groups[number]:
                done, rows = self._write(shard)
                to.write_table(rows, row_group_size=ROW_GROUP)
                shards.append(done)
                advance(shard.samples)
        group = GroupDone(shards=tuple(shards), samples=file_entry(self.folder, path, pq.read_metadata(path).num_rows))
        with written(note) as partial:
            partial.write_text(group.model_dump_json())
        return group

    def _write(self, shard: Shard) -> tuple[ShardDone, pa.Table]:
        stream, length = self.packing.streams[shard.stream], self.shape.length
        start = shard.first * length
        held = self._gather(stream, start, min(start + shard.samples * length, stream.tokens))
        tokens = np.full(shard.samples * length, self.pad_id, self.shape.dtype)
        tokens[: len(held.ids)] = held.ids
        names = sample_id(self.key, stream.first + shard.first + np.arange(shard.samples))
        spans = _spans(held, length)
        data = shard_bytes(self.shape, names, tokens.reshape(-1, length), spans.bounds())
        entry = write_shard(
            self.folder / stream_folder(stream.domain, stream.lang), shard.number, self.shape, data, shard.samples
        )
        done = ShardDone(stream=shard.stream, documents=int(held.begins.sum()), tokens=len(held.ids), entry=entry)
        return done, self._rows(stream, held, spans, names)

    def _gather(self, stream: PackedStream, start: int, stop: int) -> Contents:
        """The parts of documents that make up tokens `start` to `stop` of a stream."""
        found = []
        for place in self.packing.slices(stream, start, stop):
            piece = Piece(self.pieces, place.piece)
            documents = piece.documents(place.domain, place.lang)
            ends = np.cumsum(documents.lengths)
            first = int(np.searchsorted(ends, place.start, "right"))
            last = int(np.searchsorted(ends, place.stop, "left")) + 1
            begins = (ends - documents.lengths)[first:last]
            low = np.maximum(place.start - begins, 0)
            high = np.minimum(place.stop - begins, documents.lengths[first:last])
            starts, ids = documents.starts[first:last], piece.ids(self.shape.dtype)
            new = low == 0
            new[0] |= place.begins
            parts = [ids[a:b] for a, b in zip(starts + low, starts + high, strict=True)]
            found.append(Contents(np.concatenate(parts), documents.doc_ids[first:last], low, high - low, new))
        columns = list(zip(*found, strict=True))
        joined = [pa.concat_arrays(c) if isinstance(c[0], pa.Array) else np.concatenate(c) for c in columns]
        return Contents._make(joined)

    def _rows(self, stream: PackedStream, held: Contents, spans: "Spans", names: Integers) -> pa.Table:
        count = len(spans.length)
        return pa.table(
            [
                integers(names[spans.sample]),
                repeated(self.tokens_id, count),
                repeated(stream.domain, count),
                held.doc_ids.take(integers(spans.part)),
                integers(spans.sample_start),
                integers(held.doc_starts[spans.part] + spans.offset),
                integers(spans.length),
            ],
            schema=SAMPLES,
        )


class Spans(NamedTuple):
    """Parts of documents cut where samples end: one row each."""

    sample: Integers
    """Which sample of the shard."""
    part: Integers
    """Which part of a document."""
    offset: Integers
    """Tokens of that part before this span."""
    sample_start: Integers
    length: Integers

    def bounds(self) -> list[npt.NDArray]:
        """For each sample, where its spans start, and where the last one ends."""
        cuts = np.flatnonzero(np.diff(self.sample)) + 1
        starts = np.split(self.sample_start, cuts)
        last = np.append(cuts, len(self.sample)) - 1
        ends = (self.sample_start + self.length)[last]
        return [np.append(begin, end) for begin, end in zip(starts, ends, strict=True)]


def _spans(held: Contents, length: int) -> Spans:
    total = int(held.lengths.sum())
    begins = np.cumsum(held.lengths) - held.lengths
    places = np.union1d(begins, np.arange(0, total, length))
    part = np.searchsorted(begins, places, "right") - 1
    return Spans(places // length, part, places - begins[part], places % length, np.diff(places, append=total))
