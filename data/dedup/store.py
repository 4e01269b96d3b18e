"""The signature store: beside each intake part a file with the n-grams and the signature of every text in it.

    <home>/intake/<source>/<read key>/signatures/<code version>-<key>/part-<first ordinal>.arrow

Written once under a temporary name and renamed when whole; never changed: the store grows by adding files. It is read
through a memory map, so that a lookup reads the pages that it needs and not the file: that is why it is an Arrow file,
uncompressed, and not Parquet, of which the least that can be read is a column of a row group. The band keys by which
documents are found lie in `data.dedup.segments`.
"""

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.home import written
from data.dedup.bands import Bands, band_keys
from data.dedup.config import NearConfig
from data.dedup.grams import Grams, hash_grams
from data.dedup.minhash import signatures
from data.run import heartbeat


def schema(hashes: int) -> pa.Schema:
    """Columns of a signature file."""
    return pa.schema(
        [("ordinal", pa.int64()), ("grams", pa.large_list(pa.uint32())), ("signature", pa.binary(4 * hashes))]
    )


def signature_path(part: Path, config: NearConfig) -> Path:
    """Where the signatures of an intake part lie."""
    return part.parent / "signatures" / config.signature_key / f"{part.stem}.arrow"


def source_of(signed: Path) -> str:
    """The short id of the source that a signature file belongs to."""
    return signed.parents[3].name


def sign(part: Path, target: Path, config: NearConfig) -> None:
    """Write the signatures of an intake part: a row for each text that has a token, in order of ordinal."""
    wanted = schema(config.hashes)
    with (
        written(target) as partial,
        pq.ParquetFile(part) as file,
        pa.OSFile(str(partial), "wb") as sink,
        pa.ipc.new_file(sink, wanted) as writer,
    ):
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, columns=["ordinal", "text"])
            writer.write_batch(_signed(table, config, wanted))
            heartbeat.advance(table.num_rows)


def _signed(table: pa.Table, config: NearConfig, wanted: pa.Schema) -> pa.RecordBatch:
    ordinals = table["ordinal"].to_numpy()
    grams = hash_grams(table["text"].to_pylist(), config.tokens, config.fold_han)
    made = signatures(grams, config.hashes)
    some = np.flatnonzero(np.diff(grams.first))
    first = np.concatenate((grams.first[some], grams.first[-1:]))  # texts without grams take no room
    columns = [
        pa.array(ordinals[some]),
        pa.LargeListArray.from_arrays(pa.array(first), pa.array(grams.hashes)),
        pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(4 * config.hashes), len(some), [None, pa.py_buffer(made[some].tobytes())]
        ),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=wanted)


MOST_OPEN = 256
"""Signature files of a store that stay mapped."""


@dataclass(frozen=True)
class _Batch:
    """One record batch of a signature file, without copies."""

    ordinals: np.ndarray
    signatures: np.ndarray
    first: np.ndarray
    grams: np.ndarray


class Signed:
    """A signature file. Rows count its documents from 0.

    `sparse` is for a few rows of many: pages are read when they are looked at and none ahead (Arrow's own memory map
    asks for whole record batches).
    """

    def __init__(self, path: Path, sparse: bool = False) -> None:
        self.path, self._sparse = path, sparse
        self._pages: mmap.mmap | None = None

    @cached_property
    def _reader(self) -> pa.RecordBatchFileReader:
        with self.path.open("rb") as stream:
            self._pages = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        if self._sparse:
            self._pages.madvise(mmap.MADV_RANDOM)
        return pa.ipc.open_file(pa.BufferReader(pa.py_buffer(self._pages)))

    @cached_property
    def _batches(self) -> list[_Batch]:
        found = []
        for number in range(self._reader.num_record_batches):
            batch = self._reader.get_batch(number)
            column = batch.column("signature")
            width = column.type.byte_width // 4
            lists = batch.column("grams")
            found.append(
                _Batch(
                    batch.column("ordinal").to_numpy(),
                    np.frombuffer(column.buffers()[1], np.uint32, len(column) * width).reshape(-1, width),
                    lists.offsets.to_numpy(),
                    lists.values.to_numpy(),
                )
            )
        return found

    @cached_property
    def _bounds(self) -> np.ndarray:
        return np.cumsum([0, *(len(batch.signatures) for batch in self._batches)])

    @property
    def rows(self) -> int:
        return int(self._bounds[-1])

    def forget(self, close: bool = False) -> None:
        """Its pages leave this process's memory (the system may keep them); with `close`, so does its map."""
        if self._pages:
            self._pages.madvise(mmap.MADV_DONTNEED)
        if close:
            self._pages = None
            for name in ("_reader", "_batches", "_bounds"):
                self.__dict__.pop(name, None)

    @property
    def ordinals(self) -> np.ndarray:
        """int64[rows], ascending."""
        return np.concatenate([np.zeros(0, np.int64), *(batch.ordinals for batch in self._batches)])

    def ordinals_at(self, rows: np.ndarray) -> np.ndarray:
        """int64[len(rows)]."""
        out = np.empty(len(rows), np.int64)
        for batch, places, within in self._by_batch(rows):
            out[places] = batch.ordinals[within]
        return out

    def keys(self, bands: Bands) -> np.ndarray:
        """uint32[bands, rows]: the band keys of every row."""
        made = [band_keys(batch.signatures, bands) for batch in self._batches]
        return np.concatenate([np.zeros((bands.bands, 0), np.uint32), *made], axis=1)

    def signatures(self, rows: np.ndarray) -> np.ndarray:
        """uint32[len(rows), hashes]."""
        width = self._batches[0].signatures.shape[1] if self._batches else 0
        out = np.empty((len(rows), width), np.uint32)
        for batch, places, within in self._by_batch(rows):
            out[places] = batch.signatures[within]
        return out

    def sizes(self, rows: np.ndarray) -> np.ndarray:
        """int64[len(rows)]: how many grams each has."""
        out = np.empty(len(rows), np.int64)
        for batch, places, within in self._by_batch(rows):
            out[places] = batch.first[within + 1] - batch.first[within]
        return out

    def copy_grams(self, rows: np.ndarray, starts: np.ndarray, out: np.ndarray) -> None:
        """Copy the grams of each row to its place in `out`."""
        for batch, places, within in self._by_batch(rows):
            first = batch.first[within]
            source, target = ragged(first, batch.first[within + 1] - first, starts[places])
            out[target] = batch.grams[source]

    def _by_batch(self, rows: np.ndarray) -> Iterator[tuple[_Batch, np.ndarray, np.ndarray]]:
        """(batch, places in `rows`, rows within the batch) for each batch that holds some of these rows."""
        batches = np.searchsorted(self._bounds, rows, side="right") - 1
        for number, places in groups(batches):
            yield self._batches[number], places, rows[places] - self._bounds[number]


