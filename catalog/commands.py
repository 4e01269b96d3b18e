"""How every command ends: bad input is one line on stderr and exit status 2, never a traceback.

    if __name__ == "__main__":
        run(main)          # main(arguments) gives the exit status

`--debug` anywhere on the line, or MILLRACE_DEBUG=1, shows the traceback.
"""

import argparse
import errno
import os
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from catalog.errors import BadInput, MillraceError

INTERRUPTED = 130


class Parser(argparse.ArgumentParser):
    """Says what is wrong with a command line in one line, as every other error is said; examples keep their lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": argparse.RawDescriptionHelpFormatter, **options})

    def add_home(self) -> None:
        """The option that says where everything is kept, `home`."""
        self.add_argument("--home", help="where everything is kept (default: $MILLRACE_HOME, else ./lake)")

    def add_model(self) -> None:
        """The model that a command works on, `model`."""
        self.add_argument("model", help="a model of the home, name or name@version")

    def add_fields(self, said: str, first: str = "", dry_run: str = "the config and what would be done") -> None:
        """Fields of a config, `words`, with `dry_run` and `home`; `first`: what may stand before the fields."""
        self.add_argument("words", nargs="*", metavar=f"{first} field=value".lstrip(), help=said)
        self.add_argument("--dry-run", action="store_true", help=f"print {dry_run}; do nothing")
        self.add_home()

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{one_line(message)}. `{self.prog} --help` shows examples.")

    def parse_args(self, args=None, namespace=None):  # type: ignore[override]
        """Options may stand between words: `just build-corpus raw --home X input=…`."""
        plain = any(action.nargs in (argparse.PARSER, argparse.REMAINDER) for action in self._actions)
        return super().parse_args(args, namespace) if plain else self.parse_intermixed_args(args, namespace)


def run(main: Callable[[list[str]], int], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command on the process's arguments and exit with its status.

    2 for what the user can set right, 1 for our own errors, 130 for Ctrl-C; quietly where a pipe's reader has left.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given or os.environ.get("MILLRACE_DEBUG", "") not in ("", "0")
    sys.exit(_status(main, [argument for argument in given if argument != "--debug"], debug))


def _status(main: Callable[[list[str]], int], arguments: list[str], debug: bool) -> int:
    try:
        status = main(arguments)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        return _closed_pipe()
    except KeyboardInterrupt:
        return _say("interrupted", INTERRUPTED, debug)
    except MillraceError as error:
        return _say(one_line(error), error.exit_status, debug)
    except Exception as error:  # the end of the line: said in one sentence, shown whole with --debug
        return _say(*_explained(error), debug)


def disk_is_full(error: BaseException) -> bool:
    """Whether an error means that the disk, or the quota on it, is used up; DuckDB says so in words only."""
    return getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error)


def one_line(error: BaseException | str) -> str:
    """The message of an error in one line."""
    return " ".join(str(error).split())


def _say(line: str, status: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(line if status == INTERRUPTED else f"error: {line}", file=sys.stderr)
    return status


def _explained(error: Exception) -> tuple[str, int]:
    place = getattr(error, "filename", None)
    if disk_is_full(error):
        return f"disk is full: {place or one_line(error)}. Free some space and run the same command again.", 2
    if isinstance(error, PermissionError) or getattr(error, "errno", None) == errno.EROFS:
        return f"not allowed: {place or one_line(error)}. Give yourself the right, or take another place.", 2
    return f"internal error: {type(error).__name__}: {one_line(error)} (--debug shows the traceback)", 1


def _closed_pipe() -> int:
    """End as a program does whose reader has left, without Python's complaint about it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 128 + signal.SIGPIPE
