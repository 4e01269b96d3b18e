"""Histograms as inline SVG: kept and dropped stacked, thresholds as lines with their labels.

>>> chart(histogram)
'<svg viewBox="0 0 360 176" …'

Colours come from the style sheet by class, so that one drawing serves light and dark.
"""

import math
from typing import NamedTuple

from catalog.html import Html, count, el, join, measured
from data.report.histograms import Histogram, Mark, nice

WIDTH, LEFT, RIGHT, BOTTOM, PLOT = 360, 34, 8, 20, 112
"""In units of the drawing, which is shown at about one pixel a unit."""
TAG_ROW, CHAR = 15, 6.1
"""Height of a row of labels and about the width of a character in them, in units of the drawing."""
ZERO = 16
"""Width of the bin of 0 on a logarithmic axis."""


class Scale(NamedTuple):
    """Values to positions across."""

    log: bool
    edges: list[float]

    @property
    def zero(self) -> bool:
        return self.log and self.edges[0] == 0

    def x(self, value: float) -> float:
        """The position of a value; what lies outside is put on the border."""
        if self.zero and value < self.edges[1]:
            return LEFT if value <= 0 else LEFT + ZERO
        start = LEFT + (ZERO + 4 if self.zero else 0)
        low, high = self.edges[1 if self.zero else 0], self.edges[-1]
        if self.log:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, 1e-300))
        share = (value - low) / (high - low)
        return start + min(max(share, 0.0), 1.0) * (WIDTH - RIGHT - start)

    def ticks(self) -> list[float]:
        """Round values for the axis: about five."""
        low, high = self.edges[1 if self.zero else 0], self.edges[-1]
        if self.log:
            powers = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
            step = max(1, math.ceil(len(powers) / 6))
            return [0.0] * self.zero + [10.0**power for power in powers if power % step == 0]
        step = nice((high - low) / 5)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [float(f"{at * step:.12g}") for at in range(first, last + 1)]


def chart(histogram: Histogram) -> Html:
    """One histogram."""
    scale = Scale(histogram.log, histogram.edges)
    tags = _tags(histogram.marks, scale)
    top = 8 + TAG_ROW * (1 + max((tag.row for tag in tags), default=-1))
    base = top + PLOT
    sums = [sum(bins) for bins in zip(histogram.kept, histogram.cut, histogram.dropped, strict=True)]
    peak, clipped = _peak(sums)
    children = [
        *_grid(peak, top, base),
        *(_stack(histogram, at, scale, peak, top, base) for at in range(len(sums)) if sums[at]),
        *(_clip(scale, at, sums[at], top, histogram.edges) for at in clipped),
        el("path", cls="axis", d=f"M{LEFT} {base + 0.5}H{WIDTH - RIGHT}"),
        *(_tick(value, scale.x(value), base) for value in scale.ticks()),
        *(_line(tag, base) for tag in tags),
        *(el("text", tag.text, cls="tag", x=f"{tag.start:.1f}", y=15 + tag.row * TAG_ROW) for tag in tags),
    ]
    label = f"{histogram.measure}: {count(sum(histogram.kept))} kept, {count(sum(sums) - sum(histogram.kept))} dropped"
    return el("svg", *children, viewBox=f"0 0 {WIDTH} {base + BOTTOM}", role="img", aria_label=label)


def _peak(sums: list[int]) -> tuple[float, list[int]]:
    """The value at the top of the plot, and the bins that are cut off there: a spike must not flatten all the rest."""
    ordered = sorted(sums, reverse=True)
    for spikes in (1, 2):
        if len(ordered) > spikes and ordered[spikes] and ordered[spikes - 1] > 3.5 * ordered[spikes]:
            peak = ordered[spikes] * 1.3
            return peak, [at for at, records in enumerate(sums) if records > peak]
    return max(ordered[0], 1), []


