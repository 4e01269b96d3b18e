"""How commands end: one line and a status, whatever happens."""

import errno
import os
import signal
import subprocess
import sys

import pytest

from catalog.commands import Parser, run
from catalog.errors import BadInput, Busy, NotFound
from catalog.home import Home


def ending(error, *arguments):
    """Run a command that raises `error`; gives its exit status."""

    def main(given):
        assert "--debug" not in given
        raise error

    with pytest.raises(SystemExit) as left:
        run(main, arguments)
    return left.value.code


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (NotFound("no such file: x.warc.\nCheck it."), 2, "error: no such file: x.warc. Check it.\n"),
        (Busy("web is being built"), 2, "error: web is being built\n"),
        (OSError(errno.ENOSPC, "No space left", "/lake/x"), 2, "error: disk is full: /lake/x. Free some space"),
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (ZeroDivisionError("by zero"), 1, "error: internal error: ZeroDivisionError: by zero (--debug shows"),
        (PermissionError(errno.EACCES, "denied", "/x"), 2, "error: not allowed: /x. "),
        (RuntimeError("IO Error: could not write: No space left on device"), 2, "error: disk is full: IO Error"),
    ],
)
def test_one_line_and_a_status(error, status, line, capsys, monkeypatch):
    monkeypatch.delenv("MILLRACE_DEBUG", raising=False)
    assert ending(error) == status
    said = capsys.readouterr().err
    assert said.startswith(line)
    assert said.count("\n") == 1


def test_a_bad_command_line_is_one_line():
    with pytest.raises(BadInput, match=r"^unrecognized arguments: --bogus\. `just crawl --help` shows examples\.$"):
        Parser(prog="just crawl").parse_args(["--bogus"])


def test_options_may_stand_between_words():
    parser = Parser(prog="just build-corpus")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--home")
    given = parser.parse_args(["raw", "--home", "there", "input=a"])
    assert (given.words, given.home) == (["raw", "input=a"], "there")


@pytest.mark.parametrize("under", ["", "lake", "some/lake"])
def test_a_home_that_can_be_no_folder_is_refused(tmp_path, monkeypatch, under):
    (tmp_path / "file").write_text("")
    place = tmp_path / "file" / under
    said = rf"^{place} cannot be the home: {tmp_path}/file is no folder\. Give --home or MILLRACE_HOME a folder\.$"
    with pytest.raises(BadInput, match=said):
        Home.open(place)
    monkeypatch.setenv("MILLRACE_HOME", str(place))
    with pytest.raises(BadInput, match=said):
        Home.open()
    assert Home.open(tmp_path / "new" / under).root == tmp_path / "new" / under


def test_debug_shows_the_traceback(capsys, monkeypatch):
    assert ending(NotFound("gone"), "verb", "--debug", "x") == 2
    assert "Traceback" in capsys.readouterr().err
    monkeypatch.setenv("MILLRACE_DEBUG", "1")
    assert ending(NotFound("gone"), "verb") == 2
    assert "Traceback" in capsys.readouterr().err


def test_the_status_of_the_command_is_that_of_the_process():
    with pytest.raises(SystemExit) as left:
        run(lambda arguments: len(arguments), ["a", "b", "c"])
    assert left.value.code == 3


def test_a_reader_that_leaves_ends_it_quietly():
    code = "from catalog.commands import run\nrun(lambda a: [print(n) for n in range(10**6)] and 0)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    assert process.stderr
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=30) == 128 + signal.SIGPIPE


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_disk_is_said_in_one_line():
    code = (
        "from catalog.commands import run\nfrom pathlib import Path\nrun(lambda a: Path('/dev/full').write_text('x'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "disk is full" in done.stderr
