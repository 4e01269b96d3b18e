"""The sandbox under attack: programs that try to get out, to stay, to take all there is, or to pass without working."""

import os
import shutil
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from eval.sandbox import LAYERS, Limits, passes, run

ROOT = Path(__file__).resolve().parents[2]
FAST = Limits(wall_s=20, cpu_s=2)
START_S = 60.0
"""Enough for a run to start and end on a machine that is busy; what is asserted is never how long it took."""


@pytest.fixture(scope="module", autouse=True)
def layers():
    missing = run("pass", limits=Limits(wall_s=START_S, allow_missing=LAYERS)).missing
    if missing:
        pytest.skip(f"this system does not give {', '.join(missing)}")


def attack(code: str, **limits):
    return run(code, limits=FAST.variant(**{"wall_s": START_S, **limits}))


def tried(code: str) -> str:
    """What an expression or a call gives inside, or the name of its error."""
    done = attack(
        f"import os, sys\ntry:\n    print({code})\nexcept BaseException as error:\n    print(type(error).__name__)"
    )
    assert done.passed, done
    return done.output.strip()


def alive(mark: str) -> list[int]:
    """Processes of this machine whose command line has a word in it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_program_gets_its_input_and_gives_its_output():
    done = run("import sys\nprint(sys.stdin.read()[::-1])\nprint('错', file=sys.stderr)", "出入", FAST)
    assert (done.passed, done.ending, done.output, done.error) == (True, "done", "入出\n", "错\n")
    assert done.missing == ()


def test_a_program_that_fails_says_how():
    done = attack("1 / 0")
    assert (done.passed, done.ending, done.status) == (False, "error", 1)
    assert 'File "/program.py", line 1' in done.error
    assert attack("raise SystemExit(3)").status == 3


@pytest.mark.parametrize("size", [1 << 20])
def test_input_that_nobody_reads_and_input_that_is_long(size: int):
    assert run("pass", "x" * size, FAST).passed
    assert run("import sys; print(len(sys.stdin.read()))", "x" * size, FAST).output == f"{size}\n"


def test_nothing_is_inherited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("SECRET", "key")
    with (tmp_path / "open").open("w") as stream:
        os.set_inheritable(stream.fileno(), True)
        assert tried("sorted(os.environ)") == "['HOME', 'LANG', 'PATH', 'PYTHONHASHSEED']"
        code = """
import os
found = []
for number in range(3, 64):
    try:
        os.fstat(number); found.append(number)
    except OSError: pass
print(found)"""
        assert attack(code).output == "[]\n"


@pytest.mark.parametrize("path", ["/etc/shadow", "/etc/passwd", str(ROOT / "README.md"), "/proc/1/environ", "/sys"])
def test_files_of_the_machine_are_not_there(path: str):
    assert tried(f"open({path!r}).read()") == "FileNotFoundError"
    assert tried(f"os.listdir({str(ROOT)!r})") == "FileNotFoundError"


def test_it_is_nobody_and_its_folder_is_empty_and_gone_afterwards():
    before = set(os.listdir(tempfile.gettempdir()))
    code = "import os; print(os.getuid(), os.listdir('.')); open('kept', 'w').write('x'); print(os.path.exists('kept'))"
    done = attack(code)
    assert done.output.endswith(" []\nTrue\n")
    assert os.getuid() != 0 or done.output.startswith("65534 ")
    assert not [name for name in set(os.listdir(tempfile.gettempdir())) - before if name.startswith("millrace-run-")]
    assert tried("os.listdir('.')") == "[]"


@pytest.mark.parametrize("path", ["/program.py", "/new", "/usr/lib/new", "/dev/new", os.path.realpath(sys.executable)])
def test_nothing_outside_its_folder_can_be_written(path: str):
    assert tried(f"open({path!r}, 'a')") in ("OSError", "PermissionError", "FileNotFoundError")


def test_symlinks_lead_nowhere(tmp_path: Path):
    (tmp_path / "secret").write_text("x")
    code = f"""
