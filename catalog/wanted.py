"""An artifact before it is made: found where it is there already, else made under its lock, and published.

>>> with wanted.making() as found:       # raises Busy, Conflict
...     record = found or wanted.publish(counts=write(wanted.folder))
"""

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from pydantic import JsonValue

from catalog.errors import BadInput
from catalog.home import Home
from catalog.ids import Ref
from catalog.index import put_into_catalog
from catalog.locks import clear_partials, hold, lock_of
from catalog.records import (
    RECORD,
    FileEntry,
    Record,
    file_entry,
    fingerprint,
    load_record,
    now,
    same_or_conflict,
    version_for,
    write_record,
)


class Made(NamedTuple):
    """An artifact, and whether it was made just now."""

    record: Record
    fresh: bool


def check_name(parent: Ref, name: str, field: str = "name") -> None:
    """Raises BadInput where what is made from an artifact would have its name, and so be its newest version."""
    if name == parent.name:
        raise BadInput(
            f"{field}={name} is the name of what it is made from, {parent}: it would be the newest {name}. "
            "Give another name."
        )


@dataclass(frozen=True)
class Wanted:
    """The record of an artifact, but for its files and counts."""

    home: Home
    kind: str
    name: str
    version: str
    inputs: tuple[str, ...]
    config: dict[str, JsonValue]
    fingerprint: str

    @classmethod
    def of(
        cls,
        home: Home,
        kind: str,
        ref: Ref,
        made_from: Sequence[Record],
        identity: dict[str, JsonValue],
        config: dict[str, JsonValue] | None = None,
    ) -> Self:
        """An artifact that is told apart by its identity and what it is made from; the record says `config`.

        Its version, where `ref` has none, is that of `version_for`.
        """
        key = fingerprint(kind, identity, [one.fingerprint for one in made_from])
        inputs = tuple(f"{one.kind}/{one.ref}" for one in made_from)
        version = version_for(home, kind, ref.name, ref.version, key)
        return cls(home, kind, ref.name, version, inputs, identity if config is None else config, key)

    @property
    def ref(self) -> Ref:
        return Ref(self.name, self.version)

    @property
    def folder(self) -> Path:
        return self.home.artifact(self.kind, self.name, self.version)

    def found(self) -> Record | None:
        """The artifact, where it is there already. Raises Conflict where its version is something else, Damaged."""
        if not (self.folder / RECORD).exists():
            return None
        record = load_record(self.folder / RECORD)
        same_or_conflict(record, self.fingerprint, self.config, self.inputs)
        return record

    @contextmanager
    def making(self) -> Iterator[Record | None]:
        """Hold the lock; give what is found, put into the catalog if that was left undone, else clear the folder.

        An error leaves no empty folders.
        """
        try:
            with hold(lock_of(self.folder)):
                if found := self.found():
                    clear_partials(self.folder)  # its writer may have been killed behind the record
                    put_into_catalog(self.home, found)
                else:
                    shutil.rmtree(self.folder, ignore_errors=True)
                yield found
        except BaseException:
            for empty in (self.folder, self.folder.parent):
                with suppress(OSError):
                    empty.rmdir()
            raise

    def publish(self, counts: dict[str, JsonValue], files: Sequence[FileEntry] | None = None) -> Record:
        """Write the record, and tell the catalog."""
        record = self.write(counts, files)
        put_into_catalog(self.home, record)
        return record

    def write(self, counts: dict[str, JsonValue], files: Sequence[FileEntry] | None = None) -> Record:
        """Write the record, last, beside its bytes: the files that are said, else all that lie in the folder."""
        there = sorted(path for path in self.folder.rglob("*") if path.is_file()) if files is None else []
        record = Record(
            kind=self.kind,
            name=self.name,
            version=self.version,
            inputs=self.inputs,
            config=self.config,
            fingerprint=self.fingerprint,
            files=tuple(file_entry(self.folder, path) for path in there) if files is None else tuple(files),
            counts=counts,
            created=now(),
        )
        write_record(self.home, record)
        return record
