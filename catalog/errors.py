"""Every error that Millrace raises on purpose.

    MillraceError                     one line for the user, exit status 2
    ├── BadInput (ValueError)         what was asked for cannot be
    │   ├── NotFound (LookupError)    no such file, artifact, recipe
    │   ├── UnknownField (AttributeError)  a field that no config has; near names are listed
    │   ├── Misfit                    a scheme that cannot take the shapes of a model's layers
    │   └── Conflict (FileExistsError)     a version is there already with another config
    ├── Damaged (OSError)             bytes that do not match their record
    ├── Busy (BlockingIOError)        a live process holds what is asked for
    ├── Unbalanced (ArithmeticError)  in != kept + dropped + failed: nothing is published
    └── WorkerLost (RuntimeError)     a worker died again and again on the same work

A message says what is wrong, the value, what is allowed, and the next command:

    raise NotFound("no such file: crawl/*.warc.gz. Check the path, or run `just build-corpus` for the default crawl.")
"""

from collections.abc import Iterable
from difflib import get_close_matches


class MillraceError(Exception):
    """An error with a one-line message for the user; commands exit with status 2."""

    exit_status = 2


class BadInput(MillraceError, ValueError):
    """What was asked for cannot be: the message says what is allowed."""


class NotFound(BadInput, LookupError):
    """A file, artifact, recipe or record that is not there."""


class UnknownField(BadInput, AttributeError):
    """A field that no config has."""


class Misfit(BadInput):
    """A scheme of compression whose groups or kernels do not take a model's layers: a search skips it."""


class Conflict(BadInput, FileExistsError):
    """A version that exists with another config."""


class Damaged(MillraceError, OSError):
    """Bytes on disk that do not match the hash in their record."""


class Busy(MillraceError, BlockingIOError):
    """A live process holds the lock."""


class Unbalanced(MillraceError, ArithmeticError):
    """A stage whose records do not add up."""


class WorkerLost(MillraceError, RuntimeError):
    """A worker that died repeatedly on the same unit of work."""


def near(word: str, known: Iterable[str], most: int = 5) -> str:
    """The known names nearest to a word, as the end of an error message (or all of them when few)."""
    known = sorted(set(known))
    close = get_close_matches(word, known, n=most, cutoff=0.5)
    if close:
        return f"Did you mean: {', '.join(close)}?"
    return f"Known: {', '.join(known[:30])}{', …' if len(known) > 30 else ''}."
