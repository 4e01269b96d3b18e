"""How well a model predicts text: loss in nats a token, bits a byte, perplexity, by group of text.

>>> sums = score(forward, [("web", batch, bytes_of_rows), …])
>>> rates(sums)["web"]
{'loss': 3.21, 'bits_per_byte': 1.07, 'perplexity': 24.8, 'tokens': 30720.0}

Bits a byte compare models with different tokenizers: the loss is divided by the bytes of the text that the counted
tokens stand for, so that a larger vocabulary is no advantage in itself (The Pile, arXiv 2101.00027, section 3.1).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Forward = Callable[[Any], tuple[Any, Any]]
"""From a batch to [B] summed losses (nats) and [B] counted tokens, tensors."""


class Sums(NamedTuple):
    """What was measured of a group of rows; sums of several processes are added."""

    nats: float = 0.0
    tokens: float = 0.0
    bytes: float = 0.0

    def plus(self, other: "Sums") -> "Sums":
        return Sums(self.nats + other.nats, self.tokens + other.tokens, self.bytes + other.bytes)


def score(forward: Forward, batches: Iterable[tuple[str, Any, float]]) -> dict[str, Sums]:
    """Put batches through a model; each comes with its group, and the bytes that its counted tokens stand for."""
    found: dict[str, Sums] = {}
    for group, batch, size in batches:
        losses, tokens = forward(batch)
        found[group] = found.get(group, Sums()).plus(Sums(float(losses.double().sum()), float(tokens.sum()), size))
    return found


def read(
    nats: Callable[[Any], Iterable[tuple[float, int]]], texts: Sequence[tuple[str, Any, float]]
) -> dict[str, Sums]:
    """Put texts, each a text of its own, to whatever says their nats and counted tokens; each with group and bytes."""
    found: dict[str, Sums] = {}
    for (group, _, size), (lost, tokens) in zip(texts, nats([ids for _, ids, _ in texts]), strict=True):
        found[group] = found.get(group, Sums()).plus(Sums(lost, tokens, size))
    return found


def rates(sums: Mapping[str, Sums]) -> dict[str, dict[str, float]]:
    """Loss, bits a byte, perplexity and counted tokens of every group, and of `all` (each token weighing the same)."""
    total = Sums()
    for one in sums.values():
        total = total.plus(one)
    return {group: _rates(one) for group, one in {**sums, "all": total}.items() if one.tokens}


def _rates(sums: Sums) -> dict[str, float]:
    loss = sums.nats / sums.tokens
    return {
        "loss": loss,
        "bits_per_byte": sums.nats / math.log(2) / sums.bytes if sums.bytes else math.nan,
        "perplexity": math.exp(min(loss, 700.0)),
        "tokens": sums.tokens,
    }
