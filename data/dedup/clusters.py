"""Who stays: of near-duplicates the better ranked, one kept document for every one that is removed, on record.

A document is removed when a better ranked document that is kept shares a bucket with it and their n-grams prove the
similarity. This is the one answer of a greedy walk through the documents from the best rank down; it hangs on the
ranks and the texts alone, so neither the order of files nor the number of workers can change it, and it fuses no
chains: a page like a removed page, but unlike every kept one, stays.

The walk is taken in rounds: a document that is the best ranked of all its buckets, among the undecided, is kept, and
all others of its buckets are compared with it. So only kept documents are ever compared: a group of m costs m - 1
pairs, not m (m - 1) / 2.

Buckets and pairs lie on the disk (`data.dedup.spill`) and pass through memory a stretch at a time; two bytes a document
stay there, and 32 a proven pair.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from data.dedup.spill import Runs, different, halves, join_halves

LARGE_BUCKET = 2000
"""A bucket of more documents is split by the keys of the next band: it comes from a template, not from duplicates."""

Prove = Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(kept, others) → (which pairs hold, as bool; Jaccard; containment), the last two for those that hold."""


AT_ONCE = 1 << 20
"""Entries of buckets, or pairs, that are in memory at once: about 100 MB."""


class Keys(Protocol):
    """Band keys of documents that are numbered by rank (`data.dedup.keys`)."""

    bands: int

    def sorted(self, band: int) -> Iterator[np.ndarray]:
        """uint64, ascending: key and document, in stretches of whole keys."""
        ...

    def of(self, band: int) -> np.ndarray:
        """uint32[documents]."""
        ...


@dataclass(frozen=True)
class Edges:
    """Proven pairs; documents by rank, 0 the best."""

    kept: np.ndarray
    other: np.ndarray
    jaccard: np.ndarray
    containment: np.ndarray
    pairs: int
    """Pairs that were compared."""
    cut_buckets: int
    """Buckets that asked for more pairs than one may."""


def buckets(keys: Keys, spill: Path | None = None) -> Runs:
    """(bucket, document) entries, sorted by bucket and then by rank, of all buckets with two documents or more.

    Good for some 400 million documents: buckets are numbered in 32 bits.
    """
    entries, next_bucket = Runs(spill), 0
    for band in range(keys.bands):
        for tagged in keys.sorted(band):
            bucket, document = _groups(tagged)
            bucket, document = _split_large(bucket, document, keys, (band + 1) % keys.bands)
            entries.add(join_halves(bucket + next_bucket, document))
            next_bucket += int(bucket[-1]) + 1 if len(bucket) else 0
    return entries


def _groups(tagged: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Entries of the keys that stand twice or more."""
    key, document = halves(tagged)
    shared = _several(key)
    key, document = key[shared], document[shared]
    return np.cumsum(np.diff(key, prepend=-1) > 0) - 1, document


def _several(sorted_values: np.ndarray) -> np.ndarray:
    """bool: which stand twice or more."""
    several = np.zeros(len(sorted_values), bool)
    same = sorted_values[1:] == sorted_values[:-1]
    several[1:] |= same
    several[:-1] |= same
    return several


def _firsts(sorted_values: np.ndarray) -> np.ndarray:
    """Where each value stands first."""
    return np.flatnonzero(np.concatenate(([True], sorted_values[1:] != sorted_values[:-1])))


def _split_large(bucket: np.ndarray, document: np.ndarray, keys: Keys, band: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut buckets that are too large by the keys of another band."""
    if not len(bucket) or np.bincount(bucket).max() <= LARGE_BUCKET:
        return bucket, document
    large = (np.bincount(bucket) > LARGE_BUCKET)[bucket]
    more = keys.of(band)[document[large]]
    order = np.lexsort((document[large], more, bucket[large]))
    inner, documents = join_halves(bucket[large], more)[order], document[large][order]
    several = _several(inner)
    split = np.cumsum(np.concatenate(([True], inner[1:] != inner[:-1])))
    joined = np.concatenate((bucket[~large], split[several] + int(bucket[-1])))
    _, joined = np.unique(joined, return_inverse=True)
    return joined, np.concatenate((document[~large], documents[several]))


def choose(entries: Runs, documents: int, prove: Prove, bucket_pairs: int, spill: Path | None = None) -> Edges:
    """Walk the documents by rank; the proven pairs of a kept document and one that it removes."""
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0))]
    decided, spent, compared, cut = np.zeros(documents, bool), _Spent(bucket_pairs), 0, 0
    while len(entries):
        pairs = _pairs_of_leads(entries, decided, spent, spill)
        for some in pairs.merged(AT_ONCE):
            left, right = halves(some)
            holds, jaccard, containment = prove(left, right)
            found.append((left[holds], right[holds], jaccard, containment))
            decided[right[holds]] = True
            compared += len(left)
        entries, cut_now = _left_over(entries, decided, spent.out(), spill)
        cut += cut_now
    kept, other, jaccard, containment = (np.concatenate(column) for column in zip(*found, strict=True))
    return Edges(kept, other, jaccard, containment, compared, cut)


