"""Rewards that can be verified: an exact answer, a form, code that passes its tests; or what a reward model says.

>>> exact("42 ", "42")
1.0

Code runs in a sandbox that the recipe hands in: this room runs nothing that a model wrote.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from catalog.errors import BadInput

Passes = Callable[[str, str], bool]
"""Whether code passes tests: `eval.sandbox.passes`."""
_FENCE = re.compile(r"```(?:python|py)?\s*\n(.*?)```", re.S)


class Reward(NamedTuple):
    """A reward by name: from what was written and the row's answer to a number, 0 to 1."""

    name: str
    of: Callable[[str, str], float]


def exact(written: str, answer: str) -> float:
    """1 where it is the answer and nothing else, white space at its ends aside."""
    return float(written.strip() == answer.strip())


def contains(written: str, answer: str) -> float:
    """1 where the answer stands somewhere in it, as words of their own."""
    return float(bool(re.search(rf"(?<!\w){re.escape(answer.strip())}(?!\w)", written)))


def code_of(written: str) -> str:
    """The first fenced block, or all of it where there is none."""
    found = _FENCE.search(written)
    return found[1] if found else written


def check_pattern(pattern: str) -> re.Pattern[str]:
    """The pattern, compiled. Raises BadInput."""
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadInput(f"grpo.pattern={pattern!r} is no regular expression: {error}.") from error


def rewards(names: tuple[str, ...], pattern: str, passes: Passes | None) -> list[Reward]:
    """The rewards of a run. Raises BadInput for a pattern that is none, and for code without a sandbox."""
    form = check_pattern(pattern)
    if "code" in names and not passes:
        raise BadInput("the reward code needs a sandbox, which the recipe hands down.")

    def runs(written: str, answer: str) -> float:
        assert passes
        return float(passes(code_of(written), answer))

    known = {
        "exact": exact,
        "contains": contains,
        "format": lambda written, answer: float(bool(form.fullmatch(written.strip()))),
        "code": runs,
    }
    return [Reward(name, known[name]) for name in names]


def as_trl(reward: Reward) -> Callable[..., list[float]]:
    """The reward as GRPOTrainer calls it: on answers as lists of messages."""

    def function(completions: list[Any], answer: list[str], **_: Any) -> list[float]:
        return [reward.of(text_of(written), wanted) for written, wanted in zip(completions, answer, strict=True)]

    function.__name__ = reward.name
    return function


def text_of(completion: Any) -> str:
    """The text of an answer, which TRL gives as messages."""
    return completion if isinstance(completion, str) else "".join(str(m.get("content") or "") for m in completion)
