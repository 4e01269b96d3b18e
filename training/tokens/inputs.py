"""What is to be tokenized, cut into units of work: the shards of corpus versions, or text files.

>>> found = find_inputs(config, Home.open())
>>> found.content                  # what counts for the identity: hashes, not paths
>>> found.units[0]                 # rows of one file, a few megabytes of text

How the units are cut depends on the content alone, never on the workers.
"""

import hashlib
import json
from collections.abc import Iterator
from glob import glob
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from catalog.config import Config
from catalog.errors import BadInput, Damaged, NotFound
from catalog.home import Home
from catalog.ids import SHORT
from catalog.records import Record, find
from training.tokens.config import TextFields, TokensConfig

UNITS = 256
"""About so many units an input: enough for any machine, few enough to open them all."""
MIN_UNIT_BYTES, MAX_UNIT_BYTES = 2_000_000, 64_000_000
"""Text of a unit, about: its documents' ids and addresses are held in memory by one worker."""

CORPUS_FIELDS = TextFields()
LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".ndjson.zst")
SUFFIXES = (*LINES, ".parquet")


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
    paths = [path for record in records for path in _shards(home, record)]
    return Inputs(
        refs=refs,
        content=tuple(entry.sha256 for entry in shards),
        units=tuple(_parquet_units([(path, "") for path in paths], CORPUS_FIELDS)),
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
    sources, units = [], []
    for path in _found(config.input):
        digest = _digest(path)
        sources.append(Source(name=path.name, sha256=digest, bytes=path.stat().st_size))
        units.append((path, digest[:SHORT]))
    known = {source.sha256: source.name for source in sources}
    if len(known) < len(sources):
        twice = next(source.name for source in sources if known[source.sha256] != source.name)
        raise BadInput(f"{twice} has the same content as another input: its documents would have the same ids.")
    parquet = [(path, source) for path, source in units if path.suffix == ".parquet"]
    lines = [Unit(kind="lines", path=p, source=s, fields=config.fields) for p, s in units if p.suffix != ".parquet"]
    return Inputs(
        refs=(),
        content=tuple(source.sha256 for source in sources),
        units=(*_parquet_units(parquet, config.fields), *lines),
        documents=None,
        sources=tuple(sources),
    )


def _found(patterns: tuple[str, ...]) -> list[Path]:
    """The files of paths, globs and folders: each once, in the order given, sorted within a pattern."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            files = sorted(file for file in path.rglob("*") if file.name.endswith(SUFFIXES))
        else:
            files = [path] if path.is_file() else sorted(map(Path, glob(pattern, recursive=True)))
        if not files:
            raise NotFound(f"no text files in {pattern!r}. Give JSONL (.gz, .zst) or Parquet files, folders or globs.")
        found |= dict.fromkeys(file.absolute() for file in files)
    for file in found:
        if not file.name.endswith(SUFFIXES):
            raise BadInput(f"{file} is of no kind that can be read here. Kinds: {', '.join(SUFFIXES)}.")
    return list(found)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _parquet_units(files: list[tuple[Path, str]], fields: TextFields) -> Iterator[Unit]:
    """Rows of Parquet files in units of about the same amount of text; a unit lies within a row group."""
    groups = [(path, source, *group) for path, source in files for group in _row_groups(path, fields)]
    size = min(max(MIN_UNIT_BYTES, sum(group[-1] for group in groups) // UNITS), MAX_UNIT_BYTES)
    for path, source, first, rows, text_bytes in groups:
        cuts = min(rows, -(-text_bytes // size))
        for cut in range(cuts):
            start, stop = first + rows * cut // cuts, first + rows * (cut + 1) // cuts
            yield Unit(kind="parquet", path=path, first=start, stop=stop, source=source, fields=fields)


def _row_groups(path: Path, fields: TextFields) -> Iterator[tuple[int, int, int]]:
    """First row, rows and bytes of text of each row group that has rows."""
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
            yield first, group.num_rows, max(1, group.column(column).total_uncompressed_size)
        first += group.num_rows


def source_key(inputs: Inputs) -> str:
    """One hash over all content."""
    return hashlib.sha256(json.dumps(inputs.content).encode()).hexdigest()
