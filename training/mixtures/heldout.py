"""Samples that no phase reads, for held-out loss: a few runs of neighbours in each stream, chosen by the seed.

A sample with a piece of a document that a held-out sample has a piece of too is a guard: no phase reads it either.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from catalog.store import texts
from training.mixtures.plan import StreamKey

RUN = 8
"""Neighbours that are held out together: their outer edges alone can share a document with what is read."""
LEAST = 32
"""A stream of fewer samples gives none."""

Ids = NDArray[np.int64]


def choose(ids: Mapping[StreamKey, Ids], part: float, seed: int) -> dict[StreamKey, Ids]:
    """The held-out samples of every stream: `part` of it, one run of `RUN` at least where it has `LEAST` samples."""
    return {key: of[_runs(len(of), part, [seed, number])] for number, (key, of) in enumerate(sorted(ids.items()))}


def _runs(samples: int, part: float, seed: Sequence[int]) -> NDArray[np.int64]:
    if part <= 0 or samples < LEAST:
        return np.empty(0, np.int64)
    slots = samples // RUN
    runs = min(max(1, round(samples * part / RUN)), slots // 2)
    chosen = np.sort(np.random.default_rng(seed).choice(slots, runs, replace=False))
    return (chosen[:, None] * RUN + np.arange(RUN)).ravel()


def guards(samples: Iterable[Path], heldout: Ids) -> Ids:
    """The ids of samples that share a document with a held-out one, themselves not counted; sorted.

    `samples` are the Parquet files of spans of every tokens artifact at hand.
    """
    files = texts(samples)
    if not len(heldout) or files == "[]":
        return np.empty(0, np.int64)
    wanted = f"(SELECT unnest([{', '.join(map(str, heldout.tolist()))}]) AS sample_id)"
    with duckdb.connect() as con:
        found = con.execute(
            f"WITH spans AS (FROM read_parquet({files})), held AS MATERIALIZED {wanted}, "
            "documents AS MATERIALIZED (SELECT DISTINCT doc_id FROM spans SEMI JOIN held USING (sample_id)) "
            "SELECT DISTINCT sample_id FROM spans SEMI JOIN documents USING (doc_id) ANTI JOIN held USING (sample_id) "
            "ORDER BY 1"
        ).fetchnumpy()
    return np.asarray(found["sample_id"], np.int64)
