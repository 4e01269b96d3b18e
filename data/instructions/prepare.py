"""From files or a corpus to a registered version of a dataset.

>>> prepare(DatasetConfig(name="alpaca", input=("alpaca.jsonl",)), Home.open()).record.counts["rows"]
597

Everything is read and checked before anything is written. All rows are in memory meanwhile: about 3 kB each.
"""

import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from catalog.errors import BadInput, NotFound, Unbalanced
from catalog.home import Home, written
from catalog.ids import parse_ref
from catalog.index import put_into_catalog
from catalog.locks import hold, lock_of
from catalog.records import FileEntry, Record, file_entry, find, fingerprint, version_for
from catalog.wanted import Made, Wanted
from data.instructions.config import DatasetConfig
from data.instructions.files import Place, Raw, found, records, short_names
from data.instructions.form import LEDGER, Row, conversation, schema
from data.instructions.formats import checked, detect, row
from data.instructions.questions import derived
from data.instructions.sieve import Dropped, steps

CODE_VERSION = 2
"""Raise it when the same files would give other rows."""
SHARD_ROWS = 50_000


class Failed(NamedTuple):
    """A record that cannot be read, and what is wrong with it."""

    place: Place
    detail: str


class Job(NamedTuple):
    """One dataset to make."""

    config: DatasetConfig
    wanted: Wanted
    paths: tuple[Path, ...]


def plan(config: DatasetConfig, home: Home) -> Job:
    """What would be made, and under which version. Raises NotFound, BadInput."""
    checked(config.format)
    if bool(config.input) == bool(config.corpus):
        raise BadInput("say what the dataset is made from: input=FILES, or corpus=NAME.")
    identity: dict[str, JsonValue] = {"code_version": CODE_VERSION, **config.identity()}
    paths, inputs = found(config.input), ()
    if config.corpus:
        corpus = find(home, "corpora", config.corpus)
        inputs = (f"corpora/{corpus.ref}",)
        content = [corpus.fingerprint]
    else:
        files = [file_entry(path.parent, path) for path in paths]
        named = zip(short_names(paths), files, strict=True)
        identity["files"] = [{"name": name, "bytes": file.bytes, "sha256": file.sha256} for name, file in named]
        content = []
    mark = fingerprint("datasets", identity, content)
    parse_ref(config.name)
    version = version_for(home, "datasets", config.name, config.version, mark)
    return Job(config, Wanted(home, "datasets", config.name, version, inputs, identity, mark), tuple(paths))


def prepare(config: DatasetConfig, home: Home) -> Made:
    """Make a dataset and register it; one that is there already is only given. Raises BadInput, Conflict, Busy."""
    made = assemble(config, home)
    put_into_catalog(home, made.record)
    return made


def assemble(config: DatasetConfig, home: Home) -> Made:
    """Make the files of a dataset and its record; `prepare` also tells the catalog."""
    job = plan(config, home)
    with hold(lock_of(job.wanted.folder)):
        if found := job.wanted.found():
            return Made(found, False)
        return Made(_write(job, *_rows(job)), True)


def _rows(job: Job) -> tuple[list[Row], list[Failed]]:
    """Every row, checked, and what could not be read where that is allowed."""
    config, home = job.config, job.wanted.home
    if config.corpus:
        corpus = find(home, "corpora", config.corpus)
        folder = home.artifact("corpora", corpus.name, corpus.version)
        kind = "instructions" if config.kind == "auto" else config.kind
        return derived(sorted((folder / "shards").glob("*.parquet")), str(corpus.ref), kind, config.rows), []
    rows: list[Row] = []
    failed: list[Failed] = []
    formats: dict[str, str] = {}
    for raw in records(job.paths, short_names(list(job.paths))):
        try:
            rows.append(_as_kind(_mapped(raw, formats, config), config))
        except BadInput as error:
            if config.bad_rows == "stop":
                raise BadInput(
                    f"{error} Nothing was written; bad_rows=skip leaves such rows out, and counts them."
                ) from error
            failed.append(Failed(raw.place, str(error)))
    _check_kinds(rows)
    return rows, failed


def _mapped(raw: Raw, formats: dict[str, str], config: DatasetConfig) -> Row:
    """A record in the one form; the first record of a file says its format. Masking of private data belongs here."""
    if config.format != "auto":
        return row(raw, config.format, config)
    file = raw.place.file
    if file not in formats:
        formats[file] = detect(raw.fields, raw.place)
    return row(raw, formats[file], config)


