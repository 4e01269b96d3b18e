"""What a run has read, and what going on with other data would repeat and lose; exact, in samples.

>>> change = accounted(run.consumed(), old=(10_000, schedule), new=(0, other))
>>> change.repeated, change.lost

Samples may be cut into parts that differ between phases, so all are compared in the finest parts that occur.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.loader.schedule import Schedule
from training.mixtures.reading import Mixture
from training.sample_ids import WHOLE, divisor, part, whole

Ids = NDArray[np.int64]


class Change(NamedTuple):
    """Different samples, each counted once."""

    repeated: int
    """Samples to come that have been read before."""
    lost: int | None
    """Samples that were to come and that nobody would read; None where the old order is gone."""
    read: int
    """Samples read so far."""


def accounted(read: Ids, ahead: Ids, rest: Ids | None) -> Change:
    """`read` so far, `ahead` from now on, `rest`: what would have come. Ids of samples or parts, in any order."""
    finest = max((int(divisor(ids).max()) for ids in (read, ahead, rest) if ids is not None and len(ids)), default=1)
    seen, coming = _parts(read, finest), _parts(ahead, finest)
    repeated = _samples(ahead, np.intersect1d(seen, coming, assume_unique=True), finest)
    if rest is None:
        return Change(repeated, None, len(np.unique(read)))
    gone = np.setdiff1d(np.setdiff1d(_parts(rest, finest), coming, assume_unique=True), seen, assume_unique=True)
    return Change(repeated, _samples(rest, gone, finest), len(np.unique(read)))


def planned(mixture: Mixture, schedule: Schedule, first: int, last: int) -> Ids:
    """The ids of a schedule's steps `first` (from 0) to before `last`; of none where they are beyond the plan."""
    found, steps = [], [schedule.planned_step(step) for step in range(first, min(last, schedule.steps))]
    wanted = np.array(steps, np.int64)
    for phase, stretch in enumerate(schedule.stretches):
        here = wanted[(wanted >= stretch.first) & (wanted < stretch.first + stretch.steps)] - stretch.first
        places = (here[:, None] * stretch.batch + np.arange(stretch.batch)).ravel()
        found.append(np.asarray(mixture.order(phase))[places])
    return np.concatenate(found) if found else np.empty(0, np.int64)


def _parts(ids: Ids, finest: int) -> Ids:
    """The finest parts that these samples hold, each once, sorted."""
    found = []
    for of in np.unique(divisor(ids)).tolist():
        mine, each = ids[divisor(ids) == of], finest // of
        found.append(((whole(mine) - WHOLE + finest + part(mine) * each)[:, None] + np.arange(each)).ravel())
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _samples(ids: Ids, parts: Ids, finest: int) -> int:
    """How many different samples of `ids` hold one of these parts."""
    count = 0
    for of in np.unique(divisor(ids)).tolist():
        mine, each = np.unique(ids[divisor(ids) == of]), finest // of
        firsts = whole(mine) - WHOLE + finest + part(mine) * each
        places = np.searchsorted(parts, firsts)
        count += int((np.append(parts, np.iinfo(np.int64).max)[places] < firsts + each).sum())
    return count
