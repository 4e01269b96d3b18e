"""What Composer calls while a run trains: rows are recorded, losses judged, state saved.

Importing it takes seconds, since it imports composer: import it where a run starts.
"""

import math
import time
from collections.abc import Callable
from typing import cast

import numpy as np
import torch
from composer.core import Callback, State
from composer.loggers import Logger
from composer.utils import dist

from catalog.errors import MillraceError
from catalog.progress import Bar
from training.models.language_model import Losses
from training.runs.asked import Asked
from training.runs.config import CheckpointConfig
from training.runs.recording import Rows
from training.runs.spikes import SpikeWatch


class Diverged(MillraceError, ArithmeticError):
    """A loss that is not finite or far too large: no weight has seen it."""


class Interrupted(MillraceError, InterruptedError):
    """A run that was asked to end and has saved its state; exit status 75: start it again."""

    exit_status = 75
    """EX_TEMPFAIL of sysexits.h: what was begun can be gone on with."""


class Judge(Callback):
    """Looks at a step's loss after its backward pass, before any weight changes; all processes come to one answer."""

    def __init__(
        self, watch: SpikeWatch, name_documents: Callable[[int], str], leave_out: Callable[[int, str], None]
    ) -> None:
        """`name_documents` of a step's batch, in a sentence; `leave_out` a step's batch of the record, and why."""
        self.watch, self._name_documents, self._leave_out = watch, name_documents, leave_out
        self.skipped: list[int] = []
        """Steps that were left out of the weights."""
        self._losses: list[torch.Tensor] = []
        self._rows = 0

    def after_loss(self, state: State, logger: Logger) -> None:
        """A micro-batch's loss."""
        rows, out = len(state.batch["sample_id"]), cast(Losses, state.outputs)
        self._losses.append(out["loss"].detach().double() * rows)
        self._rows += rows

    def after_train_batch(self, state: State, logger: Logger) -> None:
        """All of them: stop before the step, or leave it out of the weights."""
        summed = torch.stack(self._losses).sum()
        loss = torch.stack([summed, torch.full_like(summed, self._rows)])
        if dist.get_world_size() > 1:
            dist.all_reduce(loss, reduce_operation="SUM")
        self._losses, self._rows = [], 0
        wrong = self.watch.judge(float(loss[0] / loss[1]))
        if not wrong:
            return
        step = int(state.timestamp.batch) + 1
        if self.watch.config.action == "stop":
            raise Diverged(f"step {step}: {wrong}. {self._name_documents(step)}")
        for weight in state.model.parameters():
            weight.grad = None  # an optimizer passes over weights without a gradient
        self.skipped.append(step)
        self._leave_out(step, wrong)

    def state_dict(self) -> dict[str, list]:
        """The window and what was left out, so that a resumed run judges alike."""
        return {"seen": list(self.watch.seen), "skipped": list(self.skipped)}

    def load_state_dict(self, state: dict[str, list]) -> None:
        """Go on from a checkpoint."""
        self.watch.seen.extend(state["seen"])
        self.skipped = list(state["skipped"])