def _as_kind(made: Row, config: DatasetConfig) -> Row:
    """The row as the kind that was asked for."""
    if config.kind in ("auto", made.kind):
        return made
    if config.kind == "instructions" and made.kind in ("preferences", "labels"):
        answer = conversation(made, "chosen" if made.kind == "preferences" else "completion")
        if made.parts.get("label", True) is False:
            answer = []  # a bad answer is none: the row is dropped by that reason
        messages = [*conversation(made, "prompt"), *answer]
        return made._replace(parts={"messages": messages, "tools": made.parts["tools"]})
    raise BadInput(f"{made.place}: {made.kind} cannot be taken as {config.kind}.")


def _check_kinds(rows: Sequence[Row]) -> None:
    first: dict[str, Place] = {}
    for made in rows:
        first.setdefault(made.kind, made.place)
    if len(first) > 1:
        there = "; ".join(f"{kind} from {place}" for kind, place in first.items())
        raise BadInput(f"files of different kinds make no one dataset ({there}): take them apart, or name a kind=.")


def _write(job: Job, rows: list[Row], failed: list[Failed]) -> Record:
    read, dropped = len(rows) + len(failed), list[Dropped]()
    for step in steps(job.config):
        rows, gone = step(rows)
        dropped += gone
    if not rows:
        why = ", ".join(Counter(one.reason for one in dropped)) or "there are no records"
        raise NotFound(f"no row is left of {read} ({why}): nothing was written.")
    if read != len(rows) + len(dropped) + len(failed):
        raise Unbalanced(f"{read} records in, {len(rows)} kept, {len(dropped)} dropped, {len(failed)} failed.")
    shutil.rmtree(job.wanted.folder, ignore_errors=True)  # what a killed process has left
    kind = rows[0].kind
    split = {made.row_id: _split(made, job.config.held_out) for made in rows}
    files: list[FileEntry] = []
    for name in ("train", "held_out"):
        side = [made for made in rows if split[made.row_id] == name]
        for number, start in enumerate(range(0, len(side), SHARD_ROWS)):
            cells = [_cells(job, made, name) for made in side[start : start + SHARD_ROWS]]
            files.append(_file(job, f"{name}/part-{number:05d}.parquet", cells, schema(kind)))
    files.append(_file(job, "ledger/part-00000.parquet", list(_ledger(job, rows, dropped, failed)), LEDGER))
    counts: dict[str, JsonValue] = {
        "kind": kind,
        "rows": len(rows),
        "train": sum(side == "train" for side in split.values()),
        "held_out": sum(side == "held_out" for side in split.values()),
        "read": read,
        "dropped": len(dropped),
        "failed": len(failed),
        "reasons": dict(sorted(Counter(one.reason for one in dropped).items())),
        "chars": sum(len(made.all_text()) for made in rows),
        "decontaminated": False,
        "masked": False,
    }
    return job.wanted.write(counts, files)


def _split(made: Row, held_out: float) -> str:
    return "held_out" if int(made.prompt_key, 16) < held_out * 16 ** len(made.prompt_key) else "train"


def _cells(job: Job, made: Row, split: str) -> dict[str, object]:
    return {
        "dataset": job.config.name,
        "version": job.wanted.version,
        "row_id": made.row_id,
        "split": split,
        "kind": made.kind,
        "source": made.place.file,
        "source_doc_id": made.doc_id,
        "lang": made.lang,
        "line": made.place.number,
        "n_chars": len(made.all_text()),
        **made.cells(),
    }


def _ledger(job: Job, kept: Sequence[Row], dropped: Sequence[Dropped], failed: Sequence[Failed]) -> Iterator[dict]:
    """The fate of every record, in the order of the files."""
    fates = [(made.place, made.row_id, "kept", "", "", made.detail, None) for made in kept]
    fates += [(d.row.place, d.row.row_id, "dropped", d.reason, d.kept_row_id, "", d.value) for d in dropped]
    fates += [(one.place, "", "failed", "malformed", "", one.detail, None) for one in failed]
    names = ("row_id", "verdict", "reason", "kept_row_id", "detail", "value")
    for place, *rest in sorted(fates, key=lambda fate: fate[:2]):
        where = {"dataset": job.config.name, "version": job.wanted.version, "source": place.file, "line": place.number}
        yield where | dict(zip(names, rest, strict=True))


def _file(job: Job, name: str, rows: list[dict], columns: pa.Schema) -> FileEntry:
    path = job.wanted.folder / name
    with written(path) as partial:
        table = pa.Table.from_pylist(rows, columns)
        pq.write_table(table, partial, compression="zstd", compression_level=3, row_group_size=2048)
    return file_entry(job.wanted.folder, path, len(rows))
