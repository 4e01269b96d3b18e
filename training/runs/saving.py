"""A run's state on its way to the disk, while training goes on.

>>> writing, snapshots = Background(), Snapshots()
>>> writing.wait()                                     # for the one before
>>> taken = snapshots.take(trainer.state)              # this is what training waits for
>>> writing.begin(lambda: write_state(taken, folder, sharded=False))
>>> writing.look()                                     # raises what went wrong, where it is known already

Composer 0.32 writes a checkpoint while training stands; only its uploads run beside it. Here the state has the form
that its `load_path` reads, and the bytes are written by a thread, which lets go of Python's lock while it writes.

Importing it takes seconds, since it imports composer.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from composer import State
from composer.utils import dist, reproducibility
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict_saver import save

WHOLE = "state.pt"


class Background:
    """One piece of work at a time beside the thread that asks for it; it dies with its process."""

    def __init__(self, beside: bool = True) -> None:
        """`beside=False`: work is done at once."""
        self._beside = beside
        self._thread: threading.Thread | None = None
        self._wrong: BaseException | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin, when the work before is done."""
        self.wait()
        if self._beside:
            self._thread = threading.Thread(target=self._run, args=(work,), daemon=True, name="checkpoint")
            self._thread.start()
        else:
            work()

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # raised again by wait; torch's CheckpointException is no Exception
            self._wrong = error

    def look(self) -> None:
        """Raise what went wrong in work that has ended."""
        if self._thread and not self._thread.is_alive():
            self.wait()

    def wait(self) -> None:
        """Wait for its end; raise what went wrong."""
        if self._thread:
            self._thread.join()
        wrong, self._thread, self._wrong = self._wrong, None, None
        if wrong:
            raise wrong


class Snapshots:
    """Copies of a run's state in the memory of the host, the next in the place of the last.

    The place is kept: memory that a process has never touched took 4.1 s for 1.4 GiB, the copy into it 0.25 s.
    """

    def __init__(self) -> None:
        self._stager = DefaultStager(StagingOptions(False, False, False, False))

    def take(self, state: State) -> dict[str, Any]:
        """Everything that a resume needs; empty where another process writes it. The one before must be written.

        All processes must call it. Sharded states are of this process's part, others of the whole.
        """
        found = {"state": state.state_dict(), "rng": reproducibility.get_rng_state()}
        if dist.get_global_rank():
            if not state.fsdp_sharded_state_dict_enabled:
                return {}
            del found["rng"]  # the first process has them all
        return self._stager.stage(found)  # pyright: ignore[reportReturnType]  # a Future only where it is asynchronous


def write_state(state: Mapping[str, Any], folder: Path, sharded: bool, group: Any = None) -> None:
    """Write a held state. Sharded, all processes of `group` must; it comes back when all have written."""
    folder.mkdir(parents=True, exist_ok=True)
    with full_disk_said(folder):
        if sharded:
            planner = DefaultSavePlanner(dedup_save_to_lowest_rank=True)
            save(dict(state), storage_writer=FileSystemWriter(folder), planner=planner, process_group=group)
        else:
            torch.save(dict(state), folder / WHOLE)


def loadable(folder: Path) -> Path:
    """What Composer loads: a file of whole state, or the folder of a sharded one."""
    return folder / WHOLE if (folder / WHOLE).exists() else next(folder.rglob(".metadata")).parent


@contextmanager
def full_disk_said(path: Path) -> Iterator[None]:
    """torch reports a write that failed without the error behind it."""
    try:
        yield
    except (RuntimeError, CheckpointException) as error:
        behind = [wrong for wrong, _ in error.failures.values()] if isinstance(error, CheckpointException) else [error]
        said = " ".join(map(str, behind))
        full = "inline_container" in said and ("write failed" in said or "unexpected pos" in said)
        if full or os.strerror(errno.ENOSPC) in said:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        raise RuntimeError(said) from error
