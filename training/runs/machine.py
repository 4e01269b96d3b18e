"""What a run finds on this machine, and what it takes of it where its config leaves that open.

>>> device(), processes(0), precision("auto")
('cpu', 1, 'fp32')
"""

from functools import cache

import torch

from catalog.errors import BadInput


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


def multiplies_bf16() -> bool:
    """Whether this processor has instructions for products of bf16 (AMX, AVX512-BF16), twice as fast as of fp32."""
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


def check_precision(precision: str) -> None:
    """Raise BadInput for what a CPU does not have, or does more slowly than fp32."""
    if device() == "cuda" or precision == "fp32" or (precision == "bf16" and multiplies_bf16()):
        return
    needs = "a GPU, or a processor with AMX or AVX512-BF16" if precision == "bf16" else "a GPU"
    raise BadInput(f"precision={precision} needs {needs}. Take precision=fp32 here.")
