"""Matches with earlier documents, through band keys that lie sorted on the disk (`data.dedup.segments`).

Band by band the keys of the new documents are looked up in all of history, and those that they share a bucket with are
proven, or not, on their n-grams; one that is proven asks no further. No earlier text is read, and of the earlier store
only the blocks that hold what is wanted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catalog.ids import doc_id
from data.dedup.bands import Bands
from data.dedup.keys import NOBODY
from data.dedup.segments import cover, member
from data.dedup.spill import different
from data.dedup.store import Store, ragged, source_of
from data.dedup.verify import compare, likely

MOST_IN_BUCKET = 64
"""Earlier documents of one bucket that a new one is compared with, the first by file and row: more come from a
template."""


AT_ONCE = 1 << 18
"""New documents that are matched at once: about 150 MB."""


class EarlierFile(NamedTuple):
    """A signature file of documents that newer ones are matched against; they are never removed."""

    name: str
    """The corpus or intake, as `kind/name@version`."""
    path: Path
    kept: np.ndarray | None = None
    """Ordinals that count, ascending; None means all."""


class Earlier(NamedTuple):
    """An earlier document."""

    name: str
    """The corpus or intake, as `kind/name@version`."""
    path: Path
    """Its signature file."""
    ordinal: int

    @property
    def doc_id(self) -> str:
        return doc_id(source_of(self.path), self.ordinal)


class Shelf:
    """Earlier documents, numbered through their files in order, and which of them count."""

    def __init__(self, history: Sequence[EarlierFile], bands: Bands, merge: bool) -> None:
        self.owners: dict[Path, list[EarlierFile]] = {}
        for file in history:
            self.owners.setdefault(file.path, []).append(file)
        paths = list(self.owners)
        self.segments = cover(paths, bands, merge)
        rows = {name: count for segment in self.segments for name, count in segment.members.items()}
        self.store = Store(paths, sparse=True, rows=[rows[member(path)] for path in paths])
        begin = dict(zip(map(member, paths), self.store.bounds.tolist(), strict=False))
        self._begins = [np.array([begin[name] for name in segment.members]) for segment in self.segments]

    def find(self, band: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(place in `keys`, document) of those that count and have one of these keys (uint32, sorted, different)."""
        found = [np.zeros((2, 0), np.int64)]
        for segment, begins in zip(self.segments, self._begins, strict=True):
            which, rows = segment.find(band, keys)
            owner = np.searchsorted(segment.starts, rows, side="right") - 1
            found.append(np.stack((which, rows - segment.starts[owner] + begins[owner])))
        which, documents = np.concatenate(found, axis=1)
        order = np.lexsort((documents, which))
        which, documents = which[order], documents[order]
        counts = self.counts(documents)
        return which[counts], documents[counts]

    def counts(self, documents: np.ndarray) -> np.ndarray:
        """bool: whether any that was named keeps the document."""
        stays = np.zeros(len(documents), bool)
        for part, places, rows in self.store.by_part(documents):
            kept = [file.kept for file in self.owners[part.path]]
            some = [each for each in kept if each is not None]
            ordinals = part.ordinals_at(rows) if len(some) == len(kept) else None
            stays[places] = ordinals is None or np.isin(ordinals, np.concatenate(some))
        return stays

    def named(self, documents: np.ndarray) -> list[Earlier]:
        """Documents that count, each with the first that was named and keeps it."""
        found: dict[int, Earlier] = {}
        for part, places, rows in self.store.by_part(documents):
            ordinals, owner = part.ordinals_at(rows), np.zeros(len(rows), np.int64)
            for number, file in reversed(list(enumerate(self.owners[part.path]))):
                owner[np.isin(ordinals, file.kept) if file.kept is not None else slice(None)] = number
            for place, ordinal, number in zip(places.tolist(), ordinals.tolist(), owner.tolist(), strict=True):
                found[place] = Earlier(self.owners[part.path][number].name, part.path, ordinal)
        return [found[place] for place in range(len(documents))]


@dataclass
class Matches:
    """New documents that are like earlier ones, each with one that proves it."""

    place: np.ndarray
    jaccard: np.ndarray
    containment: np.ndarray
    documents: list[Earlier]
    pairs: int


