"""What is to be tokenized, cut into units of work: the shards of corpus versions, or text files.

>>> found = find_inputs(config, Home.open())
>>> found.content                  # what counts for the identity: hashes, not paths
>>> found.units[0]                 # rows of one file, a few megabytes of text

How the units are cut depends on the content alone, never on the workers.
"""

import hashlib
from collections.abc import Iterable, Iterator
from glob import glob
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.config import Config
from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from catalog.ids import SHORT
from catalog.records import Record, find
from training.tokens.config import TextFields, TokensConfig
from training.tokens.mds import INDEX, shard_files

UNITS = 256
"""About so many units an input: enough for any machine, few enough to open them all."""
MIN_UNIT_BYTES, MAX_UNIT_BYTES = 2_000_000, 64_000_000
"""Text of a unit, about: its documents' ids and addresses are held in memory by one worker."""

CORPUS_FIELDS = TextFields()
PLAIN = (".jsonl", ".ndjson")
SUFFIXES = (*PLAIN, *(f"{plain}{packed}" for plain in PLAIN for packed in (".gz", ".zst")), ".parquet")
MDS = (".mds", ".mds.zstd")
BLOCK = 1_000_000
"""Below the smallest unit, so that a block has at most one mark."""


class Unit(Config):
    """Documents of one file that are tokenized in one go."""

    kind: Literal["parquet", "lines", "mds"]
    path: Path
    first: int = 0
    """Ordinal of its first row in the file."""
    stop: int | None = None
    """One past its last row; none for all that follow."""
    offset: int = 0
    """Lines of a plain file: the byte where the first one starts."""
    source: str = ""
    """First digits of the file's hash, for the ids of its documents; empty where they have ids (a corpus)."""
    fields: TextFields = CORPUS_FIELDS


class Source(Config):
    """A file of the user's, as the record names it."""

    name: str
    sha256: str
    bytes: int


class Inputs(Config):
    """What a tokenization reads."""

    refs: tuple[str, ...]
    """Artifacts, as `kind/name@version`."""
    content: tuple[str, ...]
    """Hashes of the content, in order."""
    units: tuple[Unit, ...]
    documents: int | None
    """How many there are, where that is known beforehand."""
    sources: tuple[Source, ...] = ()


def find_inputs(config: TokensConfig, home: Home) -> Inputs:
    """The corpora or files that are asked for. Raises NotFound, BadInput or Damaged."""
    return _corpora(config, home) if config.corpus else _files(config)


def _corpora(config: TokensConfig, home: Home) -> Inputs:
    records = [find(home, "corpora", ref) for ref in config.corpus]
    refs = tuple(f"corpora/{record.ref}" for record in records)
    if len(set(refs)) < len(refs):
        raise BadInput(f"the same corpus twice: {', '.join(refs)}. Name each once.")
    shards = [entry for record in records for entry in record.files if entry.path.startswith("shards/")]
    files = [(path, "") for record in records for path in _shards(home, record)]
    groups = [group for path, source in files for group in _row_groups(path, source, CORPUS_FIELDS)]
    size = unit_bytes(sum(group.text_bytes for group in groups))
    return Inputs(
        refs=refs,
        content=tuple(entry.sha256 for entry in shards),
        units=tuple(_parquet_units(groups, CORPUS_FIELDS, size)),
        documents=sum(entry.rows or 0 for entry in shards),
    )


def _shards(home: Home, record: Record) -> Iterator[Path]:
    folder = home.artifact(record.kind, record.name, record.version)
    for entry in record.files:
        if entry.path.startswith("shards/"):
            path = folder / entry.path
            if not path.is_file() or path.stat().st_size != entry.bytes:
                raise Damaged(f"{path} is missing or cut: `just verify corpora/{record.ref}`, then build it again.")
            yield path


def _files(config: TokensConfig) -> Inputs:
    paths = _found(config.input)
    size = unit_bytes(sum(path.stat().st_size for path in paths))
    scans = [_scanned(path, size) for path in paths]
    _refuse_copies(scans)
    units = [unit for scan in scans for unit in _units_of(scan, size, config.fields)]
    return Inputs(
        refs=(),
        content=tuple(scan.source.sha256 for scan in scans),
        units=tuple(units),
        documents=None if any(unit.stop is None for unit in units) else sum((u.stop or 0) - u.first for u in units),
        sources=tuple(scan.source for scan in scans),
    )


