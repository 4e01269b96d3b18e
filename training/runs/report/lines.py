"""Curves as inline SVG, in the colours of the style sheet.

>>> chart([Line("loss", points)], "loss by step")
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from catalog.html import Html, compact, el, measured
from training.runs.curves import Points

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 240, 70, 12, 10, 24
MOST = 400
"""Points of a drawn line."""


class Line(NamedTuple):
    """One curve; `cls` names its colour in report.css."""

    name: str
    points: Points
    cls: str = "s0"
    faint: bool = False


class Axes(NamedTuple):
    """Steps and values to places."""

    first: float
    last: float
    low: float
    high: float

    def x(self, step: float) -> float:
        return LEFT + (step - self.first) / ((self.last - self.first) or 1) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        return TOP + (self.high - value) / ((self.high - self.low) or 1) * (HEIGHT - TOP - BOTTOM)


def chart(lines: Sequence[Line], label: str, marks: Sequence[int] = (), from_zero: bool = False) -> Html:
    """Lines over steps; `marks` are steps with a vertical line. Values above the 99.5th percentile are cut off."""
    lines = [line._replace(points=[p for p in line.points if math.isfinite(p[1])]) for line in lines]
    lines = [line for line in lines if line.points]
    if not lines:
        return el("p", "Nothing was measured.", cls="muted")
    axes = _axes(lines, from_zero)
    drawn = [
        *(_level(axes, value) for value in ticks(axes.low, axes.high, 4)),
        *(_step(axes, value) for value in ticks(axes.first, axes.last, 6) if value == int(value)),
        *(el("path", cls="mark", d=f"M{axes.x(step):.1f} {TOP}V{HEIGHT - BOTTOM}") for step in marks),
        *(_curve(axes, line) for line in lines),
    ]
    return el("svg", *drawn, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label, cls="lines")


def _axes(lines: Sequence[Line], from_zero: bool) -> Axes:
    steps = [step for line in lines for step, _ in line.points]
    values = sorted(value for line in lines for _, value in line.points)
    low, high = values[0], values[math.ceil((len(values) - 1) * 0.995)]
    low = min(0.0, low) if from_zero else low
    room = 0.04 * ((high - low) or abs(high) or 1.0)
    return Axes(min(steps), max(steps), low if from_zero else low - room, high + room)


def _curve(axes: Axes, line: Line) -> Html:
    each = max(1, math.ceil(len(line.points) / MOST))
    shown = [*line.points[::each], line.points[-1]]
    path = "L".join(f"{axes.x(step):.1f} {max(axes.y(value), TOP):.1f}" for step, value in shown)
    title = el("title", f"{line.name}: {measured(line.points[-1][1])} at step {line.points[-1][0]:,}")
    dots = len(line.points) <= 30 and not line.faint
    places = ((axes.x(step), max(axes.y(value), TOP)) for step, value in line.points) if dots else ()
    points = [el("circle", cx=f"{x:.1f}", cy=f"{y:.1f}", r="2.4") for x, y in places]
    return el("g", title, el("path", d=f"M{path}"), *points, cls=f"{line.cls}{' faint' if line.faint else ''}")


def ticks(low: float, high: float, about: int) -> list[float]:
    """Round values between two, about so many."""
    span = (high - low) or 1.0
    size = 10 ** math.floor(math.log10(span / about))
    step = next(size * by for by in (1, 2, 2.5, 5, 10) if span / (size * by) <= about + 0.5)
    return [round(at * step, 12) for at in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _level(axes: Axes, value: float) -> Html:
    y = axes.y(value)
    said = compact(value) if abs(value) >= 10_000 else f"{value:.4g}"
    text = el("text", said, cls="tick", x=LEFT - 6, y=f"{y + 3.5:.1f}", text_anchor="end")
    return el("g", el("path", cls="grid", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}"), text)


def _step(axes: Axes, step: float) -> Html:
    x = axes.x(step)
    anchor = "end" if x > WIDTH - 40 else "middle"
    return el("text", compact(step), cls="tick", x=f"{x:.1f}", y=HEIGHT - 7, text_anchor=anchor)


def legend(lines: Sequence[Line]) -> Html:
    """What the colours mean, with last values."""
    items = (
        el("li", el("i", cls=line.cls), f"{line.name} {line.points[-1][1]:.3f}")
        for line in lines
        if line.points and not line.faint
    )
    return el("ul", *items, cls="legend")
