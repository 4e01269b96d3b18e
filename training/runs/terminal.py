"""A run's curves as lines of text for a terminal.

>>> print(plot([(1, 9.0), (200, 4.1)], width=60, height=8))

Braille dots: two across and four down a character.
"""

from collections.abc import Sequence
from itertools import pairwise

from training.runs.curves import Points

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a Braille character by column and row (Unicode 2800)."""


def plot(points: Points, width: int = 60, height: int = 8) -> list[str]:
    """Lines of a plot with its scale at the left and its steps below; empty without points."""
    if not points:
        return []
    label = 8
    across, down = max(10, width - label) * 2, height * 4
    values = [value for _, value in points]
    low, high = min(values), max(values)
    first, last = points[0][0], points[-1][0]
    cells = [[0] * (across // 2) for _ in range(height)]
    places = [
        (
            round((step - first) / max(1, last - first) * (across - 1)),
            round((high - value) / ((high - low) or 1.0) * (down - 1)),
        )
        for step, value in points
    ]
    for x, y in _joined(places):
        cells[y // 4][x // 2] |= DOTS[x % 2][y % 4]
    marks = {0: f"{high:.3g}", height - 1: f"{low:.3g}"}
    rows = ["".join(chr(0x2800 + cell) for cell in row) for row in cells]
    lines = [f"{marks.get(at, ''):>{label - 1}} {row}" for at, row in enumerate(rows)]
    steps = f"{first:,}".ljust(across // 2 - len(f"{last:,}")) + f"{last:,}"
    return [*lines, f"{'step':>{label - 1}} {steps}"]


def _joined(places: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places, and those between two of them."""
    found = list(places[:1])
    for (x0, y0), (x1, y1) in pairwise(places):
        steps = max(abs(x1 - x0), abs(y1 - y0), 1)
        found += [
            (round(x0 + (x1 - x0) * at / steps), round(y0 + (y1 - y0) * at / steps)) for at in range(1, steps + 1)
        ]
    return found
