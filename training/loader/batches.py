"""From packed samples to the tensors that a model takes.

A batch is a dict of int64 tensors; B rows of L tokens:
    input_ids [B, L]; position_ids [B, L], which start again at 0 with each document; labels [B, L], the tokens,
    -100 for padding; sample_id [B]; stream [B], the number of the mixture's stream; tokens_hash [B], the XXH3 (64 bits)
    of the row's input_ids, little-endian, by which the record of a batch can be held against the tokens.
Models shift labels by themselves, as those of Hugging Face do.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

IGNORED = -100
"""The label of a token that no loss is taken of (torch's default `ignore_index`)."""

Batch = dict[str, torch.Tensor]


class Sample(NamedTuple):
    """A packed sample, or a part of one."""

    sample_id: int
    tokens: NDArray
    """L ids, padding at the end."""
    bounds: NDArray
    """Where each document's piece starts, and where the last one ends."""

    def cut(self, number: int, of: int) -> "Sample":
        """Part `number` of `of` equal parts."""
        if of == 1:
            return self
        length = len(self.tokens) // of
        start = number * length
        inside = self.bounds[(self.bounds > start) & (self.bounds < start + length)].astype(np.int64) - start
        end = min(max(int(self.bounds[-1]) - start, 0), length)
        edges = [0, *inside.tolist(), end]
        return Sample(self.sample_id, self.tokens[start : start + length], np.unique(edges))


def collate(rows: Sequence[Sample], ids: NDArray[np.int64], streams: NDArray[np.int64], length: int, pad: int) -> Batch:
    """Tensors of samples of `length` tokens each. Labels are the tokens: what is learned of them is the objective's."""
    tokens = np.empty((len(rows), length), np.int64)
    positions = np.zeros((len(rows), length), np.int64)
    labels = np.empty((len(rows), length), np.int64)
    for number, row in enumerate(rows):
        bounds = row.bounds.astype(np.int64)
        end = int(bounds[-1])
        tokens[number] = row.tokens
        tokens[number, end:] = pad
        positions[number, :end] = np.arange(end) - np.repeat(bounds[:-1], np.diff(bounds))
        labels[number] = tokens[number]
        labels[number, end:] = IGNORED
    return {
        "input_ids": torch.from_numpy(tokens),
        "position_ids": torch.from_numpy(positions),
        "labels": torch.from_numpy(labels),
        "sample_id": torch.from_numpy(np.array(ids, np.int64)),
        "stream": torch.from_numpy(np.array(streams, np.int64)),
        "tokens_hash": torch.from_numpy(hashes(tokens)),
    }


def hashes(tokens: NDArray[np.int64]) -> NDArray[np.int64]:
    """The XXH3 (64 bits) of each row of token ids, as int64."""
    rows = np.ascontiguousarray(tokens, "<i8")
    return np.array([xxhash.xxh3_64_intdigest(row.data) for row in rows], np.uint64).view(np.int64)
