"""Whether weights are sharded where that was asked for.

>>> check_sharded(model)
"""

from torch import nn

from catalog.errors import BadInput


def check_sharded(model: nn.Module) -> None:
    """Raises BadInput where a weight is not a DTensor: FSDP2 was asked for, and DDP would train instead."""
    from torch.distributed.tensor import DTensor

    whole = [name for name, weight in model.named_parameters() if not isinstance(weight, DTensor)]
    if whole:
        raise BadInput(f"FSDP2 is not on: {len(whole)} weights are whole, {whole[0]} the first.")
