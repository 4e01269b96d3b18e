"""Intake shards: every record of a source, with its text and signals, in Parquet with one declared schema.

    <home>/intake/<source>/<read key>/part-<first ordinal>.parquet … record.json

A part is written under a temporary name and renamed when whole; its footer carries what was counted while reading.
"""

import hashlib
import json
from collections import Counter
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import Unbalanced
from catalog.home import Home, written
from catalog.ids import SHORT, key
from catalog.records import FileEntry, Record, file_entry, fingerprint, now, write_record
from catalog.store import quoted
from data.parquet import RowGroupWriter
from data.signals.measures import SIGNALS
from data.sources.records import Source, Span
from data.text.white_space import folded

SCHEMA = pa.schema(
    [
        ("intake", pa.string()),
        ("doc_id", pa.string()),
        ("source_id", pa.string()),
        ("ordinal", pa.int64()),
        ("record_offset", pa.int64()),
        ("record_type", pa.string()),
        ("http_status", pa.int32()),
        ("url", pa.string()),
        ("url_key", pa.string()),
        ("host", pa.string()),
        ("fetched_at", pa.timestamp("us")),
        ("media_type", pa.string()),
        ("charset", pa.string()),
        ("title", pa.string()),
        ("lang", pa.string()),
        ("lang_score", pa.float64()),
        ("langs", pa.list_(pa.struct([("lang", pa.string()), ("score", pa.float64())]))),
        ("domain", pa.string()),
        ("text", pa.string()),
        ("text_key", pa.string()),
        ("links", pa.list_(pa.string())),
        ("refers_to", pa.string()),
        ("failure", pa.string()),
        ("detail", pa.string()),
        ("steps", pa.list_(pa.struct([("step", pa.string()), ("kept", pa.bool_()), ("reason", pa.string())]))),
        *(pa.field(signal.name, pa.float64(), nullable=False) for signal in SIGNALS),
    ]
)
"""Columns of an intake shard. Signals are never null: a null passes every predicate in silence."""


class Unit(NamedTuple):
    """One unit of reading: a span of a source, and the file that it becomes."""

    source: Source
    span: Span
    folder: Path
    """The intake's folder."""

    @property
    def part(self) -> Path:
        return self.folder / f"part-{self.span.first:010d}.parquet"

    @property
    def intake(self) -> str:
        """The intake's name@version."""
        return f"{self.folder.parent.name}@{self.folder.name}"


class PartCounts(NamedTuple):
    """What a part's footer says was met while reading it."""

    records: int
    """Ordinals passed: rows and skipped records."""
    rows: int
    failed: int
    skipped: dict[str, int]
    """Records of other types, by type."""


def empty_rows() -> duckdb.DuckDBPyConnection:
    """A connection with the table `intake_rows`, which has the columns of an intake, to try SQL on."""
    con = duckdb.connect()
    with NamedTemporaryFile(suffix=".parquet") as empty:  # a registered frame would bring pandas, half a second
        pq.ParquetWriter(empty.name, SCHEMA).close()
        con.execute(f"CREATE TABLE intake_rows AS FROM read_parquet({quoted(empty.name)})")
    return con


def text_key(text: str) -> str:
    """A text's identity up to case, Unicode composition and white space: 32 hex digits of BLAKE2b; empty for none."""
    normal = folded(text)
    return hashlib.blake2b(normal, digest_size=16).hexdigest() if normal else ""


def intake_folder(home: Home, source: Source, read_key: str) -> Path:
    """Where the reading of a source under a read key lies."""
    return home.artifact("intake", source.source_id[:SHORT], read_key[:SHORT])


class PartWriter(RowGroupWriter):
    """Writes one part, and counts what failed in it."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)
        self.failed = 0

    def add(self, batch: pa.Table) -> None:
        self.failed += batch.num_rows - batch.column("failure").to_pylist().count("")
        super().add(batch)

    def finish(self, skipped: Counter[str]) -> None:
        """Close the part, with its counts in the footer."""
        counts = PartCounts(self.rows + sum(skipped.values()), self.rows, self.failed, dict(sorted(skipped.items())))
        self.close({"millrace": json.dumps(counts._asdict(), sort_keys=True)})


def part_counts(path: Path) -> PartCounts:
    """The counts in a part's footer."""
    return PartCounts(**json.loads(pq.read_metadata(path).metadata[b"millrace"]))


def finish_intake(home: Home, units: list[Unit], read_config: dict) -> Record:
    """Check that the parts of one source add up, and write the record. Raises Unbalanced."""
    source, folder = units[0].source, units[0].folder
    counts = [part_counts(unit.part) for unit in units]
    _check_spans(source, units, counts)
    files = [file_entry(folder, unit.part, rows=count.rows) for unit, count in zip(units, counts, strict=True)]
    skipped = sum((Counter(count.skipped) for count in counts), Counter())
    record = Record(
        kind="intake",
        name=folder.parent.name,
        version=folder.name,
        inputs=_crawl_of(home, source),
        config={"source": _portable(home, source).model_dump(mode="json"), "read": read_config},
        fingerprint=fingerprint("intake", read_config, [source.source_id]),
        files=_with_outcomes(folder, files),
        counts={
            "records": sum(count.records for count in counts),
            "rows": sum(count.rows for count in counts),
            "failed": sum(count.failed for count in counts),
            "skipped": dict(sorted(skipped.items())),
        },
        created=now(),
    )
    write_record(home, record)
    return record


def _portable(home: Home, source: Source) -> Source:
    """The source as records name it: relative to the home where it lies in it."""
    path = Path(source.uri)
    return source.variant(uri=home.relative(path)) if path.is_relative_to(home.root) else source


def _crawl_of(home: Home, source: Source) -> tuple[str, ...]:
    """The crawl of the home that a source is a file of, as an input."""
    crawls = home.root / "crawls"
    if not Path(source.uri).is_relative_to(crawls):
        return ()
    name, version = Path(source.uri).relative_to(crawls).parts[:2]
    return (f"crawls/{name}@{version}",)


def _check_spans(source: Source, units: list[Unit], counts: list[PartCounts]) -> None:
    expected = 0
    for unit, count in zip(units, counts, strict=True):
        planned = unit.span.stop is None or unit.span.stop - unit.span.first == count.records
        if unit.span.first != expected or not planned:
            raise Unbalanced(
                f"{source.uri}: records {unit.span.first} to {unit.span.stop} were planned, {count.records} were read "
                f"from record {expected} on. The file may have changed while it was read: run the same command again."
            )
        expected += count.records


def _with_outcomes(folder: Path, files: list[FileEntry]) -> tuple[FileEntry, ...]:
    return (*files, *(file_entry(folder, path) for path in sorted(folder.glob("outcomes/*.json"))))


def store_outcome(folder: Path, ordinal: int, reason: str) -> None:
    """Keep the verdict on a record that killed or held up its worker, for every later reading."""
    with written(folder / "outcomes" / f"{ordinal:010d}.json") as partial:
        partial.write_text(json.dumps({"ordinal": ordinal, "failure": reason}) + "\n")


def stored_outcomes(folder: Path) -> dict[int, str]:
    """The verdicts of `store_outcome`, by ordinal."""
    stored = [json.loads(path.read_text()) for path in folder.glob("outcomes/*.json")]
    return {outcome["ordinal"]: outcome["failure"] for outcome in stored}


def read_key(config: dict, source_id: str) -> str:
    """The key of reading: code version, config and the source's content."""
    return key("read", config, source_id)
