"""What a person sees while something long runs: a live line per stage on a terminal, else a plain line now and then.

>>> with stage_progress("read", total=1200, unit="documents") as bar:
...     bar.advance(64, note="iana-org.warc.gz")

Everything goes to stderr, so that output stays clean.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

PLAIN_EVERY_S = 5.0
"""Seconds between plain lines."""


class Bar(Protocol):
    """The progress of one stage."""

    def advance(self, done: int = 1, note: str = "") -> None:
        """So much more is done; `note` says what is at hand."""
        ...

    def skip(self, done: int) -> None:
        """So much was done before this start: it counts, but not in the pace."""
        ...

    def grow(self, total: int) -> None:
        """The total is now known, or has changed."""
        ...


@contextmanager
def stage_progress(
    stage: str, total: int | None = None, unit: str = "documents", out: TextIO | None = None
) -> Iterator[Bar]:
    """Show the progress of a stage of `total` units until the block ends; without a total, only count and rate."""
    to: TextIO = out or sys.stderr
    bar = _LiveBar(stage, total, unit, to) if to.isatty() else PlainBar(stage, total, unit, to)
    bar.start()
    try:
        yield bar
    except BaseException:
        bar.stop(finished=False)
        raise
    bar.stop(finished=True)


class PlainBar:
    """Lines for logs: at most one every few seconds, and one at the end."""

    def __init__(self, stage: str, total: int | None, unit: str, out: TextIO, every_s: float = PLAIN_EVERY_S) -> None:
        self.stage, self.total, self.unit, self.out, self.every_s = stage, total, unit, out, every_s
        self.done, self.skipped, self._note = 0, 0, ""
        self._began = self._said = time.monotonic()

    def start(self) -> None:
        """Begin to count the time."""
        self._began = self._said = time.monotonic()

    def advance(self, done: int = 1, note: str = "") -> None:
        """So much more is done."""
        self.done += done
        self._note = note or self._note
        if time.monotonic() - self._said >= self.every_s:
            self._said = time.monotonic()
            self._say(f"{self._counted()}, {self._pace()}{f' ({self._note})' if self._note else ''}")

    def skip(self, done: int) -> None:
        """So much was done before."""
        self.done += done
        self.skipped += done

    def grow(self, total: int) -> None:
        """The total is now known, or has changed."""
        self.total = total

    def stop(self, finished: bool) -> None:
        """Say how it ended."""
        seconds = time.monotonic() - self._began
        ending = "done" if finished else "stopped"
        pace = rate(self.done - self.skipped, seconds)
        self._say(f"{ending}, {self._counted()} in {duration(seconds)}, {pace} {self.unit}/s")

    def _say(self, line: str) -> None:
        print(f"{self.stage}: {line}", file=self.out, flush=True)

    def _counted(self) -> str:
        of = f"/{self.total:,}" if self.total is not None else ""
        return f"{self.done:,}{of} {self.unit}"

    def _pace(self) -> str:
        seconds = time.monotonic() - self._began
        left = time_left(self.done, self.total, seconds, self.skipped)
        return f"{rate(self.done - self.skipped, seconds)} {self.unit}/s{f', {left} left' if left else ''}"


class _LiveBar:
    """One line that moves, on a terminal; it stays when the stage is done."""

    def __init__(self, stage: str, total: int | None, unit: str, out: TextIO) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(bar_width=24),
            _Counts(unit),
        )
        self._progress = Progress(*columns, TimeElapsedColumn(), _Left(), _note_column(), console=Console(file=out))
        self._task = self._progress.add_task(stage, total=total, note="", skipped=0)

    def start(self) -> None:
        """Show the line."""
        self._progress.start()

    def advance(self, done: int = 1, note: str = "") -> None:
        """So much more is done."""
        if note:
            self._progress.update(self._task, advance=done, note=note)
        else:
            self._progress.update(self._task, advance=done)

    def skip(self, done: int) -> None:
        """So much was done before."""
        self._progress.update(self._task, advance=done, skipped=self._progress.tasks[0].fields["skipped"] + done)

    def grow(self, total: int) -> None:
        """The total is now known, or has changed."""
        self._progress.update(self._task, total=total)

    def stop(self, finished: bool) -> None:
        """Leave the line as it is."""
        task = self._progress.tasks[0]
        if finished and task.total is None:
            self._progress.update(self._task, total=task.completed)
        self._progress.update(self._task, note="")
        self._progress.stop()


class _Counts(ProgressColumn):
    """Done, total and units per second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        """The cell of one task."""
        of = f"/{int(task.total):,}" if task.total is not None else ""
        speed = rate(int(task.completed) - task.fields["skipped"], task.elapsed or 0.0)
        return Text(f"{int(task.completed):,}{of} {self._unit} {speed}/s")


class _Left(ProgressColumn):
    """The time left, as far as the mean rate tells."""

    def render(self, task: Task) -> Text:
        """The cell of one task."""
        total = None if task.total is None else int(task.total)
        left = (
            "" if task.finished else time_left(int(task.completed), total, task.elapsed or 0.0, task.fields["skipped"])
        )
        return Text(f"{left} left" if left else "", style="cyan")


def _note_column() -> TextColumn:
    from rich.table import Column

    return TextColumn(
        "{task.fields[note]}",
        style="dim",
        markup=False,
        table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1),
    )


def rate(done: int, seconds: float) -> str:
    """Units per second, to be read: `12,300`, `84`, `0.31`."""
    value = done / seconds if seconds > 0 else 0.0
    return f"{value:,.0f}" if value >= 10 or value == 0 else f"{value:.2g}"


def time_left(done: int, total: int | None, seconds: float, skipped: int = 0) -> str:
    """The time that the rest takes at the mean rate so far; empty where it cannot be known."""
    if not total or done <= skipped or done >= total:
        return ""
    return duration(seconds * (total - done) / (done - skipped))


def duration(seconds: float) -> str:
    """A time to be read: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
