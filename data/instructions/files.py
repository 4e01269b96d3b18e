"""Records of files, with the place that each comes from.

>>> for raw in records([Path("alpaca.jsonl.gz")]): print(raw.place, raw.fields["instruction"])
alpaca.jsonl.gz, line 1 …
"""

import bz2
import csv
import glob
import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import pyarrow.parquet as pq
import zstandard
from pydantic import JsonValue

from catalog.errors import BadInput, NotFound

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_PACKED = (".gz", ".zst", ".bz2")
BATCH_ROWS = 1024


class Place(NamedTuple):
    """Where a record stands."""

    file: str
    number: int
    """A line from 1, or a record or row from 1 in files that have no lines."""
    unit: str = "line"

    def __str__(self) -> str:
        return f"{self.file}, {self.unit} {self.number}"


class Raw(NamedTuple):
    """A record as a file has it; fields that say nothing (null) are left out, at any depth."""

    place: Place
    fields: dict[str, JsonValue]


def found(inputs: Iterable[str]) -> list[Path]:
    """The files that paths, globs and folders name, sorted. Raises NotFound, BadInput."""
    paths: list[Path] = []
    for text in inputs:
        place = Path(text).expanduser()
        if place.is_dir():
            here = [path for path in place.rglob("*") if path.is_file() and _kind(path) in SUFFIXES]
        else:
            here = [Path(path) for path in glob.glob(str(place), recursive=True)] or [place]
        if not here or not all(path.is_file() for path in here):
            raise NotFound(f"no such file: {text}. A folder is searched for {', '.join(SUFFIXES)}, also packed.")
        paths += here
    for path in paths:
        if _kind(path) not in SUFFIXES:
            raise BadInput(f"{path} is of no kind that is read here: {', '.join(SUFFIXES)}, also {', '.join(_PACKED)}.")
    return sorted(dict.fromkeys(paths))


def records(paths: Iterable[Path], names: Iterable[str] = ()) -> Iterator[Raw]:
    """Every record of the files in order; `names` are what the places call them. Raises BadInput naming the place."""
    paths = list(paths)
    for path, name in zip(paths, list(names) or [path.name for path in paths], strict=True):
        try:
            yield from _records(path, name)
        except (EOFError, zlib.error, gzip.BadGzipFile, zstandard.ZstdError) as error:
            raise BadInput(f"{name} is damaged or cut short: {error}.") from error
        except UnicodeDecodeError as error:
            raise BadInput(f"{name} is not UTF-8 (byte {error.start}): convert it first.") from error


def short_names(paths: list[Path]) -> list[str]:
    """Names of files that say the same wherever they lie: without the folder that all share."""
    if len(paths) == 1:
        return [paths[0].name]
    shared = os.path.commonpath([path.absolute().parent for path in paths]) if paths else ""
    return [path.absolute().relative_to(shared).as_posix() for path in paths]


def _kind(path: Path) -> str:
    bare = path.with_suffix("") if path.suffix in _PACKED else path
    return bare.suffix.lower()


def _records(path: Path, name: str) -> Iterator[Raw]:
    kind = _kind(path)
    if kind == ".parquet":
        yield from _of_parquet(path, name)
        return
    with path.open("rb") as file, _unpacked(file, path.suffix) as stream:
        if kind in (".csv", ".tsv"):
            yield from _of_csv(io.TextIOWrapper(stream, "utf-8-sig", newline=""), name, "\t" if kind == ".tsv" else ",")
        elif kind == ".json":
            yield from _of_json(stream.read(), name)
        else:
            yield from _of_lines(stream, name)


def _unpacked(file: BinaryIO, suffix: str) -> io.BufferedReader:
    if suffix == ".gz":
        return io.BufferedReader(gzip.GzipFile(fileobj=file))  # type: ignore[arg-type]
    if suffix == ".bz2":
        return io.BufferedReader(bz2.BZ2File(file))  # type: ignore[arg-type]
    if suffix == ".zst":
        return io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))  # type: ignore[arg-type]
    return io.BufferedReader(file)  # type: ignore[arg-type]


def _of_lines(stream: Iterable[bytes], name: str) -> Iterator[Raw]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            place = Place(name, number)
            yield Raw(place, _object(_parsed(line.decode("utf-8-sig" if number == 1 else "utf-8"), place), place))


def _of_json(data: bytes, name: str) -> Iterator[Raw]:
    """An array of objects, an object that holds one, or lines after all."""
    text = data.decode("utf-8-sig")
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{") and "\n" in text.strip():
            yield from _of_lines(io.BytesIO(data), name)
            return
        raise BadInput(f"{name}, line {error.lineno}: not JSON ({error.msg}, column {error.colno}).") from error
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list) and item and isinstance(item[0], dict)]
        holds = len(lists) == 1 and not ({"messages", "conversations", "prompt", "chosen"} & value.keys())
        value = lists[0] if holds else [value]
    if not isinstance(value, list):
        raise BadInput(f"{name}: a list of objects is wanted, not {named(value)}.")
    for number, item in enumerate(value, start=1):
        place = Place(name, number, "record")
        yield Raw(place, _object(item, place))


def _of_csv(stream: io.TextIOWrapper, name: str, delimiter: str) -> Iterator[Raw]:
    """Cells that look like JSON lists or objects are read as such."""
    csv.field_size_limit(sys.maxsize)
    rows = csv.DictReader(stream, delimiter=delimiter, strict=True)
    try:
        for row in rows:
            place = Place(name, rows.line_num)
            if None in row or None in row.values():
                raise BadInput(f"{place}: {len(rows.fieldnames or ())} cells are wanted, as in the header.")
            yield Raw(place, {key: _cell(value, place, key) for key, value in row.items() if value != ""})
    except csv.Error as error:
        raise BadInput(f"{name}, line {rows.line_num}: {error}.") from error


def _cell(text: str, place: Place, column: str) -> JsonValue:
    nested = column in ("messages", "conversations", "tools") or text.startswith(('[{"', '{"'))
    if nested and text[:1] in "[{":
        return _parsed(text, place, column)
    return text


def _of_parquet(path: Path, name: str) -> Iterator[Raw]:
    try:
        file = pq.ParquetFile(path)
    except (OSError, ValueError) as error:
        raise BadInput(f"{name} is not a Parquet file ({error}).") from error
    number = 0
    for batch in file.iter_batches(BATCH_ROWS):
        for row in batch.to_pylist():
            number += 1
            yield Raw(Place(name, number, "row"), _object(row, Place(name, number, "row")))


def _parsed(text: str, place: Place, column: str = "") -> JsonValue:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f", field {column}" if column else ""
        raise BadInput(f"{place}{where}: not JSON ({error.msg}, column {error.colno}).") from error


def _object(value: object, place: Place) -> dict[str, JsonValue]:
    if not isinstance(value, dict):
        raise BadInput(f"{place}: an object with fields is wanted, not {named(value)}.")
    return without_nulls(value)  # type: ignore[return-value]


def without_nulls(value: object) -> object:
    """The value without keys that are null: nested Parquet columns bring back every key of every row."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [without_nulls(item) for item in value]
    return value


def named(value: object) -> str:
    """What a value is, for an error message."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
