"""What a run finds on this machine, and what it takes of it where its config leaves that open.

>>> device(), processes(0), precision("auto")
('cpu', 1, 'fp32')
"""

from functools import cache

import torch


@cache
def device() -> str:
    """cuda where there is a GPU, else cpu."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def processes(asked: int) -> int:
    """As many as are asked for; 0: one for each GPU, one on a CPU."""
    return asked or (torch.cuda.device_count() if device() == "cuda" else 1)


def precision(asked: str) -> str:
    """`auto` is bf16 on a GPU, fp32 on a CPU."""
    automatic = "bf16" if device() == "cuda" else "fp32"
    return automatic if asked == "auto" else asked
