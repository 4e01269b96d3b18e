"""The samples that a compressed or pruned model was calibrated on, as the catalog's `calibration_samples` has them.

>>> write_samples(folder / SAMPLES, "tiny-w8a8", "1", samples)
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from catalog.home import written

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES = "calibration/samples.parquet"
"""Within the model's folder."""
MOST_SAMPLES = 100_000
"""Published recipes take 128 to 1,024; every sample goes through every layer."""


class Sample(NamedTuple):
    """A calibration sample."""

    sample_id: int
    domain: str
    ids: "NDArray[np.int64]"
    tokens_hash: int


def write_samples(path: Path, name: str, version: str, samples: Sequence[Sample]) -> None:
    """One row for each, in their order."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {
        "model": pa.array([name] * len(samples)),
        "version": pa.array([version] * len(samples)),
        "row": pa.array(range(len(samples)), pa.int64()),
        "domain": pa.array([one.domain for one in samples]),
        "sample_id": pa.array([one.sample_id for one in samples], pa.int64()),
        "tokens": pa.array([len(one.ids) for one in samples], pa.int64()),
        "tokens_hash": pa.array([one.tokens_hash for one in samples], pa.int64()),
    }
    with written(path) as partial:
        parquet.write_table(pa.table(columns), partial, compression="zstd")
