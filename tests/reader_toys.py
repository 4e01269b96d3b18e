"""Files to be read and what comes of them (`from reader_toys import read, write`)."""

import bz2
import gzip
import json
from collections import Counter
from pathlib import Path

import zstandard

from data.sources.inputs import plan_spans
from data.sources.readers import FAILURES, read_records
from data.sources.records import RawRecord, ReadBounds, Source, Span

BOUNDS = ReadBounds()
PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress, ".bz2": bz2.compress}


def source_of(path: Path, kind: str) -> Source:
    return Source(source_id="cd" * 32, uri=str(path), kind=kind, size_bytes=path.stat().st_size)


def read(path: Path, kind: str, bounds: ReadBounds = BOUNDS, text_field: str = "", span_bytes: int = 0):
    """All records and counts; checks that every ordinal is a record or counted, by spans too."""
    source = source_of(path, kind)
    rows, skipped = [], Counter()
    for span in plan_spans(source, span_bytes) if span_bytes else [Span()]:
        assert len(rows) + skipped.total() == span.first
        rows += read_records(source, span, bounds, skipped, text_field)
        assert span.stop is None or len(rows) + skipped.total() == span.stop
    assert {row.failure for row in rows} <= {"", *FAILURES}
    return rows, skipped


def write(path: Path, data: bytes | str) -> Path:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def lines(*rows: object) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def only(rows: list[RawRecord]) -> RawRecord:
    [row] = rows
    return row
