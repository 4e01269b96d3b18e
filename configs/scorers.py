"""What receipts of served models are made of: functions that an engine's own process calls.

>>> scorers = [partial(heldout, documents)]
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from eval import likelihood
from serving.compress import Document
from serving.receipt import Score

METRICS = ("perplexity", "loss", "bits_per_byte")


class Reader(Protocol):
    """Whatever says the nats of texts, and their counted tokens."""

    def nats(self, rows: Sequence[NDArray[np.int64]]) -> Iterable[tuple[float, int]]: ...


def heldout(documents: Sequence[Document], reader: Reader, measured_by: str = "served") -> list[Score]:
    """Perplexity, loss and bits a byte of held-out documents, by domain and of all."""
    rates = likelihood.rates(likelihood.read(reader.nats, documents))
    return [
        Score(f"{measured_by}/{domain}", metric, measured[metric], int(measured["tokens"]))
        for domain, measured in rates.items()
        for metric in METRICS
    ]
