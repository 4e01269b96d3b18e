"""fastText's prediction from a compressed model (`.ftz`), compiled: the library's own answers in a quarter of the time.

    >>> model = load(model_file())
    >>> predict(model, ["It rained …"], 3)
    [[('en', 0.9…), …]]

The model is a bag of words and of n-grams of characters (Bojanowski et al., arXiv 1607.04606) with product
quantization (Joulin et al., arXiv 1612.03651) and a hierarchical softmax. Sums are taken in the library's order, in
float32 as there.
"""

import math
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from catalog.errors import Damaged
from data.compiled import compiled, entry

_MAGIC, _VERSION, _HIERARCHICAL, _SUPERVISED = 793712314, 12, 1, 3
_BASIS, _PRIME, _MASK = 2166136261, 16777619, 0xFFFFFFFF
_LABEL = b"__label__"
_NOBODY = -1
_FEW = 8
"""Most answers to a text."""


class Net(NamedTuple):
    """What the compiled loop reads."""

    rows: np.ndarray
    """float32[words + n-grams, dimensions]: input vectors."""
    words: np.ndarray
    """int32[a power of two, 2]: hash (its bits) and row of each word, with open addressing; row -1 where free."""
    spelling: np.ndarray
    """uint8: words one after another."""
    spelt: np.ndarray
    """int64[words + 1]: where each begins in `spelling`."""
    grams: np.ndarray
    """int32[a power of two, 2]: bucket and row of each n-gram that was kept."""
    output: np.ndarray
    """float32[labels - 1, dimensions]: inner nodes of the tree."""
    tree: np.ndarray
    """int64[2 * labels - 1, 2]: children of each node; -1 of a leaf."""
    shape: np.ndarray
    """int64: buckets, shortest and longest n-gram."""


class Model(NamedTuple):
    """A network and the names of its labels."""

    net: Net
    labels: tuple[str, ...]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, form: str) -> tuple:
        values = struct.unpack_from(f"<{form}", self.data, self.at)
        self.at += struct.calcsize(f"<{form}")
        return values

    def array(self, kind: type, count: int) -> np.ndarray:
        found = np.frombuffer(self.data, kind, count, self.at)
        self.at += found.nbytes
        return found

    def word(self) -> bytes:
        start, self.at = self.at, self.data.index(b"\0", self.at) + 1
        return self.data[start : self.at - 1]


def load(path: Path | str) -> Model:
    """Read a compressed supervised model with a hierarchical softmax. Raises Damaged for any other file."""
    reader = _Reader(Path(path).read_bytes())
    magic, version, dim, *_, word_grams, loss, kind, buckets, least, most, _, _ = reader.take("14id")
    if (magic, version, word_grams, loss, kind) != (_MAGIC, _VERSION, 1, _HIERARCHICAL, _SUPERVISED):
        raise Damaged(f"{path} is no compressed fastText model of the kind of lid.176.ftz. Run `just setup` again.")
    size, words, labels, _, kept = reader.take("iiiqq")
    entries = [(reader.word(), *reader.take("qb")) for _ in range(size)]
    pruned = reader.array(np.int32, 2 * kept).reshape(-1, 2)
    reader.take("?")
    rows = _quantized(reader, dim)
    reader.take("?")
    outputs, width = reader.take("qq")
    spelt = [word for word, _, _ in entries[:words]]
    net = Net(
        rows=rows,
        words=_table([_signed(_hash(word)) for word in spelt], list(range(words))),
        spelling=np.frombuffer(b"".join(spelt) + b"\0", np.uint8),
        spelt=np.concatenate(([0], np.cumsum([len(word) for word in spelt]))),
        grams=_table(pruned[:, 0].tolist(), (pruned[:, 1] + words).tolist()),
        output=reader.array(np.float32, outputs * width).reshape(-1, dim),
        tree=_tree([count for _, count, _ in entries[words:]]),
        shape=np.array([buckets, least, most]),
    )
    return Model(net, tuple(word.removeprefix(_LABEL).decode() for word, _, _ in entries[words : words + labels]))


def _quantized(reader: _Reader, dim: int) -> np.ndarray:
    """A matrix of codes as float32: of each row the centroids that its codes name, times its norm."""
    (normed,) = reader.take("?")
    rows, _, size = reader.take("qqi")
    codes = reader.array(np.uint8, size).reshape(rows, -1)
    matrix = _centroids(reader, codes)
    if normed:
        matrix = matrix * _centroids(reader, reader.array(np.uint8, rows).reshape(-1, 1))
    assert matrix.shape == (rows, dim)
    return np.ascontiguousarray(matrix)


