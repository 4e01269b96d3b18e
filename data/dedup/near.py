"""Near-duplicates among ranked documents, and against earlier ones: from signature files to proven pairs.

>>> found = near_duplicates(paths, Ranked(parts, ordinals), NearConfig())
>>> found.document, found.keeper, found.jaccard

Stores of signatures come from `Sign`, a task an intake part.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from datatrove.pipeline.base import PipelineStep

from catalog.locks import clear_partials
from data.dedup.bands import Bands, bands_for
from data.dedup.clusters import best_keeper, buckets, choose, cluster_sizes
from data.dedup.config import NearConfig
from data.dedup.history import Earlier, EarlierFile, match_history
from data.dedup.keys import BandKeys
from data.dedup.segments import index_path, write_index
from data.dedup.store import Store, groups, sign, signature_path
from data.dedup.verify import compare, likely


class Sign(PipelineStep):
    """Signatures and band keys of one intake part; what is there is not made again."""

    name = "sign"
    type = "MILLRACE"

    def __init__(self, parts: Sequence[Path], config: NearConfig) -> None:
        super().__init__()
        self.parts, self.config, self.bands = list(parts), config, bands_of(config)

    def output(self, task: int) -> Path:
        """The last file that a task makes."""
        return index_path(signature_path(self.parts[task], self.config), self.bands)

    def run(self, data: object = None, rank: int = 0, world_size: int = 1) -> Iterator[None]:
        signed = signature_path(self.parts[rank], self.config)
        if not signed.exists():
            sign(self.parts[rank], signed, self.config)
        if not self.output(rank).exists():
            write_index(signed, self.bands)
        yield from ()


def unsigned(parts: Sequence[Path], config: NearConfig) -> list[Path]:
    """The intake parts that lack signatures or band keys, each once; leftovers of dead processes are cleared."""
    step = Sign(list(dict.fromkeys(parts)), config)
    missing = [task for task in range(len(step.parts)) if not step.output(task).exists()]
    for folder in {step.output(task).parent for task in missing}:
        clear_partials(folder)
    return [step.parts[task] for task in missing]


def bands_of(config: NearConfig) -> Bands:
    """The bands that a config comes to."""
    return bands_for(config.similarity, config.hashes, config.recall)


class Ranked(NamedTuple):
    """The documents to decide, from the best rank down."""

    parts: np.ndarray
    """Which signature file each lies in."""
    ordinals: np.ndarray


@dataclass(frozen=True)
class Found:
    """Documents to remove, each with the kept one that proves it."""

    document: np.ndarray
    """Ranks of the removed documents."""
    keeper: np.ndarray
    """Rank of the kept one; -1 where it is an earlier document."""
    jaccard: np.ndarray
    containment: np.ndarray
    cluster: np.ndarray
    """Documents that proven pairs join, the removed and the kept ones counted."""
    earlier: list[Earlier | None]
    """The earlier document, where there is one."""
    pairs: int = 0
    """Pairs that were compared."""
    cut_buckets: int = 0


def near_duplicates(
    paths: Sequence[Path],
    ranked: Ranked,
    config: NearConfig,
    history: Sequence[EarlierFile] = (),
    spill: Path | None = None,
) -> Found:
    """Which of these documents are near-duplicates of better ranked or of earlier ones.

    Signatures and band keys must be there (`Sign`). What does not fit in memory goes to nameless files in `spill`, by
    default the system's folder for temporary files.
    """
    store, bands = Store(paths), bands_of(config)
    signed, numbers = _numbers(store, ranked)
    keys = BandKeys(store, bands, numbers)
    earlier = match_history(store, keys.rank_of, history, bands, config.similarity)
    keys.leave_out(numbers[earlier.place])
    inner = _among(store, numbers, keys, config, spill)
    return Found(
        document=signed[np.concatenate((earlier.place, inner.document))],
        keeper=np.concatenate((np.full(len(earlier.place), -1), signed[inner.keeper])),
        jaccard=np.concatenate((earlier.jaccard, inner.jaccard)),
        containment=np.concatenate((earlier.containment, inner.containment)),
        cluster=np.concatenate((_sizes(earlier.documents), inner.cluster)),
        earlier=[*earlier.documents, *inner.earlier],
        pairs=earlier.pairs + inner.pairs,
        cut_buckets=inner.cut_buckets,
    )


def _sizes(earlier: Sequence[Earlier]) -> np.ndarray:
    """How many documents each earlier one and its new duplicates are."""
    counts = Counter(earlier)
    return np.array([counts[document] + 1 for document in earlier], np.int64)


def _numbers(store: Store, ranked: Ranked) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the documents that have a signature (one without a token has none), and their numbers in the store."""
    nobody = np.iinfo(np.uint32).max
    numbers = np.full(len(ranked.parts), nobody, np.uint32)
    for part, places in groups(ranked.parts):
        there, wanted = store.ordinals_of(part), ranked.ordinals[places]
        if len(there):
            rows = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
            numbers[places] = np.where(there[rows] == wanted, rows + store.bounds[part], nobody)
    signed = np.flatnonzero(numbers != nobody)
    return signed, numbers[signed]


def _among(store: Store, numbers: np.ndarray, keys: BandKeys, config: NearConfig, spill: Path | None) -> Found:
    def prove(kept: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left, right = numbers[kept], numbers[others]
        holds = likely(store, left, store, right, config.similarity)
        maybe = np.flatnonzero(holds)
        compared = compare(store, left[maybe], store, right[maybe])
        proven = compared.jaccard >= config.similarity
        holds[maybe[~proven]] = False
        return holds, compared.jaccard[proven], compared.containment[proven]

    edges = choose(buckets(keys, spill), len(numbers), prove, config.bucket_pairs, spill)
    best = best_keeper(edges)
    return Found(
        document=edges.other[best],
        keeper=edges.kept[best],
        jaccard=edges.jaccard[best],
        containment=edges.containment[best],
        cluster=cluster_sizes(edges)[best],
        earlier=[None] * len(best),
        pairs=edges.pairs,
        cut_buckets=edges.cut_buckets,
    )
