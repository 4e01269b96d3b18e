"""The network that says of each block how likely it is main text.

A block's traits become 32 numbers, those of seven blocks in a row 24, and those a probability; networks are averaged.
Most traits and most of the 32 numbers are 0: only the others are multiplied, in an order of their own, so that every
processor comes to the same bits. (A third less time than as products of matrices.)
"""

import math
from typing import NamedTuple

import numpy as np

from data.compiled import compiled, entry
from data.page.columns import COUNT

REACH = 3
"""Blocks looked at on each side."""
LIMIT = 5.0
"""Standardized inputs are cut here."""
TOGETHER = 4
"""Rows of weights that are added at a time."""


class Net(NamedTuple):
    """Weights of one network or several, inputs standardized by `mean` and `spread` and cut at LIMIT; float32.

    w1 (traits, nets · 32), w2 (nets, 32, 7 · 24), w3 (nets, 24): what `w1` gives lies side by side, net by net; `w2`
    says what each of a block's 32 numbers adds to the block three before it, …, to the block three behind it.
    """

    mean: np.ndarray
    spread: np.ndarray
    w1: np.ndarray
    b1: np.ndarray
    w2: np.ndarray
    b2: np.ndarray
    w3: np.ndarray
    b3: np.ndarray


@entry
def probabilities(x: np.ndarray, net: Net) -> np.ndarray:
    """Of each block of a page, from its traits: float64. What comes out depends on this page alone."""
    blocks, deep = len(x), net.b2.shape[1]
    nothing, base, z = np.empty(COUNT, np.float32), net.b1.copy(), np.empty(COUNT, np.float32)
    which, much = np.empty(COUNT + TOGETHER, np.int64), np.empty(COUNT + TOGETHER, np.float32)
    one = np.empty((blocks, len(base)), np.float32)
    two = np.empty((blocks + 2 * REACH) * deep, np.float32)
    out = np.zeros(blocks, np.float64)
    _of_nothing(net, nothing, base)
    for block in range(blocks):
        _first(net, x[block], nothing, base, one[block], z, which, much)
    for number in range(len(net.w2)):
        two[:] = 0
        for block in range(blocks):
            _second(net.w2[number], one[block], number, two[block * deep :], which, much)
        _add(net, number, two[REACH * deep :], out)
    return out


@compiled
def _standard(net: Net, trait: int, value: float) -> float:
    return min(max((value - net.mean[trait]) / net.spread[trait], np.float32(-LIMIT)), np.float32(LIMIT))


@compiled
def _of_nothing(net: Net, nothing: np.ndarray, base: np.ndarray) -> None:
    """A block without traits: standardized, and what the first layer makes of it."""
    for trait in range(COUNT):
        nothing[trait] = _standard(net, trait, np.float32(0))
        weights = net.w1[trait]
        for column in range(len(base)):
            base[column] += nothing[trait] * weights[column]


@compiled
def _first(
    net: Net,
    x: np.ndarray,
    nothing: np.ndarray,
    base: np.ndarray,
    one: np.ndarray,
    z: np.ndarray,
    which: np.ndarray,
    much: np.ndarray,
) -> None:
    """What each network makes of one block; below zero counts as zero later."""
    for trait in range(COUNT):
        z[trait] = _standard(net, trait, x[trait]) - nothing[trait]
    count = 0
    for trait in range(COUNT):
        which[count], much[count] = trait, z[trait]
        count += z[trait] != 0
    for column in range(len(base)):
        one[column] = base[column]
    _add_rows(net.w1, which, much, count, one)


@compiled
def _second(w2: np.ndarray, one: np.ndarray, number: int, two: np.ndarray, which: np.ndarray, much: np.ndarray) -> None:
    """What one network passes on from a block to those around it."""
    count = 0
    for column in range(len(w2)):
        which[count], much[count] = column, one[number * len(w2) + column]
        count += much[count] > 0
    _add_rows(w2, which, much, count, two[: w2.shape[1]])


@compiled
def _add_rows(weights: np.ndarray, which: np.ndarray, much: np.ndarray, count: int, out: np.ndarray) -> None:
    """Add so much of each of these rows."""
    for index in range(count, count + TOGETHER - 1):
        which[index], much[index] = 0, 0
    for index in range(0, count, TOGETHER):
        a, b, c, d = much[index], much[index + 1], much[index + 2], much[index + 3]
        row_a, row_b = weights[which[index]], weights[which[index + 1]]
        row_c, row_d = weights[which[index + 2]], weights[which[index + 3]]
        for column in range(len(out)):
            out[column] += (a * row_a[column] + b * row_b[column]) + (c * row_c[column] + d * row_d[column])


@compiled
def _add(net: Net, number: int, two: np.ndarray, out: np.ndarray) -> None:
    """The share of one network in the mean probability."""
    deep = net.b2.shape[1]
    for block in range(len(out)):
        logit = net.b3[number]
        for column in range(deep):
            logit += max(two[block * deep + column] + net.b2[number, column], np.float32(0)) * net.w3[number, column]
        out[block] += 1 / (1 + math.exp(-logit)) / len(net.w2)
