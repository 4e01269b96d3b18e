"""Whether disk and memory have room for a model, asked before work.

>>> check_room(home.root, size=2 * parameters, memory=4 * parameters + 3 * GIB)      # raises BadInput
"""

import shutil
from pathlib import Path

import psutil

from catalog.errors import BadInput

GIB = 1024**3
SPARE_BYTES = 200_000_000
"""Beside what is written: catalog, logs and temporary files need room too."""


def check_room(root: Path, size: int, memory: int) -> None:
    """Raises BadInput where the disk has no room for about so many bytes, or memory has none."""
    needed = size * 11 // 10 + SPARE_BYTES
    if (free := shutil.disk_usage(root).free) < needed:
        raise BadInput(f"no space: {free / 1e6:,.0f} MB are free in {root}, {needed / 1e6:,.0f} MB are needed.")
    if (there := psutil.virtual_memory().available) < memory:
        raise BadInput(f"not enough memory: {memory / GIB:.1f} GiB are needed, {there / GIB:.1f} GiB are free.")
