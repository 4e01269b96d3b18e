"""Where a run's metrics go beside its rows: the live file that `just watch` reads, TensorBoard, MLflow.

>>> outlets = opened("zh-small", ("tensorboard",), run_folder)        # first process only
>>> for outlet in outlets: outlet.say(12, {"loss": 3.1, "heldout/web/loss": 3.4})

The live file holds what no file that the record names holds yet: checkpoints cut off what is older.
"""

import importlib.util
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from catalog.errors import BadInput
from catalog.home import written

LIVE = "live.jsonl"
FLUSH_EVERY_S = 0.5
"""A line costs some 10 microseconds; the disk sees it twice a second."""
PACKAGES = {
    "tensorboard": ("tensorboard", "requirements/install training"),
    "mlflow": ("mlflow", "uv pip install mlflow-skinny sqlalchemy alembic sqlparse"),
}
"""What a logger imports, and how it is installed.

MLflow is in no group: its large package takes pyarrow back by a release, these four change no pin (3.17)."""


class Outlet(Protocol):
    """Takes metrics of a step."""

    def say(self, step: int, values: Mapping[str, float]) -> None:
        """Take them; called once or twice a step."""
        ...

    def saved(self, last: int) -> None:
        """A checkpoint: everything said of steps up to `last` is in files that the run's record names."""
        ...

    def ended(self, well: bool) -> None:
        """The attempt is over; not called where it is killed."""
        ...


class LiveFile:
    """A line of JSON a call, for readers beside the run."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / LIVE
        self._flushed = 0.0
        self._stream = self._path.open("w")

    def say(self, step: int, values: Mapping[str, float]) -> None:
        """Append a line."""
        self._stream.write(json.dumps({"step": step, **values}) + "\n")
        if time.monotonic() - self._flushed > FLUSH_EVERY_S:
            self._stream.flush()
            self._flushed = time.monotonic()

    def saved(self, last: int) -> None:
        """Keep what follows."""
        self._stream.close()
        lines = self._path.read_text().splitlines(keepends=True)
        with written(self._path) as partial:
            partial.write_text("".join(line for line in lines if json.loads(line)["step"] > last))
        self._stream = self._path.open("a")

    def ended(self, well: bool) -> None:
        """Nothing more comes."""
        self._stream.close()


def read_live(folder: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps and values of the live file; a line that is being written is left for the next look."""
    path = folder / LIVE
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            values = json.loads(line)
        except ValueError:
            return
        yield int(values.pop("step")), values


class TensorBoard:
    """Event files below the run's folder: `tensorboard --logdir <home>/runs`."""

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=30)

    def say(self, step: int, values: Mapping[str, float]) -> None:
        """A scalar for each value."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def saved(self, last: int) -> None:
        """To the disk."""
        self._writer.flush()

    def ended(self, well: bool) -> None:
        """To the disk, with its thread's end."""
        self._writer.close()


class MlFlow:
    """A run of MLflow's, kept below the run's folder unless MLFLOW_TRACKING_URI names a server."""

    def __init__(self, run: str, folder: Path) -> None:
        import os

        import mlflow  # pyright: ignore[reportMissingImports]

        place = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{folder / 'mlflow.db'}"
        self._client = mlflow.MlflowClient(place)
        found = self._client.get_experiment_by_name(run)
        experiment = found.experiment_id if found else self._client.create_experiment(run)
        self._run = self._client.create_run(experiment).info.run_id

    def say(self, step: int, values: Mapping[str, float]) -> None:
        """All values in one call."""
        from mlflow.entities import Metric  # pyright: ignore[reportMissingImports]

        now = int(time.time() * 1000)
        self._client.log_batch(self._run, [Metric(name, value, now, step) for name, value in values.items()])

    def saved(self, last: int) -> None:
        """Nothing is held back."""

    def ended(self, well: bool) -> None:
        """An attempt is a run of MLflow's."""
        self._client.set_terminated(self._run, "FINISHED" if well else "FAILED")


def opened(run: str, loggers: Sequence[str], folder: Path) -> list[Outlet]:
    """The live file and the loggers that are asked for."""
    makers = {"tensorboard": lambda: TensorBoard(folder), "mlflow": lambda: MlFlow(run, folder)}
    return [LiveFile(folder), *(makers[name]() for name in loggers)]


def check_loggers(names: Sequence[str]) -> None:
    """Raise BadInput for a logger whose package is not installed."""
    for name in names:
        package, how = PACKAGES[name]
        if importlib.util.find_spec(package) is None:
            raise BadInput(f"loggers={name}: the package {package} is not installed. Install it with `{how}`.")
