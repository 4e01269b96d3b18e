"""The home: where every byte lies, and how files come to be there whole or not at all.

>>> home = Home.open()                       # MILLRACE_HOME, or ./lake
>>> home.artifact("corpora", "web", "1")     # <home>/corpora/web/1
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from catalog.errors import BadInput

KINDS = [
    "crawls",
    "intake",
    "corpora",
    "classifiers",
    "benchmarks",
    "datasets",
    "tokenizers",
    "tokens",
    "mixtures",
    "runs",
    "models",
    "evaluations",
    "endpoints",
]


@dataclass(frozen=True)
class Home:
    """A folder of artifacts, `<root>/<kind>/<name>/<version>`, with its catalog in `<root>/catalog`."""

    root: Path

    @classmethod
    def open(cls, root: str | Path | None = None) -> Self:
        """The home at `root`, else at MILLRACE_HOME, else `./lake`; made when first written to.

        Raises BadInput where it cannot be a folder.
        """
        chosen = str(root or os.environ.get("MILLRACE_HOME") or "lake")
        if "://" in chosen:
            raise BadInput(
                f"MILLRACE_HOME={chosen} is not a folder: this version keeps its home on a local or mounted disk."
            )
        path = Path(chosen).absolute()
        there = next(folder for folder in (path, *path.parents) if folder.exists())
        if not there.is_dir():
            raise BadInput(f"{path} cannot be the home: {there} is no folder. Give --home or MILLRACE_HOME a folder.")
        return cls(path)

    def artifact(self, kind: str, name: str, version: str) -> Path:
        """The folder of one artifact version."""
        if kind not in KINDS:
            raise BadInput(f"no kind {kind!r}. Kinds: {', '.join(KINDS)}.")
        return self.root / kind / name / version

    @property
    def catalog(self) -> Path:
        """The folder of the DuckLake metadata and its own data."""
        return self.root / "catalog"

    def relative(self, path: Path) -> str:
        """A path as records keep it: relative to the home, with forward slashes."""
        return path.absolute().relative_to(self.root).as_posix()


def partial_name(path: Path) -> Path:
    """The name under which this process writes a file before it is whole: `.<name>.<pid>.partial`."""
    return path.with_name(f".{path.name}.{os.getpid()}.partial")


@contextmanager
def written(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on leaving, sync it and rename it to `path`; on an error, remove it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_name(path)
    try:
        yield partial
        sync(partial)
        os.replace(partial, path)
        sync(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
