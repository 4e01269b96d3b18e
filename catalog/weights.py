"""What a model's folder says before anything is loaded: its config.json, and the heads of its safetensors.

>>> config_of(folder)["model_type"], heads_of(folder)["lm_head.weight"]["shape"]
>>> check_whole(folder)                    # raises Damaged, naming the file: before minutes of work, not after
"""

import json
import math
import struct
from pathlib import Path
from typing import Any

from catalog.errors import Damaged
from catalog.records import RECORD

CONFIG = "config.json"
FILES = "*.safetensors"


def config_of(folder: Path) -> dict[str, Any]:
    """The config.json of a model. Raises Damaged where it cannot be read, or says nothing of the model."""
    path = folder / CONFIG
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise damaged(path, "cannot be read") from error
    if not isinstance(said, dict) or not said:
        raise damaged(path, "says nothing of the model")
    return said


def heads_of(folder: Path) -> dict[str, dict[str, Any]]:
    """What the safetensors of a model say of each weight: dtype, shape. Raises Damaged where a file is cut."""
    return {name: entry for path in sorted(folder.glob(FILES)) for name, entry in _head(path).items()}


def check_whole(folder: Path) -> None:
    """Raises Damaged where config.json or a file of weights is cut, or there is none."""
    config_of(folder)
    if not heads_of(folder):
        raise damaged(folder / FILES, "has no weights")


def parameters_of(folder: Path) -> int:
    """The numbers in a model's safetensors. Raises Damaged."""
    return sum(math.prod(entry["shape"]) for entry in heads_of(folder).values())


def weight_bytes(folder: Path) -> int:
    """The bytes of a model's safetensors."""
    return sum(path.stat().st_size for path in folder.glob(FILES))


def damaged(path: Path, what: str) -> Damaged:
    """The error for a file of a model, with what to do next."""
    folder = path.parent
    known = (folder / RECORD).is_file()
    then = f"`just verify models/{folder.parent.name}@{folder.name}`" if known else "copy the model again"
    return Damaged(f"{path} {what}: {then}.")


def _head(path: Path) -> dict[str, dict[str, Any]]:
    """8 bytes of length, then JSON, then the weights up to the last offset that it names."""
    size = path.stat().st_size
    try:
        with path.open("rb") as stream:
            length = struct.unpack("<Q", stream.read(8))[0]
            head = json.loads(stream.read(min(length, size)))
        entries = {name: entry for name, entry in head.items() if name != "__metadata__"}
        ends = [entry["data_offsets"][1] for entry in entries.values() if "data_offsets" in entry]
        shapes = [math.prod(entry["shape"]) for entry in entries.values()]
    except (struct.error, ValueError, TypeError, AttributeError, LookupError) as error:
        raise damaged(path, f"has {size:,} bytes and no head that names its weights") from error
    if not shapes or size < 8 + length + max(ends, default=0):
        raise damaged(path, f"is cut: it has {size:,} bytes of {8 + length + max(ends, default=0):,}")
    return entries
