"""Several processes of a run on one machine: started by Composer's launcher, told of signals, gone with their leader.

>>> launched(["composer", "-n", "2", …])      # the exit status

The launcher ends at once on SIGTERM and leaves its processes behind, and on Ctrl-C kills them after 30 seconds: so it
gets a session of its own, and signals go to the processes themselves, which save their state.
"""

import json
import os
import signal
import socket
import subprocess
import threading
import time
from types import FrameType

import psutil

from catalog.config import Config
from catalog.errors import BadInput
from catalog.home import written
from catalog.locks import process_started
from training.runs.folder import LAUNCH, RunFolder, RunState

_SLACK_S = 2.0
_LOOK_EVERY_S = 0.5


def launched(command: list[str]) -> int:
    """Run a launcher to its end; SIGTERM and SIGINT of this process reach every process that it started."""
    launcher = subprocess.Popen(command, start_new_session=True)

    def tell(number: int, frame: FrameType | None) -> None:
        for process in psutil.Process(launcher.pid).children() if launcher.poll() is None else ():
            process.send_signal(signal.SIGTERM)

    before = {number: signal.signal(number, tell) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return launcher.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leader() -> dict[str, str | int | float]:
    """This process, as those that it starts may know it."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, "started": process_started(pid) or 0.0}


def die_with(who: dict[str, str | int | float]) -> None:
    """End this process soon after its leader was killed: its lock is free then, and another may take the run up."""
    if who["host"] == socket.gethostname():
        threading.Thread(target=_watch, args=(int(who["pid"]), float(who["started"])), daemon=True).start()


def _watch(pid: int, started: float) -> None:
    while abs((process_started(pid) or 0.0) - started) < _SLACK_S:
        time.sleep(_LOOK_EVERY_S)
    os.kill(os.getpid(), signal.SIGKILL)


def tell(run: RunFolder, launch: dict, config: Config) -> None:
    """Write down what an attempt's processes, and the next resume, go by."""
    told = {"launch": launch, "config": config.model_dump(mode="json"), "leader": leader()}
    with written(run.path / LAUNCH) as partial:
        partial.write_text(json.dumps(told))


def told(run: RunFolder) -> dict:
    """What was told last."""
    return json.loads((run.path / LAUNCH).read_text())


def raise_ended(state: RunState) -> None:
    """Raise what ended a run's processes, as far as its record says it: BadInput or Interrupted."""
    if state.status == "diverged":
        raise BadInput(state.detail)
    if state.status == "stopped":
        from training.runs.callbacks import Interrupted

        raise Interrupted(state.detail)
