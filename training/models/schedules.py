"""The learning rate over a run, in tokens: warm-up, then cosine, linear, constant, or stable with a decay (WSD).

    >>> rate_factor(ScheduleConfig(warmup_tokens=1_000_000), tokens=500_000, total_tokens=20_000_000)
    0.5

The schedule belongs to the run, not to a phase of its mixture: `total_tokens` is the whole run's.
"""

import math
from typing import Literal

from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput


class ScheduleConfig(Config):
    """How the learning rate rises and falls."""

    kind: Literal["cosine", "wsd", "linear", "constant"] = "cosine"
    warmup_tokens: int = Field(default=0, ge=0)
    decay_tokens: int = Field(default=0, ge=0)
    """wsd alone: the decay at the end; 0: a fifth of the run (arXiv 2405.18392 finds 10 to 20 % enough)."""
    final_factor: float = Field(default=0.1, ge=0, le=1)
    """Of the highest rate, at the end: 0.1 for cosine (arXiv 2203.15556), 0 is usual for linear and wsd."""

    def check(self, total_tokens: int) -> None:
        """Raises BadInput where warm-up and decay are longer than the run."""
        if self.warmup_tokens + self.decay_tokens > total_tokens:
            together = f"warm-up of {self.warmup_tokens:,} and decay of {self.decay_tokens:,} tokens"
            raise BadInput(f"schedule: {together} are longer than the run of {total_tokens:,}.")


def rate_factor(config: ScheduleConfig, tokens: int, total_tokens: int) -> float:
    """The factor of the learning rate in the step after which `tokens` are seen; 0 only at the end."""
    if tokens < config.warmup_tokens:
        return tokens / config.warmup_tokens
    left = max(0.0, 1 - (tokens - config.warmup_tokens) / max(1, total_tokens - config.warmup_tokens))
    span = 1 - config.final_factor
    if config.kind == "cosine":
        return config.final_factor + span * (1 + math.cos(math.pi * (1 - left))) / 2
    if config.kind == "linear":
        return config.final_factor + span * left
    if config.kind == "wsd":  # 1 - sqrt, the best of the decays in arXiv 2405.18392
        decay = config.decay_tokens or total_tokens // 5
        done = min(1.0, max(0.0, (tokens - (total_tokens - decay)) / max(1, decay)))
        return 1 - span * math.sqrt(done)
    return 1.0