import os
for target in ({str(tmp_path / "secret")!r}, "/etc/shadow", "../../../etc/shadow", "/proc/1/cwd/etc/shadow"):
    os.symlink(target, "link")
    try:
        print(open("link").read())
    except OSError as error:
        print(type(error).__name__)
    os.remove("link")"""
    assert attack(code).output.split() == ["FileNotFoundError"] * 4


def test_a_server_on_loopback_cannot_be_reached():
    with socketserver.TCPServer(("127.0.0.1", 0), socketserver.BaseRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        where = server.server_address
        connect = f"__import__('socket').create_connection({where!r}, 2)"
        done = subprocess.run([sys.executable, "-c", connect], capture_output=True)
        assert done.returncode == 0  # it can, from outside
        assert tried(connect) == "OSError"
        server.shutdown()


def test_a_fork_bomb_ends_at_the_limit():
    done = attack("import os\nwhile True:\n    os.fork()")
    assert (done.passed, done.ending) == (False, "error")
    assert "BlockingIOError" in done.error


def test_a_fork_bomb_that_does_not_mind_errors_is_gone_at_the_limit():
    code = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass  # 9d1f27"
    done = attack(code, wall_s=4)
    assert done.ending in ("wall", "cpu")
    assert len(alive("/program.py")) == 0


def test_threads_count_as_processes():
    code = """
import threading, time
for _ in range(50):
    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()"""
    assert "can't start new thread" in attack(code).error


@pytest.mark.parametrize("code", ["x = []\nwhile True: x.append(bytearray(1 << 24))", "bytearray(1 << 40)"])
def test_a_memory_bomb_ends_at_the_limit(code: str):
    assert attack(code, memory_mb=128).ending == "memory"


def test_endless_output_is_cut():
    done = attack("while True: print('x' * 1000)", output_kb=64)
    assert (done.ending, len(done.output)) == ("output", 64 << 10)


def test_an_endless_loop_ends_at_the_cpu_limit_also_where_the_signal_is_ignored():
    assert attack("while True: pass", cpu_s=1).ending == "cpu"
    done = attack("import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass", cpu_s=1)
    assert (done.ending, done.status) == ("cpu", -9)


def test_sleep_ends_at_the_wall_limit():
    assert attack("import time; time.sleep(1000)", wall_s=2).ending == "wall"


def test_children_that_detach_do_not_outlive_the_run():
    mark = f"outlive-{os.getpid()}"
    code = f"""
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.close(0); os.close(1); os.close(2)
        os.execv({os.path.realpath(sys.executable)!r}, ["python", "-S", "-c", "import time; time.sleep(600)", {mark!r}])
    os._exit(0)
time.sleep(1)
print("left")"""
    done = attack(code)
    assert done.output == "left\n"
    deadline = time.monotonic() + 10
    while alive(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive(mark) == []


def test_it_cannot_kill_what_holds_it():
    code = """
import os, signal
for pid in (os.getppid(), 1, -1):
    for number in (signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM):
        try:
            os.kill(pid, number)
        except OSError as error:
            print(type(error).__name__)
print("still here", os.getppid())"""
    assert attack(code).output.splitlines()[-1] == "still here 1"


def test_it_sees_no_other_process():
    assert tried(f"os.kill({os.getpid()}, 0)") == "ProcessLookupError"


def test_a_signal_to_itself_is_the_ending():
    done = attack("import os; os.kill(os.getpid(), 11)")
    assert (done.ending, done.status) == ("signal", -11)


def test_files_have_a_size_and_all_of_them_have_one():
    assert tried("open('big', 'wb').truncate(1 << 40)") == "OSError"
    code = """
try:
    for number in range(100):
        open(str(number), "wb").write(bytes(1 << 20))
