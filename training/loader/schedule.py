"""Steps of a run: which stretch of the order each global batch is, whatever the number of ranks.

>>> schedule = Schedule.of(mixture, batch_tokens=65_536)
>>> schedule.at(1234)
Batch(phase=0, start=78976, samples=64)

A phase of shorter samples has more of them in a batch: a step always reads the same number of tokens. What is left of a
phase after its last whole batch is read by nobody, and counted.
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

from catalog.errors import BadInput
from training.mixtures.reading import Mixture


class Batch(NamedTuple):
    """One global batch: `samples` of the phase's order from `start` on."""

    phase: int
    start: int
    samples: int


class Stretch(NamedTuple):
    """One phase in steps."""

    name: str
    sequence_length: int
    samples: int
    batch: int
    """Samples of a global batch."""
    first: int
    """Its first step."""

    @property
    def steps(self) -> int:
        return self.samples // self.batch

    @property
    def remainder(self) -> int:
        """Samples at its end that do not fill a batch."""
        return self.samples % self.batch


class Schedule(NamedTuple):
    """Every step of a plan."""

    stretches: tuple[Stretch, ...]
    skipped: tuple[int, ...] = ()
    """Batches of the plan, counted from 0 and ascending, that are left out: later steps read what follows them."""

    @classmethod
    def of(cls, mixture: Mixture, batch_tokens: int, skipped: Sequence[int] = ()) -> Self:
        """Steps of `batch_tokens` tokens each. Raises BadInput where no whole samples, or no step, come of it."""
        phases = [(phase.name, phase.sequence_length, phase.samples) for phase in mixture.plan.phases]
        return cls.from_phases(phases, batch_tokens, skipped)

    @classmethod
    def from_phases(
        cls, phases: Sequence[tuple[str, int, int]], batch_tokens: int, skipped: Sequence[int] = ()
    ) -> Self:
        """From (name, sequence length, samples) of each phase."""
        stretches: list[Stretch] = []
        first = 0
        for name, length, samples in phases:
            batch, rest = divmod(batch_tokens, length)
            if rest or not batch:
                raise BadInput(
                    f"a batch of {batch_tokens:,} tokens is no whole number of samples of {length} (phase {name}). "
                    f"Give a multiple of {length}."
                )
            stretches.append(Stretch(name, length, samples, batch, first))
            first += stretches[-1].steps
        if not first:
            raise BadInput(
                f"too few tokens: {sum(samples * length for _, length, samples in phases):,} do not fill one batch of "
                f"{batch_tokens:,}. Lower batch_tokens, or plan a mixture with a larger budget."
            )
        return cls(tuple(stretches), tuple(sorted(set(skipped))))

    @property
    def planned(self) -> int:
        """Batches of the plan, those that are left out counted too."""
        return sum(stretch.steps for stretch in self.stretches)

    @property
    def steps(self) -> int:
        """Steps of all phases."""
        return self.planned - len(self.skipped)

    @property
    def samples(self) -> int:
        """Samples that the steps read."""
        return self.samples_before(self.steps)

    @property
    def remainders(self) -> dict[str, int]:
        """Samples of each phase that no step reads."""
        return {stretch.name: stretch.remainder for stretch in self.stretches}

    def planned_step(self, step: int) -> int:
        """Which batch of the plan a step reads."""
        for left_out in self.skipped:
            step += left_out <= step
        return step

    def at(self, step: int) -> Batch:
        """The batch of a step. Raises IndexError outside the plan."""
        planned = self.planned_step(step)
        for number, stretch in enumerate(self.stretches):
            if stretch.first <= planned < stretch.first + stretch.steps:
                return Batch(number, (planned - stretch.first) * stretch.batch, stretch.batch)
        raise IndexError(f"step {step} of {self.steps}")

    def step_after(self, samples: int) -> int:
        """The step that follows when so many samples have been read. Raises BadInput within a batch."""
        low = self.first_after(samples)
        if self.samples_before(low) != samples:
            raise BadInput(f"{samples} samples end within step {low}: a resume starts at a whole batch.")
        return low

    def first_after(self, samples: int) -> int:
        """The last step before which no more than so many samples have been read."""
        low, high = 0, self.steps
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if self.samples_before(middle) <= samples else (low, middle - 1)
        return low

    def samples_before(self, step: int) -> int:
        """Samples that the steps before `step` read."""
        end = self.planned_step(step) if step < self.steps else self.planned
        read = sum(min(max(end - s.first, 0), s.steps) * s.batch for s in self.stretches)
        return read - sum(self._batch(left_out) for left_out in self.skipped if left_out < end)

    def _batch(self, planned: int) -> int:
        """Samples of a batch of the plan."""
        return next(s.batch for s in self.stretches if s.first <= planned < s.first + s.steps)

    def check_world(self, ranks: int) -> None:
        """Raise BadInput where a batch cannot be dealt out evenly."""
        for stretch in self.stretches:
            if stretch.batch % ranks:
                raise BadInput(
                    f"phase {stretch.name}: {stretch.batch} samples a batch cannot be dealt out to {ranks} processes "
                    f"evenly. Make batch_tokens a multiple of {stretch.sequence_length * ranks:,}."
                )
