"""The documents of a unit, a batch at a time: ids, streams and texts.

>>> for batch in read_batches(unit): ...     # about half a million characters, or one document that is longer
"""

import gzip
import io
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from typing import IO, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from catalog.errors import BadInput
from catalog.ids import doc_id
from training.tokens.inputs import Unit
from training.tokens.mds import read_strings

BATCH_DOCUMENTS = 256
BATCH_CHARS = 500_000
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)


class Document(NamedTuple):
    """One document."""

    doc_id: str
    domain: str
    lang: str
    text: str


def left_out(doc_id: str, share: float) -> bool:
    """Whether a document is among the part of all documents that gets no tokens: by the XXH3 (64 bits) of its id."""
    return share > 0 and xxhash.xxh3_64_intdigest(doc_id.encode()) < share * 2**64


def read_batches(unit: Unit) -> Iterator[list[Document]]:
    """The documents of a unit in order. Raises BadInput that names the file and row at fault."""
    batch, chars = [], 0
    for document in _documents(unit):
        batch.append(document)
        chars += len(document.text)
        if len(batch) >= BATCH_DOCUMENTS or chars >= BATCH_CHARS:
            yield batch
            batch, chars = [], 0
    if batch:
        yield batch


def _documents(unit: Unit) -> Iterator[Document]:
    return {"parquet": _parquet, "lines": _lines, "mds": _mds}[unit.kind](unit)


def _parquet(unit: Unit) -> Iterator[Document]:
    """Rows of one row group."""
    fields, at = unit.fields, 0
    stop = unit.stop or 0
    with pq.ParquetFile(unit.path) as file:
        names = file.schema_arrow.names
        columns = {name: name in names for name in ("doc_id", fields.domain_field, fields.lang_field)}
        wanted = [name for name, there in columns.items() if there] + [fields.text_field]
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group)
            if at <= unit.first < at + meta.num_rows:
                rows = _rows_a_batch(meta)
                for table in file.iter_batches(rows, row_groups=[group], columns=wanted, use_threads=False):
                    start, end = max(unit.first - at, 0), min(stop - at, table.num_rows)
                    if start < end:
                        yield from _rows(unit, table.slice(start, end - start), at + start)
                    at += table.num_rows
                return
            at += meta.num_rows


def _rows_a_batch(group: pq.RowGroupMetaData) -> int:
    """Few rows at a time where they are long."""
    return max(1, min(BATCH_DOCUMENTS, group.num_rows * BATCH_CHARS // max(1, group.total_byte_size)))


def _rows(unit: Unit, table: pa.RecordBatch, first: int) -> Iterator[Document]:
    fields, rows = unit.fields, table.num_rows
    texts = _strings(unit, table, fields.text_field, "")
    domains = _strings(unit, table, fields.domain_field, fields.domain)
    langs = _strings(unit, table, fields.lang_field, fields.lang)
    ids = [doc_id(unit.source, first + row) for row in range(rows)] if unit.source else table["doc_id"].to_pylist()
    yield from map(Document._make, zip(ids, domains, langs, texts, strict=True))


def _strings(unit: Unit, table: pa.RecordBatch, name: str, missing: str) -> list[str]:
    if name not in table.schema.names:
        return [missing] * table.num_rows
    column = table[name]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not any(is_kind(kind) for is_kind in TEXT):
        raise BadInput(f"column {name!r} of {unit.path} is not text but {kind}.")
    values = column.to_pylist()
    return [missing if value is None else value for value in values] if column.null_count else values


def _lines(unit: Unit) -> Iterator[Document]:
    """One JSON object a line; empty lines are no rows."""
    with _opened(unit) as stream:
        lines: Iterable[bytes] = stream
        if unit.stop is not None:
            lines = islice(stream, unit.stop - unit.first)
        for row, line in enumerate(lines, start=unit.first):
            if line.strip():
                yield _parsed(unit, row, line)


def _mds(unit: Unit) -> Iterator[Document]:
    """Samples of an MDS shard."""
    fields = unit.fields
    wanted = (fields.domain_field, fields.lang_field, fields.text_field)
    with _opened(unit) as stream:
        for row, found in enumerate(_samples(unit, stream, wanted)):
            if fields.text_field not in found:
                raise BadInput(f"{unit.path} has no text column {fields.text_field!r}. Give text_field=….")
            domain, lang = found.get(wanted[0], fields.domain), found.get(wanted[1], fields.lang)
            yield Document(doc_id(unit.source, row), domain, lang, found[wanted[2]])


def _samples(unit: Unit, stream: IO[bytes], wanted: tuple[str, ...]) -> Iterator[dict[str, str]]:
    try:
        yield from read_strings(stream, wanted)
    except (ValueError, LookupError, StopIteration) as error:
        raise BadInput(f"{unit.path} is not a whole MDS shard: {error}.") from error


def _parsed(unit: Unit, row: int, line: bytes) -> Document:
    fields = unit.fields
    try:
        value = json.loads(line)
    except ValueError as error:
        raise BadInput(f"line {row + 1} of {unit.path} is not JSON: {error}.") from error
    if not isinstance(value, dict) or fields.text_field not in value:
        raise BadInput(f"line {row + 1} of {unit.path} has no field {fields.text_field!r}. Give text_field=….")
    names = ((fields.domain_field, fields.domain), (fields.lang_field, fields.lang), (fields.text_field, ""))
    values = [missing if (found := value.get(name)) is None else found for name, missing in names]
    for (name, _), found in zip(names, values, strict=True):
        if not isinstance(found, str):
            raise BadInput(f"field {name!r} in line {row + 1} of {unit.path} is not text: {str(found)[:40]}.")
    return Document(doc_id(unit.source, row), *map(_encodable, values))


def _encodable(text: str) -> str:
    """JSON can name half a surrogate pair, which no UTF-8 has: it becomes U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


@contextmanager
def _opened(unit: Unit) -> Iterator[IO[bytes]]:
    name = unit.path.name
    try:
        if name.endswith(".gz"):
            with gzip.open(unit.path) as packed:
                yield io.BufferedReader(packed, 1 << 20)  # pyright: ignore[reportArgumentType]
        elif name.endswith((".zst", ".zstd")):
            with pa.input_stream(str(unit.path), compression="zstd") as raw:
                yield io.BufferedReader(raw, 1 << 20)
        else:
            with unit.path.open("rb", buffering=1 << 20) as stream:
                stream.seek(unit.offset)
                yield stream
    except (EOFError, OSError, zlib.error) as error:
        if getattr(error, "errno", None):
            raise  # of the disk, not of what is on it
        raise BadInput(f"{unit.path} is cut or damaged: {error}.") from error
