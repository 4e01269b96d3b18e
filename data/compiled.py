"""Numba's compiler with a cache that knows a whole package: a change in any file of it compiles all of it anew.

    @compiled
    def sign_at(page: np.ndarray, at: int) -> int: …

    @entry
    def count(page: np.ndarray) -> int: …

Numba alone looks at the file of a function, not at those of the functions that it calls. Machine code lies beside the
byte code (in the user's cache folder where that cannot be written): a machine compiles once, workers and later
runs load it. No C compiler is needed.
"""

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function for other compiled ones, not for Python, and part of them: it is no call.

    (An array is seven numbers and more: handing fifteen of them on took half the time of a page.) It makes no
    arrays, so it counts no references to them, which took nine tenths. Indices are not checked.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "_nrt": False, "forceinline": True}
    return numba.njit(error_model="numpy", boundscheck=False, **options)(function)


def entry(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that Python calls, with all that it calls as machine code, kept on disk."""
    folder = _cache_folder(Path(function.__code__.co_filename).parent)
    settings: Any = numba.config
    former, settings.CACHE_DIR = settings.CACHE_DIR, folder
    try:
        return numba.njit(cache=True, error_model="numpy", boundscheck=False)(function)
    finally:
        settings.CACHE_DIR = former


@cache
def _cache_folder(package: Path) -> str:
    """Named by the sources of a package and of this file."""
    sources = hashlib.sha256(b"\0".join(path.read_bytes() for path in [Path(__file__), *sorted(package.glob("*.py"))]))
    name = f"numba-{sources.hexdigest()[:12]}"
    folder = package / "__pycache__" / name
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    if os.access(folder, os.W_OK):
        return str(folder)
    return str(Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "millrace" / package.name / name)
