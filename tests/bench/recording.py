"""What recording costs a training step: Composer's path with and without it, in turn (a part of `just bench train`).

    print(recorded("tiny", rows=4, length=1024, blocks=5, steps=4))

With it, each row's tokens are hashed and the recorder keeps ids, hashes, row losses and metrics, which go to the live
file too. Its own CPU time is measured besides: on a busy machine the medians of two loops differ by more than that.
"""

import io
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from catalog.progress import PlainBar
from tests.bench.tables import table
from training.loader.batches import hashes
from training.models.objectives import Batch
from training.runs.callbacks import Recorder
from training.runs.outlets import LiveFile
from training.runs.recording import Rows

SAVED_EVERY = 1000
"""Steps of a checkpoint, by default."""


class Spent:
    """CPU seconds that go to recording, and how many steps they were for."""

    seconds = 0.0
    steps = 0

    def timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, its time taken."""

        def run(*given: Any) -> Any:
            start = time.thread_time()
            done = call(*given)
            self.seconds += time.thread_time() - start
            return done

        return run


def hashed(given: Iterator[Batch], spent: Spent) -> Iterator[Batch]:
    """The batches with the hashes of their rows, as the loader's."""
    take = spent.timed(lambda batch: hashes(batch["input_ids"].numpy()))
    for batch in given:
        ids = torch.from_numpy(take(batch))
        yield {**batch, "tokens_hash": ids, "stream": torch.zeros_like(batch["sample_id"])}


def recorder(folder: Path, spent: Spent) -> Recorder:
    """A recorder that keeps everything there is to keep."""
    rows = Rows(folder, "bench", 1, 0)
    rows.outlets = [LiveFile(folder)]
    bar = PlainBar("train", None, "steps", io.StringIO())
    made = Recorder(rows, ["web"], True, lambda tokens: 6.0 * tokens, bar)
    for name in ("before_dataloader", "after_dataloader", "after_loss", "batch_end"):
        setattr(made, name, spent.timed(getattr(made, name)))
    return made


def recorded(name: str, rows: int, length: int, blocks: int, steps: int) -> str:
    """A table: the two loops, and what recording itself took."""
    from tests.bench.train import batches, composed, median_step, model_of

    spent, total, shape = Spent(), rows * length * blocks * steps, (rows, length)
    with tempfile.TemporaryDirectory() as folder:
        keeper = recorder(Path(folder), spent)
        loops = {
            "without": composed(model_of(name, length), batches(*shape), total, *shape),
            "recorded": composed(model_of(name, length), hashed(batches(*shape), spent), total, *shape, (keeper,)),
        }
        turns: dict[str, list] = {loop: [] for loop in loops}
        for _ in range(blocks):
            for loop, run in loops.items():
                turns[loop].append(run(steps))
        own = spent.seconds / (blocks * steps)
        closing = _closing(keeper.rows, rows)
    base = median_step(turns["without"])
    lines = [
        [f"{name}, {loop}", f"{wall * 1e3:,.1f}", f"{cpu * 1e3:,.1f}", f"{cpu / base[1]:.3f}"]
        for loop, (wall, cpu) in ((loop, median_step(found)) for loop, found in turns.items())
    ]
    each = closing / SAVED_EVERY
    lines.append([f"{name}, recording itself", "", f"{own * 1e3:,.2f}", f"{own / base[1]:.4f}"])
    lines.append([f"{name}, closing files, a step's part", "", f"{each * 1e3:,.2f}", f"{each / base[1]:.4f}"])
    return table(["loop", "ms a step", "CPU ms a step", "times without, CPU"], lines)


def _closing(rows: Rows, samples: int) -> float:
    """CPU seconds that the files of a checkpoint's steps take."""
    ids = np.arange(samples)
    for step in range(SAVED_EVERY):
        rows.batch(step, ["web"] * samples, ids, ids)
        rows.losses(step, ids, np.ones(samples, np.float32), ids)
        rows.metrics(step, {f"metric{number}": 1.0 for number in range(7)})
    start = time.thread_time()
    rows.write(SAVED_EVERY)
    return time.thread_time() - start
