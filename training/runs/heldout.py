"""Held-out rows of a mixture, by domain, for a scorer that the recipe hands in.

>>> held = HeldOut(dataset, prepare, token_bytes(tokenizer), rows=32, rank=0, ranks=1)
>>> held.rates(forward, scorer)["web"]["bits_per_byte"]
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from torch import distributed as dist

from training.loader.batches import IGNORED, Batch

if TYPE_CHECKING:  # it imports streaming, which takes seconds
    from training.loader.dataset import MixtureDataset

Forward = Callable[[Batch], tuple[Tensor, Tensor]]
Rates = dict[str, dict[str, float]]
"""By group (a domain, or `all`), by name (`loss`, `bits_per_byte`, …)."""


class Scorer(NamedTuple):
    """How held-out text is scored: `eval.likelihood` has both."""

    score: Callable[[Forward, Iterable[tuple[str, Batch, float]]], dict[str, Any]]
    rates: Callable[[Mapping[str, Any]], Rates]


class HeldOut:
    """Rows of this process, a batch at a time for each domain."""

    def __init__(
        self,
        dataset: "MixtureDataset",
        prepare: Callable[[Batch], Batch],
        sizes: NDArray[np.int64],
        rows: int,
        ranks: tuple[int, int] = (0, 1),
        batch: int = 8,
    ) -> None:
        """`rows`: the most of each domain, over all processes. `sizes`: bytes of every token. `ranks`: this, of all."""
        self._prepare, self._sizes, self._ranks = prepare, sizes, ranks
        self._batches = list(self._read(dataset, rows, batch))
        self.domains = sorted({domain for domain, *_ in self._batches})

    def _read(self, dataset: "MixtureDataset", rows: int, batch: int) -> Iterator[tuple[str, Batch, float]]:
        ids = np.array(dataset.mixture.heldout())
        if not len(ids):
            return
        length = max(stretch.sequence_length for stretch in dataset.schedule.stretches)
        names = np.array([stream.domain for stream in dataset.mixture.streams])
        of = names[dataset.streams_of(ids)]
        for domain in sorted(set(of.tolist())):
            mine = ids[of == domain][:rows][self._ranks[0] :: self._ranks[1]]
            for start in range(0, len(mine), batch):
                read = self._prepare(dataset.read_whole(mine[start : start + batch], length))
                yield domain, read, self._bytes(read)

    def _bytes(self, batch: Batch) -> float:
        labels = batch["labels"].numpy()
        return float(self._sizes[labels[labels != IGNORED]].sum())

    def rates(self, forward: Forward, scorer: Scorer) -> Rates:
        """Score all rows, over all processes."""
        sums = scorer.score(forward, self._batches)
        if self._ranks[1] > 1:
            parts: list[dict[str, Any]] = [{} for _ in range(self._ranks[1])]
            dist.all_gather_object(parts, sums)
            sums = _added(parts)
        return scorer.rates(sums)


def _added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Sums of several processes, in a fixed order of addition."""
    found: dict[str, Any] = {}
    for part in parts:
        for group, sums in part.items():
            old = found.get(group)
            found[group] = sums if old is None else type(sums)(*(a + b for a, b in zip(old, sums, strict=True)))
    return found


def token_bytes(tokenizer: Tokenizer) -> NDArray[np.int64]:
    """How many bytes of text each token stands for, by id; special tokens none.

    Exact for byte-level tokenizers, whose tokens are written with one character a byte (GPT-2's table).
    """
    size = tokenizer.get_vocab_size()
    special = {number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    byte_level = "ByteLevel" in str(type(tokenizer.decoder).__name__)
    sizes = np.zeros(size, np.int64)
    for number in range(size):
        if number not in special:
            token = tokenizer.id_to_token(number) or ""
            sizes[number] = len(token) if byte_level else len(tokenizer.decode([number]).encode())
    return sizes


def forward_of(model: torch.nn.Module, device: torch.device) -> Forward:
    """A model of ours as a scorer wants it: without gradients, in evaluation mode, on its device."""

    def forward(batch: Batch) -> tuple[Tensor, Tensor]:
        training = model.training
        model.eval()
        with torch.no_grad():
            out = model({name: tensor.to(device) for name, tensor in batch.items()})
        model.train(training)
        return out["row_losses"].cpu(), out["row_tokens"].cpu()

    return forward
