"""PUBLISH: the accounting, the record, the report and the catalog of a corpus version.

record = described(job, con, units, shards)    # raises Unbalanced before anything is published
publish(job, record)
"""

import shutil
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from catalog.home import written
from catalog.index import put_into_catalog, with_inputs
from catalog.records import (
    Record,
    file_entry,
    now,
    write_record,
)
from data.decide import STAGES
from data.intake import Unit, part_counts
from data.job import BUILD, Job
from data.ledger import StageCounts, stage_counts
from data.report.page import ReportInput, SourceLine, write_report
from data.sources.records import Source


def described(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit], shards: list[Path]) -> Record:
    """The record of what was built, with its report beside the shards; nothing is published yet.

    Raises Unbalanced where a stage does not add up.
    """
    stages = _stages(job, con, units, shards)
    record = _record(job, units, stages, shards)
    _report(job, con, record, stages)
    return record.variant(files=(*record.files, file_entry(job.folder, job.folder / "report.html")))


def _stages(job: Job, con: duckdb.DuckDBPyConnection, units: list[Unit], shards: list[Path]) -> list[StageCounts]:
    rows = sum(part_counts(unit.part).rows for unit in units)
    asked = {"edits": job.config.changes_text, "dedup_near": job.config.dedup.near.enabled}
    stages = [stage for stage in STAGES if asked.get(stage, True)]
    counted = stage_counts(con, stages, rows)
    counted.append(_written(counted[-1].docs_kept, shards))
    return [
        counts.variant(seconds=round(wall, 2), cpu_seconds=round(cpu, 2))
        for counts in counted
        for wall, cpu in [job.seconds.get(counts.stage, (0.0, 0.0))]
    ]


def _written(kept: int, shards: list[Path]) -> StageCounts:
    rows = sum(pq.read_metadata(path).num_rows for path in shards)
    return StageCounts(stage="write", docs_in=kept, docs_kept=rows, docs_dropped=0, docs_failed=0).check()


def _record(job: Job, units: list[Unit], stages: list[StageCounts], shards: list[Path]) -> Record:
    """The record, but for the report, which shows it."""
    rows = [pq.read_metadata(path).num_rows for path in shards]
    for path in (job.folder / "edits").glob("*.parquet"):
        if not pq.read_metadata(path).num_rows:
            path.unlink()  # a part without edits needs no file
    others = sorted(path for name in ("ledger", "edits", "documents") for path in (job.folder / name).glob("*.parquet"))
    files = [file_entry(job.folder, path, count) for path, count in zip(shards, rows, strict=True)]
    files += [file_entry(job.folder, path, pq.read_metadata(path).num_rows) for path in others]
    sizes = [entry.bytes for entry in files[: len(shards)]]
    return Record(
        kind="corpora",
        name=job.config.name,
        version=job.version,
        inputs=tuple(job.inputs),
        config=job.config.identity(),
        fingerprint=job.fingerprint,
        files=tuple(files),
        counts={
            "documents": sum(rows),
            "chars": sum(_chars(path) for path in shards),
            "bytes": sum(sizes),
            "dropped": sum(stage.docs_dropped for stage in stages),
            "failed": sum(stage.docs_failed for stage in stages),
            "near": dict(job.near),
            "stages": [stage.model_dump(mode="json") for stage in stages],
        },
        created=now(),
    )


def _chars(path: Path) -> int:
    return sum(pq.read_table(path, columns=["n_chars"])["n_chars"].to_pylist())


def _report(job: Job, con: duckdb.DuckDBPyConnection, record: Record, stages: list[StageCounts]) -> None:
    """`report.html` beside the shards."""
    config, earlier = job.config, dict[str, list[Path]]()
    for part in job.earlier:
        earlier.setdefault(part.name, []).append(part.part)
    report = ReportInput(
        corpus=config.name,
        version=job.version,
        created=record.created,
        command=job.command,
        fingerprint=record.fingerprint,
        sources=tuple(_source_line(intake) for intake in with_inputs(job.home, record) if intake.kind == "intake"),
        stages=tuple(stages),
        rules=config.rules,
        edit_rules=(*config.edits, *config.repeats),
        edits=str(job.folder / "edits" / "*.parquet") if config.changes_text else "",
        earlier={name: tuple(parts) for name, parts in earlier.items()},
    )
    with written(job.folder / "report.html") as partial:
        write_report(partial, con, report)


def _source_line(intake: Record) -> SourceLine:
    source = Source.model_validate(intake.config["source"])
    skipped = {str(kind): int(str(count)) for kind, count in dict(intake.counts["skipped"]).items()}  # type: ignore[arg-type]
    return SourceLine(
        uri=source.uri,
        kind=source.kind,
        size_bytes=source.size_bytes,
        records=int(str(intake.counts["rows"])),
        skipped=skipped,
    )


def publish(job: Job, record: Record) -> Record:
    """The record last; then the catalog, in one transaction. Killed in between, the next call does the second part."""
    shutil.rmtree(job.work, ignore_errors=True)
    write_record(job.home, record)
    put_into_catalog(job.home, record)
    (job.folder / BUILD).unlink(missing_ok=True)
    return record
