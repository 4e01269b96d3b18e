"""A pool of worker processes that notices at once when one dies, hangs or raises, and loses nobody else's work.

    >>> pool = Pool(function, workers=2)
    >>> pool.run(range(100), on_done=print)

    >>> with Crew() as crew:                     # the same workers for one function after the other
    ...     Pool(read, workers=2, crew=crew).run(range(100))
    ...     Pool(write, workers=2, crew=crew).run(range(9))

Workers are forked from a clean server process that has imported what they need: a new one costs some 20 ms, most of
them for memory that is copied when it is first touched. They die with their parent: each holds the read end of a pipe
whose write end only the parent has.
"""

import multiprocessing
import os
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.sharedctypes import RawArray
from typing import Any

import dill

from catalog.errors import MillraceError, WorkerLost
from data.run import heartbeat

POLL_S = 0.25
PRELOAD = ["__main__", "data.run.preload"]
MOST_DEATHS = 12


@dataclass(frozen=True)
class Death:
    """How a worker ended in the middle of a task."""

    task: int
    attempt: int
    beat: heartbeat.Beat
    reason: str
    """`killed` (by the system, a signal) or `wall_clock`."""


@dataclass
class _Worker:
    process: ForkServerProcess
    pipe: Connection
    slots: Any
    task: int | None = None
    reason: str = "killed"
    function: bytes = b""
    """What it was given last."""
    cpu_before: float = 0.0
    """CPU seconds that it had taken before the run at hand."""


class Crew:
    """Workers that outlive a pool; for as long as this is entered."""

    def __init__(self) -> None:
        self.live: list[_Worker] = []

    def __enter__(self) -> "Crew":
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._lifeline, self._lifeline_writer = self._context.Pipe(duplex=False)
        return self

    def add(self) -> None:
        """Start another worker."""
        ours, theirs = self._context.Pipe()
        slots = RawArray("q", heartbeat.WIDTH)
        process = self._context.Process(target=_work, args=(theirs, slots, self._lifeline), daemon=True)
        process.start()
        theirs.close()
        self.live.append(_Worker(process, ours, slots))

    def __exit__(self, *error: object) -> None:
        self._lifeline_writer.close()
        self._lifeline.close()
        deadline = time.monotonic() + 2
        for worker in self.live:
            worker.pipe.close()
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
        self.live.clear()


