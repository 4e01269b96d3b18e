"""One grammar for every artifact: `record.json`, written last beside the bytes. No record, not there.

>>> record = read_record(home, "corpora", parse_ref("web"))     # the latest version
>>> record.inputs
('docs@1',)
"""

import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pydantic import JsonValue

from catalog.config import Config
from catalog.errors import Conflict, Damaged, NotFound, near
from catalog.home import Home, written
from catalog.ids import Ref, canonical_json, key, parse_ref

RECORD = "record.json"


class FileEntry(Config):
    """A file of an artifact."""

    path: str
    """Relative to the artifact's folder."""
    bytes: int
    sha256: str
    rows: int | None = None


class Record(Config):
    """What an artifact is and what it was made from, in plain words."""

    kind: str
    name: str
    version: str
    inputs: tuple[str, ...] = ()
    """Artifacts it was made from, each as `kind/name@version`."""
    config: dict[str, JsonValue] = {}
    """What was asked for: the identity, together with the inputs. No paths, workers or machines."""
    fingerprint: str = ""
    """The key of kind, config and inputs."""
    files: tuple[FileEntry, ...] = ()
    counts: dict[str, JsonValue] = {}
    created: str = ""
    """UTC, ISO 8601."""

    @property
    def ref(self) -> Ref:
        return Ref(self.name, self.version)


def fingerprint(kind: str, config: object, inputs: Iterable[str]) -> str:
    """The identity of an artifact: what it is, its fields and the content of its inputs."""
    return key(kind, config, list(inputs))


def now() -> str:
    """The time as records keep it: UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def file_entry(folder: Path, path: Path, rows: int | None = None) -> FileEntry:
    """Hash a finished file of the artifact in `folder`."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return FileEntry(path=path.relative_to(folder).as_posix(), bytes=path.stat().st_size, sha256=digest, rows=rows)


def write_record(home: Home, record: Record) -> Path:
    """Write the record beside its bytes: the last write of every artifact."""
    path = home.artifact(record.kind, record.name, record.version) / RECORD
    with written(path) as partial:
        partial.write_text(record.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return path


def load_record(path: Path) -> Record:
    """Read one record file. Raises Damaged where it is not a record."""
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise Damaged(
            f"not a record: {path} ({str(error).splitlines()[0]}). Restore it, or delete the folder and build again."
        ) from error


def versions(home: Home, kind: str, name: str) -> list[str]:
    """The finished versions of an artifact, oldest first (numbers by value, then words)."""
    found = [path.parent.name for path in (home.root / kind / name).glob(f"*/{RECORD}")]
    return sorted(found, key=version_order)


def names_of(home: Home, kind: str) -> list[str]:
    """The names in a kind's folder, sorted; those that start with a dot are no artifacts."""
    return sorted(path.name for path in (home.root / kind).glob("*") if not path.name.startswith("."))


def version_order(version: str) -> tuple:
    """Sort key of versions: runs of digits by value, so 2 < 10 and 2026.9 < 2026.11."""
    import re

    return tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.findall(r"\d+|[^\d.]+", version))


def find(home: Home, kind: str, ref: Ref | str) -> Record:
    """The record of `name@version`, or of the latest version. Raises NotFound with near names."""
    ref = parse_ref(ref) if isinstance(ref, str) else ref
    there = versions(home, kind, ref.name)
    if not there:
        names = [name for name in names_of(home, kind) if versions(home, kind, name)]
        raise NotFound(
            f"no {kind} {ref.name!r} in {home.root}. {near(ref.name, names) if names else f'There are no {kind} yet.'}"
        )
    if ref.version and ref.version not in there:
        raise NotFound(f"no version {ref.version} of {kind}/{ref.name}. There are: {', '.join(there)}.")
    return load_record(home.artifact(kind, ref.name, ref.version or there[-1]) / RECORD)


def walk(home: Home, kinds: Iterable[str] | None = None) -> Iterator[Record]:
    """Every record of the home, by kind, name and version."""
    from catalog.home import KINDS

    for kind in kinds or KINDS:
        for name in names_of(home, kind):
            for version in versions(home, kind, name):
                yield load_record(home.artifact(kind, name, version) / RECORD)


def readable(home: Home) -> tuple[list[Record], list[Damaged]]:
    """Every record of the home, and an error for each that cannot be read."""
    good, bad = [], []
    for path in sorted(home.root.glob(f"*/[!.]*/*/{RECORD}")):
        try:
            good.append(load_record(path))
        except Damaged as error:
            bad.append(error)
    return good, bad


def next_version(home: Home, kind: str, name: str) -> str:
    """The next free number: 1, 2, …"""
    taken = [int(version) for version in versions(home, kind, name) if version.isdigit()]
    return str(max(taken, default=0) + 1)


def version_for(home: Home, kind: str, name: str, asked: str, wanted_fingerprint: str) -> str:
    """The version to make: the one asked for, else the newest that is this very thing, else the next free number."""
    parse_ref(f"{name}@{asked or 1}")  # a version within the name, as in docs@2@1, is refused too
    if asked:
        return asked
    for version in reversed(versions(home, kind, name)):
        if load_record(home.artifact(kind, name, version) / RECORD).fingerprint == wanted_fingerprint:
            return version
    return next_version(home, kind, name)


def same_or_conflict(
    existing: Record, wanted_fingerprint: str, wanted_config: dict, wanted_inputs: Iterable[str]
) -> None:
    """Pass where an existing version is what is wanted; else raise Conflict that says what differs."""
    if existing.fingerprint == wanted_fingerprint:
        return
    differs = [*_differences("", existing.config, wanted_config)]
    differs += _other_inputs(existing.inputs, tuple(wanted_inputs))
    raise Conflict(
        f"{existing.kind}/{existing.ref} exists with another config: {'; '.join(differs[:6]) or 'its code version'}. "
        "Give another version=…, or none for the next free one."
    )


def _other_inputs(old: tuple[str, ...], new: tuple[str, ...]) -> Iterator[str]:
    """The inputs that only one of two has, by name."""
    for what, names in (
        ("without the input", [name for name in old if name not in new]),
        ("with the new input", [name for name in new if name not in old]),
    ):
        if names:
            more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
            yield f"now {what}{'s' if len(names) > 1 else ''} {', '.join(names[:3])}{more}"
    if old != new and set(old) == set(new):
        yield "the same inputs in another order"


def _differences(path: str, old: object, new: object) -> Iterator[str]:
    old, new = _by_name(old), _by_name(new)
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from _differences(f"{path}.{name}".lstrip("."), old.get(name), new.get(name))
    elif canonical_json(old) != canonical_json(new):
        yield f"{path} was {canonical_json(old)[:60]}, now {canonical_json(new)[:60]}"


def _by_name(value: object) -> object:
    """A list of named things as a dict, so that a difference can be said by name."""
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return value
