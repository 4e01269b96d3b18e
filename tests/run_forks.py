"""Real runs as processes of their own that share one import of Composer (`from run_forks import Forks, toy_home`).

    with Forks() as forks:
        done = forks.run("pretrain", "tiny", "run=a", home=home)      # status, what it said
        job = forks.start("resume", "a", home=home); os.kill(job.pid, 9); job.wait()

The server reads command lines and forks for each: what runs is the verb's own main, as `python -m configs` runs it.
"""

import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from catalog.home import Home
from catalog.store import Catalog

TINY = ("model.layers=1", "model.hidden_size=128", "model.mlp_size=128", "model.heads=2", "model.kv_heads=2")
TOY = (*TINY, "model.context=64", "mixture=m", "batch_tokens=256", "heldout_rows=4")


STEPS = 16
KILLED_AFTER_SAVING = """
import os, training.runs.session as session
real = session.write_state
def write(*args, **fields):
    real(*args, **fields)
    os.kill(os.getpid(), 9)
session.write_state = write
"""
KILLED_BEFORE_RECORD = """
import os, training.runs.folder as folder
real = folder.RunFolder.close
def close(self, files, state, inputs=()):
    files = list(files)
    if files:
        os.kill(os.getpid(), 9)
    return real(self, files, state, inputs)
folder.RunFolder.close = close
"""


FORKED_RANKS = """
import run_ranks, sys
for name in ("training.runs.pretrain", "training.tuning.tune"):
    if name in sys.modules:
        sys.modules[name].launched = run_ranks.launched
"""


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


def words(home: Home, run: str, *more: str) -> list[str]:
    tokenizer = home.root.parent / "tokenizer"
    fixed = (f"tokenizer={tokenizer}", f"max_steps={STEPS}", "checkpoint.every_steps=4", "evaluate_steps=8")
    return ["pretrain", "tiny", f"run={run}", *fixed, *TOY, *more]


def ask(home: Home, query: str) -> list[tuple]:
    with Catalog.open(home) as catalog:
        return catalog.sql(query).fetchall()


def counts(home: Home, run: str) -> dict:
    return json.loads((home.root / "runs" / run / "1" / "record.json").read_text())["counts"]


def batches(home: Home, run: str) -> list[tuple]:
    return ask(home, f"SELECT step, domain, sample_id, tokens_hash FROM batches WHERE run = '{run}' ORDER BY ALL")


def weights(home: Home, run: str, version: int = 1) -> bytes:
    return (home.root / "models" / run / str(version) / "model.safetensors").read_bytes()


@dataclass
class Job:
    folder: Path
    pid: int

    def wait(self, timeout_s: float = 900) -> "Done":
        until = time.monotonic() + timeout_s
        status = self.folder / "status"
        while not (status.exists() and status.read_text()):  # it is there before it is written
            assert time.monotonic() < until, (self.folder / "err").read_text()
            time.sleep(0.05)
        return Done(int(status.read_text()), (self.folder / "out").read_text(), (self.folder / "err").read_text())

    def wait_for(self, path: Path, timeout_s: float = 900) -> None:
        until = time.monotonic() + timeout_s
        while not path.exists():
            assert time.monotonic() < until, f"no {path}"
            assert not (self.folder / "status").exists(), (self.folder / "err").read_text()
            time.sleep(0.005)


@dataclass
class Done:
    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """What the error says: warnings of the resource tracker may come after it."""
        lines = [line for line in self.err.splitlines() if line.strip()]
        said = [line for line in lines if line.startswith(("error:", "interrupted"))]
        return (said or lines or [""])[-1]


PRETRAINING = ("training.runs.session", "configs.pretrain")
TUNING = ("training.tuning.session", "configs.tune")


class Forks:
    def __init__(self, modules: tuple[str, ...] = PRETRAINING) -> None:
        """`modules` are imported once, for all processes."""
        self._modules = modules

    def __enter__(self) -> "Forks":
        self._folder = tempfile.TemporaryDirectory()
        self._server = subprocess.Popen(
            [sys.executable, __file__, *self._modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._server.stdin
        assert self._server.stdout
        self._pipes = self._server.stdin, self._server.stdout
        return self

    def __exit__(self, *_) -> None:
        self._pipes[0].close()
        self._server.wait()
        self._folder.cleanup()

    def start(self, *words: str, home, plant: str = "") -> Job:
        """`plant`: Python that the process runs first, to bring about what tests wait for."""
        folder = Path(tempfile.mkdtemp(dir=self._folder.name))
        told = {"words": [*words, "--home", str(home.root)], "folder": str(folder), "plant": plant}
        self._pipes[0].write(json.dumps(told) + "\n")
        self._pipes[0].flush()
        return Job(folder, int(self._pipes[1].readline()))

    def run(self, *words: str, home, plant: str = "") -> Done:
        return self.start(*words, home=home, plant=plant).wait()


def serve() -> None:
    import torch

    for module in sys.argv[1:]:
        importlib.import_module(module)
    torch.set_num_threads(1)
    for line in sys.stdin:
        told = json.loads(line)
        folder = Path(told["folder"])
        pid = os.fork()
        if not pid:
            _run(told, folder)
        print(pid, flush=True)
        if not os.fork():  # who waits for it: it has another parent, so it is asked for
            while not _gone(pid):
                time.sleep(0.05)
            if not (folder / "status").exists():
                (folder / "status").write_text("-9")
            os._exit(0)
        while os.waitpid(-1, os.WNOHANG)[0] if _has_children() else 0:
            pass


def _has_children() -> bool:
    return bool(Path(f"/proc/self/task/{os.getpid()}/children").read_text().strip())


def _gone(pid: int) -> bool:
    """A zombie whose other threads have ended too: before that, its locks are held still."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state == "Z" and len(os.listdir(f"/proc/{pid}/task")) <= 1
    except (FileNotFoundError, ProcessLookupError):
        return True


def _run(told: dict, folder: Path) -> None:
    from catalog.commands import run
    from configs.__main__ import main

    for name, number in (("out", 1), ("err", 2)):
        os.dup2(os.open(folder / name, os.O_CREAT | os.O_WRONLY), number)
    status = 1
    try:
        exec(told["plant"], {})
        run(main, told["words"])
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        partial = folder / ".status"
        partial.write_text(str(status))
        os.replace(partial, folder / "status")
        os._exit(status)


if __name__ == "__main__":
    serve()
