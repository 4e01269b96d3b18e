"""Locks that die with their process, and what dead processes leave."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from toys import dead_pid

from catalog.errors import Busy
from catalog.home import partial_name
from catalog.locks import clear_partials, hold, holder, is_leftover, leftovers, lock_of, stale_locks

HOLD = """
import sys, time
from pathlib import Path
from catalog.locks import hold
with hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def another(tmp_path):
    """Another process that holds the lock `tmp_path/.1.lock`."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / ".1.lock")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_lock_of_a_live_process_names_it(another, tmp_path):
    lock = lock_of(tmp_path / "1")
    with pytest.raises(Busy, match=f"process {another.pid} on "), hold(lock):
        pass
    who = holder(lock)
    assert who
    assert who.alive
    assert stale_locks(tmp_path) == []


def test_a_lock_of_a_killed_process_is_taken_over(another, tmp_path):
    lock = lock_of(tmp_path / "1")
    another.send_signal(signal.SIGKILL)
    another.wait()
    assert stale_locks(tmp_path) == [lock]
    with hold(lock):
        assert holder(lock).pid == os.getpid()
        assert stale_locks(tmp_path) == []
    assert not lock.exists()


def test_waiting_for_a_lock(another, tmp_path):
    import threading

    threading.Timer(0.3, another.kill).start()
    with hold(lock_of(tmp_path / "1"), wait_s=30):
        assert another.wait() == -signal.SIGKILL


def test_a_process_does_not_hold_a_lock_twice(tmp_path):
    lock = tmp_path / ".1.lock"
    with hold(lock), pytest.raises(Busy, match=f"process {os.getpid()}"), hold(lock):
        pass
    with hold(lock):
        pass


def test_a_forked_worker_does_not_keep_the_lock(tmp_path):
    """A lock that forked workers kept would outlive a killed build for as long as they work on."""
    code = HOLD.replace("time.sleep(60)", "import os; os.fork() or time.sleep(60); time.sleep(60)")
    parent = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / ".2.lock")], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout
    parent.stdout.readline()
    deadline = time.monotonic() + 10
    while not (children := psutil.Process(parent.pid).children()) and time.monotonic() < deadline:
        time.sleep(0.01)
    parent.kill()
    parent.wait()
    try:
        assert children[0].is_running()
        with hold(tmp_path / ".2.lock", wait_s=5):
            pass
    finally:
        children[0].kill()
        parent.stdout.close()


def _count_up(path: str, lock: str, times: int) -> None:
    from pathlib import Path

    for _ in range(times):
        with hold(Path(lock), wait_s=60):
            number = int(Path(path).read_text())
            time.sleep(0.001)
            Path(path).write_text(str(number + 1))


def test_one_at_a_time(tmp_path):
    (tmp_path / "n").write_text("0")
    context = multiprocessing.get_context("fork")
    arguments = (str(tmp_path / "n"), str(tmp_path / ".n.lock"), 25)
    workers = [context.Process(target=_count_up, args=arguments) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert (tmp_path / "n").read_text() == "75"


def test_partials_of_the_dead_are_cleared_and_of_the_living_never(another, tmp_path):
    mine = partial_name(tmp_path / "a" / "part-0.parquet")
    others = tmp_path / "a" / f".part-1.parquet.{another.pid}.partial"
    dead = tmp_path / "a" / f".part-2.parquet.{dead_pid()}.partial"
    folder = tmp_path / "b" / f".shard.{dead_pid()}.partial"
    folder.mkdir(parents=True)
    (folder / "inside").write_text("x")
    (tmp_path / "a").mkdir()
    for path in (mine, others, dead):
        path.write_text("x")
    (tmp_path / "a" / "part-3.parquet").write_text("whole")
    assert leftovers(tmp_path) == sorted([dead, folder])
    assert clear_partials(tmp_path) == sorted([dead, folder])
    assert sorted(path.name for path in tmp_path.rglob("*part*") if path.is_file()) == sorted(
        [mine.name, others.name, "part-3.parquet"]
    )
    assert clear_partials(tmp_path) == []


def test_a_reused_pid_is_another_process(another, tmp_path):
    """A file last written before the process with its pid began was not written by that process."""
    path = tmp_path / f".part.{another.pid}.partial"
    path.write_text("x")
    assert not is_leftover(path)
    os.utime(path, (time.time() - 3600, time.time() - 3600))
    assert is_leftover(path)
