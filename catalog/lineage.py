"""One walk over the inputs of records: where an artifact comes from, whether its bytes are whole, what nobody needs.

python -m catalog trace web@1
python -m catalog verify web@1
python -m catalog gc --dry-run
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from catalog.errors import BadInput, Busy, NotFound, near
from catalog.home import KINDS, Home
from catalog.ids import parse_ref
from catalog.index import key_of, split_input
from catalog.locks import hold, holder, is_leftover, leftovers, lock_of, remove, stale_locks
from catalog.records import RECORD, FileEntry, Record, find, load_record, names_of, versions, walk

GRACE_S = 24 * 3600.0
"""How old an unfinished artifact must be before it counts as given up."""
_BLOCK = 1 << 20


def resolve(home: Home, text: str) -> Record:
    """The record of `name`, `name@version` or `kind/name@version`; a corpus where several kinds have the name.

    Raises NotFound; BadInput where several other kinds have it.
    """
    kind, slash, ref = text.rpartition("/")
    if slash:
        return find(home, kind, ref)
    kinds = kinds_of(home, text)
    if len(kinds) == 1 or "corpora" in kinds:
        return find(home, "corpora" if "corpora" in kinds else kinds[0], text)
    if kinds:
        raise BadInput(f"{text} could be {' or '.join(f'{kind}/{text}' for kind in kinds)}: say which.")
    names = [name for kind in KINDS for name in names_of(home, kind)]
    hint = near(parse_ref(text).name, names) if names else "The home is empty: run `just build-corpus`."
    raise NotFound(f"no artifact {parse_ref(text).name!r} in {home.root}. {hint}")


def kinds_of(home: Home, text: str) -> list[str]:
    """The kinds that have `name@version`, or where none has that version, those that have the name."""
    ref = parse_ref(text)
    there = {kind: found for kind in KINDS if (found := versions(home, kind, ref.name))}
    return [kind for kind, found in there.items() if ref.version in found] or list(there)


# ── trace ─────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Node:
    """An artifact and what it was made from."""

    name: str
    """`kind/name@version`."""
    record: Record | None
    """None where the artifact is no longer in the home."""
    inputs: list["Node"] = field(default_factory=list)


def trace(home: Home, record: Record) -> Node:
    """The tree of everything that went into an artifact."""
    return _node(home, record, {})


def _node(home: Home, record: Record, known: dict[str, Node]) -> Node:
    children = []
    for text in record.inputs:
        if text not in known:  # a crawl may be an input of a thousand intakes
            path = home.artifact(*split_input(text)) / RECORD
            known[text] = _node(home, load_record(path), known) if path.exists() else Node(text, None)
        children.append(known[text])
    return Node(f"{record.kind}/{record.ref}", record, children)


def used_by(home: Home, record: Record) -> list[str]:
    """The artifacts that were made from this one directly, as `kind/name@version`."""
    wanted = f"{record.kind}/{record.ref}"
    return [f"{other.kind}/{other.ref}" for other in walk(home) if wanted in other.inputs]


# ── verify ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Problem(NamedTuple):
    """A file that is not as its record says."""

    artifact: str
    path: Path
    what: str


def verify(home: Home, records: Iterable[Record], seen: Callable[[int], None] = lambda size: None) -> Iterator[Problem]:
    """Hash the files of artifacts again; gives each that differs from its record. `seen` is told of bytes read."""
    for record in records:
        folder = home.artifact(*key_of(record))
        for entry in record.files:
            what = _damage(folder / entry.path, entry, seen)
            if what:
                yield Problem(f"{record.kind}/{record.ref}", folder / entry.path, what)


def _damage(path: Path, entry: FileEntry, seen: Callable[[int], None]) -> str:
    if not path.exists():
        return "is missing"
    if (size := path.stat().st_size) != entry.bytes:
        return f"has {size:,} bytes, its record says {entry.bytes:,}"
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
            seen(len(block))
    return "" if digest.hexdigest() == entry.sha256 else "has other content than its record says"


# ── gc ────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Removal(NamedTuple):
    """Something that can go."""

    path: Path
    why: str
    bytes: int


def garbage(home: Home, unused: bool = False, grace_s: float = GRACE_S) -> list[Removal]:
    """What `collect` would remove: half-written files of dead processes, artifacts given up, locks of the dead, and
    merged band keys that newer ones replace, signatures of older code.

    With `unused`, also intakes that no artifact was made from. No such, nor keys or signatures, while one is built.
    """
    found = [(path, "half-written by a process that is dead") for path in leftovers(home.root)]
    found += [(path, "never finished") for path in _given_up(home, grace_s)]
    found += [(path, "lock of a process that is dead") for path in stale_locks(home.root)]
    found += [(path, "band keys that a newer merge has, or of an intake that is gone") for path in _replaced_keys(home)]
    found += [(path, "signatures that older code made") for path in _old_signatures(home)]
    if unused:
        found += [(path, "an intake that nothing uses") for path in _unused_intakes(home, grace_s)]
    outer = {path for path, _ in found}
    kept = {path: why for path, why in found if outer.isdisjoint(path.parents)}
    return [Removal(path, why, _size(path)) for path, why in kept.items()]


def collect(home: Home, removals: Iterable[Removal]) -> list[Removal]:
    """Remove garbage, each under its artifact's lock; what a live process has taken up meanwhile stays."""
    gone = []
    for removal in removals:
        if _collected(home, removal.path):
            gone.append(removal)
    return gone


