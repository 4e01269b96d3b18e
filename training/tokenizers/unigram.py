"""Unigram pieces by expectation and maximization (Kudo, arXiv 1804.10959), the same for every run.

>>> learn_pieces({"▁mill": 12, "▁miller": 7}, list("▁miler"), count=10)
[('▁mill', -0.9…), …]

Words are walked through all at once: every place where a piece fits is an edge of a lattice, kept in arrays, and the
sums go over edges in a fixed order. One thread; 0.5 to 1 s a round for a million characters of different words.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]
_CHUNK = 64
"""Longer words are cut."""
_LONGEST_SEED = 16
_SEEDS = 8
"""Candidates for each piece wanted."""
_KEPT = 0.75
"""Share of the pieces that a round keeps (SentencePiece's shrinking factor)."""
_ROUNDS = 2
"""Expectation and maximization so many times between prunings."""
_POINTS = 1 << 21
"""More than there are code points."""
_NO_WAY = -1e6
_DECIMALS = 6
"""Scores are rounded: what is below differs between processors' logarithms."""


def learn_pieces(words: dict[str, int], sure: list[str], count: int, longest: int = 16) -> list[tuple[str, float]]:
    """Pieces with their log probabilities, the likeliest first; `sure` ones are always among them.

    Characters that are not in `sure` are left out of the words.
    """
    text = _Words.of(_clean(words, {piece for piece in sure if len(piece) == 1}))
    seeds = _seeds(text, min(longest, _LONGEST_SEED), count * _SEEDS)
    pieces, fixed = list(dict.fromkeys([*sure, *seeds])), len(set(sure))
    lattice = Lattice(text, pieces)
    scores, expected = _rounds(lattice, _logarithms(lattice.used()))
    while len(pieces) > count and len(pieces) > fixed:
        keep = _best(pieces, scores, expected, fixed, max(count, fixed, int(len(pieces) * _KEPT)))
        pieces, lattice = [pieces[index] for index in keep], lattice.only(keep)
        scores, expected = _rounds(lattice, scores[keep])
    ranked = sorted(
        zip(pieces, np.round(scores, _DECIMALS).tolist(), strict=True), key=lambda item: (-item[1], item[0])
    )
    return [(piece, score) for piece, score in ranked]


def _rounds(lattice: "Lattice", scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores after some rounds, and how often each piece is expected to be used by them."""
    for _ in range(_ROUNDS):
        scores = _logarithms(lattice.expected(scores))
    return scores, lattice.expected(scores)


def _clean(words: dict[str, int], alphabet: set[str]) -> dict[str, int]:
    """Words without the characters that are not in the alphabet, the long ones in parts."""
    clean: dict[str, int] = {}
    for word, count in words.items():
        for part in "".join(letter if letter in alphabet else "\0" for letter in word).split("\0"):
            for start in range(0, len(part), _CHUNK):
                piece = part[start : start + _CHUNK]
                clean[piece] = clean.get(piece, 0) + count
    return dict(sorted(clean.items()))


def _logarithms(expected: np.ndarray) -> np.ndarray:
    """Log probabilities with a sparse prior: exp(digamma(x)) is about x - 1/2."""
    weights = np.maximum(expected - 0.5, 1e-3)
    return np.log(weights) - np.log(weights.sum())


def _best(pieces: list[str], scores: np.ndarray, expected: np.ndarray, fixed: int, size: int) -> np.ndarray:
    """The pieces whose loss would cost most: how often they are used, times what the next best cut costs more."""
    alternatives = Lattice(_Words.of(dict.fromkeys(pieces, 1)), pieces).without_whole().best(scores)
    loss = expected * (scores - np.maximum(alternatives, _NO_WAY))
    loss[:fixed] = np.inf
    order = np.lexsort((np.arange(len(pieces)), -loss))
    return np.sort(order[:size])


@dataclass(frozen=True)
class _Words:
    """Different words end to end."""

    text: str
    points: np.ndarray
    """Code point of each character."""
    word: np.ndarray
    """Index of the word of each character."""
    offset: np.ndarray
    """Place of each character in its word."""
    lengths: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, words: dict[str, int]) -> "_Words":
        lengths = np.array([len(word) for word in words], dtype=np.int64)
        text = "".join(words)
        return cls(
            text=text,
            points=np.frombuffer(text.encode("utf-32-le"), dtype="<u4").astype(np.int64),
            word=np.repeat(np.arange(len(words)), lengths),
            offset=np.arange(len(text)) - np.repeat(np.cumsum(lengths) - lengths, lengths),
            lengths=lengths,
            counts=np.array(list(words.values()), dtype=np.float64),
        )

    @property
    def left(self) -> np.ndarray:
        """Characters from each to the end of its word, itself counted."""
        return self.lengths[self.word] - self.offset


def _seeds(words: _Words, longest: int, most: int) -> list[str]:
    """Substrings that stand at least twice, those that save most characters first."""
    alive = np.arange(len(words.text))
    current, left, weights = words.points.copy(), words.left, words.counts[words.word]
    found: list[tuple[int, str]] = []
    for length in range(2, longest + 1):
        alive = alive[left[alive] >= length]
        if not len(alive):
            break
        keys = current[alive] * _POINTS + words.points[alive + length - 1]
        _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
        frequency = np.bincount(inverse, weights[alive])
        for index in np.flatnonzero(frequency >= 2):
            start = alive[first[index]]
            found.append((-int(frequency[index]) * length, words.text[start : start + length]))
        current[alive] = inverse
        alive = alive[frequency[inverse] >= 2]
    return [piece for _, piece in sorted(found)[:most]]


class Lattice:
    """Every place in words where a piece fits: edges between the gaps of characters."""

    def __init__(self, words: _Words, pieces: list[str]) -> None:
        self.words = words
        self.pieces = len(pieces)
        self._set(*_matches(words, pieces))

    def _set(self, position: np.ndarray, length: np.ndarray, piece: np.ndarray) -> None:
        words = self.words
        end_offset = words.offset[position] + length
        order = np.lexsort((piece, words.word[position], end_offset))
        self.position, self.length, self.piece = position[order], length[order], piece[order]
        self.word = words.word[self.position]
        self.start = self.position + self.word  # a word of n characters has n + 1 gaps
        self.end = self.start + self.length
        self.forward = _levels(end_offset[order], self.end)
        start_offset = words.offset[self.position]
        self.backward_order = np.lexsort((self.piece, self.word, -start_offset))
        self.backward = _levels(-start_offset[self.backward_order], self.start[self.backward_order])
        self.first = np.cumsum(words.lengths + 1) - words.lengths - 1
        self.last = self.first + words.lengths

    def only(self, keep: np.ndarray) -> "Lattice":
        """The lattice of some of the pieces, numbered anew in the order of `keep`."""
        number = np.full(self.pieces, -1)
        number[keep] = np.arange(len(keep))
        return self._where(number[self.piece] >= 0, number, len(keep))

    def without_whole(self) -> "Lattice":
        """Without the pieces that are a whole word."""
        part = self.length < self.words.lengths[self.word]
        return self._where(part, np.arange(self.pieces), self.pieces)

    def _where(self, mask: np.ndarray, number: np.ndarray, pieces: int) -> "Lattice":
        other = Lattice.__new__(Lattice)
        other.words, other.pieces = self.words, pieces
        other._set(self.position[mask], self.length[mask], number[self.piece[mask]])
        return other

    def used(self) -> np.ndarray:
        """How often each piece stands in the words, alone or over others."""
        return np.bincount(self.piece, self.words.counts[self.word], self.pieces)

    def expected(self, scores: np.ndarray) -> np.ndarray:
        """How often each piece is expected to be used."""
        edges = scores[self.piece]
        ahead = self._sums(self.forward, self.first, self.start, self.end, edges)
        order = self.backward_order
        behind = self._sums(self.backward, self.last, self.end[order], self.start[order], edges[order])
        share = np.exp(ahead[self.start] + edges + behind[self.end] - ahead[self.last][self.word])
        return np.bincount(self.piece, share * self.words.counts[self.word], self.pieces)

    def best(self, scores: np.ndarray) -> np.ndarray:
        """The score of the best way through each word; -inf where there is none."""
        values = np.full(self.last[-1] + 1, -np.inf)
        values[self.first] = 0.0
        for edges, starts in self.forward:
            reached = values[self.start[edges]] + scores[self.piece[edges]]
            values[self.end[edges][starts]] = np.maximum.reduceat(reached, starts)
        return values[self.last]

    def _sums(
        self,
        levels: list[tuple[slice, np.ndarray]],
        origin: np.ndarray,
        source: np.ndarray,
        target: np.ndarray,
        edges: np.ndarray,
    ) -> np.ndarray:
        """Log of the summed probabilities of all ways from `origin` to each gap."""
        values = np.full(self.last[-1] + 1, -np.inf)
        values[origin] = 0.0
        for part, starts in levels:
            reached = values[source[part]] + edges[part]
            highest = np.maximum.reduceat(reached, starts)
            widths = np.diff(np.append(starts, len(reached)))
            total = np.add.reduceat(np.exp(reached - np.repeat(highest, widths)), starts)
            values[target[part][starts]] = highest + np.log(total)
        return values


def _levels(offsets: np.ndarray, gaps: np.ndarray) -> list[tuple[slice, np.ndarray]]:
    """Edges (sorted by offset, then gap) by offset, each with the places in it where another gap begins."""
    bounds = [0, *(np.flatnonzero(np.diff(offsets)) + 1).tolist(), len(offsets)]
    levels = []
    for first, stop in pairwise(bounds):
        inside = gaps[first:stop]
        levels.append((slice(first, stop), np.append(0, np.flatnonzero(np.diff(inside)) + 1)))
    return levels


def _matches(words: _Words, pieces: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where pieces stand: position, length and number of each, by one walk down a tree of the pieces."""
    part = _Words.of(dict.fromkeys(pieces, 1))
    starts = np.cumsum(part.lengths) - part.lengths
    node = np.zeros(len(pieces), dtype=np.int64)
    here = np.zeros(len(words.text), dtype=np.int64)
    alive, left = np.arange(len(words.text)), words.left
    found = []
    for depth in range(int(part.lengths.max(initial=0))):
        longer = np.flatnonzero(part.lengths > depth)
        keys, inverse = np.unique(node[longer] * _POINTS + part.points[starts[longer] + depth], return_inverse=True)
        node[longer] = inverse
        ending = np.full(len(keys), -1)
        done = longer[part.lengths[longer] == depth + 1]
        ending[node[done]] = done
        alive = alive[left[alive] > depth]
        wanted = here[alive] * _POINTS + words.points[alive + depth]
        index = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
        fits = keys[index] == wanted
        alive, index = alive[fits], index[fits]
        here[alive] = index
        hits = ending[index] >= 0
        found.append((alive[hits], np.full(int(hits.sum()), depth + 1), ending[index[hits]]))
    position, length, piece = (np.concatenate(arrays) for arrays in zip(*found, strict=True))
    return position, length, piece
