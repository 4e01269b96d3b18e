"""The smallest scheme that keeps what a model knows: which are tried on this machine, and which of them holds.

>>> tried, skipped = to_try(["w8a8", "fp8"], machine())
>>> smallest(trials, loss_of("1%"))
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from catalog.errors import BadInput
from serving.receipt import SPEED, Receipt
from serving.schemes import Machine, known, why_not

ALL = "served/all"


class Trial(NamedTuple):
    """A scheme that was tried."""

    scheme: str
    model: str
    """`name@version`."""
    bytes: float
    perplexity: float
    loss: float
    """By how much of the parent's the perplexity is higher."""
    decode: float
    """Tokens a second, and beside the parent's: 1.5 is half as fast again."""
    times: float


def loss_of(text: str) -> float:
    """`1%` or `0.01`, as a number. Raises BadInput."""
    try:
        found = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError as error:
        raise BadInput(f"max_loss={text!r} is no share: write max_loss=1% or max_loss=0.01.") from error
    if not 0 <= found < 1:
        raise BadInput(f"max_loss={text} is not between 0 and 100 %: write max_loss=1%.")
    return found


def to_try(schemes: Iterable[str], on: Machine) -> tuple[list[str], dict[str, str]]:
    """The schemes that a machine can serve, and why it cannot serve each other one. Raises BadInput for no scheme."""
    reasons = {name: why_not(known(name), on) for name in schemes}
    return [name for name, why in reasons.items() if not why], {name: why for name, why in reasons.items() if why}


def trial(scheme: str, parent: Receipt, made: Receipt) -> Trial:
    """What the receipts of a compressed model and of its parent say."""
    before, after = parent.value(ALL, "perplexity"), made.value(ALL, "perplexity")
    decode = made.value(SPEED, "decode_tokens_per_second")
    return Trial(
        scheme,
        str(made.record.config["model"]),
        made.value("served/size", "bytes"),
        after,
        after / before - 1,
        decode,
        decode / parent.value(SPEED, "decode_tokens_per_second"),
    )


def smallest(trials: Sequence[Trial], max_loss: float) -> Trial | None:
    """The smallest that holds; of two of one size the one that loses less."""
    holding = [one for one in trials if one.loss <= max_loss]
    return min(holding, key=lambda one: (one.bytes, one.loss), default=None)
