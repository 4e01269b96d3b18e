"""Samples of a mixture for others than training: text to calibrate a compressed model with, and to measure it.

>>> with_tokens = drawn(home, load_mixture(home, "docs@1"), count=256, length=512, seed=17)
>>> with_tokens[0].sample_id, with_tokens[0].domain, with_tokens[0].ids
>>> kept_back = heldout(home, load_mixture(home, "docs@1"), rows=16)
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from catalog.calibration import Sample
from catalog.errors import BadInput
from catalog.home import Home
from training.loader.dataset import MixtureDataset
from training.mixtures.reading import Mixture, check_rows
from training.sample_ids import WHOLE, divisor, divisor_for, whole
from training.sample_ids import key as key_of_sample

Ids = NDArray[np.int64]
DRAWS = 32
"""How often positions are drawn before the mixture counts as too small."""


class Excerpt(NamedTuple):
    """A sample, or a part of one, without its padding."""

    sample_id: int
    domain: str
    ids: Ids
    starts: Ids
    """Where its documents start."""
    tokens_hash: int
    """Of the whole row, as `batches` has it."""

    @property
    def documents(self) -> list[Ids]:
        """The tokens of each document in it."""
        return np.split(self.ids, self.starts[1:])

    @property
    def sample(self) -> Sample:
        """As a calibration sample."""
        return Sample(self.sample_id, self.domain, self.ids, self.tokens_hash)


def drawn(home: Home, mixture: Mixture, count: int, length: int, seed: int) -> list[Excerpt]:
    """Different rows of up to `length` tokens, as often from each domain as the mixture reads it.

    A row is the largest part of a packed sample that `length` holds. Raises BadInput where there are not so many.
    """
    check_rows(mixture, count, length)
    orders = [mixture.order(phase) for phase in range(len(mixture.plan.phases))]
    firsts = np.cumsum([0, *(len(order) for order in orders)])
    dataset, random = _dataset(home, mixture), np.random.default_rng(seed)
    divisors = {info.key: divisor_for(info.sequence_length, length) for info in mixture.tokens}
    found: dict[int, None] = {}
    for _ in range(DRAWS):
        if len(found) >= count:
            break
        places = random.integers(0, firsts[-1], size=2 * count)
        phases = np.searchsorted(firsts, places, "right") - 1
        samples = np.empty_like(places)
        for phase in np.unique(phases).tolist():
            samples[phases == phase] = orders[phase][places[phases == phase] - firsts[phase]]
        into = np.array([divisors[one] for one in key_of_sample(samples).tolist()], np.int64)
        rows = whole(samples) - WHOLE + into + random.integers(0, into)
        found |= dict.fromkeys(rows.tolist())
    if len(found) < count:
        raise BadInput(
            f"{mixture.ref} has no {count:,} different rows of {length} tokens, only about {len(found):,}: "
            "ask for fewer calibration.samples, or for a shorter calibration.length."
        )
    return [one for one in _read(dataset, list(found)[:count]) if len(one.ids) > 1]


def heldout(home: Home, mixture: Mixture, rows: int) -> list[Excerpt]:
    """The first so many held-out samples of each domain: those that a run's own held-out loss is taken on."""
    ids = np.array(mixture.heldout())
    if not len(ids):
        raise BadInput(f"{mixture.ref} holds nothing back: make it again with heldout=0.01, or say measure.rows=0.")
    dataset = _dataset(home, mixture)
    names = np.array([stream.domain for stream in mixture.streams])[dataset.streams_of(ids)]
    return _read(dataset, [one for name in sorted(set(names.tolist())) for one in ids[names == name][:rows].tolist()])


def _dataset(home: Home, mixture: Mixture) -> MixtureDataset:
    return MixtureDataset(mixture, max(info.sequence_length for info in mixture.tokens), home.root / "cache")


def _read(dataset: MixtureDataset, ids: Iterable[int]) -> list[Excerpt]:
    """One at a time, since tokens artifacts may differ in the length of their samples."""
    lengths = {info.key: info.sequence_length for info in dataset.mixture.tokens}
    streams = dataset.mixture.streams
    found = []
    for one in ids:
        row = np.array([one], np.int64)
        batch = dataset.read(row, lengths[int(key_of_sample(one))] // int(divisor(one)))
        real = (batch["labels"][0] >= 0).numpy()
        positions = batch["position_ids"][0].numpy()[real]
        domain = streams[int(batch["stream"][0])].domain
        tokens = batch["input_ids"][0].numpy()[real]
        found.append(Excerpt(one, domain, tokens, np.flatnonzero(positions == 0), int(batch["tokens_hash"][0])))
    return found
