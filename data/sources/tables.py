"""Rows with a text column: which column is which, and reading Parquet and Arrow.

>>> for record in read_parquet(blob, source, Span(), ReadBounds()):
...     print(record.ordinal, record.title, record.failure or record.text)

Names are compared without case; `metadata.url` is the field `url` of a column `metadata`. The ordinal is the row.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.parquet as pq

from data.sources.blobs import Blob, BlobFile
from data.sources.records import RawRecord, ReadBounds, Source, Span
from data.sources.warc import parse_date

TEXT = ("text", "content", "body", "markdown", "raw_content", "page_content", "document", "article", "passage")
HTML = ("html", "raw_html")
URL = ("url", "uri", "link", "source_url", "page_url")
TITLE = ("title", "headline")
DATE = ("date", "timestamp", "fetched_at", "crawl_date", "published_at", "published", "created_at", "created", "added")
NESTED = ("metadata", "meta")
"""Columns in which url, title and date are looked for when the row has none."""

DAMAGE = (pa.ArrowException, OSError, ValueError, OverflowError, KeyError)
"""What pyarrow raises for damaged bytes: a ValueError is a name that is no UTF-8, a KeyError an unknown type."""
BATCH_ROWS = 64
BUFFER_BYTES = 262_144

Row = Mapping[str, object]


def document(
    source: Source, ordinal: int, offset: int, row: Row, bounds: ReadBounds, text_field: str = ""
) -> RawRecord:
    """The record of a row. Without a `text_field` the text is in the first of TEXT that the row has, else of HTML."""
    record = RawRecord(source.source_id, ordinal, offset, "document")
    fields = {name.lower(): value for name, value in row.items()}
    nested = [inner for name in NESTED if isinstance(inner := fields.get(name), dict)]
    everywhere = [fields, *({str(name).lower(): value for name, value in inner.items()} for inner in nested)]
    record.url = _first_text(everywhere, URL)
    record.title = _first_text(everywhere, TITLE)
    record.fetched_at = next(filter(None, map(_date, _values(everywhere, DATE))), None)
    _take_text(record, fields, text_field, bounds.record_bytes)
    return record


def _take_text(record: RawRecord, fields: Row, text_field: str, limit: int) -> None:
    names = (text_field.lower(),) if text_field else (*TEXT, *HTML)
    name = next((name for name in names if _inner(fields, name) is not None), "")
    value = _inner(fields, name)
    if not isinstance(value, str | bytes):
        told = f"{name} is {type(value).__name__}" if name else f"columns: {', '.join(list(fields)[:12])}"
        record.failure, record.detail = "no_text", f"none of {', '.join(names)} is text; {told}"
    elif len(value) > limit or (isinstance(value, str) and len(value) * 4 > limit and len(_utf8(value)) > limit):
        record.failure, record.detail = "too_large", f"{name} has over {limit} bytes"
    elif name in HTML or isinstance(value, bytes):
        record.media_type = "text/html" if name in HTML else "text/plain"
        record.body = value if isinstance(value, bytes) else _utf8(value)
        record.http_charset = "" if isinstance(value, bytes) else "utf-8"
    else:
        record.media_type, record.text = "text/plain", clean(value)


def _inner(fields: Row, path: str) -> object:
    """The value at a name, or at a dotted path."""
    if path in fields:
        return fields[path]
    outer, dot, rest = path.partition(".")
    value = fields.get(outer) if dot else None
    return _inner({str(name).lower(): item for name, item in value.items()}, rest) if isinstance(value, dict) else None


def _values(everywhere: list[Row], names: Iterable[str]) -> Iterator[object]:
    return (fields[name] for fields in everywhere for name in names if fields.get(name) is not None)


def _first_text(everywhere: list[Row], names: Iterable[str]) -> str:
    return next((clean(value).strip() for value in _values(everywhere, names) if isinstance(value, str) and value), "")


def _utf8(text: str) -> bytes:
    return clean(text).encode("utf-8")


def clean(text: str) -> str:
    """Text that can be written: halves of surrogate pairs, which JSON can carry, become U+FFFD."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _date(value: object) -> datetime | None:
    """A date from text, from seconds or milliseconds since 1970, or as it is."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return parse_date(value.strip())
    if isinstance(value, datetime):
        return _in_utc(value)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e14:
        return datetime.fromtimestamp(int(value / 1000 if value > 1e11 else value), UTC)
    return None


def _in_utc(moment: datetime) -> datetime | None:
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:  # within a day of year 1 or 9999
        return None


def plan_parquet(blob: Blob, span_bytes: int) -> list[tuple[int, int]]:
    """(row, row group) where spans of about `span_bytes` unpacked bytes begin."""
    try:
        metadata = pq.ParquetFile(pa.PythonFile(BlobFile(blob))).metadata
    except DAMAGE:
        return [(0, 0)]  # reading says what is wrong with it
    cuts, row, held = [(0, 0)], 0, 0
    for index in range(metadata.num_row_groups):
        if held >= span_bytes:
            cuts, held = [*cuts, (row, index)], 0
        row += metadata.row_group(index).num_rows
        held += metadata.row_group(index).total_byte_size  # a damaged column's metadata ends the process
    return cuts


def read_parquet(
    blob: Blob, source: Source, span: Span, bounds: ReadBounds, text_field: str = ""
) -> Iterator[RawRecord]:
    """A record a row. A row group that cannot be read is a failure of each of its rows that is left."""
    if not blob.size:
        return
    try:
        file = pq.ParquetFile(pa.PythonFile(BlobFile(blob)), buffer_size=BUFFER_BYTES, pre_buffer=False)
    except DAMAGE as error:
        yield _unreadable(source, 0, "bad_parquet", error)
        return
    ordinal = span.first
    columns = _columns(file.schema_arrow, text_field)
    for index in range(span.offset, file.metadata.num_row_groups):
        if span.stop is not None and ordinal >= span.stop:
            return
        stop = ordinal + file.metadata.row_group(index).num_rows
        end: Exception = EOFError("the row group holds fewer rows than the file says")  # pyarrow tells nobody
        try:
            for row in _group_rows(file, index, columns):
                yield _row_record(source, ordinal, row, bounds, text_field)
                ordinal += 1
        except DAMAGE as error:
            end = error
        yield from (_unreadable(source, row, "bad_parquet", end) for row in range(ordinal, stop))
        ordinal = stop


def _group_rows(file: pq.ParquetFile, index: int, columns: list[str]) -> Iterator[Row | Exception]:
    if not columns:  # each row is a failure that names the columns
        yield from (dict.fromkeys(file.schema_arrow.names) for _ in range(file.metadata.row_group(index).num_rows))
        return
    for batch in file.iter_batches(BATCH_ROWS, row_groups=[index], columns=columns):
        yield from _rows(batch)


def read_arrow(blob: Blob, source: Source, bounds: ReadBounds, text_field: str = "") -> Iterator[RawRecord]:
    """A record a row of an Arrow file or stream. What follows a damaged batch cannot be read: one failure tells it."""
    if not blob.size:
        return
    ordinal = 0
    try:
        for batch in _batches(blob, text_field):
            for start in range(0, batch.num_rows, BATCH_ROWS):
                for row in _rows(batch.slice(start, BATCH_ROWS)):
                    yield _row_record(source, ordinal, row, bounds, text_field)
                    ordinal += 1
    except DAMAGE as error:
        yield _unreadable(source, ordinal, "bad_arrow", error)


def _rows(batch: pa.RecordBatch) -> Iterator[Row | Exception]:
    """Rows, or what is wrong with one: bytes that are no UTF-8, a list outside its values, an unknown type."""
    try:
        batch.validate(full=True)
        yield from _without_nanoseconds(batch).to_pylist()
    except DAMAGE as error:
        if batch.num_rows == 1:
            yield error
            return
        for index in range(batch.num_rows):
            yield from _rows(batch.slice(index, 1))


def _without_nanoseconds(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Times in microseconds: Python has none finer, and pyarrow then refuses the column."""
    for index, field in enumerate(batch.schema):
        if pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            times = batch.column(index).cast(pa.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(index, field.name, times)
    return batch


def _row_record(source: Source, ordinal: int, row: Row | Exception, bounds: ReadBounds, text_field: str) -> RawRecord:
    if isinstance(row, Exception):
        return _unreadable(source, ordinal, "bad_encoding" if "UTF8" in str(row) else "bad_arrow", row)
    return document(source, ordinal, -1, row, bounds, text_field)


def _batches(blob: Blob, text_field: str) -> Iterator[pa.RecordBatch]:
    file = pa.PythonFile(BlobFile(blob))
    if blob.exactly(0, 6) == b"ARROW1":
        reader = pa.ipc.open_file(file)
        batches = (reader.get_batch(index) for index in range(reader.num_record_batches))
    else:
        batches = iter(pa.ipc.open_stream(file))
    for batch in batches:
        yield batch.select(_columns(batch.schema, text_field) or batch.schema.names)


def _columns(schema: pa.Schema, text_field: str) -> list[str]:
    """The columns that are looked at; none where none of them can hold the text."""
    text = {text_field.lower(), text_field.lower().partition(".")[0]} if text_field else {*TEXT, *HTML}
    found = [name for name in schema.names if name.lower() in text.union(URL, TITLE, DATE, NESTED)]
    return found if any(name.lower() in text for name in found) else []


def _unreadable(source: Source, ordinal: int, failure: str, error: Exception) -> RawRecord:
    detail = " ".join(str(error).split())[:300]
    return RawRecord(source.source_id, ordinal, -1, "damaged", failure=failure, detail=detail)
