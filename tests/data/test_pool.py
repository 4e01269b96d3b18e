"""The pool: a dead, hanging or failing worker costs only its own attempt."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from catalog.errors import Unbalanced, WorkerLost
from data.run import heartbeat
from data.run.pool import Crew, Death, Pool


class Scripted:
    """A task function that does, on the first attempt at some tasks, what its script says."""

    def __init__(self, script: dict[int, str], always: bool = False) -> None:
        self.script, self.always = script, always

    def __call__(self, task: int, attempt: int) -> int:
        heartbeat.beat(0, task * 10)
        act = self.script.get(task) if self.always or attempt == 1 else None
        if act == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if act == "hang":
            time.sleep(60)
        if act == "raise":
            raise Unbalanced("it does not add up")
        heartbeat.advance(1)
        return task * 2


def run(pool: Pool, tasks: int) -> dict[int, object]:
    results: dict[int, object] = {}
    pool.run(range(tasks), on_done=results.__setitem__)
    return results


def test_every_task_is_done_once():
    assert run(Pool(Scripted({}), workers=2), 20) == {task: task * 2 for task in range(20)}


def test_a_killed_worker_is_replaced_and_its_task_done_again():
    deaths: list[Death] = []
    assert run(Pool(Scripted({3: "die"}), workers=2, on_death=deaths.append), 6) == {
        task: task * 2 for task in range(6)
    }
    assert [(death.task, death.attempt, death.reason, death.beat.ordinal) for death in deaths] == [(3, 1, "killed", 30)]


def test_a_hanging_record_is_ended_by_the_clock():
    deaths: list[Death] = []
    pool = Pool(Scripted({1: "hang"}), workers=2, record_timeout_s=0.5, on_death=deaths.append)
    assert run(pool, 3) == {0: 0, 1: 2, 2: 4}
    assert [(death.task, death.reason) for death in deaths] == [(1, "wall_clock")]


def test_one_exception_loses_no_other_work_and_keeps_its_type():
    results: dict[int, object] = {}
    with pytest.raises(Unbalanced, match="does not add up"):
        Pool(Scripted({0: "raise"}), workers=2).run(range(8), on_done=results.__setitem__)
    assert results == {task: task * 2 for task in range(1, 8)}


def test_a_task_that_kills_every_worker_is_given_up_with_a_word():
    with pytest.raises(WorkerLost, match="task 0"):
        run(Pool(Scripted({0: "die"}, always=True), workers=1), 2)


def whoami(task: int, attempt: int) -> int:
    heartbeat.advance(1)
    return os.getpid()


def test_a_crew_works_for_one_pool_after_the_other():
    """The same processes, each pool's own progress and CPU seconds; one that died between them is replaced."""
    with Crew() as crew:
        steps: list[int] = []
        first = Pool(whoami, workers=2, crew=crew)
        pids = set(run(first, 8).values())
        assert run(Pool(Scripted({}), workers=2, on_progress=steps.append, crew=crew), 6) == {
            n: 2 * n for n in range(6)
        }
        assert sum(steps) == 6
        assert {worker.process.pid for worker in crew.live} >= pids
        assert set(run(Pool(whoami, workers=1, crew=crew), 4).values()) <= {crew.live[0].process.pid}
        lost = crew.live[0].process
        lost.kill()
        lost.join()
        again = set(run(Pool(whoami, workers=2, crew=crew), 8).values())
        assert again == {worker.process.pid for worker in crew.live}
        assert lost.pid not in again
        with pytest.raises(Unbalanced):
            run(Pool(Scripted({0: "raise"}), workers=2, crew=crew), 3)
        assert run(Pool(Scripted({}), workers=2, crew=crew), 3) == {0: 0, 1: 2, 2: 4}
        live = [worker.process for worker in crew.live]
    assert not any(process.is_alive() for process in live)


def test_workers_end_when_their_parent_is_killed(tmp_path: Path):
    code = (
        "from tests_pool_helper import linger\nfrom data.run.pool import Pool\n"
        "if __name__ == '__main__':\n    Pool(linger, workers=2).run(range(2))\n"
    )
    (tmp_path / "tests_pool_helper.py").write_text(
        "import os, time, pathlib\n"
        "def linger(task, attempt):\n"
        f"    pathlib.Path({str(tmp_path)!r}, f'pid{{task}}').write_text(str(os.getpid()))\n"
        "    time.sleep(60)\n"
    )
    (tmp_path / "main.py").write_text(code)
    parent = subprocess.Popen(
        [sys.executable, "main.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(tmp_path)}
    )
    wait_for(lambda: all((tmp_path / f"pid{task}").exists() for task in range(2)))
    pids = [int((tmp_path / f"pid{task}").read_text() or 0) for task in range(2)]
    parent.kill()
    parent.wait()
    wait_for(lambda: not any(alive(pid) for pid in pids))


def wait_for(condition, limit_s: float = 20.0) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