def _collected(home: Home, path: Path) -> bool:
    if path.name.endswith(".partial"):
        return is_leftover(path) and not remove(path)
    if (path.suffix == ".keys" or path.parent.name == "signatures") and _is_building(home):
        return False
    lock = path if path.name.endswith(".lock") else lock_of(path)
    try:
        with hold(lock):
            if path != lock:
                remove(path)
    except Busy:
        return False
    for parent in (path.parent, path.parent.parent):
        if parent != home.root and parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    return True


def _given_up(home: Home, grace_s: float) -> Iterator[Path]:
    for folder in _artifact_folders(home, KINDS):
        if not (folder / RECORD).exists() and not _alive(folder) and _age_s(folder) > grace_s:
            yield folder


def _unused_intakes(home: Home, grace_s: float) -> Iterator[Path]:
    if _is_building(home):
        return
    used = {text for record in walk(home) for text in record.inputs}
    for record in walk(home, ["intake"]):
        folder = home.artifact(*key_of(record))
        if f"intake/{record.ref}" not in used and not _alive(folder) and _age_s(folder) > grace_s:
            yield folder


def _replaced_keys(home: Home) -> Iterator[Path]:
    """Merged segments of band keys (`<kind>.<name>.keys`) whose files are all in a larger one of their kind, or one of
    whose intakes is gone. A build that needs one after all merges again."""
    kinds: dict[str, list[tuple[int, Path, set[str]]]] = {}
    for path in (home.root / "intake" / ".merged").glob("*.keys"):
        members = _members(path)
        kinds.setdefault(path.name.rsplit(".", 2)[0], []).append((len(members), path, members))
    for segments in kinds.values() if not _is_building(home) else ():
        segments.sort(reverse=True)
        for at, (_, path, members) in enumerate(segments):
            lost = any(not (home.root / "intake" / member).parent.is_dir() for member in members)
            if lost or any(members <= larger for _, _, larger in segments[:at]):
                yield path


def _old_signatures(home: Home) -> list[Path]:
    """Signatures (`signatures/<code version>-<key>`) and merged keys of them, of any but the newest code version."""
    intakes = home.root / "intake"
    there = [*intakes.glob("*/*/signatures/*"), *(intakes / ".merged").glob("*.keys")]
    versions = {path: _code_version(path.name) for path in there if not path.name.startswith("exact")}
    newest = max(versions.values(), default=0)
    return [path for path, version in versions.items() if version < newest and not _is_building(home)]


def _code_version(name: str) -> int:
    number, hyphen, _ = name.partition("-")
    return int(number) if hyphen and number.isdigit() else 0


def _members(path: Path) -> set[str]:
    """The files in a segment, as `source/reading/part`: it begins with the size of a JSON head, in eight bytes."""
    with path.open("rb") as stream:
        return set(json.loads(stream.read(int.from_bytes(stream.read(8), "little")))["members"])


def _is_building(home: Home) -> bool:
    """Whether a live process builds a corpus."""
    return any(_is_live(lock) for lock in (home.root / "corpora").glob("*/.*.lock"))


def _artifact_folders(home: Home, kinds: Iterable[str]) -> Iterator[Path]:
    for kind in kinds:
        for folder in sorted((home.root / kind).glob("*/*")):
            if folder.is_dir() and not folder.name.startswith("."):
                yield folder


def _alive(folder: Path) -> bool:
    """Whether a live process builds this artifact: its lock, or a partial file in it."""
    return _is_live(lock_of(folder)) or any(not is_leftover(path) for path in folder.rglob(".*.partial"))


def _is_live(lock: Path) -> bool:
    who = holder(lock)
    return who is not None and who.alive


def _age_s(folder: Path) -> float:
    """Seconds since anything in the folder was written."""
    newest = max((path.stat().st_mtime for path in [folder, *folder.rglob("*")]), default=0.0)
    return time.time() - newest


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