def unit_bytes(text_bytes: int) -> int:
    """About how much text a unit has, of so much in all."""
    return min(max(MIN_UNIT_BYTES, text_bytes // UNITS), MAX_UNIT_BYTES)


def _found(patterns: tuple[str, ...]) -> list[Path]:
    """The files of paths, globs and folders: each once, in the order given, sorted within a pattern."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        files = _inside(path) if path.is_dir() else sorted(map(Path, glob(pattern, recursive=True)))
        files = [path] if path.is_file() else files
        if not files:
            raise NotFound(f"no text files in {pattern!r}. Give {', '.join(SUFFIXES)} files, MDS folders, or globs.")
        found |= dict.fromkeys(file.absolute() for file in files)
    for file in found:
        if not file.is_file():
            raise NotFound(f"{file} is missing: the index beside it names it.")
        if not file.name.endswith((*SUFFIXES, *MDS)):
            raise BadInput(f"{file} is of no kind that can be read here. Kinds: {', '.join((*SUFFIXES, *MDS))}.")
    return list(found)


def _inside(folder: Path) -> list[Path]:
    """The text files of a folder; of an MDS folder, the shards that its index names."""
    if (folder / INDEX).is_file():
        return shard_files(folder / INDEX)
    return sorted(file for file in folder.rglob("*") if file.name.endswith(SUFFIXES))


class _Scan(NamedTuple):
    """A file read once: its hash, and for plain lines where units may begin (byte, row)."""

    path: Path
    source: Source
    marks: list[tuple[int, int]]
    rows: int


def _scanned(path: Path, size: int) -> _Scan:
    """Hash a file and, where it is plain lines, count them and mark one every `size` bytes."""
    digest, marks, at, rows, last = hashlib.sha256(), [(0, 0)], 0, 0, b""
    plain = path.name.endswith(PLAIN)
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            if plain:
                due = marks[-1][0] + size - at
                cut = block.find(b"\n", max(0, due)) + 1 if due < len(block) else 0
                if cut:
                    marks.append((at + cut, rows + block.count(b"\n", 0, cut)))
                rows += block.count(b"\n")
            last, at = block[-1:], at + len(block)
    rows += plain and last not in (b"", b"\n")
    return _Scan(path, Source(name=path.name, sha256=digest.hexdigest(), bytes=at), marks, rows)


def _refuse_copies(scans: list[_Scan]) -> None:
    """Raise BadInput where two files are the same: their documents would have the same ids."""
    first: dict[str, Path] = {}
    for scan in scans:
        if (other := first.setdefault(scan.source.sha256, scan.path)) != scan.path:
            raise BadInput(f"{scan.path} has the same content as {other}: leave one of them out.")


def _units_of(scan: _Scan, size: int, fields: TextFields) -> Iterator[Unit]:
    path, source = scan.path, scan.source.sha256[:SHORT]
    if path.suffix == ".parquet":
        yield from _parquet_units(_row_groups(path, source, fields), fields, size)
    elif path.name.endswith(PLAIN):
        ends = [*(row for _, row in scan.marks[1:]), scan.rows]
        for (offset, first), stop in zip(scan.marks, ends, strict=True):
            if first < stop:
                yield Unit(kind="lines", path=path, first=first, stop=stop, offset=offset, source=source, fields=fields)
    else:
        yield Unit(kind="mds" if path.name.endswith(MDS) else "lines", path=path, source=source, fields=fields)


class _RowGroup(NamedTuple):
    """A row group of a Parquet file."""

    path: Path
    source: str
    first: int
    rows: int
    text_bytes: int


def _parquet_units(groups: Iterable[_RowGroup], fields: TextFields, size: int) -> Iterator[Unit]:
    """Rows of Parquet files in units of about the same amount of text; a unit lies within a row group."""
    for path, source, first, rows, text_bytes in groups:
        cuts = min(rows, -(-text_bytes // size))
        for cut in range(cuts):
            start, stop = first + rows * cut // cuts, first + rows * (cut + 1) // cuts
            yield Unit(kind="parquet", path=path, first=start, stop=stop, source=source, fields=fields)


def _row_groups(path: Path, source: str, fields: TextFields) -> Iterator[_RowGroup]:
    """The row groups of a file that have rows."""
    try:
        metadata = pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadInput(f"{path} is not a Parquet file: {error}.") from error
    names = [metadata.schema.column(index).path for index in range(metadata.num_columns)]
    if fields.text_field not in names:
        raise BadInput(f"{path} has no column {fields.text_field!r} but {', '.join(names)}. Give text_field=….")
    column, first = names.index(fields.text_field), 0
    for index in range(metadata.num_row_groups):
        group = metadata.row_group(index)
        if group.num_rows:
            text_bytes = max(1, group.column(column).total_uncompressed_size)
            yield _RowGroup(path, source, first, group.num_rows, text_bytes)
        first += group.num_rows
