"""Rows of a run while it trains: in memory until a checkpoint, then a file of each table.

>>> rows = Rows(folder, run="zh-small", attempt=1, rank=0)
>>> rows.batch(step=1, domains=["web", "code"], sample_ids=ids, hashes=hashes)
>>> rows.metric(step=1, name="loss", value=9.01)
>>> rows.write(last=1)
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from catalog.home import written
from training.runs.folder import TABLES, rows_file
from training.runs.outlets import Outlet

Ids = NDArray[np.int64]

SCHEMAS = {
    "metrics": pa.schema(
        [
            ("run", pa.string()),
            ("attempt", pa.int32()),
            ("step", pa.int64()),
            ("name", pa.string()),
            ("value", pa.float64()),
        ]
    ),
    "batches": pa.schema(
        [
            ("run", pa.string()),
            ("attempt", pa.int32()),
            ("step", pa.int64()),
            ("rank", pa.int32()),
            ("domain", pa.string()),
            ("sample_id", pa.int64()),
            ("tokens_hash", pa.int64()),
        ]
    ),
    "row_losses": pa.schema(
        [
            ("run", pa.string()),
            ("attempt", pa.int32()),
            ("step", pa.int64()),
            ("sample_id", pa.int64()),
            ("loss", pa.float64()),
            ("tokens", pa.int64()),
        ]
    ),
}


@dataclass
class Rows:
    """The rows of one process since the last checkpoint."""

    folder: Path
    run: str
    attempt: int
    rank: int
    first: int = 1
    """The first step that they belong to."""
    outlets: list[Outlet] = field(default_factory=list, repr=False)
    """Where metrics go besides, on the first process."""
    _metrics: list[tuple[int, str, float]] = field(default_factory=list, repr=False)
    _batches: list[tuple[int, Sequence[str], Ids, Ids]] = field(default_factory=list, repr=False)
    _losses: list[tuple[int, Ids, NDArray[np.float32], Ids]] = field(default_factory=list, repr=False)

    def metric(self, step: int, name: str, value: float) -> None:
        """A measured value."""
        self._metrics.append((step, name, value))

    def metrics(self, step: int, values: Mapping[str, float]) -> None:
        """Measured values by name, which outlets are told of too."""
        for name, value in values.items():
            self.metric(step, name, value)
        for outlet in self.outlets:
            outlet.say(step, values)

    def batch(self, step: int, domains: Sequence[str], sample_ids: Ids, hashes: Ids) -> None:
        """What this process consumed in a step."""
        self._batches.append((step, domains, sample_ids, hashes))

    def drop(self, step: int, why: str) -> None:
        """A step's batch was left out of the weights: it was not consumed. `why` is said on the terminal."""
        self._batches = [row for row in self._batches if row[0] != step]
        if not self.rank:
            self.metric(step, "left_out", 1.0)
            print(f"step {step}: {why}; its batch is left out of the weights", file=sys.stderr)

    def losses(self, step: int, sample_ids: Ids, losses: NDArray[np.float32], tokens: Ids) -> None:
        """The summed loss of each row, and over how many tokens."""
        self._losses.append((step, sample_ids, losses, tokens))

    def write(self, last: int) -> list[tuple[Path, int]]:
        """Write what is there as files for steps up to `last`, and begin anew; gives each with its rows."""
        columns = {
            "metrics": self._metric_columns(),
            "batches": self._batch_columns(),
            "row_losses": self._loss_columns(),
        }
        done = []
        for table in TABLES:
            count = len(columns[table][0])
            if count:
                path = rows_file(self.folder, table, self.attempt, self.rank, self.first, last)
                _write(path, SCHEMAS[table], self.run, self.attempt, columns[table])
                done.append((path, count))
        for outlet in self.outlets:
            outlet.saved(self.first - 1)  # these rows are named in the record when the state is written
        self._metrics, self._batches, self._losses, self.first = [], [], [], last + 1
        return done

    def _metric_columns(self) -> list:
        return [[row[place] for row in self._metrics] for place in range(3)]

    def _batch_columns(self) -> list:
        steps = _repeated([(row[0], len(row[2])) for row in self._batches])
        domains = [domain for row in self._batches for domain in row[1]]
        ranks = np.full(len(steps), self.rank, np.int32)
        return [steps, ranks, domains, *(_joined([row[place] for row in self._batches]) for place in (2, 3))]

    def _loss_columns(self) -> list:
        steps = _repeated([(row[0], len(row[1])) for row in self._losses])
        return [steps, *(_joined([row[place] for row in self._losses]) for place in (1, 2, 3))]


def _repeated(steps: list[tuple[int, int]]) -> NDArray[np.int64]:
    return np.repeat(np.array([s for s, _ in steps], np.int64), np.array([n for _, n in steps], np.int64))


def _joined(arrays: list) -> NDArray:
    return np.concatenate(arrays) if arrays else np.empty(0, np.int64)


def _write(path: Path, schema: pa.Schema, run: str, attempt: int, columns: list) -> None:
    count = len(columns[0])
    shared = [pa.repeat(pa.scalar(run), count), pa.repeat(pa.scalar(attempt, pa.int32()), count)]
    given = [pa.array(column, kind) for column, kind in zip(columns, schema.types[2:], strict=True)]
    with written(path) as partial:
        pq.write_table(pa.table([*shared, *given], schema=schema), partial, compression="zstd")
