"""Tune: begin or go on with a run, train it, leave a model.

>>> done = tune(TuneConfig(method="sft", parent="tiny", dataset="docs-questions"), Home.open(), hands)
>>> done.model.ref
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass

from catalog.config import Config
from catalog.errors import BadInput, Conflict, WorkerLost
from catalog.home import Home
from catalog.locks import hold, lock_of
from catalog.records import find, same_or_conflict
from training.runs.folder import Checkpoint, RunFolder, RunState
from training.runs.heldout import Scorer
from training.runs.launching import die_with, launched, raise_ended, tell, told
from training.runs.pretrain import Trained, back_to
from training.tuning.config import TuneConfig
from training.tuning.job import Job, plan

Change = Callable[[TuneConfig], TuneConfig]
SHARDED_OPTIMIZER = "optimizer.bin"
"""What accelerate names it; else it is optimizer.pt."""


@dataclass(frozen=True)
class Hands:
    """What a recipe hands down: the room of training looks into no other."""

    scorer: Scorer | None
    """How held-out text is scored."""
    passes: Callable[[str, str], bool] | None
    """Whether code passes its tests, in a sandbox."""
    command: Callable[[Job], list[str]]
    """The command line that starts the processes of a run."""


class Launch(Config):
    """What all processes of an attempt are told."""

    attempt: int
    start: Checkpoint | None = None
    """The state to go on from."""


def tune(config: TuneConfig, home: Home, hands: Hands, recipe: str = "") -> Trained:
    """Train a run from its start, or from its last checkpoint; a finished one is found.

    Raises Conflict where a run of this name has another config, Busy where a process is at it, Interrupted and Diverged
    where it ends early.
    """
    job = plan(config, home)
    run = job.folder
    with hold(lock_of(run.path)):
        if run.exists:
            return _go_on(job, hands)
        shutil.rmtree(run.path, ignore_errors=True)
        left_out = {f"rows_{reason}": count for reason, count in job.train.left_out.items()}
        state = RunState(
            kind=config.method,
            recipe=recipe,
            tokens_id=", ".join(info.ref for info in job.mixture.tokens) if job.mixture and job.replay_share else "",
            steps=job.feed.steps,
            planned=job.feed.steps,
            remainders={"rows": job.feed.remainder, **left_out},
        )
        run.path.mkdir(parents=True, exist_ok=True)
        tell(run, {}, job.config)
        run.begin(job.identity, job.fingerprint, job.inputs, state)
        return _train(job, hands, state)


def resume(name: str, home: Home, hands: Hands, step: int = 0, change: Change = lambda config: config) -> Trained:
    """Go on with a run from its last checkpoint, or from an earlier one. `change` sets where and how it runs."""
    run = RunFolder(home, name)
    own = _own(run)
    config = change(own)
    with hold(lock_of(run.path)):
        state = run.state()
        if state.status == "finished" and not step and config.identity() == own.identity():
            return _found(run, state)  # also where its data is gone
        return _go_on(plan(config, home), hands, step)


def _go_on(job: Job, hands: Hands, step: int = 0) -> Trained:
    run = job.folder
    state = run.state()
    try:
        same_or_conflict(run.record(), job.fingerprint, job.identity, job.inputs)
    except Conflict as error:
        raise Conflict(f"{str(error).partition(' Give another')[0]} Give another run=….") from None
    if state.status == "finished" and not step:
        return _found(run, state)
    if state.status == "diverged" and not step:
        raise BadInput(
            f"{run.name} diverged. {state.detail} Begin another run with a lower learning_rate, or go back with step=N."
        )
    state = back_to(run, state, step) if step else state
    if state.last:
        run.check(state.last)
    _check_optimizer(job, state)
    return _train(job, hands, state)


def _found(run: RunFolder, state: RunState) -> Trained:
    return Trained(run.record(), find(run.home, "models", state.model), fresh=False)


def _check_optimizer(job: Job, state: RunState) -> None:
    """A sharded run's optimizer is saved in another form: transformers would begin with an empty one in silence."""
    if not state.last or state.status == "trained":
        return
    sharded = (job.home.root / state.last.path / SHARDED_OPTIMIZER).exists()
    if sharded != job.sharded:
        now = "several processes and strategy=fsdp2" if sharded else "one process, or strategy=ddp"
        raise BadInput(f"the checkpoint after step {state.last.step} of {job.config.name} goes on with {now} only.")


def _own(run: RunFolder) -> TuneConfig:
    """The config of the run's last attempt."""
    run.record()
    return TuneConfig.model_validate(told(run)["config"])


def _train(job: Job, hands: Hands, state: RunState) -> Trained:
    run = job.folder
    if state.status != "trained" or not state.last:
        run.set_aside()
        shutil.rmtree(run.path / "trainer", ignore_errors=True)
        started = state.attempted(job.processes, job.device).variant(detail="")
        run.close([], started)
        _run(job, hands, started)
    state = run.state()
    if state.status != "trained":
        raise WorkerLost(f"{run.name} ended at step {state.step} of {state.steps}: `just resume {run.name}` goes on.")
    from training.tuning.model import publish_tuned

    model = publish_tuned(job, state)
    run.close([], state.variant(status="finished", model=str(model.ref)))
    shutil.rmtree(run.path / "trainer", ignore_errors=True)
    return Trained(run.record(), model, fresh=True)


def _run(job: Job, hands: Hands, state: RunState) -> None:
    """Train in this process, or in several."""
    launch = Launch(attempt=len(state.attempts), start=state.last)
    tell(job.folder, launch.model_dump(), job.config)
    if job.processes == 1:
        _train_process(job, launch, hands)
        return
    if launched(hands.command(job)):
        raise_ended(job.folder.state())


def tune_launched(name: str, home: Home, hands: Hands) -> None:
    """One of several processes, as `launch.json` in the run's folder says."""
    said = told(RunFolder(home, name))
    die_with(said["leader"])
    job = plan(TuneConfig.model_validate(said["config"]), home)
    _train_process(job, Launch.model_validate(said["launch"]), hands)


def _train_process(job: Job, launch: Launch, hands: Hands) -> None:
    from training.tuning.session import Session

    Session(job, launch, hands).train()
