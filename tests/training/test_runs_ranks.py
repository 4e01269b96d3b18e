"""Runs of several processes (gloo), by DDP and by FSDP2: two ranks, told to end, then one, killed, then two or four."""

import os
import signal

import numpy as np
import pytest
from run_forks import FORKED_RANKS, KILLED_AFTER_SAVING, STEPS, ask, batches, counts, words

from training.mixtures.reading import load_mixture

pytestmark = pytest.mark.slow
KILLED_AFTER_TWO = """
import os, training.runs.folder as folder
real = folder.RunFolder.close
def close(self, files, state, inputs=()):
    done = real(self, files, state, inputs)
    if state.step == 4:
        os.kill(os.getpid(), 9)
    return done
folder.RunFolder.close = close
"""


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_then_one_then_two_read_the_same_samples(toy_runs, forks, strategy):
    home, run = toy_runs, strategy
    more = (f"strategy={strategy}", "nproc=2", "checkpoint.every_steps=2", "optimizer.ema_decay=0.9")
    job = forks.start(*words(home, run, *more), home=home, plant=FORKED_RANKS)
    job.wait_for(home.root / f"runs/{run}/1/checkpoints/step-00000002")
    os.kill(job.pid, signal.SIGTERM)  # to the command; its processes save
    done = job.wait()
    assert done.status == 75, done.err
    first = counts(home, run)["step"]
    assert 2 <= first < STEPS
    assert forks.run("resume", run, "nproc=1", home=home, plant=KILLED_AFTER_SAVING).status == -9
    assert forks.run("resume", run, "nproc=1", "max_steps=0", home=home).status == 2  # another run
    more = ("nproc=2", "checkpoint.every_steps=100")
    done = forks.run("resume", run, *more, home=home, plant=FORKED_RANKS)
    assert done.status == 0, done.err
    order = np.asarray(load_mixture(home, "m").order(0))[: STEPS * 4].reshape(STEPS, 4)
    found = batches(home, run)
    assert [sorted(row[2] for row in found if row[0] == step + 1) for step in range(STEPS)] == [
        sorted(part) for part in order.tolist()
    ]
    ranks = f"SELECT DISTINCT attempt, rank FROM batches WHERE run = '{run}' AND step > {first} ORDER BY ALL"
    assert ask(home, ranks) == [(3, 0), (3, 1)]
    loss = f"SELECT step FROM metrics WHERE run = '{run}' AND name = 'loss' ORDER BY 1"
    assert ask(home, loss) == [(step + 1,) for step in range(STEPS)]
    saved = home.root / f"runs/{run}/1/checkpoints" / f"step-{STEPS:08d}"
    assert bool(list(saved.rglob(".metadata"))) == (
        strategy == "fsdp2"
    )  # Session refuses weights that are no DTensors, see check_sharded


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_four_ranks_go_on_where_one_was_killed(toy_runs, forks, strategy):
    home, run = toy_runs, f"four-{strategy}"
    more = (f"strategy={strategy}", "max_steps=6", "checkpoint.every_steps=2", "heldout_rows=0")
    assert forks.run(*words(home, run, *more), home=home, plant=KILLED_AFTER_SAVING).status == -9
    assert counts(home, run)["step"] == 0  # a state without a record is not there
    assert forks.run("resume", run, home=home, plant=KILLED_AFTER_TWO).status == -9
    assert counts(home, run)["step"] == 4
    done = forks.run("resume", run, "nproc=4", home=home, plant=FORKED_RANKS)
    assert done.status == 0, done.err
    order = np.asarray(load_mixture(home, "m").order(0))[: 6 * 4].reshape(6, 4)
    found = batches(home, run)
    assert [sorted(row[2] for row in found if row[0] == step + 1) for step in range(6)] == [
        sorted(part) for part in order.tolist()
    ]
    ranks = f"SELECT step, list_sort(list(rank)) FROM batches WHERE run = '{run}' GROUP BY 1 ORDER BY 1"
    assert ask(home, ranks) == [*((step, [0] * 4) for step in range(1, 5)), *((step, [0, 1, 2, 3]) for step in (5, 6))]
