"""A function in a process of its own: engines leave memory and settings behind, and say much that nobody asked for.

>>> scores = in_own_process(log, measure, target, settings)      # dies with this process; what it says goes to the log
"""

import ctypes
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import ParamSpec, TextIO, TypeVar

from catalog.errors import WorkerLost

DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""
_terminal: list[TextIO] = []
"""Where this process's progress goes, while its stderr is a log."""

P = ParamSpec("P")
T = TypeVar("T")


def in_own_process(log: Path, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call a function of a module in a fresh process. Its progress is shown (`terminal`), all else goes to `log`.

    Arguments and result are pickled, errors are raised here. Raises WorkerLost where the process was killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(log, os.getpid())) as pool:
        try:
            return pool.submit(function, *args, **kwargs).result()
        except BrokenProcessPool as error:
            raise WorkerLost(
                f"the process of {function.__name__} was killed ({last_words(log)}): is there enough memory? "
                f"The same command goes on. Its log: {log}"
            ) from error


def terminal() -> TextIO:
    """Where progress is shown."""
    return _terminal[-1] if _terminal else sys.stderr


def die_with_parent(parent: int) -> None:
    """Ask the kernel to end this process when the thread of `parent` that made it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIES_WITH_PARENT, signal.SIGTERM)
        if os.getppid() != parent:  # it ended before that was asked
            os.kill(os.getpid(), signal.SIGTERM)


def last_words(log: Path) -> str:
    """The last line of a log that names an error, else its last line."""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    named = [line for line in lines if "Error: " in line]
    return (named or lines or ["it said nothing"])[-1][-300:]


def _begin(log: Path, parent: int) -> None:
    die_with_parent(parent)
    _terminal.append(os.fdopen(os.dup(2), "w", buffering=1))
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
