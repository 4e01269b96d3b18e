"""A second place for runs and models: an object store, or another disk. It is laid out as a home.

>>> place = Elsewhere("s3://bucket/lake")
>>> place.put(home, record)                       # what it lacks, the record last; then what that no longer names goes
>>> place.fetch_run(RunFolder(home, "zh-small"))  # on a machine that has never seen the run
"""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from catalog.errors import BadInput, Conflict, Damaged, MillraceError, NotFound
from catalog.home import Home, partial_name, written
from catalog.index import put_into_catalog
from catalog.locks import remove
from catalog.records import RECORD, Record, load_record
from training.runs.folder import CHECKPOINTS, LAUNCH, Checkpoint, RunFolder, RunState


class Unreachable(MillraceError, ConnectionError):
    """The second place does not answer, or refuses."""


class Elsewhere:
    """The place at an address."""

    def __init__(self, address: str) -> None:
        """Raises BadInput for an address that nothing opens; nothing is asked of it yet."""
        import fsspec

        self.address = address.rstrip("/")
        try:
            self._system, root = fsspec.core.url_to_fs(self.address)
        except (ValueError, ImportError) as error:
            raise BadInput(f"cannot open {address}: {error}. Take s3://bucket/prefix, or a path.") from error
        self._root = root.rstrip("/")

    def put(self, home: Home, record: Record) -> None:
        """Bring the copy of an artifact up to its record, which must be that of the copy: see `refuse_another`.

        Files have names of their own, so those that are there are not sent again. Raises Unreachable.
        """
        folder = home.artifact(record.kind, record.name, record.version)
        saved = _checkpoints(home, record)
        named = [*(entry.path for entry in record.files), *(path for path in saved)]
        with self._said("write to"):
            there = self._listed(home.relative(folder))
            for name in _files(folder, named):
                if there.get(name) != (folder / name).stat().st_size:
                    self._send(home, folder / name)
            for name in (LAUNCH, RECORD):
                if (folder / name).exists():
                    self._send(home, folder / name)
            kept = {*named, LAUNCH, RECORD}
            gone = [name for name in there if name not in kept and not name.startswith(tuple(f"{s}/" for s in saved))]
            states = f"{CHECKPOINTS}/"  # whole folders, which a disk would keep empty
            tops = {"/".join(name.split("/")[:2]) if name.startswith(states) else name for name in gone}
            for name in sorted(tops):
                self._system.rm(f"{self._root}/{home.relative(folder)}/{name}", recursive=name.startswith(states))

    def refuse_another(self, run: RunFolder) -> None:
        """Raise Conflict where the copy is of another run with this name, or of this one gone on with elsewhere."""
        place = run.home.relative(run.path / RECORD)
        with self._said("read"):
            self._system.invalidate_cache()
            if not self._system.exists(f"{self._root}/{place}"):
                return
            found = Record.model_validate_json(self._system.cat_file(f"{self._root}/{place}"))
        theirs, mine = RunState.model_validate(found.counts), run.state().attempts if run.exists else ()
        if theirs.attempts != mine[: len(theirs.attempts)]:
            begun = f"{self.address} has a run {run.name} that was last started {theirs.attempts[-1].started}"
            raise Conflict(
                f"{begun}, elsewhere, and is at step {theirs.step}. Give another run=…, or take that one: without "
                f"{run.path}, `just resume {run.name} mirror={self.address}` does."
            )

    def fetch_run(self, run: RunFolder) -> None:
        """Bring a run here, with its last checkpoint. Raises NotFound, Damaged, Unreachable."""
        partial = partial_name(run.path / RECORD)
        try:
            with self._said("read"):
                self._get(run.home, run.path / RECORD, partial)
            record = load_record(partial)
            for entry in record.files:
                self._fetch(run.home, run.path / entry.path, entry.sha256)
            self._fetch(run.home, run.path / LAUNCH)
            if last := RunState.model_validate(record.counts).last:
                self.fetch_checkpoint(run.home, last)
            os.replace(partial, run.path / RECORD)
        finally:
            partial.unlink(missing_ok=True)
        put_into_catalog(run.home, record)

    def fetch_checkpoint(self, home: Home, saved: Checkpoint) -> None:
        """Bring a saved state here. Raises NotFound, Damaged, Unreachable."""
        folder = home.root / saved.path
        partial = partial_name(folder)
        remove(partial)
        with self._said("read"):
            names = self._listed(saved.path)
            for name in names:
                self._get(home, folder / name, partial / name)
        if sum(names.values()) != saved.bytes:
            remove(partial)
            raise Damaged(f"{self.address}/{saved.path} has {sum(names.values()):,} bytes of {saved.bytes:,}.")
        remove(folder)
        os.replace(partial, folder)

    def _fetch(self, home: Home, path: Path, sha256: str = "") -> None:
        with written(path) as partial, self._said("read"):
            self._get(home, path, partial)
            if sha256 and hashlib.sha256(partial.read_bytes()).hexdigest() != sha256:
                raise Damaged(f"{self.address}/{home.relative(path)} does not have the hash of its record.")

    def _get(self, home: Home, path: Path, into: Path) -> None:
        into.parent.mkdir(parents=True, exist_ok=True)
        self._system.get_file(f"{self._root}/{home.relative(path)}", str(into))

    def _send(self, home: Home, path: Path) -> None:
        there = f"{self._root}/{home.relative(path)}"
        if "file" in self._system.protocol:  # object stores have no folders, and s3fs would make a bucket
            self._system.makedirs(there.rpartition("/")[0], exist_ok=True)
        self._system.put_file(str(path), there)

    def _listed(self, folder: str) -> dict[str, int]:
        """Files below a folder of the place, by their names in it, and their bytes."""
        self._system.invalidate_cache()
        place = f"{self._root}/{folder}"
        found: dict[str, Any] = self._system.find(place, detail=True)
        return {name[len(place) + 1 :]: int(info["size"]) for name, info in sorted(found.items())}

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Every store has errors of its own: say what was tried with which place."""
        try:
            yield
        except MillraceError:
            raise
        except FileNotFoundError as error:
            raise NotFound(f"{self.address} does not have {error}.") from error
        except Exception as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise Unreachable(
                f"cannot {what} {self.address}: {reason}. Check the address and its credentials."
            ) from error


def _checkpoints(home: Home, record: Record) -> list[str]:
    """Folders of the checkpoints that a run's record names, relative to it."""
    if record.kind != "runs":
        return []
    folder = home.relative(home.artifact(record.kind, record.name, record.version))
    return [Path(one.path).relative_to(folder).as_posix() for one in RunState.model_validate(record.counts).checkpoints]


def _files(folder: Path, names: list[str]) -> Iterator[str]:
    """Names of files, those in folders too; what is not here is left as it is there."""
    for name in names:
        path = folder / name
        if path.is_dir():
            yield from sorted(one.relative_to(folder).as_posix() for one in path.rglob("*") if one.is_file())
        elif path.exists():
            yield name