class Recorder(Callback):
    """Takes down what each step consumed and measured, in memory."""

    def __init__(
        self, rows: Rows, domains: list[str], row_losses: bool, flops: Callable[[int], float], bar: Bar
    ) -> None:
        """`domains`: of each of the mixture's streams. `flops`: of a step, over all processes, from its tokens."""
        self.rows, self.domains, self.row_losses, self._flops, self._bar = rows, domains, row_losses, flops, bar
        self._parts: list[tuple[np.ndarray, ...]] = []
        self._sums: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._waiting = self._waited = 0.0

    def before_dataloader(self, state: State, logger: Logger) -> None:
        """The step begins, with the wait for its batch."""
        self._waiting = time.perf_counter()

    def after_dataloader(self, state: State, logger: Logger) -> None:
        """The batch is there: what it holds goes on record, by the hashes that were taken of its tokens."""
        self._waited = time.perf_counter() - self._waiting
        step = int(state.timestamp.batch) + 1
        streams, ids, hashes = (state.batch[name].cpu().numpy() for name in ("stream", "sample_id", "tokens_hash"))
        self.rows.batch(step, [self.domains[number] for number in streams.tolist()], ids, hashes)

    def after_loss(self, state: State, logger: Logger) -> None:
        """A micro-batch's rows."""
        out = cast(Losses, state.outputs)
        self._sums.append((state.batch["sample_id"], out["row_losses"], out["row_tokens"]))

    def batch_end(self, state: State, logger: Logger) -> None:
        """The step is taken."""
        step, now = int(state.timestamp.batch), time.perf_counter()
        taken = now - self._waiting
        ids, losses, tokens = (torch.cat(part).cpu() for part in zip(*self._sums, strict=True))
        self._sums = []
        if self.row_losses:
            self.rows.losses(step, ids.numpy(), losses.float().numpy(), tokens.numpy())
        if self.rows.rank:
            return
        read = int(state.timestamp.token) - int(state.previous_timestamp.token if state.previous_timestamp else 0)
        loss = float(next(iter(state.total_loss_dict.values()))) if state.total_loss_dict else math.nan
        values = {
            "loss": loss,
            "learning_rate": state.optimizers[0].param_groups[0]["lr"],
            "tokens": int(state.timestamp.token),
            "tokens_per_second": read / taken,
            "seconds": taken,
            "data_wait_seconds": self._waited,
            **self._hardware(state, read, taken),
        }
        self.rows.metrics(step, {name: float(value) for name, value in values.items()})
        self._bar.advance(1, note=f"loss {loss:.3f}, {read / taken:,.0f} tokens/s")

    def _hardware(self, state: State, tokens: int, seconds: float) -> dict[str, float]:
        found = {"flops_per_second": self._flops(tokens) / seconds}
        if state.device.name == "gpu":
            found["memory_bytes"] = torch.cuda.max_memory_allocated()
        return found


class Saver(Callback):
    """Measures and saves at the steps, tokens and minutes asked for, at the end, and on SIGTERM or Ctrl-C."""

    LOOK_EVERY = 8
    """Steps between two looks of several processes at whether one of them was asked to end."""

    def __init__(
        self,
        config: CheckpointConfig,
        last_step: int,
        save: Callable[[State], None],
        look: Callable[[], None],
        evaluate: Callable[[int], None],
        evaluate_steps: int,
    ) -> None:
        """`save` begins a checkpoint, `look` raises what went wrong in it, `evaluate` measures held-out loss."""
        self.config, self.last_step, self._save, self._look = config, last_step, save, look
        self._evaluate, self._evaluate_steps = evaluate, evaluate_steps
        self.asked = Asked()
        self._saved_at, self._saved_tokens, self._saved_step = time.monotonic(), 0, 0

    def fit_start(self, state: State, logger: Logger) -> None:
        """Listen for signals; a resumed run counts from where it starts."""
        self._saved_tokens, self._saved_step = int(state.timestamp.token), int(state.timestamp.batch)
        self.asked.listen()

    def batch_checkpoint(self, state: State, logger: Logger) -> None:
        """Between two steps."""
        step = int(state.timestamp.batch)
        self._look()
        asked = self._asked(step)
        if step % self._evaluate_steps == 0 or step >= self.last_step:
            self._evaluate(step)
        if step == self._saved_step or not (asked or step >= self.last_step or self._due(state)):
            return
        self._save(state)
        self._saved_at, self._saved_tokens, self._saved_step = time.monotonic(), int(state.timestamp.token), step
        if asked and step < self.last_step:
            raise Interrupted(
                f"stopped after step {step} of {self.last_step}, everything is saved: "
                f"`just resume {state.run_name}` goes on"
            )

    def _asked(self, step: int) -> bool:
        if dist.get_world_size() == 1:
            return bool(self.asked)
        return step % self.LOOK_EVERY == 0 and _any_rank(bool(self.asked))

    def _due(self, state: State) -> bool:
        every, step = self.config, int(state.timestamp.batch)
        due = bool(every.every_steps) and step % every.every_steps == 0
        due |= bool(every.every_tokens) and int(state.timestamp.token) - self._saved_tokens >= every.every_tokens
        minutes = (time.monotonic() - self._saved_at) / 60
        late = bool(every.every_minutes) and minutes >= every.every_minutes
        if dist.get_world_size() > 1 and every.every_minutes:
            late = step % self.LOOK_EVERY == 0 and _any_rank(late)
        return due or late


def _any_rank(value: bool) -> bool:
    """Whether it holds on any process."""
    flag = torch.tensor([int(value)], dtype=torch.int32)
    if torch.cuda.is_available():
        flag = flag.cuda()
    dist.all_reduce(flag, reduce_operation="MAX")
    return bool(flag.item())
