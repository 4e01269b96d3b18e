"""Pieces: the token ids of one unit of input, on their way to being packed.

    with ids_written(folder, 17) as piece:
        piece.write(ids)
        piece.place("3f2a90c1d4e5:7", ("web", "en"), len(ids))
    write_table(folder, 17, piece, totals)
    Piece(folder, 17).documents("web", "en")

A piece is two files: `00017.ids`, the ids in the order of the documents, and `00017.parquet`, written last, where each
document's ids are: a row group for each stream (domain and language), whose totals stand in the footer. One that is
there is whole, so a killed run goes on where it was.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.config import Config
from catalog.home import written
from training.tokens.columns import integers, numbers, strings
from training.tokens.long import Part

Ids = npt.NDArray[np.unsignedinteger]

DOCUMENTS = pa.schema([("doc_id", pa.string()), ("start", pa.int64()), ("length", pa.int64())])


class StreamTotal(Config):
    """What a piece has for a stream."""

    domain: str
    lang: str
    documents: int
    tokens: int


class PieceTotals(Config):
    """What a piece holds: the footer of its table."""

    read: int = 0
    """Documents read."""
    empty: int = 0
    """Documents without text: they have no tokens."""
    left_out: int = 0
    """Documents that get no tokens by the hash of their id."""
    cut_safely: int = 0
    """Places where a very long document was cut to be encoded, and the ids are the same as uncut."""
    cut_blindly: int = 0
    """Places where it was cut though the ids may differ there."""
    streams: tuple[StreamTotal, ...] = ()

    def plus(self, read: int, empty: int, left_out: int, documents: Sequence[Sequence[Part]]) -> "PieceTotals":
        """With a batch more, of so many documents and these parts of those that are encoded."""
        cuts = [part.safe for parts in documents for part in parts[:-1]]
        return self.variant(
            read=self.read + read,
            empty=self.empty + empty,
            left_out=self.left_out + left_out,
            cut_safely=self.cut_safely + sum(cuts),
            cut_blindly=self.cut_blindly + len(cuts) - sum(cuts),
        )


class Documents(NamedTuple):
    """The documents of one stream in a piece, in order."""

    doc_ids: pa.Array
    starts: npt.NDArray[np.int64]
    """Where each one's ids begin in the piece."""
    lengths: npt.NDArray[np.int64]


class Piece:
    """A finished piece."""

    def __init__(self, folder: Path, number: int) -> None:
        self.ids_path, self.table_path = _paths(folder, number)

    @property
    def there(self) -> bool:
        """Whether it is finished."""
        return self.table_path.exists() and self.ids_path.exists()

    @cached_property
    def totals(self) -> PieceTotals:
        """The footer of the table."""
        return PieceTotals.model_validate_json(pq.read_metadata(self.table_path).metadata[b"totals"])

    def documents(self, domain: str, lang: str) -> Documents:
        """Where the ids of one stream's documents are."""
        group = next(i for i, s in enumerate(self.totals.streams) if (s.domain, s.lang) == (domain, lang))
        with pq.ParquetFile(self.table_path) as file:
            table = file.read_row_group(group, use_threads=False)
        return Documents(table["doc_id"].combine_chunks(), numbers(table["start"]), numbers(table["length"]))

    def ids(self, dtype: str) -> Ids:
        """All ids, mapped from the file."""
        if not self.ids_path.stat().st_size:
            return np.empty(0, dtype)
        return np.memmap(self.ids_path, dtype, mode="r")


class PieceWriter:
    """A piece in the making: ids go to the file at once, only the list of documents is kept."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._at = stream, 0
        self._rows: dict[tuple[str, str], list[tuple[str, int, int]]] = defaultdict(list)

    def write(self, ids: Ids) -> None:
        """The ids of documents that are placed next."""
        self._stream.write(ids.data)

    def place(self, doc_id: str, stream: tuple[str, str], length: int) -> None:
        """A document has the next `length` ids."""
        self._rows[stream].append((doc_id, self._at, length))
        self._at += length

    def write_table(self, path: Path, counted: PieceTotals) -> None:
        """The list of documents, sorted by stream."""
        totals = []
        with pq.ParquetWriter(path, DOCUMENTS, compression="zstd", compression_level=1) as writer:
            for (domain, lang), rows in sorted(self._rows.items()):
                places = np.array([row[1:] for row in rows], np.int64)
                columns = [strings([row[0] for row in rows]), integers(places[:, 0]), integers(places[:, 1])]
                writer.write_table(pa.table(columns, schema=DOCUMENTS), row_group_size=len(rows))
                tokens = int(places[:, 1].sum())
                totals.append(StreamTotal(domain=domain, lang=lang, documents=len(rows), tokens=tokens))
            whole = counted.variant(streams=tuple(totals))
            writer.add_key_value_metadata({"totals": json.dumps(whole.model_dump())})


@contextmanager
def ids_written(folder: Path, number: int) -> Iterator[PieceWriter]:
    """Write the ids of a piece; its table must follow."""
    with written(_paths(folder, number)[0]) as partial, partial.open("wb", buffering=1 << 20) as stream:
        yield PieceWriter(stream)
        stream.flush()


def write_table(folder: Path, number: int, piece: PieceWriter, counted: PieceTotals) -> None:
    """The last write of a piece."""
    with written(_paths(folder, number)[1]) as partial:
        piece.write_table(partial, counted)


def _paths(folder: Path, number: int) -> tuple[Path, Path]:
    return folder / f"{number:06d}.ids", folder / f"{number:06d}.parquet"
