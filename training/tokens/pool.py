"""Worker processes, one a core: tasks by number, progress, and an end when the parent ends.

>>> run_tasks(function, range(100), workers=2, bar=bar)      # function(number), results in the order of the numbers
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from catalog.errors import WorkerLost
from catalog.progress import Bar

T = TypeVar("T")

POLL_S = 0.5
PRELOAD = ["training.tokens.encode", "training.tokens.cut"]

_done: Any = None
"""In a worker: the counter that it shares with its parent."""
_function: Callable[[int], Any] | None = None
"""In a worker: what it does, sent once and not with every task."""
_bar: Bar | None = None
"""In a process that works alone: where it tells its progress."""


def advance(documents: int) -> None:
    """So much more is done, by this process."""
    if _bar is not None:
        _bar.advance(documents)
    elif _done is not None:
        with _done.get_lock():
            _done.value += documents


def run_tasks(function: Callable[[int], T], tasks: Sequence[int], workers: int, bar: Bar) -> list[T]:
    """The result of every task, in order. Raises the first error; WorkerLost where a worker was killed."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a process a core: threads inside would only compete
    if min(workers, len(tasks)) <= 1:
        return _alone(function, tasks, bar)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    done = context.Value("q", 0)
    pool = ProcessPoolExecutor(min(workers, len(tasks)), context, _start, (done, function))
    try:
        futures = [pool.submit(_do, task) for task in tasks]
        _watch(futures, done, bar)
        return [future.result() for future in futures]
    except BaseException as error:
        for worker in multiprocessing.active_children():
            worker.kill()  # what they have at hand is done again; what they have done is kept
        if isinstance(error, BrokenProcessPool):
            raise WorkerLost(
                "a worker was killed (often: lack of memory). Run the same command again, with workers=1 if it recurs: "
                "what is done is kept."
            ) from error
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _alone(function: Callable[[int], T], tasks: Sequence[int], bar: Bar) -> list[T]:
    global _bar
    _bar = bar
    try:
        return [function(task) for task in tasks]
    finally:
        _bar = None


def _watch(futures: Sequence[Future], done: Any, bar: Bar) -> None:
    """Show the progress until all are done or one has failed."""
    left, told = set(futures), 0
    while left:
        finished, left = wait(left, timeout=POLL_S, return_when=FIRST_COMPLETED)
        if now := done.value - told:
            bar.advance(now)
            told += now
        for future in finished:
            if error := future.exception():
                raise error


def _start(done: Any, function: Callable[[int], Any]) -> None:
    """Begin a worker: it ends with its parent, however that ends."""
    global _done, _function
    _done, _function = done, function
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _do(task: int) -> Any:
    assert _function is not None
    return _function(task)


def _end_with(parent: Any) -> None:
    parent.join()
    os._exit(1)
