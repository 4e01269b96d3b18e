"""Names of shared memory that belong to one launch, and the clearing of what dead launches left.

>>> with own_names():                 # StreamingDataset made in here uses names of this launch alone
...     dataset = StreamingDataset(…)
>>> clear_dead()                      # segments and locks whose process is gone; those of live ones are left alone

Streaming numbers its segments from 000000 on, taking the first number that looks free: two jobs that start together
can take the same one, a killed job's leftovers keep numbers for good (or stop the next one: "Reused local directory"),
and `clean_stale_shared_memory()` unlinks those of live jobs. Here the number holds the pid of the machine's first rank:
no two live launches share one, and anybody can tell whose it was.
"""

import os
import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import numpy as np

from catalog.locks import process_started

SEGMENTS = Path("/dev/shm")

_PER_PROCESS = 1000
_FIRST = 10**12
"""Our numbers have at least 13 digits: streaming's own have six."""
_NAME = re.compile(r"(\d{13,})_\w+")
_SLACK_S = 2.0

_made = count()
_making = threading.Lock()


@contextmanager
def own_names() -> Iterator[None]:
    """Let datasets that are made in this block take a number of this launch; all ranks must make the same ones."""
    clear_dead()
    from streaming.base import dataset

    with _making:
        theirs = vars(dataset)["get_shm_prefix"]
        setattr(dataset, "get_shm_prefix", _own_prefix)  # noqa: B010 - the module does not export it
        try:
            yield
        finally:
            setattr(dataset, "get_shm_prefix", theirs)  # noqa: B010


def clear_dead() -> list[Path]:
    """Remove segments and lock files of ours whose process is dead; gives what was removed."""
    gone = [path for path in (*_ours(SEGMENTS), *_ours(Path(tempfile.gettempdir()))) if _is_dead(path)]
    for path in gone:
        path.unlink(missing_ok=True)
    return gone


def _own_prefix(local: list[str], remote: list[str | None], world: object, retry: int = 0) -> tuple[int, object]:
    """Stands in for streaming's `get_shm_prefix`: a number, and the segment that says that it is taken."""
    from streaming.base.shared import SharedMemory
    from streaming.base.world import World
    from torch import distributed

    assert isinstance(world, World)
    number = _FIRST + os.getpid() * _PER_PROCESS + next(_made) % _PER_PROCESS
    several = distributed.is_available() and distributed.is_initialized()
    if several:
        numbers: list[int] = [0] * distributed.get_world_size()
        distributed.all_gather_object(numbers, number)
        number = numbers[world.node * world.ranks_per_node]  # the first rank of this machine
    segment = SharedMemory(f"{number}_locals", True, 8) if world.is_local_leader else None
    if several:
        distributed.barrier()
    segment = segment or SharedMemory(f"{number}_locals", False)
    segment.buf[:4] = np.int32(4).tobytes()
    return number, segment


def _ours(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if _NAME.fullmatch(path.name))


def _is_dead(path: Path) -> bool:
    match = _NAME.fullmatch(path.name)
    assert match
    started = process_started((int(match[1]) - _FIRST) // _PER_PROCESS)
    try:
        return started is None or started > path.stat().st_mtime + _SLACK_S
    except FileNotFoundError:
        return False
