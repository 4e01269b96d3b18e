"""What a mixture is asked to be: its tokens, its shares, its phases.

>>> MixtureConfig(name="balanced", tokens=("web",), shares="web=0.5, encyclopedia<=0.4, code=0.1", budget=2e9)

Shares are of tokens. `=` fixes one, `<=` caps it, `>=` gives it a floor, `*` stands for every group that is not named;
what is left over goes to the groups that are not fixed, by their size (by `size ** (1 / temperature)`).
"""

import re
from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from catalog.config import Config
from catalog.errors import BadInput

By = Literal["domain", "lang", "tokens", "domain/lang"]
OTHERS = "*"

_SHARE = re.compile(r"\s*([^\s<>=,]+)\s*(<=|>=|=)\s*([0-9.eE+-]+)(%?)\s*")


class Bounds(NamedTuple):
    """The least and the greatest share of a group."""

    least: float = 0.0
    most: float = 1.0


class PhaseConfig(Config):
    """A stretch of a run with a mixture of its own."""

    name: str = "main"
    part: float = Field(default=1.0, gt=0)
    """Its part of the budget; parts are taken relative to their sum."""
    shares: str = ""
    """Empty: those of the mixture."""
    tokens: tuple[str, ...] = ()
    """Tokens artifacts, `name` or `name@version`; none: those of the mixture. New ones may join at any phase."""
    sequence_length: int = Field(default=0, ge=0)
    """Tokens of a sample; 0: as packed. Else the packed length divided by 2, 4, 8, 16 or 32."""


class MixtureConfig(Config):
    """A whole mixture."""

    name: str = "docs"
    version: str = ""
    """Empty: the next free number."""
    tokens: tuple[str, ...] = ("docs",)
    """Tokens artifacts, `name` or `name@version`."""
    by: By = "domain"
    """What a share is a share of: a domain, a language, a tokens artifact, or `domain/lang`."""
    shares: str = ""
    """As in `web=0.5, encyclopedia<=0.4, code>=5%, *=0`; empty: every group by its size."""
    temperature: float = Field(default=1.0, gt=0)
    """Above 1 small groups get more than their size, as in mT5 and XLM-R (https://arxiv.org/abs/2010.11934, 2.2)."""
    budget: float = Field(default=0, ge=0, allow_inf_nan=False)
    """Tokens to train on, over all phases; 0: as many as give one epoch of everything that may be read."""
    max_epochs: float = Field(default=0, ge=0)
    """The most epochs over any group, held by giving it less; 0: no bound."""
    warn_epochs: float = Field(default=4, gt=0)
    """Epochs over a group above which a warning is given: up to 4, repeated data is nearly as good as new
    (https://arxiv.org/abs/2305.16264)."""
    heldout: float = Field(default=0.01, ge=0, lt=1)
    """The part of each stream's samples that no phase reads, for held-out loss."""
    seed: int = Field(default=17, ge=0)
    phases: tuple[PhaseConfig, ...] = (PhaseConfig(),)

    @model_validator(mode="after")
    def _phases_have_names(self) -> "MixtureConfig":
        names = [phase.name for phase in self.phases]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"phases need different names, and there must be one at least: {names}")
        return self

    def identity(self) -> dict:
        """The fields that say what the mixture is, for its record."""
        return self.model_dump(mode="json", exclude={"name", "version", "warn_epochs"})


def parse_shares(text: str) -> dict[str, Bounds]:
    """The bounds of every group that is named. Raises BadInput for what is not understood or cannot be."""
    bounds: dict[str, Bounds] = {}
    for part in filter(str.strip, text.split(",")):
        match = _SHARE.fullmatch(part)
        if not match:
            raise BadInput(
                f"not a share: {part.strip()!r}. Write for example web=0.5, encyclopedia<=0.4, code>=5%, *=0."
            )
        name, sign, number, percent = match.groups()
        share = _number(number, part) / (100 if percent else 1)
        old = bounds.get(name, Bounds())
        least, most = (share if sign != "<=" else old.least), (share if sign != ">=" else old.most)
        if not 0 <= least <= most <= 1:
            raise BadInput(f"share {part.strip()!r}: shares lie between 0 and 1, a floor not above its cap.")
        bounds[name] = Bounds(least, most)
    return bounds


def _number(text: str, part: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadInput(f"not a number in the share {part.strip()!r}: {text!r}.") from error
