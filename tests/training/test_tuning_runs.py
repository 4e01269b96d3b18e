"""Tuning runs that survive: killed, told to end, in two processes; what cannot be is said in one line."""

import os
import signal
from collections import Counter

import pytest
from mixture_toys import toy_tokens
from run_forks import FORKED_RANKS, TUNING, Forks, ask, batches, counts, weights
from tuning_toys import add_dataset, make_home

from catalog.home import Home
from training.mixtures.build import build as plan_mixture
from training.mixtures.config import MixtureConfig

pytestmark = pytest.mark.slow

STEPS = 8
KILLED_BEFORE_RECORD = """
import os, training.runs.folder as folder
real = folder.RunFolder.close
def close(self, files, state, inputs=()):
    if files and state.step == 6:
        os.kill(os.getpid(), 9)
    return real(self, files, state, inputs)
folder.RunFolder.close = close
"""
NEVER = """
import training.tuning.tape as tape
real = tape.check_loss
def check(loss, step, name_rows):
    real(loss * float("nan") if step == 4 else loss, step, name_rows)
import training.tuning.trainers as trainers
trainers.check_loss = check
"""
TOLD_WHILE_SCORING = """
import os, training.tuning.session as session
real = session.Session._forward
def forward(self, batch):
    step = self.trainer.state.global_step
    print("scored after", step)
    if step == {step}:
        os.kill(os.getpid(), 15)
        os.kill(os.getpid(), 15)
    return real(self, batch)
session.Session._forward = forward
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    return make_home(tmp_path_factory.mktemp("tuning"))


@pytest.fixture(scope="module")
def forks():
    with Forks(TUNING) as server:
        yield server


def words(verb: str, run: str, *more: str) -> list[str]:
    fixed = ("max_length=96", f"max_steps={STEPS}", "epochs=9", "learning_rate=3e-3", "heldout_rows=16")
    return [verb, "base", f"run={run}", *fixed, "checkpoint.every_steps=2", "evaluate_steps=4", *more]


SFT = ("dataset=asked", "replay.share=0.25", "replay.mixture=m", "forgetting_rows=1")


def losses(home: Home, run: str) -> list[tuple]:
    names = "name IN ('loss', 'learning_rate', 'gradient_norm') OR name LIKE 'heldout/%'"
    return ask(home, f"SELECT step, name, value FROM metrics WHERE run = '{run}' AND ({names}) ORDER BY ALL")


@pytest.fixture(scope="module")
def whole(home, forks) -> Home:
    """The home with runs that nothing broke."""
    for verb, more in (("sft", SFT), ("dpo", ("dataset=liked",))):
        done = forks.run(*words(verb, f"whole-{verb}", *more), home=home)
        assert done.status == 0, done.err
    return home


@pytest.mark.parametrize(("verb", "more"), [("sft", SFT), ("dpo", ("dataset=liked",))])
def test_a_run_that_was_killed_ends_as_one_that_was_not(whole, forks, verb, more):
    run = f"killed-{verb}"
    assert forks.run(*words(verb, run, *more), home=whole, plant=KILLED_BEFORE_RECORD).status == -9
    assert counts(whole, run)["step"] == 4
    done = forks.run("resume", run, home=whole)
    assert done.status == 0, done.err
    assert batches(whole, run) == batches(whole, f"whole-{verb}")
    assert losses(whole, run) == losses(whole, f"whole-{verb}")
    assert weights(whole, run) == weights(whole, f"whole-{verb}")
    assert forks.run("resume", run, home=whole).out.startswith(f"run {run} is finished already")
    refused = forks.run(*words(verb, run, *more, "seed=3"), home=whole)
    said = ("seed was 17, now 3" in refused.error, refused.error.endswith("Give another run=…."))
    assert (refused.status, *said) == (2, True, True), refused.error


def test_a_signal_saves_and_a_resume_goes_on(whole, forks):
    job = forks.start(*words("sft", "told", *SFT), home=whole)
    job.wait_for(whole.root / "runs/told/1/checkpoints/step-00000002")
    os.kill(job.pid, signal.SIGTERM)
    done = job.wait()
    assert done.status == 75, done.err
    stopped = counts(whole, "told")
    assert (stopped["status"], 2 <= stopped["step"] < STEPS) == ("stopped", True)
    assert f"stopped after step {stopped['step']} of {STEPS}" in done.error
    assert forks.run("resume", "told", home=whole).status == 0
    assert weights(whole, "told") == weights(whole, "whole-sft")


@pytest.mark.parametrize(("step", "scored"), [(0, {0: 1}), (4, {0: 5, 4: 1})])
def test_a_signal_while_held_out_rows_are_scored_ends_the_run_there(whole, forks, step, scored):
    run = f"told-{step}"
    done = forks.run(*words("sft", run, *SFT), home=whole, plant=TOLD_WHILE_SCORING.format(step=step))
    assert done.status == 75, done.err
    said = "stopped before the first step of 8" if not step else "stopped after step 4 of 8, everything is saved"
    assert said in done.error
    assert scorings(done.out) == scored
    stopped = counts(whole, run)
    assert (stopped["status"], stopped["step"]) == ("stopped", step)
    back = forks.run("resume", run, home=whole, plant=TOLD_WHILE_SCORING.format(step=-1))
    assert back.status == 0, back.err
    assert scorings(back.out) == {0: 5, 4: 4, 8: 5} if not step else {8: 5}  # each once, the last too
    assert weights(whole, run) == weights(whole, "whole-sft")


def scorings(said: str) -> dict[int, int]:
    """Batches of held-out rows that were scored, by step."""
    return Counter(int(line.split()[-1]) for line in said.splitlines() if line.startswith("scored after"))


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_read_what_one_reads_and_learn_the_same(whole, forks, strategy):
    run = f"two-{strategy}"
    done = forks.run(*words("sft", run, *SFT, "nproc=2", f"strategy={strategy}"), home=whole, plant=FORKED_RANKS)
    assert done.status == 0, done.err
    one, two = (sorted(row[:1] + row[2:] for row in batches(whole, name)) for name in ("whole-sft", run))
    assert one == two
    assert ask(whole, f"SELECT DISTINCT rank FROM batches WHERE run = '{run}' ORDER BY 1") == [(0,), (1,)]
    heldout = f"name = 'heldout/asked/loss' AND step = {STEPS}"
    first, second = (
        ask(whole, f"SELECT value FROM metrics WHERE run = '{r}' AND {heldout}")[0][0] for r in ("whole-sft", run)
    )
    assert second == pytest.approx(first, rel=1e-3)
    back = forks.run("resume", run, "step=6", "nproc=1", home=whole)
    assert (back.status, "goes on with several processes" in back.error) == (
        (2, True) if strategy == "fsdp2" else (0, False)
    )
    again = forks.run("resume", run, "step=6", "nproc=2", home=whole, plant=FORKED_RANKS)
    assert again.status == 0, again.err
    third = ask(whole, f"SELECT value FROM metrics WHERE run = '{run}' AND {heldout}")[0][0]
    assert third == pytest.approx(second, rel=1e-6)


def test_a_run_whose_rows_are_gone_is_still_finished_and_says_what_is_missing(whole, forks):
    folder, aside = whole.root / "datasets/liked", whole.root / "liked-aside"
    folder.rename(aside)
    try:
        again, report = (forks.run(verb, "whole-dpo", home=whole) for verb in ("resume", "report"))
        changed = forks.run("resume", "whole-dpo", "seed=3", home=whole)
    finally:
        aside.rename(folder)
    assert (again.status, again.out.splitlines()[0]) == (0, "run whole-dpo is finished already: nothing to do.")
    assert (report.status, "`just verify` names what is missing" in report.error) == (2, True), report.err
    assert "\n" not in report.error
    assert (changed.status, "no datasets 'liked'" in changed.error) == (2, True), changed.err


def test_a_loss_that_cannot_be_ends_the_run_and_names_its_rows(whole, forks):
    done = forks.run(*words("sft", "bad", *SFT), home=whole, plant=NEVER)
    assert done.status == 2
    assert "step 4: the loss is nan. Its rows: -" in done.error
    assert (counts(whole, "bad")["status"], counts(whole, "bad")["step"]) == ("diverged", 2)
    assert forks.run("resume", "bad", home=whole).status == 2
    assert forks.run("resume", "bad", "step=2", home=whole).status == 0


def test_what_cannot_be_is_one_line_and_nothing_is_there(whole, forks, tmp_path):
    add_dataset(whole, tmp_path, "one", [{"text": f"a {n}", "label": "x"} for n in range(20)])
    add_dataset(whole, tmp_path, "long", [{"prompt": f"{n}", "response": "mill " * 30 * (n % 4)} for n in range(1, 50)])
    toy_tokens(whole, tmp_path, "strange", count=40)  # its tokenizer has no tokens for turns
    plan_mixture(MixtureConfig(name="strange", tokens=("strange",)), whole)
    text = ("replay.share=0.2", "replay.mixture=m")
    cases = [
        (["sft", "nobody", "dataset=asked"], "no models 'nobody'"),
        (["sft", "base", "dataset=askd"], "asked"),
        (["sft", "base", "dataset=liked"], "liked@1 has preferences, sft reads instructions or texts"),
        (["dpo", "base", "dataset=asked"], "asked@1 has instructions, dpo reads preferences"),
        (["sft", "base", "dataset=asked", "max_length=4096"], "more than the context of base, 128"),
        (["sft", "base", "dataset=asked", "max_length=8", "replay.share=0"], "186 too_long"),
        (["sft", "base", "dataset=asked", "max_length=50", "too_long=stop"], "are longer than max_length=50"),
        (["sft", "base", "dataset=asked", "adapter.kind=qlora"], "needs a GPU"),
        (["sft", "base", "dataset=asked", "adapter.kind=lora", "adapter.targets=nose"], "no layers nose"),
        (["sft", "base", "dataset=asked", "precision=fp16"], "needs a GPU"),
        (["sft", "base", "dataset=asked", "freeze_layers=9"], "the model has 2 layers"),
        (["sft", "base", "dataset=asked", "batch_rows=3", "nproc=2"], "cannot be shared by 2 processes"),
        (["sft", "base", "dataset=asked", "batch_rows=4000"], "do not fill a batch of 4000"),
        (["sft", "base", "dataset=asked", "lerning_rate=1"], "learning_rate"),
        (["sft", "base", "dataset=asked", "template=no.jinja"], "is no file"),
        (["distill", "base", "dataset=asked"], "distill needs a teacher"),
        (["grpo", "base", "dataset=asked", "pattern=(", "grpo.completion_tokens=8"], "is no regular expression"),
        (["grpo", "base", "dataset=asked", "batch_rows=9"], "is no multiple of generations=8"),
        (["tune-classifier", "base", "dataset=one"], "has 1 class"),
        (["tune-classifier", "base"], "which dataset?"),
        (["sft", "base", "dataset=asked", "replay.share=0.2"], "its line names no mixture"),
        (["sft", "base", "dataset=asked", *text, "packing=false"], "replay.share=0.2 cannot be: packing=false"),
        (["sft", "base", "dataset=asked", *text, "adapter.kind=prefix"], "adapter.kind=prefix knows no packed rows"),
        (["dpo", "base", "dataset=liked", *text], "only sft and distill"),
        (["sft", "base", "dataset=asked", "replay.mixture=strange"], "strange@1 was made with another tokenizer"),
        (["sft", "base", "dataset=long", "batch_rows=40"], "9 rows are longer than max_length=96 tokens"),
        (["sft", "base", "dataset=long", "max_length=4"], "at least 8"),
        (["merge", "base"], "is no adapter"),
    ]
    for given, said in cases:
        fixed = [] if given[0] == "merge" or any("max_length" in word for word in given) else ["max_length=96"]
        done = forks.run(*given, *fixed, *([] if given[0] == "merge" else ["run=nothing"]), home=whole)
        assert done.status == 2, (given, done.err)
        assert said in done.error, (given, done.error)
        assert "\n" not in done.error
    assert not (whole.root / "runs/nothing").exists()
    assert not (whole.root / "models/nothing").exists()
