"""The arithmetic of shares: bounds are kept, and what they leave free follows the sizes.

>>> solve({"web": 900, "code": 100}, {"code": Bounds(0.3, 0.3)})
{'web': 0.7, 'code': 0.3}
"""

import math
from collections.abc import Mapping

from catalog.errors import BadInput, near
from training.mixtures.config import OTHERS, Bounds

_EXACT = 1e-9


def solve(
    sizes: Mapping[str, int],
    asked: Mapping[str, Bounds],
    temperature: float = 1.0,
    caps: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """A share for every group of `sizes` (tokens): they sum to 1, lie within their bounds, and are else in
    proportion to `size ** (1 / temperature)`.

    `caps` are greatest shares that come from a bound on epochs. Raises BadInput where a named group is not there or the
    bounds cannot be kept together.
    """
    unknown = [name for name in asked if name not in sizes and name != OTHERS]
    if unknown:
        raise BadInput(f"no tokens of {', '.join(unknown)}. {near(unknown[0], sizes)}")
    bounds = {name: asked.get(name, asked.get(OTHERS, Bounds())) for name in sizes}
    if caps:
        bounds = {name: _capped(name, bound, caps[name]) for name, bound in bounds.items()}
    _check_possible(bounds)
    weights = {name: math.log(size) / temperature if size else -math.inf for name, size in sizes.items()}
    return _fill(weights, bounds)


def _capped(name: str, bound: Bounds, cap: float) -> Bounds:
    if bound.least > cap + _EXACT:
        raise BadInput(
            f"{name}: a share of {bound.least:g} is more epochs over it than max_epochs allows (a share of {cap:.4g}). "
            "Ask less of it, lower the budget or raise max_epochs."
        )
    return Bounds(bound.least, min(bound.most, cap))


def _check_possible(bounds: Mapping[str, Bounds]) -> None:
    least, most = sum(bound.least for bound in bounds.values()), sum(bound.most for bound in bounds.values())
    if least > 1 + _EXACT:
        raise BadInput(f"the shares asked for sum to {least:g}: more than 1. Lower some of them.")
    if most < 1 - _EXACT:
        caps = ", ".join(f"{name}<={bound.most:.4g}" for name, bound in bounds.items())
        raise BadInput(
            f"the shares that are allowed sum to {most:.4g}, less than 1 ({caps}). Raise a cap, or lower the budget."
        )


def _fill(weights: Mapping[str, float], bounds: Mapping[str, Bounds]) -> dict[str, float]:
    """Shares `clip(weight * level)`, the level found by bisection: their sum grows with it.

    Weights and level are logarithms: with a temperature far below 1 the weights themselves are beyond any float.
    """

    def at(level: float) -> dict[str, float]:
        return {
            name: min(max(math.exp(min(weight + level, 0.0)), bounds[name].least), bounds[name].most)
            for name, weight in weights.items()
        }

    there = [weight for weight in weights.values() if weight > -math.inf]
    low, high = -max(there) - 60, -min(there)  # from where nobody has 1e-26 to where all have 1
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if sum(at(middle).values()) < 1 else (low, middle)
    found = at(high)
    total = sum(found.values())
    return {name: share / total for name, share in found.items()}


def apportion(shares: Mapping[str, float], total: int) -> dict[str, int]:
    """Whole numbers that sum to `total` and are nearest to the shares, by largest remainder; ties go by name."""
    exact = {name: share * total for name, share in shares.items()}
    whole = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: (whole[name] - exact[name], name))
    for name in by_remainder[: total - sum(whole.values())]:
        whole[name] += 1
    return whole
