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
from data.dedup.segments import index_path, write_index
from data.dedup.store import Store, sign, signature_path
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
    paths: Sequence[Path], ranked: Ranked, config: NearConfig, history: Sequence[EarlierFile] = ()
) -> Found:
    """Which of these documents are near-duplicates of better ranked or of earlier ones."""
    store, bands = Store(paths), bands_of(config)
    numbers = _numbers(store, ranked)
    signed = np.flatnonzero(numbers >= 0)
    keys = _keys(store, numbers[signed], bands)
    earlier = match_history(store, numbers[signed], keys, history, bands, config.similarity)
    fresh = np.ones(len(signed), bool)
    fresh[earlier.place] = False
    among = signed[fresh]
    inner = _among(store, numbers[among], keys[:, fresh], config)
    return Found(
        document=np.concatenate((signed[earlier.place], among[inner.document])),
        keeper=np.concatenate((np.full(len(earlier.place), -1), among[inner.keeper])),
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


def _numbers(store: Store, ranked: Ranked) -> np.ndarray:
    """The number of each document in the store; -1 for one without signature (it has no token)."""
    numbers = np.full(len(ranked.parts), -1, np.int64)
    for part in np.unique(ranked.parts).tolist():
        places = np.flatnonzero(ranked.parts == part)
        there, wanted = store.parts[part].ordinals, ranked.ordinals[places]
        if len(there):
            rows = np.minimum(np.searchsorted(there, wanted), len(there) - 1)
            numbers[places] = np.where(there[rows] == wanted, rows + store.bounds[part], -1)
    return numbers


def _keys(store: Store, numbers: np.ndarray, bands: Bands) -> np.ndarray:
    """uint32[bands, documents] in order of rank."""
    keys = np.empty((bands.bands, len(numbers)), np.uint32)
    for part, begin, end in zip(store.parts, store.bounds[:-1], store.bounds[1:], strict=True):
        places = np.flatnonzero((numbers >= begin) & (numbers < end))
        keys[:, places] = part.keys(bands)[:, numbers[places] - begin]
    return keys


def _among(store: Store, numbers: np.ndarray, keys: np.ndarray, config: NearConfig) -> Found:
    def prove(kept: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        left, right = numbers[kept], numbers[others]
        holds = likely(store, left, store, right, config.similarity)
        maybe = np.flatnonzero(holds)
        compared = compare(store, left[maybe], store, right[maybe])
        proven = compared.jaccard >= config.similarity
        holds[maybe[~proven]] = False
        return holds, compared.jaccard[proven], compared.containment[proven]

    edges = choose(*buckets(keys), len(numbers), prove, config.bucket_pairs)
    best = best_keeper(edges)
    return Found(
        document=edges.other[best],
        keeper=edges.kept[best],
        jaccard=edges.jaccard[best],
        containment=edges.containment[best],
        cluster=cluster_sizes(edges, len(numbers))[edges.other[best]],
        earlier=[None] * len(best),
        pairs=edges.pairs,
        cut_buckets=edges.cut_buckets,
    )
