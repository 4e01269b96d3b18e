"""Runs that survive: killed, told to end, changed, gone back; `batches` is what the model that is left consumed."""

import os
import signal
import time

import numpy as np
import pytest
from run_forks import KILLED_AFTER_SAVING, KILLED_BEFORE_RECORD, STEPS, ask, batches, counts, weights, words
from tokens_toys import samples_of

from catalog.home import Home
from training.loader.batches import hashes
from training.mixtures.reading import load_mixture

pytestmark = pytest.mark.slow


def losses(home: Home, run: str) -> list[tuple]:
    name = "name = 'loss' OR name LIKE 'heldout/%'"
    return ask(home, f"SELECT step, name, value FROM metrics WHERE run = '{run}' AND ({name}) ORDER BY ALL")


@pytest.fixture(scope="module")
def whole(toy_runs, forks) -> Home:
    """The home with a run `whole`, which nothing broke."""
    done = forks.run(*words(toy_runs, "whole", "optimizer.ema_decay=0.9", "row_losses=true"), home=toy_runs)
    assert done.status == 0, done.err
    return toy_runs


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(whole, forks):
    job = forks.start(*words(whole, "killed", "optimizer.ema_decay=0.9", "row_losses=true"), home=whole)
    job.wait_for(whole.root / "runs/killed/1/checkpoints/step-00000004")
    time.sleep(np.random.default_rng().uniform(0, 0.5))  # between two steps, in one, or at its end
    os.kill(job.pid, signal.SIGKILL)
    assert job.wait().status == -9
    for plant in (KILLED_AFTER_SAVING, KILLED_BEFORE_RECORD):
        assert forks.run("resume", "killed", home=whole, plant=plant).status == -9
    done = forks.run("resume", "killed", home=whole)
    assert done.status == 0, done.err
    assert batches(whole, "killed") == batches(whole, "whole")
    assert losses(whole, "killed") == losses(whole, "whole")
    assert weights(whole, "killed") == weights(whole, "whole")
    query = "SELECT step, sample_id, loss, tokens FROM row_losses WHERE run = '{}' ORDER BY ALL"
    assert ask(whole, query.format("killed")) == ask(whole, query.format("whole"))
    assert [attempt["number"] for attempt in counts(whole, "killed")["attempts"]] == [1, 2, 3, 4]
    assert list((whole.root / "runs/killed/1/aside").rglob("*.parquet"))  # what the last kill left without a record


def test_batches_are_the_plan_no_sample_twice_none_missing_and_the_tokens_are_those_read(whole):
    rows = batches(whole, "whole")
    mixture = load_mixture(whole, "m")
    order = np.asarray(mixture.order(0))[: STEPS * 4]
    assert [sorted(row[2] for row in rows if row[0] == step) for step in range(1, STEPS + 1)] == [
        sorted(part.tolist()) for part in order.reshape(STEPS, 4)
    ]
    samples = samples_of(mixture.tokens[0])  # read again by streaming's own reader
    for _, _, sample, recorded in rows:
        tokens, bounds = samples[sample]
        row = np.where(np.arange(64) < bounds[-1], tokens, mixture.tokens[0].pad_id).astype(np.int64)
        assert hashes(row[None])[0] == recorded
    assert ask(whole, "SELECT count(*), count(DISTINCT sample_id) FROM batches WHERE run = 'whole'") == [(64, 64)]
    assert ask(whole, "SELECT count(*) FROM row_losses ANTI JOIN batches USING (run, step, sample_id)") == [(0,)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_a_resume_goes_on(whole, forks, number):
    run = f"told{int(number)}"
    job = forks.start(*words(whole, run, "optimizer.ema_decay=0.9", "checkpoint.every_steps=2"), home=whole)
    job.wait_for(whole.root / f"runs/{run}/1/checkpoints/step-00000002")
    os.kill(job.pid, number)
    done = job.wait()
    assert done.status == 75, done.err
    stopped = counts(whole, run)
    assert done.error == f"error: stopped after step {stopped['step']} of {STEPS}, everything is saved"
    assert stopped["status"] == "stopped"
    assert forks.run("resume", run, "nproc=1", home=whole).status == 0
    assert batches(whole, run) == batches(whole, "whole")
    assert weights(whole, run) == weights(whole, "whole")
    assert forks.run("resume", run, home=whole).out.startswith(f"run {run} is finished already")


def test_two_starts_at_once_and_a_second_signal(whole, forks):
    plant = "import time, training.runs.session as session; session.save_checkpoint = lambda *a, **k: time.sleep(60)"
    job = forks.start(*words(whole, "twice"), home=whole, plant=plant)
    folder = whole.root / "runs/twice/1"
    job.wait_for(folder / "batches")
    busy = forks.run(*words(whole, "twice"), home=whole)
    assert busy.status == 2
    assert f"is being written by process {job.pid}" in busy.error
    for _ in range(2):
        os.kill(job.pid, signal.SIGTERM)
        time.sleep(0.3)
    done = job.wait(30)
    assert (done.status, "interrupted" in done.err) == (130, True)
    assert counts(whole, "twice")["step"] == 0
