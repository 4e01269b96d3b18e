"""Losses that are not finite, or far above those before them.

>>> watch = SpikeWatch(SpikeConfig())
>>> watch.judge(9.1)          # "" for a loss as it should be, else what is wrong with it
"""

import math
from collections import deque

from training.runs.config import SpikeConfig


class SpikeWatch:
    """Looks at one loss a step."""

    def __init__(self, config: SpikeConfig) -> None:
        self.config = config
        self.seen: deque[float] = deque(maxlen=config.window)

    def judge(self, loss: float) -> str:
        """What is wrong with a step's loss; empty where nothing is, and then the loss joins those looked back on."""
        if self.config.action == "none":
            return ""
        if not math.isfinite(loss):
            return f"the loss is {loss}"
        if len(self.seen) >= self.config.window // 2:
            mean = sum(self.seen) / len(self.seen)
            deviation = math.sqrt(sum((value - mean) ** 2 for value in self.seen) / len(self.seen))
            bound = mean + self.config.deviations * max(deviation, 1e-3 * abs(mean))
            if loss > bound:
                return f"the loss is {loss:.3f}, above {bound:.3f} (mean {mean:.3f} of {len(self.seen)} steps)"
        self.seen.append(loss)
        return ""
