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

import numpy as np
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from catalog.config import Config
from catalog.errors import Damaged, NotFound, near
from catalog.home import Home
from catalog.index import put_into_catalog
from catalog.locks import clear_partials, remove
from catalog.records import RECORD, Record, file_entry, load_record, names_of, now, write_record

VERSION = "1"
"""A run has one version: another config is another run."""
CHECKPOINTS = "checkpoints"
LAUNCH = "launch.json"
"""What the last attempt's processes were told, with the whole config."""
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
    hash: str = ""
    """Of its files, see `state_hash`: a state with some bytes turned is loaded without a word, and trains on."""
    heldout_loss: float | None = None


class Reading(Config):
    """A mixture that a run reads, from a step on: the first, or one that it was changed to."""

    mixture: str
    """`name@version`."""
    fingerprint: str
    """Of the mixture and its order: another one under the same name is found out."""
    first_step: int = 1
    """The first step of the run that reads it."""
    samples: int = 0
    """Samples that the run had read before."""
    repeated: int = 0
    """Samples of it, within the run, that had been read before."""
    lost: int | None = 0
    """Samples that the mixture before it still had for the run, and that are now read by no step."""
    skipped: tuple[int, ...] = ()
    """Batches of its plan, counted from 0, that are left out: see `just resume RUN skip=true`."""


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
    """Those that are there: the last and the best."""
    remainders: dict[str, int] = {}
    """Samples at the end of each phase that fill no batch."""
    planned: int = 0
    """Steps that were planned at its start: the learning rate follows these."""
    readings: tuple[Reading, ...] = ()
    """What it reads, in order of steps."""
    passed_over: tuple[int, ...] = ()
    """Steps whose batch was seen and left out of the weights (spikes.action=skip); `batches` does not have them."""
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

    @property
    def reading(self) -> Reading:
        """What it reads now."""
        return self.readings[-1]

    def attempted(self, processes: int, device: str) -> "RunState":
        """The state with one more attempt, which goes on behind the last checkpoint."""
        attempt = Attempt(
            number=len(self.attempts) + 1,
            first_step=(self.last.step if self.last else 0) + 1,
            processes=processes,
            device=device,
            started=now(),
        )
        return self.variant(status="running", attempts=(*self.attempts, attempt))

    def reads(self, reading: Reading) -> "RunState":
        """The state with its present reading in other words."""
        return self.variant(readings=(*self.readings[:-1], reading))


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

    def close(self, files: Iterable[tuple[Path, int]], state: RunState, inputs: Iterable[str] = ()) -> Record:
        """Name new files (with their rows), new inputs and the new state in the record, then in the catalog."""
        old = self.record()
        entries = (file_entry(self.path, path, rows) for path, rows in files)
        return self._write(
            old.variant(
                files=(*old.files, *entries),
                inputs=tuple(dict.fromkeys((*old.inputs, *inputs))),
                counts=state.model_dump(mode="json"),
            )
        )

    def go_back(self, step: int, state: RunState) -> None:
        """Take what follows a step out of the record, which says `state` from now on; `set_aside` moves the files."""
        old = self.record()
        kept = tuple(entry for entry in old.files if first_step(entry.path) <= step)
        self._write(old.variant(files=kept, counts=state.model_dump(mode="json")))

    def set_aside(self) -> int:
        """Move rows and checkpoints that the record does not name out of the way; gives how many."""
        clear_partials(self.path)
        state, named = self.state(), {entry.path for entry in self.record().files}
        named |= {Path(one.path).relative_to(self.home.relative(self.path)).as_posix() for one in state.checkpoints}
        found = [path for table in TABLES for path in sorted((self.path / table).glob("*.parquet"))]
        found += sorted((self.path / CHECKPOINTS).glob("step-*"))
        moved = [path for path in found if path.relative_to(self.path).as_posix() not in named]
        for path in moved:
            aside = self.path / "aside" / f"{len(state.attempts):03d}" / path.relative_to(self.path)
            aside.parent.mkdir(parents=True, exist_ok=True)
            remove(aside)
            os.replace(path, aside)
        return len(moved)

    def consumed(self, last: int) -> NDArray[np.int64]:
        """The sample ids that steps up to `last` have read, by the record, each as often as it was read."""
        paths = [self.path / entry.path for entry in self.record().files if entry.path.startswith("batches/")]
        tables = [pq.read_table(path, columns=["step", "sample_id"]) for path in paths]
        rows = [(np.asarray(table["step"]), np.asarray(table["sample_id"])) for table in tables]
        return np.concatenate([ids[steps <= last] for steps, ids in rows] or [np.empty(0, np.int64)])

    def check(self, saved: Checkpoint) -> None:
        """Raise Damaged where a saved state is not here whole."""
        folder = self.home.root / saved.path
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        wrong = "" if folder.exists() else "is missing"
        if not wrong and size != saved.bytes:
            wrong = f"has {size:,} bytes, its record says {saved.bytes:,}"
        if not wrong and saved.hash and state_hash(folder) != saved.hash:
            wrong = "does not have the hash of its record"
        if wrong:
            others = ", ".join(str(one.step) for one in self.state().checkpoints if one.step != saved.step)
            raise Damaged(
                f"{folder} {wrong}. `just resume {self.name} step=N` goes on from another checkpoint "
                f"({others or 'there is none'}), checkpoint.mirror=s3://… brings it from there."
            )

    def _write(self, record: Record) -> Record:
        write_record(self.home, record)
        put_into_catalog(self.home, record)
        return record


def state_hash(folder: Path) -> str:
    """XXH3 (128 bits) of the names and bytes of a checkpoint's files."""
    digest = xxhash.xxh3_128()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0")
        with file.open("rb") as stream:
            while part := stream.read(16 << 20):
                digest.update(part)
    return digest.hexdigest()


def rows_file(folder: Path, table: str, attempt: int, rank: int, first: int, last: int) -> Path:
    """Where a process writes its rows of a table for steps `first` to `last`."""
    return folder / table / f"a{attempt:03d}-r{rank:04d}-s{first:08d}-{last:08d}.parquet"


def first_step(path: str) -> int:
    """The first step whose rows a file holds."""
    match = _STEPS.fullmatch(path)
    return int(match[1]) if match else 0


def superseded(checkpoints: tuple[Checkpoint, ...], last: int, best: int) -> list[Checkpoint]:
    """Checkpoints that are neither among the last nor, by held-out loss, among the best."""
    measured = [one for one in checkpoints if one.heldout_loss is not None]
    kept = {one.step for one in checkpoints[-last:]}
    kept |= {one.step for one in sorted(measured, key=lambda one: one.heldout_loss or 0.0)[:best]}
    return [one for one in checkpoints if one.step not in kept]
