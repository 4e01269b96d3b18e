"""The READ stage: which parts of which intakes are missing, and who reads them.

>>> units = read_sources(config, home, sources)      # every span of every source, read
"""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import duckdb

from catalog.errors import Damaged, MillraceError, WorkerLost
from catalog.home import Home, written
from catalog.locks import clear_partials
from catalog.progress import stage_progress
from catalog.records import RECORD, FileEntry, file_entry, load_record
from data.corpus import CorpusConfig
from data.intake import Unit, finish_intake, intake_folder, read_key, store_outcome
from data.read import read_pipeline
from data.run.executors import execute
from data.run.pool import Crew, Death
from data.sources.inputs import plan_spans
from data.sources.records import Source, Span

PLAN = "plan.json"
BLAMED_AFTER = 2
"""Deaths on one record, taken alone, after which the record and not the machine is at fault."""
MOST_BLAMED = 1000


def read_sources(
    config: CorpusConfig, home: Home, sources: list[Source], crew: Crew | None = None
) -> tuple[list[Unit], float]:
    """Read what is missing, by the workers of a crew; no finished part is read again.

    Gives every unit of every source, in order of source and span, and the workers' CPU seconds.
    """
    by_source = [units_of(config, home, source) for source in sources]
    fresh = [units for units in by_source if not (units[0].folder / RECORD).exists()]
    missing = [unit for units in fresh for unit in units if not unit.part.exists()]
    missing.sort(key=lambda unit: -_size(unit))  # the longest first, so that no core waits at the end
    cpu_s = 0.0
    try:
        while missing:
            cpu_s += _read(config, missing, crew)
            missing = [unit for unit in missing if not unit.part.exists()]
    finally:
        for units in fresh:
            clear_partials(units[0].folder)
    for units in fresh:
        finish_intake(home, units, config.read.identity())
    return [unit for units in by_source for unit in units], cpu_s


def units_of(config: CorpusConfig, home: Home, source: Source) -> list[Unit]:
    """The spans of a source: from its record where it was read already and is whole, else planned once and kept."""
    folder = intake_folder(home, source, read_key(config.read.identity(), source.source_id))
    if _is_whole(folder):
        names = sorted(entry.path for entry in _parts(folder))
        firsts = [int(name.removeprefix("part-").removesuffix(".parquet")) for name in names]
        spans = [Span(first=first, stop=stop) for first, stop in pairwise([*firsts, None])]  # type: ignore[arg-type]
    else:
        spans = _planned(folder, source, int(config.read.span_mb * 1e6))
    return [Unit(source, span, folder) for span in spans]


def _is_whole(folder: Path) -> bool:
    """Whether the intake is finished and its parts have their sizes; the record and parts of another are removed."""
    if not (folder / RECORD).exists():
        return False
    lost = [entry for entry in _parts(folder) if not _has_size(folder / entry.path, entry.bytes)]
    if lost:
        (folder / RECORD).unlink()
        for entry in lost:
            (folder / entry.path).unlink(missing_ok=True)
    return not lost


def _parts(folder: Path) -> list[FileEntry]:
    return [entry for entry in load_record(folder / RECORD).files if entry.path.startswith("part-")]


def _has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


@contextmanager
def damage_told(units: list[Unit]) -> Iterator[None]:
    """Where reading intake parts fails and one is not what its record says, raise Damaged with what to do instead."""
    try:
        yield
    except MillraceError:
        raise
    except (OSError, ValueError, duckdb.Error) as error:
        for folder in dict.fromkeys(unit.folder for unit in units):
            for entry in _parts(folder):
                path = folder / entry.path
                if not path.exists() or file_entry(folder, path).sha256 != entry.sha256:
                    raise Damaged(
                        f"the intake {folder} is not what its record says ({entry.path}): `just verify` shows all that "
                        "is damaged. Delete that folder and run the same command again: its source is then read anew."
                    ) from error
        raise


def _planned(folder: Path, source: Source, span_bytes: int) -> list[Span]:
    path = folder / PLAN
    if not path.exists():
        with written(path) as partial:
            spans = plan_spans(source, span_bytes)
            partial.write_text(json.dumps([span.model_dump() for span in spans]))
    return [Span(**span) for span in json.loads(path.read_text())]


def _size(unit: Unit) -> int:
    return unit.source.size_bytes if unit.span.stop is None else unit.span.stop - unit.span.first


def _read(config: CorpusConfig, units: list[Unit], crew: Crew | None) -> float:
    """One pass over the missing units, with progress; records that end their worker again and again are blamed."""
    blame = _Blame(units)
    with stage_progress("read", total=_records(units), unit="records") as progress:
        return execute(
            read_pipeline(config.read, units),
            len(units),
            config.execution,
            logs=units[0].folder.parent.parent / ".logs",
            on_death=blame,
            on_progress=progress.advance,
            missing=lambda: sum(not unit.part.exists() for unit in units),
            crew=crew,
        )


def _records(units: list[Unit]) -> int | None:
    counts = [unit.span.stop - unit.span.first for unit in units if unit.span.stop is not None]
    return sum(counts) if len(counts) == len(units) else None


class _Blame:
    """Told of every death of a worker; stores a verdict for the record that did it twice, when read one by one."""

    def __init__(self, units: list[Unit]) -> None:
        self.units = units
        self.deaths: Counter[tuple[int, int]] = Counter()
        self.blamed = 0

    def __call__(self, death: Death) -> None:
        if death.attempt == 1 or death.beat.ordinal < 0:
            return
        at = (death.task, death.beat.ordinal)
        self.deaths[at] += 1
        if self.deaths[at] < BLAMED_AFTER:
            return
        self.blamed += 1
        if self.blamed > MOST_BLAMED:
            raise WorkerLost(
                f"{MOST_BLAMED} records have each ended their worker: give workers more memory (workers=1)."
            )
        store_outcome(self.units[death.task].folder, death.beat.ordinal, death.reason)
