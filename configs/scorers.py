"""What receipts of served models are made of: functions that an engine's own process calls.

>>> scorers = [partial(heldout, documents)]
"""

from collections.abc import Sequence

from eval import likelihood
from serving.compress import Document
from serving.receipt import Reader, Score

METRICS = ("perplexity", "loss", "bits_per_byte")


def heldout(documents: Sequence[Document], reader: Reader) -> list[Score]:
    """Perplexity, loss and bits a byte of held-out documents, by domain and of all."""
    rates = likelihood.rates(likelihood.read(reader.nats, documents))
    return [
        Score(f"served/{domain}", metric, measured[metric], int(measured["tokens"]))
        for domain, measured in rates.items()
        for metric in METRICS
    ]
