"""Which rows a run reads, in which step: settled before it starts, the same for any number of processes.

>>> feed = arrange(examples, config, replay_ids)
>>> feed.rows[0]          # Packed(examples=(17, 3, 2041), replay=0), or one example, or one replayed sample

Every epoch is a permutation of its own. Conversations are packed in that order, each into the fullest of the open rows
that still has room for it; replayed samples are spread evenly among the rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalog.errors import BadInput

OPEN_ROWS = 64
"""Rows that are filled at a time: 64 leave 1 to 3 % of a row empty where conversations are a tenth of it."""


class Packed(NamedTuple):
    """One row of a batch."""

    examples: tuple[int, ...]
    """Numbers of examples; none in a replayed row."""
    replay: int = 0
    """The sample id of pretraining text, which fills the row."""


@dataclass(frozen=True)
class Feed:
    """All rows of a run, in the order of reading."""

    rows: list[Packed]
    steps: int
    remainder: int
    """Rows of the last epoch that fill no batch, or that max_steps does not reach."""


def arrange(
    lengths: Sequence[int],
    *,
    batch_rows: int,
    epochs: float,
    max_steps: int = 0,
    seed: int = 0,
    pack_to: int = 0,
    replay: NDArray[np.int64] | None = None,
    replay_tokens: int = 0,
    replay_share: float = 0.0,
) -> Feed:
    """Arrange examples of these lengths (tokens). `pack_to`: tokens of a packed row, 0: an example a row.

    `replay`: sample ids to draw from, in order, each once before any is read again; each is a row of `replay_tokens`,
    and all together are `replay_share` of the tokens. Raises BadInput where the rows do not fill one batch.
    """
    ordered = _epochs(len(lengths), epochs, np.random.default_rng(seed))
    rows = [row for order in ordered for row in (_packed(order, lengths, pack_to) if pack_to else _single(order))]
    if replay is not None and len(replay) and replay_share:
        own = sum(lengths[at] for row in rows for at in row.examples)
        rows = _with_replay(rows, replay, round(own * replay_share / (1 - replay_share) / replay_tokens))
    steps = len(rows) // batch_rows
    if max_steps:
        steps = min(steps, max_steps)
    if not steps:
        raise BadInput(
            f"{len(rows)} rows do not fill a batch of {batch_rows}: lower batch_rows, raise epochs, or bring more data."
        )
    return Feed(rows[: steps * batch_rows], steps, len(rows) - steps * batch_rows)


def _epochs(count: int, epochs: float, random: np.random.Generator) -> list[NDArray[np.int64]]:
    whole = int(epochs)
    found = [random.permutation(count) for _ in range(whole)]
    part = round((epochs - whole) * count)
    return [*found, random.permutation(count)[:part]] if part else found


def _single(order: NDArray[np.int64]) -> list[Packed]:
    return [Packed((at,)) for at in order.tolist()]


def _packed(order: NDArray[np.int64], lengths: Sequence[int], most: int) -> list[Packed]:
    """Best fit among the open rows; where none has room, the fullest is closed for a new one."""
    closed: list[list[int]] = []
    rows: list[list[int]] = []
    room: list[int] = []
    for at in order.tolist():
        size = lengths[at]
        fitting = [number for number, left in enumerate(room) if left >= size]
        if fitting:
            best = min(fitting, key=lambda number: room[number])
        else:
            if len(rows) == OPEN_ROWS:
                fullest = min(range(len(rows)), key=lambda number: room[number])
                closed.append(rows.pop(fullest))
                room.pop(fullest)
            best = len(rows)
            rows.append([])
            room.append(most)
        rows[best].append(at)
        room[best] -= size
    return [Packed(tuple(row)) for row in (*closed, *rows)]


def _with_replay(rows: list[Packed], ids: NDArray[np.int64], count: int) -> list[Packed]:
    """Replayed rows at even distances, so that their share is the same at any moment."""
    drawn = np.resize(ids, count)
    places = set((np.floor((np.arange(count) + 0.5) * (len(rows) + count) / max(count, 1))).astype(int).tolist())
    own, replayed = iter(rows), iter(drawn.tolist())
    return [Packed((), next(replayed)) if at in places else next(own) for at in range(len(rows) + len(places))]