except OSError as error:
    print(number < 8, error.errno)"""
    assert attack(code, file_mb=4).output == "True 28\n"
    inodes = "import os\nfor number in range(10**6): os.mkdir(str(number))"
    assert "No space left" in attack(inodes).error


def test_too_many_open_files():
    assert "Too many open files" in attack("kept = [open('/dev/null') for _ in range(100)]").error


@pytest.mark.parametrize(
    "call",
    [
        "libc.setuid(0)",
        "libc.setrlimit(9, (ctypes.c_ulong * 2)(1 << 62, 1 << 62))",
        "libc.unshare(0x10000000)",
        "libc.unshare(0x00020000)",
        "libc.mount(b'tmpfs', b'/work', b'tmpfs', 0, None)",
        "libc.mount(b'proc', b'/work', b'proc', 0, None)",
        "libc.umount2(b'/usr', 2)",
        "libc.chroot(b'/work')",
        "libc.ptrace(16, 1, 0, 0)",
        "libc.sethostname(b'x', 1)",
        "libc.setns(0, 0)",
        "libc.prctl(24, 1, 0, 0, 0) or libc.prctl(28, 0, 0, 0, 0)",
        "libc.kill(1, 9) or -1",
    ],
)
def test_ctypes_does_not_undo_the_limits(call: str):
    done = attack(f"import ctypes\nlibc = ctypes.CDLL(None, use_errno=True)\nprint({call})")
    assert done.output == "-1\n", done


def test_many_runs_at_once_do_not_disturb_each_other():
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda number: run(f"print({number})", "", Limits(wall_s=START_S)), range(12)))
    assert [one.output for one in done] == [f"{number}\n" for number in range(12)]


def test_a_killed_caller_leaves_nothing():
    mark = f"orphan-{os.getpid()}"
    code = f"import time; time.sleep(600)  # {mark}"
    words = [sys.executable, "-c", f"from eval.sandbox import *; run({code!r}, '', Limits(wall_s=600))"]
    before = set(alive("/program.py"))
    with subprocess.Popen(words, cwd=ROOT) as caller:
        deadline = time.monotonic() + START_S
        while not (set(alive("/program.py")) - before) and time.monotonic() < deadline:
            time.sleep(0.05)
        caller.kill()
    deadline = time.monotonic() + 10
    while set(alive("/program.py")) - before and time.monotonic() < deadline:
        time.sleep(0.05)
    assert set(alive("/program.py")) == before


ADD = "def add(a, b):\n    return a + b\n"


def test_code_passes_its_tests_or_not():
    assert passes(ADD, "assert add(1, 2) == 3\nassert add('a', 'b') == 'ab'")
    assert not passes(ADD, "assert add(1, 2) == 4")
    assert not passes("def add(a, b)", "assert True")
    assert passes("from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int", "assert A(1).x == 1")


@pytest.mark.parametrize(
    "cheat",
    [
        "import sys; sys.exit(0)",
        "import os; os._exit(0)",
        "raise SystemExit",
        "import builtins; builtins.exec = lambda *a: None; print('passed')\ndef add(*a): raise SystemExit(0)",
        "import os\nif os.fork(): os._exit(0)",
        "import sys; sys.settrace(None); sys.stdout.close()",
    ],
)
def test_leaving_early_does_not_pass(cheat: str):
    assert not passes(cheat, "assert add(1, 2) == 4")


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not there")
def test_without_a_layer_it_refuses_and_runs_only_where_told_so():
    """In a namespace that gives no further ones, as some containers are."""
    code = (
        "from eval.sandbox import *\n"
        "refused = run('print(1)')\n"
        "print(refused.ending, refused.missing, refused.output, refused.error)\n"
        "done = run('print(1)', limits=Limits(wall_s=60, allow_missing=LAYERS))\n"
        "print(done.ending, done.missing, done.output)"
    )
    inside = f'echo 0 > /proc/sys/user/max_user_namespaces; exec "{sys.executable}" -c "{code}"'
    done = subprocess.run(["unshare", "-Ur", "sh", "-c", inside], cwd=ROOT, capture_output=True, text=True)
    refused, *ran = done.stdout.splitlines()
    assert refused.startswith(
        "refused ('user', 'files', 'network', 'processes')  this system does not give user, files"
    ), done
    assert ran[0].startswith("done ('user', 'files', 'network', 'processes') 1"), done


@pytest.mark.skipif(not shutil.which("unshare"), reason="unshare is not there")
def test_an_ordinary_user_has_every_layer():
    code = "from eval.sandbox import *; print(run('import os; print(os.getuid(), os.listdir())'))"
    words = ["unshare", "-U", "--map-user=1000", "--map-group=1000", sys.executable, "-c", code]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True)
    assert "ending='done', output='1000 []\\n'" in done.stdout, done
    assert "missing=()" in done.stdout
