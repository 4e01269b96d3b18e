"""Memory that a step gives back is kept for the next one, on a CPU.

>>> keep_freed_memory()

glibc maps each large block from the system and gives it back when it is freed; a training step asks for the same blocks
again and again, and the system fills each page with zeros first. Tuning the model `tiny` spent a third of its CPU time
on that.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX, M_ARENA_MAX = -1, -2, -4, -8
"""Of glibc's malloc.h."""
KEPT_BYTES = 2**31 - 1
"""The most that mallopt takes."""


def keep_freed_memory() -> None:
    """Let malloc keep what is freed: nothing is mapped by itself, nothing trimmed. Without glibc, nothing is done."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt:
        for option, value in ((M_ARENA_MAX, 1), (M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, KEPT_BYTES), (M_TOP_PAD, 64 << 20)):
            mallopt(option, value)
