"""How long training stands for a checkpoint, written at once and beside it (a part of `just bench train`).

print(saved(run_of, parameters=110_000_000, length=128, turns=3, place=Path(".")))
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from composer import Callback, State
from composer.loggers import Logger
from composer.utils.checkpoint import save_checkpoint

from catalog.home import sync
from tests.bench.tables import table
from training.runs.saving import Background, Snapshots, write_state

STEPS = 4
"""Steps after a checkpoint that are timed."""


class Saves(Callback):
    """Saves after the first step of every turn, in the way that is set, and times it and the steps after it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.way, self.writing = folder, "none", Background()
        self._snapshots = Snapshots()
        self.stands: dict[str, list[float]] = {}
        self.steps: dict[str, list[float]] = {}
        self.written: list[float] = []
        self.bytes = 0
        self._first, self._since = True, 0.0

    def fit_start(self, state: State, logger: Logger) -> None:
        """A turn begins."""
        self._first = True

    def batch_start(self, state: State, logger: Logger) -> None:
        """A step begins."""
        self._since = time.perf_counter()

    def batch_end(self, state: State, logger: Logger) -> None:
        """A step is taken."""
        if not self._first:
            self.steps.setdefault(self.way, []).append(time.perf_counter() - self._since)
            return
        self._first, begun = False, time.perf_counter()
        {"none": lambda state: None, "at once": self._at_once, "beside": self._beside}[self.way](state)
        self.stands.setdefault(self.way, []).append(time.perf_counter() - begun)

    def _at_once(self, state: State) -> None:
        save_checkpoint(state, filename=str(self.folder / "composer.pt"))
        sync(self.folder / "composer.pt")

    def _beside(self, state: State) -> None:
        taken, begun = self._snapshots.take(state), time.perf_counter()

        def write() -> None:
            write_state(taken, self.folder, sharded=False)
            sync(self.folder / "state.pt")
            self.written.append(time.perf_counter() - begun)
            self.bytes = (self.folder / "state.pt").stat().st_size

        self.writing.begin(write)


def saved(
    run_of: Callable[[Saves], Callable[[int], object]], parameters: int, length: int, turns: int, place: Path
) -> str:
    """A table of the three ways; `run_of` makes a loop with the callback, `place` is on the disk to be measured."""
    with tempfile.TemporaryDirectory(dir=place) as folder:
        saves = Saves(Path(folder))
        run = run_of(saves)
        for _ in range(turns + 1):
            for way in ("none", "at once", "beside"):
                saves.way = way
                run(1 + STEPS)
                saves.writing.wait()
    ways = {"none": "no checkpoint", "at once": "written at once (Composer)", "beside": "written beside training"}
    lines = [
        [
            said,
            f"{statistics.median(saves.stands[way][1:]):,.2f}",
            f"{statistics.median(saves.steps[way][STEPS:]):,.2f}",
            f"{statistics.median(saves.written[1:]):,.2f}" if way == "beside" else "",
        ]
        for way, said in ways.items()
    ]
    head = (
        f"{parameters / 1e6:,.0f} M parameters, {saves.bytes / 2**20:,.0f} MiB a checkpoint, steps of {length} tokens; "
        f"medians of {turns}, in turn:"
    )
    memory = "The copy goes into memory that is kept; the first of a process takes as long as writing, for new pages."
    return (
        head
        + "\n\n"
        + table(["checkpoint", "training stands, s", "s a step after it", "written in, s"], lines)
        + "\n\n"
        + memory
    )
