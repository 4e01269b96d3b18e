"""Pretrain: begin or go on with a run, train it, leave a model.

>>> done = pretrain(RunConfig(run="zh-small", mixture="balanced"), Home.open(), Hands(scorer, launcher), recipe="small")
>>> done.model.ref
"""

import shlex
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass

from catalog.config import Config
from catalog.errors import BadInput, WorkerLost
from catalog.home import Home
from catalog.locks import hold, lock_of
from catalog.records import Record, find
from training.mixtures.reading import load_mixture
from training.runs.config import RunConfig
from training.runs.folder import Checkpoint, RunFolder, RunState
from training.runs.heldout import Scorer
from training.runs.job import Job, changed, check_same, plan
from training.runs.launching import die_with, launched, raise_ended, tell, told
from training.runs.mirror import Elsewhere
from training.runs.model import publish_model
from training.tokens.reading import check_shards

HASHED_UP_TO = 20 << 30
"""Bytes of shards that are read against their hashes before a start: 20 GiB take about 20 s from a local disk."""

Change = Callable[[RunConfig], RunConfig]


@dataclass(frozen=True)
class Hands:
    """What a recipe hands down: the room of training looks into no other."""

    scorer: Scorer | None
    """How held-out text is scored."""
    command: Callable[[Job, int], list[str]]
    """The command line that starts the processes of a run on one of its machines, by number."""


class Resume(Config):
    """From where, and with what, a run is gone on with."""

    skip: bool = False
    """Leave out the batch on which it diverged."""
    step: int = 0
    """From the checkpoint after this step; 0: the last."""
    mixture: str = ""
    """Read another mixture from there on."""


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
        if run.exists:
            return _go_on(job, hands)
        _check_hashes(job)
        if place := _elsewhere(job):
            place.refuse_another(run)
        shutil.rmtree(run.path, ignore_errors=True)
        state = RunState(
            recipe=recipe,
            tokens_id=", ".join(info.ref for info in job.mixture.tokens),
            steps=job.steps,
            remainders=job.schedule.remainders,
            planned=job.planned,
            readings=(job.reading,),
        )
        tell(run, {}, job.config)
        run.begin(job.identity, job.fingerprint, job.inputs, state)
        return _train(job, hands, state)


def resume(
    name: str, home: Home, hands: Hands, how: Resume, change: Change = lambda config: config, mirror: str = ""
) -> Trained:
    """Go on with a run. `change` sets fields that say where and how it runs; others are refused.

    A run that this home does not have comes from `mirror`, an address.
    """
    run = RunFolder(home, name)
    if mirror and not run.exists:
        with hold(lock_of(run.path)):
            Elsewhere(mirror).fetch_run(run)
    config = change(_own(run))
    with hold(lock_of(run.path)):
        return _go_on(plan(config, home), hands, how)


def _go_on(fresh: Job, hands: Hands, how: Resume | None = None) -> Trained:
    """Go on with a run that has begun; `fresh` is what it would be if it began now."""
    run, how = fresh.folder, how or Resume()
    state, name = run.state(), fresh.config.run
    check_same(fresh, run.record(), state)
    if state.status == "finished" and not how.step:
        _mirror(fresh)
        return Trained(run.record(), find(fresh.home, "models", state.model), fresh=False)
    if state.status == "diverged" and not (how.skip or how.step):
        raise BadInput(f"{name} diverged. {state.detail}")
    if how.skip:
        state = _skipping(state, name)
    if how.step:
        _bring(fresh, _checkpoint_of(run, state, how.step))
        state = back_to(run, state, how.step)
    elif state.last:
        _bring(fresh, state.last)
    job = plan(fresh.config, fresh.home, state)
    if how.mixture and load_mixture(fresh.home, how.mixture).ref != state.reading.mixture:  # else it is read already
        reading = changed(job, state, how.mixture)
        state = state.variant(readings=(*state.readings, reading))
        job = plan(fresh.config, fresh.home, state)
    _check_hashes(job)
    return _train(job, hands, state)


def _elsewhere(job: Job) -> Elsewhere | None:
    mirror = job.config.checkpoint.mirror
    return Elsewhere(mirror) if mirror else None


def _mirror(job: Job) -> None:
    """Bring the second place up to what is here. Raises Unreachable, and Conflict where it has another run."""
    run = job.folder
    if place := _elsewhere(job):
        place.refuse_another(run)
        place.put(run.home, run.record())
        if model := run.state().model:
            place.put(run.home, find(run.home, "models", model))


