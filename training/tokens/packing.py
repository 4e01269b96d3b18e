"""Where every token goes: streams cut into samples of one length, nothing left over but the end of a domain.

>>> packing = pack([piece.totals for piece in pieces], length=1024)
>>> packing.streams[0].samples, packing.padding

The tokens of a domain and language form one row, in the order of the input; whole samples are cut from its start. What
is left at its end goes to the domain's stream `mul`, and what is left of those to the stream `rest`, `mul`, so that at
most one sample of an artifact is padded.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from catalog.errors import BadInput
from training.sample_ids import MAX_SAMPLES
from training.tokens.pieces import PieceTotals
from training.tokens.streams import REST, REST_DOMAIN

Positions = npt.NDArray[np.int64]


class Segment(NamedTuple):
    """Tokens `start` to `stop` of the row of a domain and language."""

    domain: str
    lang: str
    start: int
    stop: int


@dataclass(frozen=True)
class PackedStream:
    """A stream: the segments that it is made of, in turn."""

    domain: str
    lang: str
    segments: tuple[Segment, ...]
    first: int
    """Ordinal of its first sample in the artifact."""
    length: int

    @property
    def tokens(self) -> int:
        return sum(segment.stop - segment.start for segment in self.segments)

    @property
    def samples(self) -> int:
        return -(-self.tokens // self.length)


class Row(NamedTuple):
    """The tokens of a domain and language: which pieces hold them, and where each piece's begin."""

    pieces: npt.NDArray[np.int64]
    starts: Positions
    """One more than pieces: the last is the end."""


class Slice(NamedTuple):
    """Tokens `start` to `stop` of what a piece has for a domain and language; `begins`: a segment starts here."""

    piece: int
    domain: str
    lang: str
    start: int
    stop: int
    begins: bool


@dataclass(frozen=True)
class Packing:
    """The streams of an artifact."""

    streams: tuple[PackedStream, ...]
    rows: dict[tuple[str, str], Row]
    length: int

    @property
    def tokens(self) -> int:
        return sum(stream.tokens for stream in self.streams)

    @property
    def samples(self) -> int:
        return sum(stream.samples for stream in self.streams)

    @property
    def padding(self) -> int:
        """Places in samples that hold no token."""
        return self.samples * self.length - self.tokens

    def slices(self, stream: PackedStream, start: int, stop: int) -> Iterator[Slice]:
        """Where tokens `start` to `stop` of a stream are."""
        at = 0
        for segment in stream.segments:
            size = segment.stop - segment.start
            low, high = max(start - at, 0), min(stop - at, size)
            if low < high:
                yield from self._of_row(segment, segment.start + low, segment.start + high)
            at += size

    def _of_row(self, segment: Segment, start: int, stop: int) -> Iterator[Slice]:
        row = self.rows[segment.domain, segment.lang]
        first, last = np.searchsorted(row.starts, start, "right") - 1, np.searchsorted(row.starts, stop, "left")
        for index in range(first, last):
            begin, end = int(row.starts[index]), int(row.starts[index + 1])
            low, high = max(start, begin), min(stop, end)
            yield Slice(int(row.pieces[index]), *segment[:2], low - begin, high - begin, low == segment.start)


def pack(pieces: Sequence[PieceTotals], length: int) -> Packing:
    """Plan all streams. Raises BadInput where there are more samples than ids."""
    rows = _rows(pieces)
    streams, first = [], 0
    for domain, lang, segments in sorted(_layout(rows, length)):
        stream = PackedStream(domain, lang, segments, first, length)
        streams.append(stream)
        first += stream.samples
    if first > MAX_SAMPLES:
        raise BadInput(
            f"{first:,} samples of {length} tokens are more than the {MAX_SAMPLES:,} of one artifact: give "
            "a longer sequence_length, or tokenize the corpora one by one."
        )
    return Packing(tuple(streams), rows, length)


def _rows(pieces: Sequence[PieceTotals]) -> dict[tuple[str, str], Row]:
    found: dict[tuple[str, str], list[tuple[int, int]]] = defaultdict(list)
    for number, piece in enumerate(pieces):
        for total in piece.streams:
            found[total.domain, total.lang].append((number, total.tokens))
    return {
        name: Row(np.array([piece for piece, _ in held]), np.cumsum([0, *(tokens for _, tokens in held)]))
        for name, held in found.items()
    }


def _layout(rows: dict[tuple[str, str], Row], length: int) -> Iterator[tuple[str, str, tuple[Segment, ...]]]:
    """Each stream with its segments: whole samples of each language, those of a domain's rests, the rests of all."""
    rests: dict[str, list[Segment]] = defaultdict(list)
    for (domain, lang), row in sorted(rows.items()):
        tokens = int(row.starts[-1])
        whole = 0 if lang == REST else tokens // length * length
        if whole:
            yield domain, lang, (Segment(domain, lang, 0, whole),)
        if whole < tokens:
            rests[domain].append(Segment(domain, lang, whole, tokens))
    last = rests.pop(REST_DOMAIN, [])
    if len(rests) == 1 and not last:  # one domain alone keeps its end
        [(domain, segments)] = rests.items()
        yield domain, REST, tuple(segments)
        return
    for domain, segments in rests.items():
        whole, rest = _split(segments, length)
        if whole:
            yield domain, REST, whole
        last += rest
    if last:
        yield REST_DOMAIN, REST, tuple(last)


def _split(segments: Sequence[Segment], length: int) -> tuple[tuple[Segment, ...], list[Segment]]:
    """Segments that make whole samples, and what is left of them."""
    left = sum(segment.stop - segment.start for segment in segments) // length * length
    whole, rest = [], []
    for segment in segments:
        cut = segment.start + min(left, segment.stop - segment.start)
        left -= cut - segment.start
        whole += [segment._replace(stop=cut)] if cut > segment.start else []
        rest += [segment._replace(start=cut)] if cut < segment.stop else []
    return tuple(whole), rest
