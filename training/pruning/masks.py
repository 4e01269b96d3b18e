"""Which weights of a model are taken out, and how those that are out stay out.

>>> gone = lowest(wanda_scores(weight, norms), "2:4", 0.5, by_row=True)     # bool [out, in]
>>> keep_zeros(hf)                                                          # training leaves them at 0

Layers are the linear ones of the model's blocks; embeddings, the output layer, norms and biases stay as they are.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from catalog.errors import BadInput, Damaged
from catalog.records import Record
from training.models.language_model import block_list

if TYPE_CHECKING:
    from transformers import PreTrainedModel

GROUP = 4
"""Of the pattern 2:4: of each four neighbours along the input two are 0. NVIDIA GPUs from 8.0 on multiply it faster."""


def block_layers(block: nn.Module) -> dict[str, nn.Module]:
    """The linear layers of a block by name."""
    return {name: module for name, module in block.named_modules() if _is_linear(module)}


def layers_of(hf: "PreTrainedModel") -> dict[str, nn.Module]:
    """The layers of all blocks that can be pruned, as in `2.mlp.up_proj`."""
    return {
        f"{at}.{name}": module
        for at, block in enumerate(block_list(hf))
        for name, module in block_layers(block).items()
    }


def matrix(layer: nn.Module) -> Tensor:
    """The weights as [out, in], a view. GPT-2 has its layers the other way round."""
    weight = layer.weight
    assert isinstance(weight, Tensor)
    return weight if isinstance(layer, nn.Linear) else weight.T


def wanda_scores(weight: Tensor, norms: Tensor) -> Tensor:
    """|W| times the norm of the input that a weight is multiplied with (arXiv 2306.11695, equation 1): [out, in]."""
    return weight.abs() * norms


def lowest(scores: Tensor, pattern: str, sparsity: float, by_row: bool) -> Tensor:
    """The weights to be taken out, bool [out, in]: the lowest two of each four, or that part of each row or of all.

    Among equals the first one goes.
    """
    shape, gone = scores.shape, torch.zeros_like(scores, dtype=torch.bool)
    if pattern == "2:4":
        scores, gone, count = scores.reshape(-1, GROUP), gone.reshape(-1, GROUP), GROUP // 2
    else:
        rows = shape[0] if by_row else 1
        scores, gone = scores.reshape(rows, -1), gone.reshape(rows, -1)
        count = int(sparsity * scores.shape[1])
    return gone.scatter(1, scores.argsort(dim=1, stable=True)[:, :count], True).reshape(shape)


def zeros_of(hf: "PreTrainedModel") -> dict[str, Tensor]:
    """Where the layers' weights are 0, by layer, bool [out, in]."""
    return {name: matrix(layer).detach() == 0 for name, layer in layers_of(hf).items()}


def keep_zeros(hf: "PreTrainedModel") -> None:
    """From now on weights that are 0 have gradients of 0, and so AdamW's moments, its decay and its steps are 0 too."""
    for layer in layers_of(hf).values():
        weight = layer.weight
        assert isinstance(weight, Tensor)
        gone = weight.detach() == 0
        weight.register_hook(lambda gradient, gone=gone: gradient.masked_fill(gone.to(gradient.device), 0.0))


def check_zeros(hf: "PreTrainedModel", wanted: Mapping[str, Tensor]) -> None:
    """Raises Damaged where a weight that was taken out has come back."""
    for name, layer in layers_of(hf).items():
        if back := int(torch.count_nonzero(matrix(layer).detach()[wanted[name]])):
            raise Damaged(f"{back:,} weights of {name} that were pruned are not 0 after training.")


def is_pruned(model: Record | None) -> bool:
    """Whether a model has weights that were taken out: training from it leaves them out."""
    return bool(model and model.config.get("pruned"))


def check_together(model: Record | None, sharded: bool) -> None:
    """Raises BadInput where weights that are spread over processes would have to stay out."""
    if model and is_pruned(model) and sharded:
        raise BadInput(f"{model.ref} is pruned: its zeros are kept with strategy=ddp, not with fsdp2.")


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"
