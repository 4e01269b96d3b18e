"""Segments: the band keys of one signature file, or of many, sorted, so that a look-up reads a few blocks of them.

    <home>/intake/<source>/<reading>/signatures/<key>/part-<first ordinal>.<bands>x<rows>.keys     of one file
    <home>/intake/.merged/<key>.<bands>x<rows>.<members>.keys                                      of many

>>> segments = cover(signed, bands, merge=True)
>>> which, rows = segments[0].find(band=0, keys=wanted)

Written once and renamed when whole; a merge leaves what it merged as it is, so a killed one has changed nothing. Eight
segments of about one size become one, as log-structured stores do: a key is rewritten once each time that history grows
eightfold. In the file stand, for each band: fences (where each bucket of the keys' first bits begins), the next 16 bits
of each key, and the rest of it with its row. What a wanted key reads of the middle one is a block, at most all of it: 2
bytes for each earlier document and band; the rest is read only where those bits agree.
"""

import hashlib
import json
import mmap
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from catalog.home import written
from catalog.ids import SHORT
from catalog.locks import clear_partials
from data.dedup.bands import Bands
from data.dedup.store import Signed, ragged

FAN = 8
"""Segments of one level that become one of the next."""
LEVEL_ROWS = 4096
MOST_ROWS = 1 << 24
"""Documents of a merged segment: merging one band of them takes about 400 MB."""
IN_BUCKET = 32
"""Keys between two fences, on average."""
_TAIL = np.dtype([("row", "<u4"), ("low", "<u2")])
_PAGE = mmap.PAGESIZE
_HALF = np.uint64(32)


def index_path(signed: Path, bands: Bands) -> Path:
    """Where the sorted band keys of a signature file lie."""
    return signed.with_name(f"{signed.stem}.{bands.bands}x{bands.rows}.keys")


def member(signed: Path) -> str:
    """A signature file's name within all of a store: source, reading, part."""
    return f"{signed.parents[3].name}/{signed.parents[2].name}/{signed.stem}"


def write_index(signed: Path, bands: Bands) -> None:
    """Write the segment of one signature file."""
    write_keys(signed, bands, Signed(signed).keys(bands))


def write_keys(signed: Path, bands: Bands, keys: np.ndarray) -> None:
    """Write the segment of a file (its name is what counts) with these keys, uint32[bands, rows]."""
    rows = np.arange(keys.shape[1], dtype=np.uint64)

    def tagged(band: int) -> np.ndarray:
        return (keys[band].astype(np.uint64) << _HALF) | rows

    _write(index_path(signed, bands), {member(signed): keys.shape[1]}, bands.bands, tagged)


class Segment:
    """A file of sorted band keys. Rows count the documents of its members, one after the other."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with path.open("rb") as stream:
            self._pages = mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ)
        self._pages.madvise(mmap.MADV_RANDOM)
        size = int.from_bytes(self._pages[:8], "little")
        head = json.loads(self._pages[8 : 8 + size])
        self.members: dict[str, int] = head["members"]
        """How many documents of each signature file."""
        self.rows, self.bits = sum(self.members.values()), int(head["bits"])
        bands, count = int(head["bands"]), (1 << self.bits) + 1
        at = _aligned(8 + size)
        self._fences = np.frombuffer(self._pages, "<u4", bands * count, at).reshape(bands, count)
        self._high_at = _aligned(at + self._fences.nbytes)
        self._high = np.frombuffer(self._pages, "<u2", bands * self.rows, self._high_at).reshape(bands, self.rows)
        self._tail_at = _aligned(self._high_at + self._high.nbytes)
        self._tail = np.frombuffer(self._pages, _TAIL, bands * self.rows, self._tail_at).reshape(bands, self.rows)

    def find(self, band: int, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(place in `keys`, row) of every document with one of these keys (uint32, sorted, different)."""
        if len(keys) * _PAGE > self._high[band].nbytes:
            self._read_ahead(self._high_at + band * self._high[band].nbytes, self._high[band].nbytes)
        bucket = keys >> np.uint32(32 - self.bits) if self.bits else np.zeros(len(keys), np.uint32)
        begin = self._fences[band][bucket].astype(np.int64)
        sizes = self._fences[band][bucket + 1] - begin
        at, _ = ragged(begin, sizes, begin)
        which = np.repeat(np.arange(len(keys)), sizes)
        agree = np.flatnonzero(self._high[band][at] == _high_of(keys, self.bits)[which])
        at, which = at[agree], which[agree]
        tail = self._tail[band][at]
        same = tail["low"] == keys[which].astype(np.uint16)
        return which[same], tail["row"][same].astype(np.int64)

    def tagged(self, band: int, first: np.ndarray, share: int = 0, share_bits: int = 0) -> np.ndarray:
        """uint64: key and row of each document, rows counted anew from each member's `first` on.

        With `share_bits`, of those keys alone whose first so many bits are `share`.
        """
        fewer, more = max(0, share_bits - self.bits), max(0, self.bits - share_bits)
        low, high = share >> fewer << more, ((share >> fewer) + 1) << more
        fences = self._fences[band][low : high + 1].astype(np.int64)
        span, count = slice(fences[0], fences[-1]), int(fences[-1] - fences[0])
        for at, width in ((self._high_at, 2), (self._tail_at, _TAIL.itemsize)):
            self._read_ahead(at + (band * self.rows + int(fences[0])) * width, count * width)
        bucket, tail = np.repeat(np.arange(low, high, dtype=np.uint64), np.diff(fences)), self._tail[band][span]
        key = bucket << np.uint64(32 - self.bits)
        key |= self._high[band][span].astype(np.uint64) << np.uint64(16 - self.bits)
        key |= tail["low"] & np.uint64((1 << (16 - self.bits)) - 1)
        starts, rows = self.starts, tail["row"].astype(np.int64)
        owner = np.searchsorted(starts, rows, side="right") - 1
        tagged = (key << _HALF) | (rows - starts[owner] + first[owner]).astype(np.uint64)
        return tagged[key >> np.uint64(32 - share_bits) == share] if fewer else tagged

    @property
    def starts(self) -> np.ndarray:
        """int64[members]: the first row of each."""
        sizes = np.array(list(self.members.values()), np.int64)
        return np.cumsum(sizes) - sizes

    def _read_ahead(self, at: int, size: int) -> None:
        """So much is wanted that it is nearly every block: have the system read them in one go."""
        start = at // _PAGE * _PAGE
        if size:
            self._pages.madvise(mmap.MADV_WILLNEED, start, min(at + size, len(self._pages)) - start)


