"""Runs that survive: killed, told to end, changed, gone back; `batches` is what the model that is left consumed."""

import os
import signal
import time

import numpy as np
import pytest
from run_forks import KILLED_AFTER_SAVING, KILLED_BEFORE_RECORD, STEPS, ask, batches, counts, weights, words
from tokens_toys import samples_of

from catalog.home import Home
from catalog.index import put_into_catalog
from catalog.records import Record, now, write_record
from training.loader.batches import hashes
from training.mixtures.reading import load_mixture
from training.runs.asked import AGAIN_S
from training.runs.machine import multiplies_bf16

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


def test_an_endpoint_is_traced_to_a_page_of_its_model_s_last_step(whole):
    config: dict = {"model": "whole", "version": "1"}
    record = Record(kind="endpoints", name="chat", version="1", config=config, counts={"url": "u"}, created=now())
    write_record(whole, record)
    put_into_catalog(whole, record)
    hops = ask(whole, "SELECT what, name, place, detail FROM trace_endpoint('chat')")
    assert [hop[0] for hop in hops] == ["endpoint", "model", "batch", "document"]  # nobody has crawled these pages
    assert hops[1][:3] == ("model", "whole@1", "models/whole/1")
    assert hops[2][1:3] == ("whole", f"step {STEPS}")
    sample, doc_id = int(hops[2][3].split(",")[0].removeprefix("sample ")), hops[3][1]
    assert ask(whole, f"SELECT count(*) > 0 FROM batch_documents('whole', {STEPS}) WHERE doc_id = '{doc_id}'") == [
        (True,)
    ]
    assert sample in {read for step, _, read, _ in batches(whole, "whole") if step == STEPS}
    assert ask(whole, "FROM trace_endpoint('nobody')") == []


@pytest.mark.skipif(not multiplies_bf16(), reason="this processor has no products of bf16")
def test_half_precision_on_a_cpu_learns_the_same(whole, forks):
    done = forks.run(*words(whole, "halved", "precision=bf16", "optimizer.ema_decay=0.9"), home=whole)
    assert done.status == 0, done.err
    found, exact = (np.array([value for *_, value in losses(whole, run)]) for run in ("halved", "whole"))
    assert np.abs(found / exact - 1).max() < 0.01
    assert weights(whole, "halved") != weights(whole, "whole")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_a_resume_goes_on(whole, forks, number):
    run = f"told{int(number)}"
    job = forks.start(*words(whole, run, "optimizer.ema_decay=0.9", "checkpoint.every_steps=2"), home=whole)
    job.wait_for(whole.root / f"runs/{run}/1/checkpoints/step-00000002")
    os.kill(job.pid, number)
    done = job.wait()
    assert done.status == 75, done.err
    stopped = counts(whole, run)
    said = f"error: stopped after step {stopped['step']} of {STEPS}, everything is saved: `just resume {run}` goes on"
    assert done.error == said
    assert stopped["status"] == "stopped"
    assert forks.run("resume", run, "nproc=1", home=whole).status == 0
    assert batches(whole, run) == batches(whole, "whole")
    assert weights(whole, run) == weights(whole, "whole")
    assert forks.run("resume", run, home=whole).out.startswith(f"run {run} is finished already")


def test_two_starts_at_once_and_a_second_signal(whole, forks):
    plant = "import time, training.runs.session as session; session.write_state = lambda *a, **k: time.sleep(60)"
    job = forks.start(*words(whole, "twice"), home=whole, plant=plant)
    folder = whole.root / "runs/twice/1"
    job.wait_for(folder / "batches")
    busy = forks.run(*words(whole, "twice"), home=whole)
    assert busy.status == 2
    assert f"is being written by process {job.pid}" in busy.error
    for _ in range(2):
        os.kill(job.pid, signal.SIGTERM)
        time.sleep(AGAIN_S + 0.3)  # sooner, it would be the same word passed on twice
    done = job.wait(30)
    assert (done.status, "interrupted" in done.err) == (130, True)
    assert counts(whole, "twice")["step"] == 0


def test_a_changed_mixture_is_refused_with_its_consequence_or_wanted_and_counted(whole, forks):
    assert forks.run(*words(whole, "changed", "checkpoint.keep_last=9"), home=whole).status == 0
    assert forks.run("resume", "changed", "step=12", home=whole, plant=KILLED_AFTER_SAVING).status == -9
    assert {row[0] for row in batches(whole, "changed")} == set(range(1, 13))  # later rows are forgotten
    one, two = (np.asarray(load_mixture(whole, name).order(0)) for name in ("m", "other"))
    read, ahead, rest = set(one[:48].tolist()), set(two[:16].tolist()), set(one[48:64].tolist())
    change = f"would read {len(read & ahead)} samples again that have been read, and never {len(rest - ahead)} that"
    refused = forks.run(*words(whole, "changed", "mixture=other"), home=whole)
    assert (refused.status, change in refused.error) == (2, True), refused.error
    assert 'mixture was "m@1", now "other@1"' in refused.error
    assert "just resume changed mixture=other@1" in refused.error
    for field, said in (("batch_tokens=320", "would read 3 samples again"), ("seed=3", "would read 0 samples again")):
        refused = forks.run("resume", "changed", field, home=whole)
        assert (refused.status, said in refused.error) == (2, True), refused.error
    assert forks.run("resume", "changed", "mixture=other", home=whole, plant=KILLED_BEFORE_RECORD).status == -9
    done = forks.run("resume", "changed", "mixture=other", home=whole)
    assert done.status == 0, done.err
    found = counts(whole, "changed")
    assert [(r["mixture"], r["first_step"]) for r in found["readings"]] == [("m@1", 1), ("other@1", 13)]
    assert (found["readings"][1]["repeated"], found["readings"][1]["lost"]) == (
        len(read & ahead),
        len(rest - ahead),
    )
    ids = [row[2] for row in batches(whole, "changed") if row[0] > 12]
    assert sorted(ids) == sorted(two[:16].tolist())
    rates = "SELECT step, value FROM metrics WHERE run = '{}' AND name = 'learning_rate' ORDER BY 1"
    assert ask(whole, rates.format("changed")) == ask(whole, rates.format("whole"))  # the schedule goes on


def test_the_last_and_the_best_checkpoints_are_kept(whole, forks):
    more = ("checkpoint.every_steps=0", "checkpoint.every_tokens=1024", "checkpoint.keep_last=1", "evaluate_steps=4")
    assert forks.run(*words(whole, "kept", *more), home=whole).status == 0
    best = min(counts(whole, "kept")["checkpoints"], key=lambda one: one["heldout_loss"])["step"]
    folders = {path.name for path in (whole.root / "runs/kept/1/checkpoints").iterdir()}
    assert folders == {f"step-{step:08d}" for step in {best, STEPS}}
    assert ask(whole, "SELECT DISTINCT step FROM checkpoints WHERE run = 'kept' ORDER BY 1") == [
        (step,) for step in sorted({best, STEPS})
    ]
    minutes = ("checkpoint.every_steps=0", "checkpoint.every_minutes=0.0001", "checkpoint.keep_last=99", "max_steps=3")
    minutes = (*minutes, "checkpoint.background=false")
    assert forks.run(*words(whole, "minutes", *minutes), home=whole).status == 0
    assert [one["step"] for one in counts(whole, "minutes")["checkpoints"]] == [1, 2, 3]