@dataclass
class Pool:
    """Run `function(task, attempt)` for many tasks on worker processes.

    A worker that dies, or whose record at hand is older than `record_timeout_s`, is replaced and its task tried again,
    up to 12 times; `on_death` is told each time. An exception in a task does not stop the others: the first is raised
    when all are done.
    """

    function: Callable[[int, int], object]
    workers: int
    record_timeout_s: float = 120.0
    on_death: Callable[[Death], None] = lambda death: None
    on_progress: Callable[[int], None] = lambda done: None
    """Told how many more records the workers have done."""
    crew: Crew | None = None
    """Whose workers to take; by default its own, for one run."""
    _attempts: dict[int, int] = field(default_factory=dict)
    cpu_s: float = 0.0
    """CPU seconds that the workers took, once `run` is over."""
    _done_by_the_dead: int = 0
    _reported: int = 0

    def run(self, tasks: Iterable[int], on_done: Callable[[int, object], None] = lambda task, result: None) -> None:
        """Run every task, in this order as workers come free. Raises what the first failing task raised."""
        waiting, errors = deque(tasks), []
        self._payload = dill.dumps(self.function, recurse=False)
        with ExitStack() as stack:
            self._crew = self.crew or stack.enter_context(Crew())
            self._live = self._crew.live
            for worker in self._live:
                worker.cpu_before, worker.slots[heartbeat.DONE] = heartbeat.read(worker.slots).cpu_s, 0
            try:
                while waiting or any(worker.task is not None for worker in self._live):
                    self._hand_out(waiting)
                    self._collect(waiting, errors, on_done)
                    self._stop_hanging()
                    self._report()
                self._report()
            finally:
                self.cpu_s += sum(map(_cpu_of, self._live))
        if errors:
            raise errors[0]

    def _report(self) -> None:
        done = self._done_by_the_dead + sum(heartbeat.read(worker.slots).done for worker in self._live)
        if done > self._reported:
            self.on_progress(done - self._reported)
            self._reported = done

    def _hand_out(self, waiting: deque[int]) -> None:
        wanted = sum(worker.task is not None for worker in self._live) + len(waiting)
        while len(self._live) < min(self.workers, wanted):
            self._crew.add()
        for worker in self._live[: self.workers]:
            if worker.task is None and waiting:
                self._give(worker, waiting.popleft())

    def _give(self, worker: _Worker, task: int) -> None:
        self._attempts[task] = self._attempts.get(task, 0) + 1
        worker.task = task
        with suppress(BrokenPipeError, ConnectionResetError):  # it died idle: _bury gives the task to another
            worker.pipe.send((self._payload if worker.function != self._payload else None, task, self._attempts[task]))
            worker.function = self._payload

    def _collect(
        self, waiting: deque[int], errors: list[BaseException], on_done: Callable[[int, object], None]
    ) -> None:
        by_pipe = {worker.pipe: worker for worker in self._live}
        by_end = {worker.process.sentinel: worker for worker in self._live}
        for ready in wait([*by_pipe, *by_end], timeout=POLL_S):
            worker = by_pipe.get(ready) or by_end[ready]  # type: ignore[call-overload, index]
            if worker not in self._live:
                continue
            try:
                message = worker.pipe.recv() if worker.pipe.poll() else None
            except (EOFError, ConnectionResetError):
                message = None
            if message is not None:
                task, worker.task = worker.task, None
                self._settle(task, message, errors, on_done)
            elif not worker.process.is_alive():
                self._bury(worker, waiting, errors)

    def _settle(self, task: int | None, message: tuple, errors: list, on_done: Callable[[int, object], None]) -> None:
        error, result = message
        if error is not None:
            errors.append(error)
        else:
            assert task is not None
            on_done(task, result)

    def _bury(self, worker: _Worker, waiting: deque[int], errors: list[BaseException]) -> None:
        worker.process.join()
        last = heartbeat.read(worker.slots)
        self._live.remove(worker)
        self._done_by_the_dead += last.done
        self.cpu_s += _cpu_of(worker)
        worker.pipe.close()
        if worker.task is None:
            return
        attempt = self._attempts[worker.task]
        self.on_death(Death(worker.task, attempt, last, worker.reason))
        if attempt >= MOST_DEATHS:
            errors.append(
                WorkerLost(
                    f"a worker died {attempt} times on task {worker.task} (exit code {worker.process.exitcode}; often "
                    "lack of memory). Give fewer workers (workers=1), or look at the system's log."
                )
            )
        else:
            waiting.appendleft(worker.task)

    def _stop_hanging(self) -> None:
        for worker in self._live:
            last = heartbeat.read(worker.slots)
            if worker.task is not None and last.ordinal >= 0 and last.since_s > self.record_timeout_s:
                worker.reason = "wall_clock"
                worker.process.kill()


def _cpu_of(worker: _Worker) -> float:
    return heartbeat.read(worker.slots).cpu_s - worker.cpu_before


def _work(pipe: Connection, slots: Any, lifeline: Connection) -> None:
    """The life of a worker: take a task, do it, send back (error, result); end when the parent ends."""
    threading.Thread(target=_end_with_parent, args=(lifeline,), daemon=True).start()
    heartbeat.attach(slots)
    function: Callable[[int, int], object] | None = None
    while True:
        try:
            payload, task, attempt = pipe.recv()
        except (EOFError, OSError):
            return
        function = dill.loads(payload) if payload else function
        assert function
        try:
            answer = (None, function(task, attempt))
        except Exception as error:  # the boundary of the process: the error goes to the parent, which raises it
            answer = (_portable(error), None)
        heartbeat.rest()
        pipe.send(answer)


def _portable(error: Exception) -> Exception:
    """The error with its traceback as a note, in a form that survives pickling."""
    error.add_note("".join(traceback.format_exception(error)))
    if isinstance(error, MillraceError | OSError):
        return error
    return RuntimeError(f"{type(error).__name__}: {error}").with_traceback(None)


def _end_with_parent(lifeline: Connection) -> None:
    with suppress(EOFError, OSError):
        lifeline.recv_bytes()  # ends when the parent, the only writer, is gone
    os._exit(1)
