"""Pretraining text beside instructions: what a base model was trained on, to read again and to measure forgetting by.

>>> text = Pretraining(home, load_mixture(home, "docs@1"), length=512)
>>> text.ids(seed=17)[:3], text.read(ids)["input_ids"].shape, text.heldout(rows=8)
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from catalog.home import Home
from training.loader.batches import Batch
from training.loader.dataset import MixtureDataset
from training.mixtures.reading import Mixture
from training.runs.heldout import token_bytes
from training.sample_ids import MAX_DIVISOR, parts
from training.sample_ids import whole as whole_samples
from training.tokenizers.load import LoadedTokenizer

Ids = NDArray[np.int64]


class Pretraining:
    """The samples of a mixture, cut to a tuning run's rows."""

    def __init__(self, home: Home, mixture: Mixture, length: int, processes: int = 1) -> None:
        """`length`: tokens of a row; samples are cut to the largest power of two that it holds."""
        packed = mixture.tokens[0].sequence_length
        self.mixture, self.length = mixture, length
        self._divisor = divisor_for(packed, length)
        self.tokens = packed // self._divisor
        """Tokens of a replayed row."""
        self._dataset = MixtureDataset(mixture, packed * processes, home.root / "cache")

    def ids(self, seed: int) -> Ids:
        """Every part of every sample that the mixture reads, once, in an order of its own."""
        phases = range(len(self.mixture.plan.phases))
        read = np.unique(whole_samples(np.concatenate([np.asarray(self.mixture.order(at)) for at in phases])))
        return np.random.default_rng(seed).permutation(parts(read, self._divisor).ravel())

    def streams_of(self, ids: Ids) -> Ids:
        """The number of each sample's stream, as in `mixture.streams`."""
        return self._dataset.streams_of(ids)

    def read(self, ids: Ids) -> Batch:
        """Rows of `length` tokens, as `loader/batches.py` has them; what a part does not fill is padding."""
        batch = self._dataset.read(ids, self.tokens)
        return _padded(batch, self.length) if self.tokens < self.length else batch

    def heldout(self, rows: int, tokenizer: LoadedTokenizer, batch: int = 4) -> Iterator[tuple[str, Batch, float]]:
        """Up to so many held-out samples of each domain, with the bytes of their tokens: what a scorer takes."""
        ids, sizes = np.array(self.mixture.heldout()), token_bytes(tokenizer.tokenizer)
        names = np.array([stream.domain for stream in self.mixture.streams])
        of = names[self._dataset.streams_of(ids)] if len(ids) else np.array([])
        for domain in sorted(set(of.tolist())):
            mine = parts(ids[of == domain][:rows], self._divisor).ravel()
            for start in range(0, len(mine), batch):
                read = self.read(mine[start : start + batch])
                labels = read["labels"].masked_fill(read["position_ids"] == 0, -100)
                counted = labels[labels != -100].numpy()
                yield domain, {**read, "labels": labels}, float(sizes[counted].sum())


def obstacle(mixture: Mixture | None, tokenizer: LoadedTokenizer, length: int) -> str:
    """Why a model cannot read a mixture in rows of so many tokens; nothing where it can."""
    if not mixture:
        return "its line names no mixture in this home"
    tokens = mixture.tokens[0]
    if tokens.tokenizer_fingerprint != tokenizer.fingerprint:
        return f"{mixture.ref} was made with another tokenizer"
    if tokens.sequence_length // MAX_DIVISOR > length:
        return f"rows of {length} tokens are too short for samples of {tokens.sequence_length}"
    return ""


def divisor_for(packed: int, length: int) -> int:
    """Into how many parts a packed sample is cut so that a part fits a row: a power of two."""
    divisor = 1
    while packed // divisor > length and divisor < MAX_DIVISOR:
        divisor *= 2
    return divisor


def _padded(batch: Batch, length: int) -> Batch:
    rows, own = batch["input_ids"].shape
    more = length - own
    fill = {"input_ids": 0, "labels": -100}
    padded = {name: torch.nn.functional.pad(batch[name], (0, more), value=value) for name, value in fill.items()}
    tail = torch.arange(more).expand(rows, more)
    return {**batch, **padded, "position_ids": torch.cat([batch["position_ids"], tail], dim=1)}