def _grid(peak: float, top: float, base: float) -> list[Html]:
    step = max(nice(peak / 2.6), 1)
    lines = []
    for at in range(1, int(peak / step) + 1):
        y = base - at * step / peak * (base - top)
        lines.append(el("path", cls="grid", d=f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}"))
        lines.append(el("text", _short(at * step), cls="tick", x=LEFT - 5, y=f"{y + 3.5:.1f}", text_anchor="end"))
    return lines


def _bin(scale: Scale, at: int) -> tuple[float, float]:
    """Left and right of a bin's bar."""
    left, right = scale.x(scale.edges[at]), scale.x(scale.edges[at + 1])
    if scale.zero and at == 0:
        right = LEFT + ZERO
    gap = 1.0 if right - left > 4 else 0.0
    return left, max(right - gap, left + 0.6)


def _stack(histogram: Histogram, at: int, scale: Scale, peak: float, top: float, base: float) -> Html:
    (left, right), y, bars = _bin(scale, at), base, []
    counts = {"kept": histogram.kept[at], "cut": histogram.cut[at], "dropped": histogram.dropped[at]}
    shrink = min(1.0, peak / sum(counts.values()))  # a bar that is cut off keeps its proportions
    for cls, records in counts.items():
        height = records * shrink / peak * (base - top)
        y -= height
        if records:
            bars.append(
                el("rect", cls=cls, x=f"{left:.1f}", y=f"{y:.2f}", width=f"{right - left:.1f}", height=f"{height:.2f}")
            )
    return el("g", el("title", _said(histogram.edges, at, counts, scale.zero)), *bars)


def _said(edges: list[float], at: int, counts: dict[str, int], zero: bool) -> str:
    place = "0" if zero and at == 0 else f"{measured(edges[at])} to {measured(edges[at + 1])}"
    return (
        f"{place}: {count(counts['kept'])} kept, {count(counts['cut'])} dropped by a rule on this measure, "
        f"{count(counts['dropped'])} dropped otherwise"
    )


def _clip(scale: Scale, at: int, records: int, top: float, edges: list[float]) -> Html:
    """The break in a bar that is cut off, and its count."""
    left, right = _bin(scale, at)
    y = top + 14
    cut = el("path", cls="break", d=f"M{left - 1:.1f} {y + 3}L{right + 1:.1f} {y - 3}V{y}L{left - 1:.1f} {y + 6}Z")
    end = right > WIDTH - 70
    label = el("text", count(records), cls="tick spike", x=f"{left - 3 if end else right + 3:.1f}", y=top + 8)
    if end:
        label = el("text", count(records), cls="tick spike", x=f"{left - 3:.1f}", y=top + 8, text_anchor="end")
    return join(cut, label)


def _tick(value: float, x: float, base: float) -> Html:
    x = x + ZERO / 2 if value == 0 and x == LEFT else x
    anchor = "end" if x > WIDTH - RIGHT - 12 else "middle"
    mark = el("path", cls="axis", d=f"M{x:.1f} {base}v3")
    return join(mark, el("text", _short(value), cls="tick", x=f"{x:.1f}", y=base + 14, text_anchor=anchor))


def _short(value: float) -> str:
    """A round value: 2,500, 10k, 2.5M."""
    for bound, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= bound:
            return f"{value / (1e3 if unit == 'k' else bound):.4g}{unit}"
    return measured(value)


class _Tag(NamedTuple):
    text: str
    x: float
    start: float
    row: int
    beyond: bool


def _tags(marks: list[Mark], scale: Scale) -> list[_Tag]:
    """Labels of thresholds, in rows so that none covers another."""
    tags: list[_Tag] = []
    same: dict[tuple[float, str], list[str]] = {}
    for mark in sorted(marks, key=lambda mark: (mark.threshold, mark.op, mark.only)):
        same.setdefault((mark.threshold, mark.op), []).append(mark.only)
    for (threshold, op), only in same.items():
        beyond = not scale.edges[0] <= threshold <= scale.edges[-1]
        words = ", ".join(dict.fromkeys(word for word in only if word))
        text = f"{op} {measured(threshold)} {words if len(words) <= 30 else f'{words[:29]}…'}{' →' if beyond else ''}"
        text = text.rstrip()
        x, width = scale.x(threshold), len(text) * CHAR + 6
        start = x + 3 if x + width < WIDTH - 2 else max(x - width, 2)
        taken = {tag.row for tag in tags if tag.start < start + width and start < tag.start + len(tag.text) * CHAR + 10}
        row = next(row for row in range(len(tags) + 1) if row not in taken)
        tags.append(_Tag(text, x, start, row, beyond))
    return tags


def _line(tag: _Tag, base: float) -> Html:
    cls = "threshold beyond" if tag.beyond else "threshold"
    return el("path", cls=cls, d=f"M{tag.x:.1f} {6 + tag.row * TAG_ROW}V{base}")
