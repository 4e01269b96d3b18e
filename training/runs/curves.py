"""What a run has measured so far: its closed rows, and between two checkpoints what its live file says.

>>> seen = read_curves(home, "zh-small")
>>> seen.series["loss"][-1], seen.alive
(1234, 3.02), True
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq

from catalog.home import Home
from catalog.locks import holder, lock_of
from training.runs.folder import RunFolder, RunState
from training.runs.outlets import LIVE, read_live

Points = list[tuple[int, float]]
"""Steps and values, by step."""


@dataclass(frozen=True)
class Curves:
    """A run as it is now."""

    name: str
    config: dict
    state: RunState
    series: dict[str, Points]
    """By the names of `metrics`."""
    alive: bool
    """Whether a process is at it."""
    quiet_s: float | None
    """Seconds since the live file was written; none without one."""

    @property
    def step(self) -> int:
        """The last step that anything is known of."""
        return max((points[-1][0] for points in self.series.values() if points), default=0)

    def last(self, name: str) -> float | None:
        """The last value of a metric."""
        points = self.series.get(name)
        return points[-1][1] if points else None

    def domains(self) -> list[str]:
        """Domains with a held-out loss; `all` last where there are several."""
        found = sorted({name.split("/")[1] for name in self.series if name.startswith("heldout/")} - {"all"})
        return [*found, "all"] if len(found) > 1 else found

    def seconds_left(self) -> float | None:
        """By the mean of the last steps, held-out loss and checkpoints not counted."""
        taken = [value for _, value in self.series.get("seconds", [])[-20:]]
        left = self.state.steps - self.step
        return left * sum(taken) / len(taken) if taken and left > 0 else None


def read_curves(home: Home, name: str) -> Curves:
    """Read a run. Raises NotFound with near names."""
    run = RunFolder(home, name)
    record, state = run.record(), run.state()
    found: dict[str, dict[int, float]] = {}
    for entry in record.files:
        if entry.path.startswith("metrics/"):
            _add(found, run.path / entry.path)
    for step, values in read_live(run.path) if state.status == "running" else ():
        if step > state.step or not state.step:
            for metric, value in values.items():
                found.setdefault(metric, {})[step] = value
    who = holder(lock_of(run.path))
    live = run.path / LIVE
    return Curves(
        name=name,
        config=dict(record.config),
        state=state,
        series={metric: sorted(points.items()) for metric, points in sorted(found.items())},
        alive=who is not None and who.alive,
        quiet_s=time.time() - live.stat().st_mtime if live.exists() else None,
    )


def _add(found: dict[str, dict[int, float]], path: Path) -> None:
    columns = pq.read_table(path, columns=["step", "name", "value"]).to_pydict()
    for step, name, value in zip(columns["step"], columns["name"], columns["value"], strict=True):
        found.setdefault(name, {})[step] = value


def thinned(points: Points, most: int, of: Callable[[list[float]], float]) -> Points:
    """At most so many points: each the last step of a stretch, with `of` its values."""
    if len(points) <= most:
        return points
    edges = [len(points) * at // most for at in range(most + 1)]
    stretches = [points[a:b] for a, b in pairwise(edges)]
    return [(stretch[-1][0], of([value for _, value in stretch])) for stretch in stretches]