class _Spent:
    """Pairs that buckets have asked for, of those buckets that can come to ask for more than they may."""

    def __init__(self, bucket_pairs: int) -> None:
        self.most, self.pairs = bucket_pairs, dict[int, int]()

    def add(self, buckets: np.ndarray, sizes: np.ndarray) -> None:
        """Each of these buckets of so many documents is walked once."""
        large = (sizes * (sizes - 1) // 2 > self.most) | np.isin(buckets, list(self.pairs))
        for bucket, size in zip(buckets[large].tolist(), sizes[large].tolist(), strict=True):
            self.pairs[bucket] = self.pairs.get(bucket, 0) + size - 1

    def out(self) -> list[int]:
        """Those that have asked for enough."""
        return [bucket for bucket, pairs in self.pairs.items() if pairs > self.most]


def _pairs_of_leads(entries: Runs, decided: np.ndarray, spent: _Spent, spill: Path | None) -> Runs:
    """(the first of a bucket, each of its others) where the first is best in all its buckets; it is decided now."""
    behind = np.zeros(len(decided), bool)
    for some in entries.groups(AT_ONCE):
        bucket, document = halves(some)
        behind[document[1:][bucket[1:] == bucket[:-1]]] = True
    pairs = Runs(spill)
    for some in entries.groups(AT_ONCE):
        bucket, document = halves(some)
        first = _firsts(bucket)
        sizes, leads = np.diff(np.append(first, len(bucket))), ~behind[document[first]]
        first, sizes = first[leads], sizes[leads]
        decided[document[first]] = True
        spent.add(bucket[first], sizes)
        pairs.add(_pairs(document, first, sizes))
    return pairs


def _pairs(document: np.ndarray, first: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """uint64: the first of a bucket and each of its others, every pair once."""
    others = sizes - 1
    ends = np.cumsum(others)
    within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - others, others)
    at = np.repeat(first, others)
    return different(join_halves(document[at], document[at + 1 + within]))


def _left_over(entries: Runs, decided: np.ndarray, out: list[int], spill: Path | None) -> tuple[Runs, int]:
    """Entries of undecided documents, without buckets of one and those that are out; how many of these there were."""
    left, cut = Runs(spill), 0
    for some in entries.groups(AT_ONCE):
        bucket, document = halves(some)
        some, bucket = some[~decided[document]], bucket[~decided[document]]
        several = _several(bucket)
        over = several & np.isin(bucket, out)
        cut += len(np.unique(bucket[over]))
        left.add(some[several & ~over])
    return left, cut


def best_keeper(edges: Edges) -> np.ndarray:
    """Places in `edges` of the pair on record for each removed document: with the most alike, then the best ranked."""
    order = np.lexsort((edges.kept, -edges.jaccard, edges.other))
    removed = edges.other[order]
    return order[np.flatnonzero(np.concatenate(([True], removed[1:] != removed[:-1])))] if len(order) else order


def cluster_sizes(edges: Edges) -> np.ndarray:
    """int64[pairs]: the documents that proven pairs join to those of each pair, these counted."""
    nodes, at = np.unique(np.concatenate((edges.kept, edges.other)), return_inverse=True)
    kept, other = np.split(at, 2)
    joined = coo_array((np.ones(len(kept), bool), (kept, other)), shape=(len(nodes), len(nodes)))
    _, label = connected_components(joined, directed=False)
    return np.bincount(label)[label[other]] if len(nodes) else np.zeros(0, np.int64)
