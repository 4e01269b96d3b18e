"""Is an answer right? Exact and partial match with the true one, and intervals over questions.

>>> match("The MIT license", "MIT License.")
Match(exact=0.0, partial=0.8)
>>> mean([1.0, 0.0, 1.0, 1.0])
Estimate(value=0.75, low=0.25, high=1.0, stderr=0.25, n=4)

Exact and partial match are those of SQuAD (Rajpurkar et al., arXiv 1606.05250): the latter is the F1 of the words that
both have, after case, white space and a last full stop are left aside. Articles stay, for answers are signatures and
versions too; every character of Chinese and every sign of punctuation is a word. Intervals are those of the percentile
bootstrap over questions (Efron and Tibshirani 1993, chapter 13).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

REPLICATES = 10_000
LEVEL = 0.95
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W_]+|[^\w\s]|_")


class Match(NamedTuple):
    """How well one answer agrees with the true one, from 0 to 1."""

    exact: float
    partial: float


class Estimate(NamedTuple):
    """A mean over questions, or over their differences, with its interval."""

    value: float
    low: float
    high: float
    stderr: float
    n: int


def match(answer: str, truth: str) -> Match:
    """Exact: the same text. Partial: F1 of words, 0 where either has none."""
    said, true = _plain(answer), _plain(truth)
    a, b = Counter(_WORD.findall(said)), Counter(_WORD.findall(true))
    shared = (a & b).total()
    exact = float(said == true)
    return Match(exact, 2 * shared / (a.total() + b.total()) if shared else exact)


def mean(values: Sequence[float], seed: int = 17) -> Estimate:
    """The mean with its interval. Of paired differences too: an interval without 0 is a difference."""
    found = np.array(values, np.float64)
    if not len(found):
        raise ValueError("a mean of nothing")
    low, high = np.quantile(_drawn(found, seed), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    stderr = found.std(ddof=1) / np.sqrt(len(found)) if len(found) > 1 else 0.0
    return Estimate(float(found.mean()), float(low), float(high), float(stderr), len(found))


def _drawn(values: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Means of draws with replacement."""
    generator = np.random.default_rng(seed)
    return np.array([values[generator.integers(0, len(values), len(values))].mean() for _ in range(REPLICATES)])


def _plain(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".。").rstrip()