def match_history(
    store: Store, rank_of: np.ndarray, history: Sequence[EarlierFile], bands: Bands, similarity: float
) -> Matches:
    """The new documents that an earlier one proves to be duplicates; `rank_of` has, for each number in the store, the
    place of that document, or NOBODY.

    Of those that the first proving band brings, the most alike is named, then the first by file and row. New documents
    pass through memory some files at a time.
    """
    shelf, found, pairs = Shelf(history, bands, merge=True), [np.zeros((4, 0))], 0
    for files in _stretches(store) if history else ():
        begin = int(store.bounds[files.start])
        keys = np.concatenate([store.keys_of(file, bands) for file in files], axis=1)
        looked_at = np.flatnonzero(rank_of[begin : begin + keys.shape[1]] != NOBODY)
        proven, compared = _match(store, begin + looked_at, keys[:, looked_at], shelf, similarity)
        proven[0] = rank_of[begin + looked_at[proven[0].astype(np.int64)]]
        found.append(proven)
        pairs += compared
    place, old, jaccard, containment = np.concatenate(found, axis=1)
    order = np.argsort(place)
    documents = shelf.named(old[order].astype(np.int64))
    return Matches(place[order].astype(np.int64), jaccard[order], containment[order], documents, pairs)


def _stretches(store: Store) -> Iterator[range]:
    """Files one after the other, as many as AT_ONCE documents are in."""
    start = 0
    for stop in range(1, len(store.parts) + 1):
        if stop == len(store.parts) or store.bounds[stop + 1] - store.bounds[start] > AT_ONCE:
            yield range(start, stop)
            start = stop


def _match(
    store: Store, numbers: np.ndarray, keys: np.ndarray, shelf: Shelf, similarity: float
) -> tuple[np.ndarray, int]:
    """(place in `numbers`, earlier document, Jaccard, containment) of those that are proven; the pairs compared."""
    seen, pairs = np.zeros(0, np.uint64), 0
    found, left = [np.zeros((4, 0))], np.arange(len(numbers))
    for band in range(len(keys)):
        new, old = _candidates(shelf, band, keys[band], left)
        fresh = ~np.isin(tagged := _tagged(new, old), seen)
        new, old = new[fresh], old[fresh]
        stays = _others(store, numbers[new], shelf.store, old)
        new, old, pairs = new[stays], old[stays], pairs + int(stays.sum())
        maybe = np.flatnonzero(likely(store, numbers[new], shelf.store, old, similarity))
        new, old = new[maybe], old[maybe]
        proven = _best(new, old, *compare(store, numbers[new], shelf.store, old), similarity)
        found.append(proven)
        seen = different(np.concatenate((seen, tagged)))
        left = np.setdiff1d(left, proven[0].astype(np.int64))
    return np.concatenate(found, axis=1), pairs


def _tagged(new: np.ndarray, old: np.ndarray) -> np.ndarray:
    """A pair as one number; earlier documents are fewer than 2**40, new ones than 2**24 at a time."""
    return (new.astype(np.uint64) << np.uint64(40)) | old.astype(np.uint64)


def _best(
    new: np.ndarray, old: np.ndarray, jaccard: np.ndarray, containment: np.ndarray, similarity: float
) -> np.ndarray:
    """float64[4, documents]: new, earlier, Jaccard, containment of the best proven pair of each new document."""
    proven = np.flatnonzero(jaccard >= similarity)
    order = proven[np.lexsort((old[proven], -jaccard[proven], new[proven]))]
    _, first = np.unique(new[order], return_index=True)
    best = order[first]
    return np.stack((new[best], old[best], jaccard[best], containment[best]))


def _candidates(shelf: Shelf, band: int, keys: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(new document, earlier document) that share a bucket of this band, for the new ones that are `left`."""
    wanted, key_of = np.unique(keys[left], return_inverse=True)
    which, documents = shelf.find(band, wanted)
    begin, end = (np.searchsorted(which, key_of, side=side) for side in ("left", "right"))
    sizes = np.minimum(end - begin, MOST_IN_BUCKET)
    source, _ = ragged(begin, sizes, begin)
    return np.repeat(left, sizes), documents[source]


def _others(store: Store, numbers: np.ndarray, there: Store, old: np.ndarray) -> np.ndarray:
    """bool: whether the two of each pair are not one and the same document."""
    stays = np.ones(len(old), bool)
    for part, places, rows in there.by_part(old):
        for own, at, within in store.by_part(numbers[places]):
            if source_of(own.path) == source_of(part.path):
                stays[places[at]] = own.ordinals_at(within) != part.ordinals_at(rows[at])
    return stays
