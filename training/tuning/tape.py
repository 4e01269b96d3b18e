"""What a tuning run puts on record, and when it saves: between transformers' Trainer and our run folder.

Importing it takes seconds, since it imports transformers.
"""

import math
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from catalog.home import sync
from catalog.locks import remove
from catalog.progress import Bar
from training.runs.asked import Asked
from training.runs.callbacks import Diverged, Interrupted
from training.runs.config import CheckpointConfig
from training.runs.folder import Checkpoint, RunFolder, state_hash, superseded
from training.runs.machine import device
from training.runs.recording import Rows
from training.tuning.batches import ON_RECORD

RENAMED = {
    "grad_norm": "gradient_norm",
    "mean_token_accuracy": "token_accuracy",
    "rewards/accuracies": "reward_accuracy",
    "rewards/margins": "reward_margin",
    "accuracy": "accuracy",
}
"""Names of TRL's that are ours by another name; the rest keep theirs."""
UNUSED = {"epoch", "num_tokens", "total_flos", "train_loss", "runtime", "samples_per_second", "steps_per_second"}


def named(name: str) -> str:
    """Our name of a value of TRL's."""
    return RENAMED.get(name, name).replace("/", "_")


class Tape:
    """The record of one process."""

    def __init__(
        self, rows: Rows, domains: Callable[[int], str], tokens: int, samples: int, processes: int = 1
    ) -> None:
        """`domains`: the domain of a sample id. Before this attempt all processes read `tokens`, this one `samples`."""
        self.rows, self.domains, self.processes = rows, domains, processes
        self.tokens, self.samples = tokens, samples
        self._seen: set[tuple[int, int]] = set()
        self._step_tokens = 0
        self._began = time.perf_counter()
        self.heldout: dict[str, float] = {}

    def batch(self, step: int, inputs: Any) -> None:
        """Take down what a micro-batch holds, and take what is ours out of it."""
        self._step_tokens += tokens_of(inputs)
        ids, sums = marks_of(inputs)
        repeated = isinstance(inputs, list)  # on-policy rows come once for every answer and micro-step
        for sample, hashed in zip(ids.tolist(), sums.tolist(), strict=True):
            if sample and not (repeated and (step, sample) in self._seen):
                self._seen.add((step, sample))
                self.rows.batch(
                    step, [self.domains(sample)], np.array([sample], np.int64), np.array([hashed], np.int64)
                )
                self.samples += 1

    def written(self, tokens: int) -> None:
        """Take down the tokens of prompts and of the answers to them, which the model has written."""
        self._step_tokens += tokens

    def step_ended(self, step: int, values: Mapping[str, float]) -> float:
        """A step was taken by all processes; gives their tokens a second."""
        now = time.perf_counter()
        taken, self._began = now - self._began, now
        read = _over_processes(self._step_tokens, self.processes)
        self.tokens += read
        speed = read / taken
        self._step_tokens, self._seen = 0, set()
        if not self.rows.rank:
            found = {**values, "tokens": self.tokens, "tokens_per_second": speed, "seconds": taken}
            self.rows.metrics(step, {name: float(value) for name, value in found.items()})
        return speed

    def measured(self, step: int, values: Mapping[str, float]) -> None:
        """Held-out values by name; what they took is not a step's time."""
        self.heldout = dict(values)
        if not self.rows.rank:
            self.rows.metrics(step, values)
        self._began = time.perf_counter()


