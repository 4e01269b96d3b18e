"""MDS shards, as streaming reads them (https://docs.mosaicml.com/projects/streaming, format `mds`, version 2).

>>> entry = write_shard(folder, 0, shape, ids, tokens, bounds)       # shard.00000.mds.zstd
>>> write_index(folder, [entry])

Written here and not by streaming's MDSWriter, whose import alone (torch, transformers) costs seconds of each worker; a
test holds the bytes against its. Columns: `bounds`, where the pieces of documents begin in the sample and where its
last one ends; `sample_id`; `tokens`.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from catalog.errors import BadInput
from catalog.home import written
from catalog.records import FileEntry

INDEX = "index.json"
ZSTD_LEVEL = 3
HASH = "sha256"
BOUNDS_BYTES = 64
"""What the bounds of a sample take, about: for the number of samples in a shard."""


class Shape(NamedTuple):
    """What all samples of an artifact have in common."""

    length: int
    dtype: str
    shard_bytes: int

    @property
    def samples(self) -> int:
        """Samples of a full shard."""
        return max(1, self.shard_bytes // (self.length * np.dtype(self.dtype).itemsize + BOUNDS_BYTES))

    def config(self) -> dict[str, object]:
        """What the index says of every shard."""
        return {
            "version": 2,
            "format": "mds",
            "compression": f"zstd:{ZSTD_LEVEL}",
            "hashes": [HASH],
            "size_limit": self.shard_bytes,
            "column_names": ["bounds", "sample_id", "tokens"],
            "column_encodings": ["ndarray:uint32", "int", f"ndarray:{self.dtype}:{self.length}"],
            "column_sizes": [None, 8, self.length * np.dtype(self.dtype).itemsize],
        }


def shard_bytes(
    shape: Shape, ids: npt.NDArray[np.int64], tokens: npt.NDArray[np.unsignedinteger], bounds: Sequence[npt.NDArray]
) -> bytes:
    """A shard: count, offsets, config, samples. `tokens` is (samples, length), `bounds` one array a sample."""
    names = tokens.view(np.uint8).reshape(len(ids), -1)
    bodies = [
        b"".join((_sized(_array(starts)), sample_id.tobytes(), row.tobytes()))
        for sample_id, row, starts in zip(ids, names, bounds, strict=True)
    ]
    config = json.dumps(shape.config(), sort_keys=True).encode()
    offsets = np.cumsum([0, *map(len, bodies)], dtype=np.int64) + 4 + 4 * (len(bodies) + 1) + len(config)
    return b"".join((np.uint32(len(bodies)).tobytes(), offsets.astype(np.uint32).tobytes(), config, *bodies))


def _array(values: npt.NDArray) -> bytes:
    """`ndarray:uint32` without a shape: dimensions and the width of their numbers in a byte, the size, the values."""
    size = len(values)
    width = 0 if size < 1 << 8 else 1 if size < 1 << 16 else 2
    return bytes([1 << 2 | width]) + size.to_bytes(1 << width, "little") + values.astype(np.uint32).tobytes()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def write_shard(folder: Path, number: int, shape: Shape, data: bytes, samples: int) -> dict[str, object]:
    """Compress and write a shard; gives its entry in the index."""
    name = f"shard.{number:05d}.mds"
    packed = pa.Codec("zstd", compression_level=ZSTD_LEVEL).compress(data, asbytes=True)
    with written(folder / f"{name}.zstd") as partial:
        partial.write_bytes(packed)
    return {
        "samples": samples,
        "raw_data": _file(name, data),
        "zip_data": _file(f"{name}.zstd", packed),
        **shape.config(),
    }


def _file(name: str, data: bytes) -> dict[str, object]:
    return {"basename": name, "bytes": len(data), "hashes": {HASH: hashlib.sha256(data).hexdigest()}}


def shard_entry(root: str, entry: dict) -> FileEntry:
    """A shard as the record lists it; `root` is the folder of its stream in the artifact."""
    file = entry["zip_data"]
    return FileEntry(
        path=f"{root}/{file['basename']}", bytes=file["bytes"], sha256=file["hashes"][HASH], rows=entry["samples"]
    )


def write_index(path: Path, entries: Sequence[dict]) -> None:
    """The index of a stream, by which streaming finds its shards."""
    with written(path) as partial:
        partial.write_text(json.dumps({"version": 2, "shards": list(entries)}, sort_keys=True))


def shard_files(index: Path) -> list[Path]:
    """The shards that an index names, packed or not, as they are there. Raises BadInput where it is no index."""
    try:
        entries = json.loads(index.read_bytes())["shards"]
        names = [[entry[part]["basename"] for part in ("zip_data", "raw_data") if entry.get(part)] for entry in entries]
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{index} is no index of MDS shards: {type(error).__name__} {error}.") from error
    return [
        index.parent / next((name for name in found if (index.parent / name).exists()), found[0]) for found in names
    ]


def read_strings(stream: IO[bytes], wanted: Sequence[str]) -> Iterator[dict[str, str]]:
    """The samples of a shard of any shape, one after another: those of the wanted columns that are text.

    Raises ValueError where the bytes are no shard.
    """
    count = int.from_bytes(stream.read(4), "little")
    offsets = np.frombuffer(stream.read(4 * (count + 1)), np.uint32).astype(np.int64)
    config = json.loads(stream.read(int(offsets[0]) - 4 * (count + 2)))
    columns = list(zip(config["column_names"], config["column_encodings"], config["column_sizes"], strict=True))
    for size in np.diff(offsets):
        yield _strings(stream.read(int(size)), columns, wanted)


def _strings(data: bytes, columns: Sequence[tuple[str, str, int | None]], wanted: Sequence[str]) -> dict[str, str]:
    """A sample: the sizes of the columns that have none of their own, then all columns."""
    at = 4 * sum(not size for _, _, size in columns)
    sizes, found = iter(np.frombuffer(data[:at], np.uint32)), {}
    for name, encoding, fixed in columns:
        size = fixed or int(next(sizes))
        if encoding == "str" and name in wanted:
            found[name] = data[at : at + size].decode()
        at += size
    return found
