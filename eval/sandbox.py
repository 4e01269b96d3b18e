"""Run Python code that a model wrote: no network, no files of this machine, limits on everything, nothing left over.

>>> run("print(6 * 7)").output
'42\\n'
>>> passes("def add(a, b): return a + b", "assert add(1, 2) == 3")
True

What holds the code (`LAYERS`): `user` (nobody where this runs as root, without capabilities and the way to new ones),
`files` (a root of its own with the interpreter and the libraries, read-only, and an empty folder in memory), `network`
(none), `processes` (all die with the run). They are Linux namespaces, which need no privileges where the system lets
users have them. Where it does not, `run` refuses, unless the limits name what may be missing (`allow_missing`).

What does not hold it: the kernel's own faults (no system calls are filtered). In `passes` code and tests share an
interpreter: code that leaves early does not pass, code written to forge this very check can.
"""

import json
import os
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple

from pydantic import Field

from catalog.config import Config

LAYERS = ("user", "files", "network", "processes")
NOBODY = 65534
OWN_PROCESSES = 3
"""Ours, which count among the user's own."""
GRACE_S = 5.0
"""How long a killed run may take to be gone."""
_JAIL = Path(__file__).with_name("jail.py")
_LIBRARIES = ("/lib", "/lib32", "/lib64", "/usr/lib", "/usr/lib32", "/usr/lib64")


class Limits(Config):
    """What a run may use. Memory and CPU time are of each process, of which there may be `processes`."""

    wall_s: float = Field(default=10.0, gt=0)
    cpu_s: int = Field(default=5, ge=1)
    memory_mb: int = Field(default=512, ge=64)
    processes: int = Field(default=4, ge=1)
    """Processes and threads, the first one counted."""
    open_files: int = Field(default=64, ge=8)
    file_mb: int = Field(default=16, ge=1)
    """The largest file, and all files together."""
    output_kb: int = Field(default=256, ge=1)
    """Of standard output, and of standard error."""
    allow_missing: tuple[str, ...] = ()
    """Layers without which the code is run all the same, of `LAYERS`. Only for code that you have read."""


class Outcome(NamedTuple):
    """How a run ended."""

    passed: bool
    """It ended by itself with exit status 0."""
    ending: str
    """`done`, `error` (exit status), `signal`, `wall`, `cpu`, `memory`, `output`, or `refused` (nothing was run)."""
    output: str
    error: str
    """Standard error; where nothing was run, why."""
    status: int
    """The exit status, or minus the signal; 0 where the run was killed from here."""
    cpu_s: float
    wall_s: float
    missing: tuple[str, ...] = ()
    """Layers that this system does not give."""


def run(code: str, stdin: str = "", limits: Limits | None = None) -> Outcome:
    """Run a program by itself, with `stdin` as its standard input."""
    limits, began = limits or Limits(), time.monotonic()
    with _private_folder() as folder, _jail() as (process, control, status):
        try:
            said = _line(status, began + limits.wall_s)
            missing, uid = _missing(said, process.pid)
            if barred := [layer for layer in missing if layer not in limits.allow_missing]:
                return _refused(f"this system does not give {', '.join(barred)} ({said.get('refused')})", missing)
            request = _request(code, limits, uid, folder, walled="files" not in missing)
            if "files" in missing:
                _lay_out(folder, code, uid)
            with control:
                control.write(json.dumps(request).encode())
        except (BrokenPipeError, ValueError, TimeoutError) as error:
            return _refused(f"the sandbox did not start: {error}", ())
        streams = _Streams(process, status, stdin.encode("utf-8", "surrogatepass"), limits.output_kb << 10)
        why = streams.follow(began + limits.wall_s)
        return _outcome(streams, why, limits, time.monotonic() - began, missing)


def passes(code: str, tests: str, limits: Limits | None = None) -> bool:
    """Whether code passes its tests: statements that run after it and raise where it is wrong.

    The end of the tests must have been reached: code that exits with status 0 before does not pass.
    """
    proof = secrets.token_hex(16)
    done = run(_HARNESS, json.dumps([code, tests, proof]), limits)
    return done.passed and done.output.endswith(proof)


