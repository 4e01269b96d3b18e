"""A run's folder and its record, which grows: files are closed at each checkpoint, and only then named in it.

>>> run = RunFolder(home, "zh-small")
>>> run.begin(identity, fingerprint, inputs, counts)       # the record, before the first step
>>> run.close(files, counts.variant(status="running"))     # at a checkpoint: new files, the new state

What a killed process left after its last checkpoint is in no record: `set_aside` moves it out of the way, so that
`batches` is what the surviving model consumed.
"""

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from catalog.config import Config
from catalog.errors import NotFound, near
from catalog.home import Home
from catalog.index import register
from catalog.locks import clear_partials
from catalog.records import RECORD, Record, file_entry, load_record, names_of, now, write_record
from catalog.store import Catalog

VERSION = "1"
"""A run has one version: another config is another run."""
TABLES = ("metrics", "batches", "row_losses")

_STEPS = re.compile(r".*-s(\d+)-(\d+)\.parquet")


class Checkpoint(Config):
    """A saved state."""

    step: int
    tokens: int
    samples: int
    path: str
    """Relative to the home."""
    bytes: int
    heldout_loss: float | None = None


class Attempt(Config):
    """One start of the run."""

    number: int
    first_step: int
    """The first step that it takes; 1 is the first of the run."""
    processes: int
    device: str
    started: str


class RunState(Config):
    """How far a run is: the counts of its record."""

    kind: str = "pretrain"
    recipe: str = ""
    tokens_id: str = ""
    status: str = "running"
    """running, stopped (saved, to be resumed), diverged, trained (all steps taken), finished (its model is there)."""
    step: int = 0
    """The last step whose rows are in the record."""
    steps: int = 0
    """Steps of the whole run."""
    tokens: int = 0
    samples: int = 0
    attempts: tuple[Attempt, ...] = ()
    checkpoints: tuple[Checkpoint, ...] = ()
    """Every one that was saved; the last and the best are still there."""
    remainders: dict[str, int] = {}
    """Samples at the end of each phase that fill no batch."""
    skipped: tuple[int, ...] = ()
    """Batches of the plan, counted from 0, that are left out: see `just resume RUN skip=true`."""
    model: str = ""
    """`name@version` of what came of it."""
    detail: str = ""
    """Why it stopped."""
    diverged: int | None = None
    """The batch of the plan, counted from 0, on which it diverged."""

    @property
    def last(self) -> Checkpoint | None:
        """The checkpoint that a resume starts from."""
        return self.checkpoints[-1] if self.checkpoints else None


@dataclass(frozen=True)
class RunFolder:
    """One run of the home."""

    home: Home
    name: str

    @property
    def path(self) -> Path:
        return self.home.artifact("runs", self.name, VERSION)

    @property
    def exists(self) -> bool:
        """Whether the run has begun."""
        return (self.path / RECORD).exists()

    def record(self) -> Record:
        """Its record as it is now. Raises NotFound with near names."""
        if not self.exists:
            names = names_of(self.home, "runs")
            hint = near(self.name, names) if names else "There are none yet: `just pretrain` makes one."
            raise NotFound(f"no run {self.name!r} in {self.home.root}. {hint}")
        return load_record(self.path / RECORD)

    def state(self) -> RunState:
        """How far it is."""
        return RunState.model_validate(self.record().counts)

    def begin(self, config: dict, fingerprint: str, inputs: Iterable[str], state: RunState) -> Record:
        """Write the record of a run that has not taken a step yet."""
        return self._write(
            Record(
                kind="runs",
                name=self.name,
                version=VERSION,
                inputs=tuple(inputs),
                config=config,
                fingerprint=fingerprint,
                counts=state.model_dump(mode="json"),
                created=now(),
            )
        )

    def close(self, files: Iterable[tuple[Path, int]], state: RunState) -> Record:
        """Name new files (with their rows) and the new state in the record, then in the catalog."""
        old = self.record()
        entries = (file_entry(self.path, path, rows) for path, rows in files)
        return self._write(old.variant(files=(*old.files, *entries), counts=state.model_dump(mode="json")))

    def set_aside(self, step: int | None = None) -> int:
        """Move rows that no record names out of the way, and with `step` those after it; gives the number of files."""
        clear_partials(self.path)
        old = self.record()
        kept = [entry for entry in old.files if step is None or first_step(entry.path) <= step]
        names = {entry.path for entry in kept}
        moved = [
            path
            for table in TABLES
            for path in sorted((self.path / table).glob("*.parquet"))
            if path.relative_to(self.path).as_posix() not in names
        ]
        if len(kept) < len(old.files):
            self._write(old.variant(files=tuple(kept)))
        for path in moved:
            aside = self.path / "aside" / path.parent.name / path.name
            aside.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, aside)
        return len(moved)

    def _write(self, record: Record) -> Record:
        write_record(self.home, record)
        with Catalog.open(self.home, read_only=False) as catalog:
            register(catalog, record)
        return record


def rows_file(folder: Path, table: str, attempt: int, rank: int, first: int, last: int) -> Path:
    """Where a process writes its rows of a table for steps `first` to `last`."""
    return folder / table / f"a{attempt:03d}-r{rank:04d}-s{first:08d}-{last:08d}.parquet"


def first_step(path: str) -> int:
    """The first step whose rows a file holds."""
    match = _STEPS.fullmatch(path)
    return int(match[1]) if match else 0