def _high_of(keys: np.ndarray, bits: int) -> np.ndarray:
    """The 16 bits of each key after its first ones."""
    return (keys >> np.uint32(16 - bits)).astype(np.uint16)


def _aligned(at: int) -> int:
    return -(-at // 64) * 64


def _write(path: Path, members: dict[str, int], bands: int, tagged: Callable[[int], np.ndarray]) -> None:
    rows = sum(members.values())
    bits = min(16, max(0, round(np.log2(max(1, rows) / IN_BUCKET))))
    head = json.dumps({"members": members, "bands": bands, "bits": bits}).encode()
    count = (1 << bits) + 1
    fences_at = _aligned(8 + len(head))
    high_at = _aligned(fences_at + bands * count * 4)
    tail_at = _aligned(high_at + bands * rows * 2)
    with written(path) as partial, partial.open("wb") as stream:
        stream.write(len(head).to_bytes(8, "little") + head)
        stream.truncate(tail_at + bands * rows * _TAIL.itemsize)
        for band in range(bands):
            tags = np.sort(tagged(band))
            keys = (tags >> _HALF).astype(np.uint32)
            edges = np.arange(count, dtype=np.uint64) << np.uint64(64 - bits) if bits else np.zeros(2, np.uint64)
            fences = np.searchsorted(tags, edges).astype("<u4")
            fences[-1] = rows
            tail = np.empty(rows, _TAIL)
            tail["row"], tail["low"] = tags & np.uint64(0xFFFFFFFF), keys.astype(np.uint16)
            for at, made in ((fences_at, fences), (high_at, _high_of(keys, bits).astype("<u2")), (tail_at, tail)):
                stream.seek(at + band * made.nbytes)
                stream.write(made.tobytes())


def cover(signed: Sequence[Path], bands: Bands, merge: bool) -> list[Segment]:
    """Segments that hold just these signature files, each once: merged ones as far as there are.

    With `merge`, many of one size become one first.
    """
    if not signed:
        return []
    merged, left = _merged(signed[0], bands), {member(path): path for path in signed}
    pieces = []
    there = list(_whole(sorted(merged.parent.glob(f"{merged.name}.*.keys"))))
    for segment in sorted(there, key=lambda each: -each.rows):
        if segment.members.keys() <= left.keys():
            pieces.append(segment)
            left = {name: path for name, path in left.items() if name not in segment.members}
    pieces += [Segment(index_path(path, bands)) for path in left.values()]
    return _merge_levels(pieces, merged, bands) if merge else pieces


def _whole(paths: Iterable[Path]) -> Iterator[Segment]:
    """The segments of these files; `just gc` may have removed one meanwhile. One that is open stays whole for us."""
    for path in paths:
        with suppress(FileNotFoundError):
            yield Segment(path)


def _merged(signed: Path, bands: Bands) -> Path:
    """How the names of merged segments begin."""
    key = signed.parent.name
    return signed.parents[4] / ".merged" / f"{key}.{bands.bands}x{bands.rows}"


def _level(segment: Segment) -> int:
    return int(np.log(max(1.0, segment.rows / LEVEL_ROWS)) / np.log(FAN))


def _merge_levels(pieces: list[Segment], merged: Path, bands: Bands) -> list[Segment]:
    """Merge the segments of each level that has FAN or more, from the lowest up."""
    level = 0
    while level <= max(map(_level, pieces), default=-1):
        same = [piece for piece in pieces if _level(piece) == level]
        if len(same) >= FAN and sum(piece.rows for piece in same) <= MOST_ROWS:
            pieces = [piece for piece in pieces if _level(piece) != level] + [_merge(same, merged, bands)]
        level += 1
    return pieces


def _merge(pieces: Iterable[Segment], merged: Path, bands: Bands) -> Segment:
    """One segment of all: the same bytes whatever they were merged from, by the members' names."""
    pieces = list(pieces)
    members = dict(sorted(item for piece in pieces for item in piece.members.items()))
    first = dict(zip(members, np.cumsum([0, *members.values()])[:-1].tolist(), strict=True))
    name = hashlib.sha256(json.dumps(list(members)).encode()).hexdigest()[:SHORT]
    moved = [np.array([first[name] for name in piece.members], np.int64) for piece in pieces]

    def tagged(band: int) -> np.ndarray:
        return np.concatenate([piece.tagged(band, to) for piece, to in zip(pieces, moved, strict=True)])

    clear_partials(merged.parent)
    path = merged.with_name(f"{merged.name}.{name}.keys")
    _write(path, members, bands.bands, tagged)
    return Segment(path)
