"""Build a corpus: sources → READ → DECIDE → EDIT → WRITE → PUBLISH.

    >>> built = build(config, Home.open())

Whatever is there already is not done again; a killed build goes on where it was.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from catalog.home import Home, written
from catalog.index import put_into_catalog
from catalog.locks import clear_partials, hold, lock_of
from catalog.progress import stage_progress
from catalog.records import (
    RECORD,
    Record,
    load_record,
    same_or_conflict,
)
from catalog.store import quoted
from data.corpus import CorpusConfig
from data.decide import decide, decider
from data.dedup.common import CountUnits, of_corpus, write_common
from data.dedup.earlier import earlier_parts
from data.dedup.near import Sign, unsigned
from data.dedup.stage import drop_near
from data.intake import Unit, part_counts
from data.job import Job, job_for, start_afresh_if_other
from data.ledger import COLUMNS
from data.notices import check_writable, warn_if_empty
from data.publish import described, publish
from data.reading import damage_told, read_sources
from data.run.executors import execute
from data.run.pool import Crew
from data.shards import FindEdits, OnKept, ShardPlan, WriteShards, emptied_by_edits
from data.sources.inputs import resolve_inputs
from data.sources.records import Source


@dataclass(frozen=True)
class Built:
    """A corpus version, and whether this call made it."""

    record: Record
    fresh: bool


def build(config: CorpusConfig, home: Home, command: str = "") -> Built:
    """Build (or find) a corpus version. On any error (see catalog.errors) nothing is published.

    `command` is the command line that asked for it, for the report.
    """
    config.check()
    check_writable(home)
    sources = resolve_inputs(config.input, home, config.domain)
    with ExitStack() as stack:
        with hold(lock_of(home.root / "corpora" / config.name), wait_s=60):  # versions are chosen one at a time
            job = job_for(config, home, sources)
            job.command = command
            stack.callback(clear_partials, job.folder)  # also where all is there: its writer may have been killed
            if (job.folder / RECORD).exists():
                return Built(_found(job), fresh=False)
            stack.enter_context(hold(lock_of(job.folder)))
            start_afresh_if_other(job)
        with Crew() as job.crew:
            record = _run(job)
    warn_if_empty(record, job.folder)
    return Built(record, fresh=True)


def _found(job: Job) -> Record:
    """The version that is there already, if it is this very build; put into the catalog if that was left undone."""
    record = load_record(job.folder / RECORD)
    same_or_conflict(record, job.fingerprint, job.config.identity(), job.inputs)
    put_into_catalog(job.home, record)
    return record


def plan(config: CorpusConfig, home: Home) -> tuple[list[Source], Job]:
    """What a build would read and make (for --dry-run); nothing is written."""
    config.check()
    sources = resolve_inputs(config.input, home, config.domain)
    earlier_parts(home, config.dedup.against)
    return sources, job_for(config, home, sources)


def _run(job: Job) -> Record:
    job.earlier = earlier_parts(job.home, job.config.dedup.against)
    with job.timed("read"):
        units, job.workers_cpu_s = read_sources(job.config, job.home, job.sources, job.crew)
    execution = job.config.execution
    memory_gb = execution.memory_gb * execution.processes
    parts = [unit.part for unit in units]
    with damage_told(units), decider(parts, execution.processes, memory_gb, job.work / "spill") as con:
        _decide(job, con, units)
        _edit(job, con, units)
        shards = _write(job, con, units)
        record = described(job, con, units, shards)
    return publish(job, record)


def _decide(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit]) -> None:
    dedup = job.config.dedup
    with stage_progress("decide", unit="records") as progress:
        decide(con, job.config.rules, dedup, job.earlier, job.timed)
        _make_units(con, units)
        progress.advance(sum(part_counts(unit.part).rows for unit in units))
    if dedup.near.enabled:
        with job.timed("dedup_near"):
            _drop_near(job, con, units)
    _write_kept(job, con)


def _drop_near(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit]) -> None:
    """Near-duplicates of better ranked and of earlier documents leave the ledger."""
    dedup = job.config.dedup
    parts = unsigned([*(unit.part for unit in units), *(old.part for old in job.earlier)], dedup.near)
    _execute(job, "sign", Sign(parts, dedup.near), len(parts), sum(part_counts(part).rows for part in parts))
    job.near = drop_near(con, units, job.earlier, dedup, job.work / "spill")


def _make_units(con: duckdb.DuckDBPyConnection, units: list[Unit]) -> None:
    spans = [
        (unit.source.source_id, unit.span.first, 2**62 if unit.span.stop is None else unit.span.stop, index)
        for index, unit in enumerate(units)
    ]
    con.execute("CREATE TABLE units (source_id VARCHAR, first BIGINT, stop BIGINT, unit INTEGER)")
    con.executemany("INSERT INTO units VALUES (?, ?, ?, ?)", spans)


def _write_kept(job: Job, con: duckdb.DuckDBPyConnection) -> None:
    """`kept.parquet`: the kept documents in order of source and ordinal."""
    with written(job.work / "kept.parquet") as partial:
        con.execute(
            "COPY (SELECT doc_id, ledger.source_id, ordinal, unit, n_chars, domain, lang FROM ledger JOIN units ON "
            "ledger.source_id = units.source_id AND ordinal >= first AND ordinal < stop WHERE verdict = 'kept' "
            f"ORDER BY ledger.source_id, ordinal) TO {quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd)"
        )


def _edit(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit]) -> None:
    """The edits of the kept documents; one that nothing would be left of is dropped after all."""
    rules, repeats, common = job.config.edits, job.config.repeats, job.work / "common.parquet"
    if not job.config.changes_text:
        return
    where = units, job.work / "kept.parquet", job.config.name, job.version, job.folder
    step = FindEdits(rules, repeats, common, *where)
    paths = [step.output(unit) for unit in range(len(units))]
    with job.timed("edits"):
        if shared := of_corpus(repeats):
            count = CountUnits(shared, *where)
            _execute(job, "units", count, len(units), _kept(job))
            write_common(con, count.output(0).parent, shared, common)
        _execute(job, "edit", step, len(units), _kept(job))
        for doc_id in emptied_by_edits(paths):
            con.execute(
                "UPDATE ledger SET stage = 'edits', verdict = 'dropped', reason = 'nothing_left', value = 0, "
                "threshold = 0 WHERE doc_id = ?",
                [doc_id],
            )
        _write_kept(job, con)


def _kept(job: Job) -> int:
    return pq.read_metadata(job.work / "kept.parquet").num_rows


def _execute(job: Job, stage: str, step: OnKept | Sign, tasks: int, documents: int) -> None:
    """Run a step of ours over its tasks; one whose file is there is done already."""
    with stage_progress(stage, total=documents, unit="documents") as progress:
        job.workers_cpu_s += execute(
            [step],
            tasks,
            job.config.execution,
            logs=job.work / "logs",
            on_progress=progress.advance,
            missing=lambda: sum(not step.output(task).exists() for task in range(tasks)),
            crew=job.crew,
        )


def _write(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit]) -> list[Path]:
    """The shards, the ledger and the list of documents."""
    with job.timed("write"):
        plans = _plan_shards(job, con, units)
        kept = job.work / "kept.parquet"
        step = WriteShards(plans, units, kept, job.config.name, job.version, job.folder)
        _execute(job, "write", step, len(plans), _kept(job))
        who = f"{quoted(job.config.name)} AS corpus, {quoted(job.version)} AS version"
        rows = f"SELECT {who}, * FROM ledger ORDER BY source_id, ordinal"
        _copy(con, f"SELECT {COLUMNS} FROM ({rows})", job.folder / "ledger")
        shard = "format('part-{:05d}.parquet', shard) AS shard"
        _copy(
            con, f"SELECT {who}, doc_id, domain, lang, {shard} FROM shard_rows ORDER BY row", job.folder / "documents"
        )
    return [step.output(shard) for shard in range(len(plans))]


def _plan_shards(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit]) -> list[ShardPlan]:
    """Cut the kept documents, in order, where the next shard's share of bytes begins."""
    (chars,) = con.execute("SELECT coalesce(sum(n_chars), 0) FROM ledger").fetchall()[0]
    per_char = _stored_text_bytes([unit.part for unit in units]) / max(1, int(chars))
    con.execute(
        "CREATE OR REPLACE TABLE shard_rows AS SELECT *, dense_rank() OVER (ORDER BY cut) - 1 AS shard FROM (SELECT "
        "row_number() OVER w - 1 AS row, doc_id, domain, lang, floor((sum(n_chars) OVER w - n_chars) * ? / ?) AS cut "
        f"FROM read_parquet({quoted(str(job.work / 'kept.parquet'))}) WINDOW w AS (ORDER BY source_id, ordinal "
        "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))",
        [per_char, job.config.shards.shard_mb * 1e6],
    )
    cuts = con.execute("SELECT min(row), max(row) + 1 FROM shard_rows GROUP BY shard ORDER BY 1").fetchall()
    return [ShardPlan(first=first, stop=stop) for first, stop in cuts]


def _stored_text_bytes(parts: list[Path]) -> int:
    """What all text takes in the compressed intake: the measure for shards."""
    stored = 0
    for part in parts:
        metadata = pq.read_metadata(part)
        leaf = [metadata.schema.column(index).path for index in range(metadata.num_columns)].index("text")
        stored += sum(metadata.row_group(g).column(leaf).total_compressed_size for g in range(metadata.num_row_groups))
    return stored


def _copy(con: duckdb.DuckDBPyConnection, query: str, folder: Path) -> None:
    with written(folder / "part-00000.parquet") as partial:
        con.execute(
            f"COPY ({query}) TO {quoted(str(partial))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 100000)"
        )