def groups(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """(value, places where it stands) for each different value, ascending."""
    order = np.argsort(values, kind="stable")
    edges = np.flatnonzero(np.diff(values[order])) + 1
    for places in np.split(order, edges):
        if len(places):
            yield int(values[places[0]]), places


def ragged(first: np.ndarray, sizes: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions to copy from and to, for spans of `sizes` from `first` on that go to `starts`."""
    ends = np.cumsum(sizes)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - sizes, sizes)
    return np.repeat(first, sizes) + within, np.repeat(starts, sizes) + within


class Store:
    """Many signature files as one: documents are numbered through them in order.

    Where the documents of each are known, no file is opened before one of its documents is asked for. What has been
    looked at is let go of again: neither pages add up in memory, nor maps beyond MOST_OPEN.
    """

    def __init__(self, paths: Sequence[Path], sparse: bool = False, rows: Sequence[int] | None = None) -> None:
        self.parts = [Signed(path, sparse) for path in paths]
        self.bounds = np.cumsum([0, *(rows if rows is not None else map(self._rows, range(len(paths))))])

    def _rows(self, number: int) -> int:
        rows = self.parts[number].rows
        self._let_go(number)
        return rows

    def ordinals_of(self, number: int) -> np.ndarray:
        """int64: the ordinals of a file's documents, ascending."""
        found = self.parts[number].ordinals
        self._let_go(number)
        return found

    def keys_of(self, number: int, bands: Bands) -> np.ndarray:
        """uint32[bands, documents of this file]."""
        found = self.parts[number].keys(bands)
        self._let_go(number)
        return found

    def _let_go(self, number: int) -> None:
        self.parts[number].forget(close=number >= MOST_OPEN)

    def signatures(self, documents: np.ndarray) -> np.ndarray:
        """uint32[len(documents), hashes]."""
        out = None
        for part, places, rows in self.by_part(documents):
            found = part.signatures(rows)
            out = np.empty((len(documents), found.shape[1]), np.uint32) if out is None else out
            out[places] = found
        return out if out is not None else np.zeros((0, 0), np.uint32)

    def sizes(self, documents: np.ndarray) -> np.ndarray:
        """int64[len(documents)]: how many grams each has."""
        out = np.empty(len(documents), np.int64)
        for part, places, rows in self.by_part(documents):
            out[places] = part.sizes(rows)
        return out

    def grams(self, documents: np.ndarray) -> Grams:
        """The grams of these documents, in their order."""
        first = np.concatenate(([0], np.cumsum(self.sizes(documents))))
        out = np.empty(first[-1], np.uint32)
        for part, places, rows in self.by_part(documents):
            part.copy_grams(rows, first[places], out)
        return Grams(out, first)

    def ordinals(self, documents: np.ndarray) -> np.ndarray:
        """int64[len(documents)]."""
        out = np.empty(len(documents), np.int64)
        for part, places, rows in self.by_part(documents):
            out[places] = part.ordinals_at(rows)
        return out

    def by_part(self, documents: np.ndarray) -> Iterator[tuple[Signed, np.ndarray, np.ndarray]]:
        """(file, places in `documents`, rows in the file) for each file that holds some of them."""
        parts = np.searchsorted(self.bounds, documents, side="right") - 1
        for number, places in groups(parts):
            yield self.parts[number], places, documents[places] - self.bounds[number]
            self._let_go(number)