_HARNESS = """
import io, json, os, sys
def main(run=exec, make=compile, say=os.write, out=sys.stdout):
    code, tests, proof = json.loads(sys.stdin.read())
    sys.stdin = io.StringIO()
    space = vars(sys.modules["__main__"])
    for name in ("main", "io", "json", "os", "sys"):
        del space[name]
    run(make(code, "code", "exec"), space)
    run(make(tests, "tests", "exec"), space)
    out.flush()
    say(1, proof.encode())
main()
"""


@contextmanager
def _private_folder() -> Iterator[Path]:
    """An empty folder for the run where it cannot have one in memory; removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="millrace-run-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _jail() -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], int]]:
    """Start the far side; gives its process, the pipe for the request and the descriptor of its reports."""
    control, control_end = os.pipe()
    status, status_end = os.pipe()
    words = [os.path.realpath(sys.executable), "-I", "-S", "-B", str(_JAIL), str(control), str(status_end)]
    try:
        process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={},
            cwd="/",
            pass_fds=(control, status_end),
            start_new_session=True,
            bufsize=0,
        )
    finally:
        os.close(control)
        os.close(status_end)
    try:
        with os.fdopen(control_end, "wb") as stream:
            yield process, stream, status
    except BrokenPipeError:
        pass
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe:
                pipe.close()
        os.close(status)


def _line(status: int, deadline: float) -> dict[str, str]:
    """The first report of the far side: `refused` says why there are no namespaces, or is empty."""
    with selectors.DefaultSelector() as selector:
        selector.register(status, selectors.EVENT_READ)
        if not selector.select(max(0.0, deadline - time.monotonic())):
            raise TimeoutError("it did not answer")
    return json.loads(os.read(status, 4096).partition(b"\n")[0])


def _missing(said: dict[str, str], pid: int) -> tuple[tuple[str, ...], int]:
    """The layers that are not there, and the user that the code runs as; maps the users of the namespace."""
    uid, gid = os.getuid(), os.getgid()
    if said["refused"]:
        return (LAYERS[1:], NOBODY) if uid == 0 and _knows_nobody() else (LAYERS, uid)
    for user, ids in ((NOBODY, f"0 0 1\n{NOBODY} {NOBODY} 1"), (uid, "")) if uid == 0 else ((uid, ""),):
        try:
            _map(pid, ids or f"{uid} {uid} 1", ids or f"{gid} {gid} 1", keep_groups=bool(ids))
        except OSError:
            continue
        return (("user",) if user == 0 else ()), user
    return LAYERS, uid


def _knows_nobody() -> bool:
    """Whether the user namespace that this process is in has nobody."""
    spans = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= NOBODY < first + count for first, _, count in spans)


def _map(pid: int, users: str, groups: str, keep_groups: bool) -> None:
    """Say which users outside those in the namespace of `pid` are."""
    folder = Path(f"/proc/{pid}")
    (folder / "uid_map").write_text(users)
    if not keep_groups:
        (folder / "setgroups").write_text("deny")
    (folder / "gid_map").write_text(groups)


def _request(code: str, limits: Limits, uid: int, folder: Path, walled: bool) -> dict[str, object]:
    prefix = os.path.realpath(sys.base_prefix)
    libraries = [path for path in _LIBRARIES if os.path.exists(path) and not path.startswith(f"{prefix}/")]
    return {
        "code": code,
        "walled": walled,
        "folder": str(folder),
        "uid": uid,
        "python": os.path.realpath(sys.executable),
        "readable": [prefix, *libraries],
        "disk_bytes": limits.file_mb << 20,
        "limits": {
            "AS": limits.memory_mb << 20,
            "CPU": limits.cpu_s,
            "NPROC": limits.processes + OWN_PROCESSES - (uid == NOBODY),
            "NOFILE": limits.open_files,
            "FSIZE": limits.file_mb << 20,
            "CORE": 0,
            "MSGQUEUE": 0,
        },
    }


def _lay_out(folder: Path, code: str, uid: int) -> None:
    """The program in a folder on the disk, for a run without the layer `files`."""
    program = folder / ".program.py"
    program.write_text(code, encoding="utf-8", errors="surrogatepass")
    if os.getuid() == 0:
        os.chown(folder, uid, uid)
        program.chmod(0o644)


class _Streams:
    """What goes in and out of a run, within bounds."""

    def __init__(self, process: subprocess.Popen[bytes], status: int, stdin: bytes, most_bytes: int) -> None:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        self.process, self.most_bytes, self._stdin = process, most_bytes, memoryview(stdin)
        self.out, self.err, self.report = bytearray(), bytearray(), bytearray()
        self._into = {process.stdout.fileno(): self.out, process.stderr.fileno(): self.err, status: self.report}
        self._selector = selectors.DefaultSelector()
        for descriptor in self._into:
            self._selector.register(descriptor, selectors.EVENT_READ)
        self._feed = process.stdin.fileno()
        os.set_blocking(self._feed, False)
        self._selector.register(self._feed, selectors.EVENT_WRITE)

    def follow(self, deadline: float) -> str:
        """Read and write until all is said; gives why it was cut off: `wall`, `output`, or nothing."""
        why = ""
        with self._selector:
            while any(descriptor in self._selector.get_map() for descriptor in self._into):
                events = self._selector.select(max(0.0, deadline - time.monotonic()))
                if not events:
                    if why:
                        break
                    why, deadline = "wall", self._kill()
                for key, _ in events:
                    self._move(key.fd)
                if not why and max(len(self.out), len(self.err)) > self.most_bytes:
                    why, deadline = "output", self._kill()
        return why

    def _kill(self) -> float:
        os.killpg(self.process.pid, signal.SIGKILL)
        return time.monotonic() + GRACE_S

    def _move(self, descriptor: int) -> None:
        if descriptor == self._feed:
            self._write()
        elif data := os.read(descriptor, 1 << 16):
            into = self._into[descriptor]
            into += data[: max(0, self.most_bytes + 1 - len(into))]
        else:
            self._selector.unregister(descriptor)

    def _write(self) -> None:
        try:
            self._stdin = self._stdin[os.write(self._feed, self._stdin[: 1 << 16]) :]
        except BrokenPipeError:
            self._stdin = self._stdin[:0]
        if not self._stdin:
            self._selector.unregister(self._feed)
            if self.process.stdin:
                self.process.stdin.close()


def _outcome(streams: _Streams, why: str, limits: Limits, wall_s: float, missing: tuple[str, ...]) -> Outcome:
    report = json.loads(bytes(streams.report).partition(b"\n")[0] or b"{}")
    if "failed" in report:
        return _refused(f"the sandbox could not be built: {report['failed']}", missing)
    status = os.waitstatus_to_exitcode(report["how"]) if "how" in report else 0
    output, error = (
        bytes(part[: streams.most_bytes]).decode("utf-8", "replace") for part in (streams.out, streams.err)
    )
    cpu_s = float(report.get("cpu_s", 0.0))
    ending = why or _ending(status, error, cpu_s >= limits.cpu_s, "how" in report)
    return Outcome(ending == "done", ending, output, error, status, cpu_s, wall_s, missing)


def _ending(status: int, error: str, out_of_time: bool, reported: bool) -> str:
    if not reported:
        return "signal"
    if status == -signal.SIGXCPU or (status < 0 and out_of_time):
        return "cpu"
    if status == 0:
        return "done"
    if error.rstrip().rpartition("\n")[2].startswith("MemoryError"):
        return "memory"
    return "signal" if status < 0 else "error"


def _refused(why: str, missing: tuple[str, ...]) -> Outcome:
    return Outcome(False, "refused", "", why, 0, 0.0, 0.0, missing)