def _bring(job: Job, saved: Checkpoint) -> None:
    """See that the checkpoint to go on from is here, or bring it here. Raises Damaged."""
    place = _elsewhere(job)
    if place and not (job.home.root / saved.path).exists():
        place.fetch_checkpoint(job.home, saved)
    job.folder.check(saved)


def _own(run: RunFolder) -> RunConfig:
    """The config of the run's last attempt: its record's, with where and how it ran."""
    run.record()  # raises NotFound with near names
    return RunConfig.model_validate(told(run)["config"])


def _check_hashes(job: Job) -> None:
    """Read all shards against their hashes where that takes seconds; else the loader checks each when it comes."""
    size = sum(entry.bytes for info in job.mixture.tokens for entry in info.shards)
    if size <= HASHED_UP_TO and not job.config.remote:
        for info in job.mixture.tokens:
            check_shards(info, hashes=True)


def _skipping(state: RunState, name: str) -> RunState:
    """The state with the batch on which it diverged left out."""
    if state.diverged is None:
        raise BadInput(f"{name} has not diverged: there is no batch to leave out.")
    reading = state.reading
    skipped = tuple(sorted({*reading.skipped, state.diverged}))
    return state.reads(reading.variant(skipped=skipped)).variant(diverged=None, detail="")


def _checkpoint_of(run: RunFolder, state: RunState, step: int) -> Checkpoint:
    """The checkpoint after a step. Raises BadInput that names those there are."""
    found = next((one for one in state.checkpoints if one.step == step), None)
    if found is None:
        there = ", ".join(str(one.step) for one in state.checkpoints)
        raise BadInput(f"no checkpoint of {run.name} at step {step}. There are: {there or 'none'}.")
    return found


def back_to(run: RunFolder, state: RunState, step: int) -> RunState:
    """The state as it was at an earlier checkpoint, and the record with it."""
    found = _checkpoint_of(run, state, step)
    earlier = state.variant(
        step=step,
        tokens=found.tokens,
        samples=found.samples,
        checkpoints=tuple(one for one in state.checkpoints if one.step <= step),
        readings=tuple(reading for reading in state.readings if reading.first_step <= step),
        passed_over=tuple(one for one in state.passed_over if one <= step),
        status="stopped",
        detail="",
        diverged=None,
        model="",
    )
    run.go_back(step, earlier)
    return earlier


def _train(job: Job, hands: Hands, state: RunState) -> Trained:
    run = job.folder
    if state.status != "trained" or not state.last:
        run.set_aside()
        started = state.attempted(job.processes, job.device).variant(steps=job.steps)
        run.close([], started, inputs=job.inputs)
        _mirror(job)
        _run(job, hands, started)
    state = run.state()
    if state.status != "trained":
        raise WorkerLost(f"{run.name} ended at step {state.step} of {state.steps}: `just resume {run.name}` goes on.")
    model = publish_model(job, state)
    run.close([], state.variant(status="finished", model=str(model.ref)))
    _mirror(job)
    return Trained(run.record(), model, fresh=True)


def _run(job: Job, hands: Hands, state: RunState) -> None:
    """Train in this process, or in several."""
    launch = {"attempt": len(state.attempts), "start": state.last.model_dump() if state.last else None}
    tell(job.folder, launch, job.config)
    if job.processes == 1:
        train_process(job, launch, hands.scorer)
        return
    for node in range(1, job.config.nodes):
        print(f"on machine {node}: {shlex.join(hands.command(job, node))}", file=sys.stderr)
    if launched(hands.command(job, 0)):
        raise_ended(job.folder.state())


def train_launched(name: str, home: Home, scorer: Scorer | None) -> None:
    """One of several processes, as `launch.json` in the run's folder says."""
    run = RunFolder(home, name)
    said = told(run)
    die_with(said["leader"])
    train_process(plan(RunConfig.model_validate(said["config"]), home, run.state()), said["launch"], scorer)


def train_process(job: Job, launch: dict, scorer: Scorer | None) -> None:
    """Train as one process of an attempt; the weights are left for the model where it comes to the end."""
    from training.runs.session import Launch, Session

    session = Session(job, Launch.model_validate(launch), scorer)
    session.train()
