"""AdamW with groups of weight decay, clipping of gradients, and a moving average of the weights.

    >>> optimizer = adamw(model, OptimizerConfig(learning_rate=6e-4))
    >>> norm = clip_gradients(model.parameters(), 1.0)

Plain torch, on tensors and DTensors alike. Composer's own `GradientClipping` must not be used with FSDP2: with any FSDP
it looks for FSDP1 modules, finds none, and clips nothing without a word.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from pydantic import Field
from torch import Tensor, nn

from catalog.config import Config
from catalog.errors import BadInput


class OptimizerConfig(Config):
    """AdamW (arXiv 1711.05101). Betas, epsilon, decay and clipping are those of GPT-3 and Llama."""

    learning_rate: float = Field(default=6e-4, gt=0)
    betas: tuple[float, float] = (0.9, 0.95)
    epsilon: float = Field(default=1e-8, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    decay_embeddings: bool = False
    """Whether embeddings decay too; norms and biases never do."""
    clip_norm: float = Field(default=1.0, ge=0)
    """The largest norm of all gradients together; 0: none."""
    ema_decay: float = Field(default=0.0, ge=0, lt=1)
    """Of the moving average of the weights; 0: none. 0.999 to 0.9999 are usual."""


def weight_groups(model: nn.Module, config: OptimizerConfig) -> list[dict[str, object]]:
    """The model's weights with and without decay. Every trained weight is in one group, tied ones once."""
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    tables = [module.weight for module in model.modules() if isinstance(module, nn.Embedding)]
    spared = set() if config.decay_embeddings else {id(table) for table in tables}
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for weight in weights:
        groups[weight.ndim >= 2 and id(weight) not in spared].append(weight)
    decays = {True: config.weight_decay, False: 0.0}
    return [{"params": found, "weight_decay": decays[decayed]} for decayed, found in groups.items() if found]


def adamw(model: nn.Module, config: OptimizerConfig) -> torch.optim.AdamW:
    """The optimizer, one fused kernel on CPUs and NVIDIA GPUs. Raises BadInput for a model without trained weights."""
    groups = weight_groups(model, config)
    if not groups:
        raise BadInput("the model has no weights to train.")
    return torch.optim.AdamW(
        groups,
        lr=config.learning_rate,
        betas=config.betas,
        eps=config.epsilon,
        fused=all(weight.device.type in ("cpu", "cuda") for weight in model.parameters()),
    )


def clip_gradients(weights: Iterable[nn.Parameter], norm: float) -> Tensor:
    """Scale all gradients so that their norm is at most `norm` (0: only measure); gives the norm before, a scalar."""
    from torch.distributed.tensor import DTensor

    total = torch.nn.utils.clip_grad_norm_(list(weights), norm or float("inf"))
    return total.full_tensor() if isinstance(total, DTensor) else total


class MovingAverage:
    """An exponential moving average of a model's trained weights, on their own device and in their own shards.

    `update` after every step; `with average.in_place():` evaluates or saves the averaged weights.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay, self.updates = decay, 0
        self._names = [name for name, weight in model.named_parameters() if weight.requires_grad]
        self._weights = [weight for weight in model.parameters() if weight.requires_grad]
        self._average = [weight.detach().clone() for weight in self._weights]

    def update(self) -> None:
        """Take a step's weights in. The first steps weigh more, as in an average of all so far."""
        self.updates += 1
        share = max(1 - self.decay, 1 / (self.updates + 1))
        with torch.no_grad():
            for average, weight in zip(self._average, self._weights, strict=True):
                average.lerp_(weight, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """The model has the averaged weights inside the block, and its own again after it."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def state_dict(self) -> dict[str, Tensor]:
        """The averaged weights by name, and how many updates they hold."""
        return {**dict(zip(self._names, self._average, strict=True)), "updates": torch.tensor(self.updates)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on from a saved average of the same model."""
        self.updates = int(state["updates"])
        for name, average in zip(self._names, self._average, strict=True):
            average.copy_(state[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for weight, average in zip(self._weights, self._average, strict=True):
            held = weight.detach().clone()
            weight.copy_(average)
            average.copy_(held)
