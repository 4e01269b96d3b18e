"""Whether a run was asked to end, by SIGTERM or Ctrl-C; asked again, it ends at once and saves nothing.

>>> asked = Asked()
>>> asked.listen()
>>> bool(asked)
False
"""

import signal
import time
from types import FrameType

AGAIN_S = 1.0
"""What comes sooner after the first signal is the same word: `timeout` and `just` both pass one on to a command."""


class Asked:
    """False until a signal has come."""

    def __init__(self) -> None:
        self._at: float | None = None

    def __bool__(self) -> bool:
        return self._at is not None

    def listen(self) -> None:
        """Take both signals from here on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self._at is not None and now - self._at > AGAIN_S:
            raise KeyboardInterrupt
        self._at = now if self._at is None else self._at
