"""The network that says of each block how likely it is main text.

A block's traits become 32 numbers, those of seven blocks in a row 24, and those a probability; networks are averaged.
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


class Net(NamedTuple):
    """Weights of one network or several, inputs standardized by `mean` and `spread` and cut at LIMIT; float32.

    w1 (traits, nets · 32), w2 (nets, 7 · 32, 24), w3 (nets, 24): what `w1` gives lies side by side, net by net.
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
    blocks, nets, wide = len(x), net.w2.shape[0], net.w1.shape[1] // net.w2.shape[0]
    z = np.empty((blocks, COUNT), np.float32)
    _standardize(net, x, z)
    one = np.zeros((nets, blocks + 2 * REACH, wide), np.float32)
    _rectify(np.dot(z, net.w1), net.b1, one)
    near = np.empty((blocks, (2 * REACH + 1) * wide), np.float32)
    out = np.zeros(blocks, np.float64)
    for number in range(nets):
        _side_by_side(one[number].reshape(-1), wide, near)
        _add(net, number, np.dot(near, net.w2[number]), out)
    return out


@compiled
def _standardize(net: Net, x: np.ndarray, z: np.ndarray) -> None:
    for block in range(len(x)):
        for trait in range(COUNT):
            value = (x[block, trait] - net.mean[trait]) / net.spread[trait]
            z[block, trait] = min(max(value, np.float32(-LIMIT)), np.float32(LIMIT))


@compiled
def _rectify(sums: np.ndarray, bias: np.ndarray, one: np.ndarray) -> None:
    """What each network made of each block, network by network, between zeros for what is beyond the page's ends."""
    wide = one.shape[2]
    for number in range(len(one)):
        for block in range(len(sums)):
            for column in range(wide):
                value = sums[block, number * wide + column] + bias[number * wide + column]
                one[number, block + REACH, column] = max(value, np.float32(0))


@compiled
def _side_by_side(one: np.ndarray, wide: int, near: np.ndarray) -> None:
    """What one network made of each block and of those around it."""
    for block in range(len(near)):
        for column in range(near.shape[1]):
            near[block, column] = one[block * wide + column]


@compiled
def _add(net: Net, number: int, two: np.ndarray, out: np.ndarray) -> None:
    """The share of one network in the mean probability."""
    for block in range(len(two)):
        logit = net.b3[number]
        for column in range(two.shape[1]):
            logit += max(two[block, column] + net.b2[number, column], np.float32(0)) * net.w3[number, column]
        out[block] += 1 / (1 + math.exp(-logit)) / net.w2.shape[0]