def marks_of(inputs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sample ids and hashes of a micro-batch, flat; a batch of tensors loses all that is for the record."""
    if isinstance(inputs, list):
        return tuple(np.array([row[name] for row in inputs], np.int64) for name in ("sample_ids", "sample_hashes"))  # type: ignore[return-value]
    ids, sums, _ = (inputs.pop(name, None) for name in ON_RECORD)
    none = np.empty(0, np.int64)
    return tuple(none if one is None else one.cpu().numpy().ravel() for one in (ids, sums))  # type: ignore[return-value]


def tokens_of(inputs: Any) -> int:
    """Tokens of a micro-batch without padding; of prompts, 0: they are taken down with their answers."""
    if isinstance(inputs, list):
        return 0
    return int(inputs["row_tokens" if "row_tokens" in inputs else "attention_mask"].sum())


class Keeper(TrainerCallback):
    """Measures and saves at the steps, tokens and minutes asked for, at the end, and on SIGTERM or Ctrl-C."""

    def __init__(
        self,
        tape: Tape,
        run: RunFolder,
        config: CheckpointConfig,
        *,
        steps: int,
        evaluate_every: int,
        bar: Bar,
        processes: int,
    ) -> None:
        self.tape, self.run, self.config, self.bar = tape, run, config, bar
        self.steps, self.evaluate_every, self.processes = steps, evaluate_every, processes
        self.measure: Callable[[int], None] = lambda step: None
        """Scores held-out rows; set once the trainer is there."""
        self.check: Callable[[], None] = lambda: None
        """Called once weights are where they will be trained."""
        self.asked = Asked()
        self.stopped = False
        self._measured = 0
        self._saved_at, self._saved_tokens = time.monotonic(), tape.tokens

    # ── what the Trainer calls ────────────────────────────────────────────────────────────────────────────────────

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Listen for signals; before the first step, measure where it starts from."""
        self.check()
        self.asked.listen()
        if not state.global_step:
            self.measure(0)
        self.tape.measured(state.global_step, {})

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: Any = None, **_: Any
    ) -> None:
        """A step's values."""
        if "loss" not in (logs or {}):
            return
        values = {named(name): float(value) for name, value in logs.items() if name not in UNUSED}
        speed = self.tape.step_ended(state.global_step, values)
        pace = f", {speed:,.0f} tokens/s" if speed else ""
        self.bar.advance(1, note=f"{_note(values)}{pace}")

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Whether this step is one to stop or save after."""
        step, last = state.global_step, state.global_step >= self.steps
        asked = _any_process(bool(self.asked), self.processes)
        if asked and not last:
            self.stopped = control.should_training_stop = True
        control.should_evaluate = True  # `look` knows whether
        control.should_save = asked or last or self._due(step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """The state is written: rows first, then its last name, then the record that names both."""
        step, written = state.global_step, Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        files = self.tape.rows.write(step)
        every: list = [files]
        if self.processes > 1:
            every = [None] * self.processes
            torch.distributed.all_gather_object(every, files)
        samples = _over_processes(self.tape.samples, self.processes)
        if not self.tape.rows.rank:
            self._name(step, written, [file for part in every for file in part], samples)
        if self.processes > 1:
            torch.distributed.barrier()
        self._saved_at, self._saved_tokens = time.monotonic(), self.tape.tokens

    # ── our part ──────────────────────────────────────────────────────────────────────────────────────────────────

    def look(self, step: int, control: TrainerControl) -> None:
        """Score held-out rows where this step is one to do it after; called before the state is saved.

        Asked to end meanwhile, the rest is not scored: the state is saved, and the run ends.
        """
        control.should_evaluate = False  # else the Trainer asks again when the epoch ends
        if step % self.evaluate_every and step < self.steps:
            return
        self._measured = step
        try:
            self.measure(step)
        except Interrupted:
            self.stopped = control.should_save = control.should_training_stop = True

    def raise_if_asked(self) -> None:
        """Raises Interrupted where a process was asked to end; called by all of them before each batch that is scored.

        The scores after the last step are finished: nothing but the model comes after them.
        """
        if self._measured < self.steps and _any_process(bool(self.asked), self.processes):
            raise Interrupted(self.stopped_because(self._measured))

    def _name(self, step: int, written: Path, files: list[tuple[Path, int]], samples: int) -> None:
        for file in written.rglob("*"):
            sync(file)
        path = self.run.path / "checkpoints" / f"step-{step:08d}"
        path.parent.mkdir(exist_ok=True)
        remove(path)
        os.replace(written, path)
        saved = Checkpoint(
            step=step,
            tokens=self.tape.tokens,
            samples=samples,
            path=self.run.home.relative(path),
            bytes=sum(file.stat().st_size for file in path.rglob("*") if file.is_file()),
            hash=state_hash(path),
            heldout_loss=next((value for name, value in self.tape.heldout.items() if name.endswith("/loss")), None),
        )
        state = self.run.state()
        gone = superseded((*state.checkpoints, saved), self.config.keep_last, self.config.keep_best)
        new = state.variant(
            step=step,
            tokens=saved.tokens,
            samples=saved.samples,
            checkpoints=tuple(one for one in (*state.checkpoints, saved) if one not in gone),
            status="trained" if step >= self.steps else "stopped" if self.stopped else "running",
            detail=self.stopped_because(step) if self.stopped else "",
        )
        self.run.close(files, new)
        for one in gone:
            remove(self.run.home.root / one.path)

    def stopped_because(self, step: int) -> str:
        """What is said to whoever asked it to end."""
        if not step:
            return f"stopped before the first step of {self.steps}: `just resume {self.run.name}` begins again"
        return f"stopped after step {step} of {self.steps}, everything is saved: `just resume {self.run.name}` goes on"

    def raise_if_stopped(self) -> None:
        """Raises Interrupted after a run that was asked to end."""
        if self.stopped:
            raise Interrupted(self.run.state().detail)

    def _due(self, step: int) -> bool:
        every = self.config
        if every.every_steps and step % every.every_steps == 0:
            return True
        if not every.every_tokens and not every.every_minutes:
            return False
        late = bool(every.every_minutes) and (time.monotonic() - self._saved_at) / 60 >= every.every_minutes
        read = self.tape.tokens - self._saved_tokens
        return _any_process(late or bool(every.every_tokens and read >= every.every_tokens), self.processes)


def check_loss(loss: torch.Tensor, step: int, name_rows: Callable[[], str]) -> None:
    """Raises Diverged for a loss that is not finite, before any weight has seen it."""
    value = float(loss)
    if not math.isfinite(value):
        raise Diverged(f"step {step}: the loss is {value}. {name_rows()}")


def _note(values: Mapping[str, float]) -> str:
    shown = [f"loss {values['loss']:.3f}"]
    for name in ("reward_accuracy", "reward", "accuracy"):
        if name in values:
            shown.append(f"{name.replace('_', ' ')} {values[name]:.2f}")
            break
    return ", ".join(shown)


def _any_process(value: bool, processes: int) -> bool:
    return bool(_over_processes(value, processes))


def _over_processes(value: int, processes: int) -> int:
    """The sum over all processes."""
    if processes == 1:
        return value
    summed = torch.tensor([int(value)], device=device())
    torch.distributed.all_reduce(summed)
    return int(summed.item())