def _centroids(reader: _Reader, codes: np.ndarray) -> np.ndarray:
    dim, parts, wide, _ = reader.take("4i")
    table = reader.array(np.float32, dim * 256)
    pieces = []
    for part in range(parts):
        own = table[part * 256 * wide :][: 256 * min(wide, dim - part * wide)].reshape(256, -1)
        pieces.append(own[codes[:, part]])
    return np.concatenate(pieces, axis=1)


def _hash(word: bytes) -> int:
    code = _BASIS
    for byte in word:
        code = ((code ^ (byte | 0xFFFFFF00 if byte > 127 else byte)) * _PRIME) & _MASK
    return code


def _signed(code: int) -> int:
    return code - (1 << 32) if code >> 31 else code


def _table(keys: list[int], rows: list[int]) -> np.ndarray:
    size = 1 << (3 * len(keys)).bit_length()
    table = np.full((size, 2), _NOBODY, np.int32)
    for key, row in zip(keys, rows, strict=True):
        place = (key * 0x9E3779B1 >> 8) & (size - 1)
        while table[place, 1] != _NOBODY:
            place = (place + 1) & (size - 1)
        table[place] = key, row
    return table


def _tree(counts: list[int]) -> np.ndarray:
    """Huffman's tree of the labels, as the library builds it: leaves first, the root last."""
    labels = len(counts)
    weights, tree = [*counts, *[10**15] * (labels - 1)], np.full((2 * labels - 1, 2), _NOBODY)
    leaf, inner = labels - 1, labels
    for node in range(labels, 2 * labels - 1):
        for side in (0, 1):
            if leaf >= 0 and weights[leaf] < weights[inner]:
                tree[node, side], leaf = leaf, leaf - 1
            else:
                tree[node, side], inner = inner, inner + 1
        weights[node] = weights[tree[node, 0]] + weights[tree[node, 1]]
    return tree


def predict(model: Model, lines: Sequence[str], most: int) -> list[list[tuple[str, float]]]:
    """The likeliest labels of each line, at most `_FEW`, with their probabilities. A line has no line breaks."""
    if not lines:
        return []
    raw = [line.encode("utf-8", "replace") for line in lines]
    ends = np.cumsum([len(line) + 1 for line in raw])
    best, scores = _predict(np.frombuffer(b"\n".join(raw) + b"\n", np.uint8), ends, model.net, min(most, _FEW))
    answers = zip(best.tolist(), scores.tolist(), strict=True)
    return [
        [(model.labels[label], score) for label, score in zip(*answer, strict=True) if label >= 0] for answer in answers
    ]


