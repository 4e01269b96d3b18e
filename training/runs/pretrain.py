"""Pretrain: begin or go on with a run, train it, leave a model.

>>> done = pretrain(RunConfig(run="zh-small", mixture="balanced"), Home.open(), Hands(scorer, launcher), recipe="small")
>>> done.model.ref
"""

import json
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from catalog.errors import BadInput, WorkerLost
from catalog.home import Home, written
from catalog.locks import hold, lock_of
from catalog.records import Record, find, now
from training.runs.config import RunConfig
from training.runs.folder import Attempt, RunFolder, RunState
from training.runs.heldout import Scorer
from training.runs.job import Job, check_same, plan
from training.runs.model import publish_model

LAUNCH = "launch.json"


@dataclass(frozen=True)
class Hands:
    """What a recipe hands down: the room of training looks into no other."""

    scorer: Scorer | None
    """How held-out text is scored."""
    command: Callable[[str, Home, int], list[str]]
    """The command line that starts so many processes of a run, by its name."""


@dataclass(frozen=True)
class Trained:
    """A run that has come to its end, and its model."""

    run: Record
    model: Record
    fresh: bool


def pretrain(config: RunConfig, home: Home, hands: Hands, recipe: str = "") -> Trained:
    """Train a run from its start, or from its last checkpoint; a finished one is found.

    Raises Conflict where a run of this name has another config, Busy where a process is at it, Interrupted and Diverged
    where it ends early.
    """
    job = plan(config, home)
    run = job.folder
    with hold(lock_of(run.path)):
        state = _opened(job, recipe)
        if state.status == "finished":
            return Trained(run.record(), find(home, "models", state.model), fresh=False)
        if state.status == "diverged":
            raise BadInput(f"{run.name} diverged. {state.detail}")
        return _train(job, hands, state)


def resume(name: str, home: Home, hands: Hands, skip: bool = False, step: int = 0, **circumstance: object) -> Trained:
    """Go on with a run from its last checkpoint, or from that of an earlier step.

    `skip` leaves out the batch on which it diverged. `circumstance` changes fields that say where and how it runs.
    """
    run = RunFolder(home, name)
    record, state = run.record(), run.state()
    config = RunConfig.model_validate({**_own(record), "run": name, **circumstance})
    job = plan(config, home)
    check_same(job, record, state)
    with hold(lock_of(run.path)):
        state = run.state()
        if state.status == "finished":
            return Trained(record, find(home, "models", state.model), fresh=False)
        if state.status == "diverged" and not (skip or step):
            raise BadInput(f"{name} diverged. {state.detail}")
        if skip:
            if state.diverged is None:
                raise BadInput(f"{name} has not diverged: there is no batch to leave out.")
            state = state.variant(skipped=tuple(sorted({*state.skipped, state.diverged})), diverged=None, detail="")
        if step:
            state = _back_to(run, state, step)
        return _train(job, hands, state)


def _own(record: Record) -> dict:
    """The config that the record keeps, as fields of RunConfig."""
    config = dict(record.config)
    parent = str(config.get("parent") or "")
    if parent:
        config["model"] = {}  # its sizes are the parent's
    return config


def _back_to(run: RunFolder, state: RunState, step: int) -> RunState:
    """The state as it was at an earlier checkpoint; later rows are set aside."""
    there = [one for one in state.checkpoints if (run.home.root / one.path).exists()]
    found = next((one for one in there if one.step == step), None)
    if found is None:
        raise BadInput(
            f"no checkpoint of {run.name} at step {step}. There are: {', '.join(str(c.step) for c in there)}."
        )
    run.set_aside(step)
    earlier = tuple(one for one in state.checkpoints if one.step <= step)
    return state.variant(step=step, tokens=found.tokens, samples=found.samples, checkpoints=earlier, detail="")


def _opened(job: Job, recipe: str) -> RunState:
    run = job.folder
    if run.exists:
        state = run.state()
        check_same(job, run.record(), state)
        return state
    shutil.rmtree(run.path, ignore_errors=True)
    state = RunState(
        recipe=recipe,
        tokens_id=", ".join(info.ref for info in job.mixture.tokens),
        steps=job.steps(),
        remainders=job.schedule().remainders,
    )
    run.begin(job.identity, job.fingerprint, job.inputs, state)
    return state


def _train(job: Job, hands: Hands, state: RunState) -> Trained:
    run = job.folder
    if state.status != "trained" or not state.last:
        attempt = Attempt(
            number=len(state.attempts) + 1,
            first_step=(state.last.step if state.last else 0) + 1,
            processes=job.processes,
            device=job.device,
            started=now(),
        )
        run.set_aside()
        started = state.variant(status="running", attempts=(*state.attempts, attempt), steps=job.steps(state.skipped))
        run.close([], started)
        _run(job, hands, attempt.number, started)
    state = run.state()
    if state.status != "trained":
        raise WorkerLost(f"{run.name} ended at step {state.step} of {state.steps}: `just resume {run.name}` goes on.")
    model = publish_model(job, state)
    run.close([], state.variant(status="finished", model=str(model.ref)))
    return Trained(run.record(), model, fresh=True)


def _run(job: Job, hands: Hands, attempt: int, state: RunState) -> None:
    """Train in this process, or in several."""
    launch = {"attempt": attempt, "skipped": state.skipped, "start": state.last.model_dump() if state.last else None}
    if job.processes == 1:
        train_process(job, launch, hands.scorer)
        return
    path = job.folder.path / LAUNCH
    with written(path) as partial:
        partial.write_text(json.dumps({"launch": launch, "config": job.config.model_dump(mode="json")}))
    done = subprocess.run(hands.command(job.config.run, job.home, job.processes), check=False)
    if done.returncode:
        ended = job.folder.state()
        if ended.status == "diverged":
            raise BadInput(ended.detail)
        if ended.status == "stopped":
            from training.runs.callbacks import Interrupted

            raise Interrupted(ended.detail)


def train_launched(name: str, home: Home, scorer: Scorer | None) -> None:
    """One of several processes, as `launch.json` in the run's folder says."""
    told = json.loads((RunFolder(home, name).path / LAUNCH).read_text())
    train_process(plan(RunConfig.model_validate(told["config"]), home), told["launch"], scorer)


def train_process(job: Job, launch: dict, scorer: Scorer | None) -> None:
    """Train as one process of an attempt; the weights are left for the model where it comes to the end."""
    from training.runs.session import Launch, Session

    session = Session(job, Launch.model_validate(launch), scorer)
    session.train()
