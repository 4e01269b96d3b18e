"""From records to the catalog: artifacts are registered where they lie, each with its inputs, in one transaction.

>>> with Catalog.open(read_only=False) as catalog:
...     register(catalog, record)          # a record that is there already changes nothing
...     rebuild(catalog)                   # everything again, from the records of the home

Records are the truth. A record that has changed since it was registered makes the catalog anew from all of them.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import duckdb

from catalog import migrations
from catalog.commands import disk_is_full
from catalog.errors import BadInput, Damaged
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import RECORD, FileEntry, Record, load_record, readable, version_order, walk
from catalog.rows import (
    Row,
    checkpoint_rows,
    dataset_row,
    endpoint_row,
    evaluation_rows,
    fields_of,
    mixture_rows,
    model_row,
    moment,
    run_row,
    stage_rows,
    token_rows,
)
from catalog.store import Catalog, first_line, quoted, registered_path, texts


class Registered(NamedTuple):
    """Files of an artifact kind whose path starts with `prefix`, and the table that they are rows of."""

    kind: str
    prefix: str
    table: str


REGISTERED = (
    Registered("intake", "part-", "documents"),
    Registered("corpora", "ledger/", "decisions"),
    Registered("corpora", "edits/", "edits"),
    Registered("corpora", "documents/", "corpus_documents"),
    Registered("runs", "metrics/", "metrics"),
    Registered("runs", "batches/", "batches"),
    Registered("runs", "row_losses/", "row_losses"),
    Registered("tokens", "samples/part-", "samples"),
    Registered("datasets", "train/", "dataset_rows"),
    Registered("datasets", "held_out/", "dataset_rows"),
    Registered("models", "calibration/", "calibration_samples"),
)


class Key(NamedTuple):
    """What names an artifact."""

    kind: str
    name: str
    version: str


def register(catalog: Catalog, record: Record) -> list[Key]:
    """Register an artifact and its inputs, in one transaction; gives what was new.

    Inputs that are no longer in the home are left out. Raises Damaged where a file is missing or has other columns.
    """
    records = with_inputs(catalog.home, record)
    try:
        return catalog.transaction(lambda con: _register(con, catalog.home, records))
    except _Changed:
        rebuild(catalog)
        return [key_of(record)]


def put_into_catalog(home: Home, record: Record) -> None:
    """Open the catalog of a home and register an artifact in it, as `register` does."""
    with Catalog.open(home, read_only=False) as catalog:
        register(catalog, record)


def rebuild(catalog: Catalog) -> int:
    """Make the catalog anew from the records of the home, in one transaction; gives the number of artifacts.

    Tables that users made in the lake stay. Raises Damaged for a record that cannot be read or a file that is not
    whole; the catalog is then as it was.
    """
    return _anew(catalog, list(walk(catalog.home)))


def rebuild_sound(catalog: Catalog) -> tuple[int, list[Damaged]]:
    """Make the catalog anew from every artifact that is sound; gives their number, and an error for each other one.

    One transaction where all are sound, several where not.
    """
    records, bad = readable(catalog.home)
    try:
        return _anew(catalog, records), bad
    except Damaged:
        _anew(catalog, [])
        bad += _register_sound(catalog, records)
    return len(registered(catalog)), bad


def _register_sound(catalog: Catalog, records: list[Record]) -> list[Damaged]:
    """Register records by halves until only damaged ones are left: few transactions, since each makes files."""
    try:
        catalog.transaction(lambda con: _register(con, catalog.home, records))
    except Damaged as error:
        if len(records) == 1:
            return [Damaged(f"{records[0].kind}/{records[0].ref}: {error}")]
        half = len(records) // 2
        return _register_sound(catalog, records[:half]) + _register_sound(catalog, records[half:])
    return []


def _anew(catalog: Catalog, records: list[Record]) -> int:
    def work(con: duckdb.DuckDBPyConnection) -> int:
        _drop_tables(con)
        migrations.apply(con, migrations.known())
        return len(_register(con, catalog.home, records))

    return catalog.transaction(work)


def registered(catalog: Catalog) -> dict[Key, str]:
    """Every artifact in the catalog, with the digest of its record."""
    return _known(catalog.con)


def with_inputs(home: Home, record: Record) -> list[Record]:
    """The records that `record` was made from, however far back, and itself last."""
    found: dict[Key, Record] = {}

    def visit(one: Record) -> None:
        if key_of(one) in found:
            return
        for text in one.inputs:
            path = home.artifact(*split_input(text)) / RECORD
            if path.exists():
                visit(load_record(path))
        found[key_of(one)] = one

    visit(record)
    return list(found.values())


def split_input(text: str) -> Key:
    """Read an input as records write it, `kind/name@version`. Raises BadInput."""
    kind, slash, ref = text.partition("/")
    name, version = parse_ref(ref) if slash else ("", "")
    if not version:
        raise BadInput(f"not an input of a record: {text!r}. Inputs are written kind/name@version.")
    return Key(kind, name, version)


def key_of(record: Record) -> Key:
    """What names an artifact."""
    return Key(record.kind, record.name, record.version)


def digest(record: Record) -> str:
    """The content of a record, by which a changed one is known."""
    return hashlib.sha256(record.model_dump_json().encode()).hexdigest()


def version_sort(version: str) -> str:
    """A text that sorts as `version_order` does, for SQL: 2 < 10, 2026.9 < 2026.11."""
    return " ".join(
        f"{kind}{number:020d}" if not kind else f"{kind}{word}" for kind, number, word in version_order(version)
    )


def insert_rows(con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Row]) -> None:
    """Insert rows (column to value) into a table of the schema `store`, in one statement: each makes a file."""
    if not rows:
        return
    types = dict(con.execute(f"SELECT column_name, column_type FROM (DESCRIBE store.{table})").fetchall())
    wanted = {name: types[name] for name in rows[0]}
    source = f"from_json({quoted(json.dumps(rows))}::JSON, {quoted(json.dumps([wanted]))})"
    con.execute(f"INSERT INTO store.{table} BY NAME SELECT unnest({source}, max_depth := 2)")


class _Changed(Exception):
    """A record differs from what was registered under its name."""


def _register(con: duckdb.DuckDBPyConnection, home: Home, records: Iterable[Record]) -> list[Key]:
    known = _known(con)
    fresh = [record for record in records if key_of(record) not in known]
    changed = [record for record in records if known.get(key_of(record), digest(record)) != digest(record)]
    there = {path for record in changed for path in _grown(con, record)}
    fresh += changed
    insert_rows(con, "artifacts", [_artifact_row(record) for record in fresh])
    insert_rows(con, "files", [row for record in fresh for row in _file_rows(record)])
    insert_rows(con, "sources", [_source_row(record) for record in fresh if record.kind == "intake"])
    insert_rows(con, "stages", [row for record in fresh for row in stage_rows(record)])
    insert_rows(con, "tokens", [row for record in fresh for row in token_rows(record)])
    insert_rows(con, "mixtures", [row for record in fresh for row in mixture_rows(record)])
    insert_rows(con, "runs", [run_row(record) for record in fresh if record.kind == "runs"])
    insert_rows(con, "checkpoints", [row for record in fresh for row in checkpoint_rows(home, record)])
    insert_rows(con, "datasets", [dataset_row(record) for record in fresh if record.kind == "datasets"])
    insert_rows(con, "models", [model_row(record) for record in fresh if record.kind == "models"])
    insert_rows(con, "evaluations", [row for record in fresh for row in evaluation_rows(record)])
    insert_rows(con, "endpoints", [endpoint_row(record) for record in fresh if record.kind == "endpoints"])
    for table in dict.fromkeys(rule.table for rule in REGISTERED):
        paths = [path for record in fresh for path in _paths(home, record, table) if home.relative(path) not in there]
        if paths:
            _add_files(con, home, table, paths)
    return [key_of(record) for record in fresh]


def _grown(con: duckdb.DuckDBPyConnection, record: Record) -> set[str]:
    """Take out the rows of a run that has grown since; gives its files that are registered and stay so.

    Raises _Changed for any other record, and for a run that has lost files.
    """
    if record.kind != "runs":
        raise _Changed
    where = f"kind = 'runs' AND name = {quoted(record.name)} AND version = {quoted(record.version)}"
    old = {path for (path,) in con.execute(f"SELECT path FROM store.files WHERE {where}").fetchall()}
    if not old <= {str(row["path"]) for row in _file_rows(record)}:
        raise _Changed
    for table in ("artifacts", "files"):
        con.execute(f"DELETE FROM store.{table} WHERE {where}")
    for table in ("runs", "checkpoints"):
        con.execute(f"DELETE FROM store.{table} WHERE run = {quoted(record.name)}")
    return old


def _known(con: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    rows = con.execute("SELECT kind, name, version, digest FROM store.artifacts").fetchall()
    return {Key(kind, name, version): digest for kind, name, version, digest in rows}


def _add_files(con: duckdb.DuckDBPyConnection, home: Home, table: str, paths: list[Path]) -> None:
    try:
        _add_columns(con, table, paths)
        there = texts(registered_path(home, table, path) for path in paths)
        options = "schema => 'store', allow_missing => true"
        con.execute(f"CALL ducklake_add_data_files('lake', '{table}', {there}, {options})")
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        if disk_is_full(error):
            raise
        raise Damaged(
            f"files of {table} cannot be registered: {first_line(error)}. `just verify` names what is damaged."
        ) from error


def _add_columns(con: duckdb.DuckDBPyConnection, table: str, paths: list[Path]) -> None:
    """Give the table the columns that its new files bring."""
    there = {name for (name,) in con.execute(f"SELECT column_name FROM (DESCRIBE store.{table})").fetchall()}
    described = con.execute(
        f"SELECT column_name, column_type FROM (DESCRIBE FROM read_parquet({texts(paths)}, union_by_name := true))"
    )
    for name, kind in described.fetchall():
        if name not in there:
            con.execute(f'ALTER TABLE store.{table} ADD COLUMN "{name}" {kind}')


def _paths(home: Home, record: Record, table: str) -> Iterator[Path]:
    folder = home.artifact(*key_of(record))
    for rule in REGISTERED:
        if rule.table == table and rule.kind == record.kind:
            for entry in record.files:
                if entry.path.startswith(rule.prefix) and entry.path.endswith(".parquet"):
                    yield _present(folder / entry.path, entry)


def _present(path: Path, entry: FileEntry) -> Path:
    if not path.exists() or path.stat().st_size != entry.bytes:
        raise Damaged(f"{path} is missing or cut: delete its folder and run the same build again.")
    return path


def _drop_tables(con: duckdb.DuckDBPyConnection) -> None:
    tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake' AND schema_name = 'store'"
    for (table,) in con.execute(tables).fetchall():
        con.execute(f"DROP TABLE store.{table}")


def _artifact_row(record: Record) -> Row:
    return {
        **key_of(record)._asdict(),
        "version_sort": version_sort(record.version),
        "created_at": moment(record.created),
        "fingerprint": record.fingerprint,
        "inputs": record.inputs,
        "config": record.config,
        "counts": record.counts,
        "files": len(record.files),
        "bytes": sum(entry.bytes for entry in record.files),
        "digest": digest(record),
    }


def _file_rows(record: Record) -> Iterator[Row]:
    root = f"{record.kind}/{record.name}/{record.version}"
    for entry in record.files:
        fields = entry.model_dump(include={"rows", "bytes", "sha256"})
        yield {**key_of(record)._asdict(), "path": f"{root}/{entry.path}", **fields}


def _source_row(record: Record) -> Row:
    source = fields_of(record, "source", record.config.get("source"))
    counts = record.counts
    skipped = fields_of(record, "skipped", counts.get("skipped", {}))
    return {
        "source_id": source["source_id"],
        "intake": str(record.ref),
        "uri": source["uri"],
        "kind": source["kind"],
        "bytes": source["size_bytes"],
        "sha256": source.get("sha256", ""),
        "domain": source.get("domain", ""),
        "records": counts["records"],
        "documents": counts.get("rows", sum(entry.rows or 0 for entry in record.files)),
        "failed": counts.get("failed", 0),
        "skipped_records": sum(count for count in skipped.values() if isinstance(count, int)),
        "skipped_by_type": skipped,
        "registered_at": moment(record.created),
    }