@entry
def _predict(text: np.ndarray, ends: np.ndarray, net: Net, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels (int64, -1 for none) and probabilities (float32) of each line, best first. `ends` are past breaks."""
    best, scores = np.full((len(ends), most), _NOBODY), np.zeros((len(ends), most), np.float32)
    hidden, word = np.empty(net.rows.shape[1], np.float32), np.empty(len(text) + 2, np.uint8)
    nodes, sums = np.empty(len(net.tree), np.int64), np.empty(len(net.tree), np.float32)
    start = 0
    for line in range(len(ends)):
        hidden[:] = 0
        count = _add_line(text, start, ends[line] - 1, net, hidden, word)
        share = np.float32(1.0 / count)
        for column in range(len(hidden)):
            hidden[column] *= share
        _descend(net, hidden, nodes, sums, best[line], scores[line])
        start = ends[line]
    return best, scores


@compiled
def _add_line(text: np.ndarray, at: int, stop: int, net: Net, hidden: np.ndarray, word: np.ndarray) -> int:
    """Add the vectors of a line's words and n-grams, and of the sign that ends it; how many."""
    count = 0
    while at < stop:
        if text[at] == 32 or text[at] == 0:
            at += 1
            continue
        size = 1
        code = np.uint32(_BASIS)
        word[0] = 60  # <
        while at < stop and text[at] != 32 and text[at] != 0:
            word[size] = text[at]
            code = _hashed(code, text[at])
            size, at = size + 1, at + 1
        word[size] = 62  # >
        row = _row_of(np.int32(code), word, size - 1, net)
        if row == 0:  # </s>, the sign itself: the library stops there
            break
        if row < 0 and _is_label(word, size):
            continue
        if row > 0:
            _add(hidden, net.rows, row)
            count += 1
        count += _add_grams(word, size + 1, net, hidden)
    _add(hidden, net.rows, 0)
    return count + 1


@compiled
def _hashed(code: int, byte: int) -> np.uint32:
    """FNV-1a over signed bytes."""
    return np.uint32((code ^ np.uint32(np.int32(np.int8(byte)))) * np.uint32(_PRIME))


@compiled
def _place(key: int, size: int) -> np.int64:
    return (np.int64(key) * 0x9E3779B1 >> 8) & (size - 1)


@compiled
def _row_of(code: int, word: np.ndarray, size: int, net: Net) -> int:
    """The row of a word, which begins at word[1]; -1 where it is not known."""
    place = _place(code, len(net.words))
    while net.words[place, 1] != _NOBODY:
        row = net.words[place, 1]
        if net.words[place, 0] == code and net.spelt[row + 1] - net.spelt[row] == size:
            at = 0
            while at < size and net.spelling[net.spelt[row] + at] == word[at + 1]:
                at += 1
            if at == size:
                return row
        place = (place + 1) & (len(net.words) - 1)
    return _NOBODY


@compiled
def _is_label(word: np.ndarray, size: int) -> bool:
    """Does it begin with `__label__`?"""
    at = 0
    while at < len(_LABEL_SIGNS) and at + 1 < size and word[at + 1] == _LABEL_SIGNS[at]:
        at += 1
    return at == len(_LABEL_SIGNS)


_LABEL_SIGNS = tuple(_LABEL)


@compiled
def _add_grams(word: np.ndarray, size: int, net: Net, hidden: np.ndarray) -> int:
    """Add the n-grams of a word between its signs < and >; how many of them the model knows."""
    buckets, least, most = np.uint32(net.shape[0]), net.shape[1], net.shape[2]
    count = 0
    for first in range(size):
        if word[first] & 0xC0 == 0x80:
            continue
        at, code = first, np.uint32(_BASIS)
        for n in range(1, most + 1):
            if at == size:
                break
            code, at = _hashed(code, word[at]), at + 1
            while at < size and word[at] & 0xC0 == 0x80:
                code, at = _hashed(code, word[at]), at + 1
            if n >= least and not (n == 1 and (first == 0 or at == size)):
                bucket = np.int64(code % buckets)
                place = _place(bucket, len(net.grams))
                while net.grams[place, 1] != _NOBODY and net.grams[place, 0] != bucket:
                    place = (place + 1) & (len(net.grams) - 1)
                if net.grams[place, 1] != _NOBODY:
                    _add(hidden, net.rows, net.grams[place, 1])
                    count += 1
    return count


@compiled
def _add(hidden: np.ndarray, rows: np.ndarray, row: int) -> None:
    for column in range(len(hidden)):
        hidden[column] += rows[row, column]


@compiled
def _descend(
    net: Net, hidden: np.ndarray, nodes: np.ndarray, sums: np.ndarray, best: np.ndarray, scores: np.ndarray
) -> None:
    """The best leaves of the tree, from the left; of equal ones the first."""
    found, labels = 0, len(net.tree) // 2 + 1
    nodes[0], sums[0], open_nodes = len(net.tree) - 1, np.float32(0), 1
    while open_nodes:
        open_nodes -= 1
        node, score = nodes[open_nodes], sums[open_nodes]
        if score < _log(np.float32(0)) or (found == len(best) and score < scores[found - 1]):
            continue
        if net.tree[node, 0] < 0:
            at = min(found, len(best) - 1)
            if found == len(best) and score <= scores[at]:
                continue
            found = min(found + 1, len(best))
            while at > 0 and scores[at - 1] < score:
                best[at], scores[at] = best[at - 1], scores[at - 1]
                at -= 1
            best[at], scores[at] = node, score
            continue
        total = np.float32(0)
        for column in range(len(hidden)):
            total += net.output[node - labels, column] * hidden[column]
        right = np.float32(1.0 / np.float64(np.float32(1) + np.float32(math.exp(-total))))
        left = np.float32(1.0 - np.float64(right))
        nodes[open_nodes], sums[open_nodes] = net.tree[node, 1], score + _log(right)
        nodes[open_nodes + 1], sums[open_nodes + 1] = net.tree[node, 0], score + _log(left)
        open_nodes += 2
    for at in range(found):
        scores[at] = math.exp(scores[at])


@compiled
def _log(share: float) -> np.float32:
    return np.float32(math.log(np.float64(share) + 1e-5))
