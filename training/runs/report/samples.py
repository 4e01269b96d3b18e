"""The text of samples, decoded from the ids that the model was given.

>>> ids = SampleReader(home, mixture).ids(sample_id)
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from catalog.home import Home
from training.loader.dataset import MixtureDataset
from training.mixtures.reading import Mixture


def ids_of(home: Home, mixture: Mixture, batch_tokens: int, samples: Iterable[int]) -> dict[int, NDArray[np.int64]]:
    """The token ids of samples, by sample id; importing this takes seconds."""
    dataset = MixtureDataset(mixture, batch_tokens, home.root / "cache")
    (packed,) = {info.sequence_length for info in mixture.tokens}
    found = {}
    for sample in samples:
        divisor = 1 << (int(sample & 63).bit_length() - 1)
        batch = dataset.read(np.array([sample], np.int64), packed // divisor)
        found[sample] = batch["input_ids"][0].numpy()
    return found
