"""The one adapter between our models and Composer: model, precision, sharding, schedule, clipping, averages.

    >>> model = PretrainedModel(LanguageModel(hf, objective, kernel))
    >>> Trainer(
    ...     model=model,
    ...     train_dataloader=data_spec(loader),
    ...     optimizers=adamw(model, optimizer),
    ...     schedulers=TokenSchedule(schedule, total_tokens, batch_tokens),
    ...     step_schedulers_every_batch=True,
    ...     precision=composer_precision("bf16", "cuda"),
    ...     parallelism_config=parallelism("fsdp2"),
    ...     algorithms=[ClipGradients(1.0)],
    ...     accumulate_train_batch_on_tokens=True,
    ... )
    >>> check_sharded(model)

Importing it takes seconds, since it imports composer: import it where a run starts.
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any, Literal

import torch
from composer.core import Algorithm, Callback, DataSpec, Event, State
from composer.loggers import Logger
from composer.models import ComposerModel
from composer.utils.parallelism import FSDP2Config
from torch import Tensor
from torchmetrics import Metric

from catalog.errors import BadInput
from training.models.language_model import LanguageModel, Losses
from training.models.objectives import Batch, count_loss_tokens
from training.models.optimizers import MovingAverage, clip_gradients
from training.models.schedules import ScheduleConfig, rate_factor

Strategy = Literal["ddp", "fsdp2"]


class TokenLoss(Metric):
    """Mean negative log-likelihood of a token (nats) over all batches and ranks, each token weighing the same."""

    full_state_update = False
    total: Tensor
    tokens: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("tokens", torch.tensor(0), dist_reduce_fx="sum")

    def update(self, losses: Losses) -> None:
        """Take a batch's rows in."""
        self.total += losses["row_losses"].double().sum()
        self.tokens += losses["row_tokens"].sum()

    def compute(self) -> Tensor:
        """The mean so far."""
        return self.total / self.tokens


class PretrainedModel(ComposerModel):
    """A language model as Composer wants it. A step's `outputs` are `Losses`, rows included, for callbacks."""

    def __init__(self, language_model: LanguageModel, autocast: bool = False) -> None:
        """`autocast`: bf16 on a CPU, where Composer's own autocast is refused."""
        super().__init__()
        self.language_model, self.autocast = language_model, autocast

    def forward(self, batch: Batch) -> Losses:
        """The losses of a prepared batch."""
        with torch.autocast("cpu", torch.bfloat16) if self.autocast else nullcontext():
            return self.language_model(batch)

    def loss(self, outputs: Losses, batch: Batch) -> Tensor:
        """Scalar."""
        return outputs["loss"]

    def eval_forward(self, batch: Batch, outputs: Losses | None = None) -> Losses:
        """The same losses without gradients."""
        return outputs if outputs is not None else self(batch)

    def get_metrics(self, is_train: bool = False) -> dict[str, Metric]:
        """One metric for evaluators; training records its losses from the outputs."""
        return {} if is_train else {"TokenLoss": TokenLoss()}

    def update_metric(self, batch: Any, outputs: Any, metric: Metric) -> None:
        """Take an evaluated batch in."""
        metric.update(outputs)


class TokenSchedule:
    """Our schedule as Composer's: the factor by the tokens seen once the step is done."""

    def __init__(self, config: ScheduleConfig, total_tokens: int, batch_tokens: int) -> None:
        config.check(total_tokens)
        self.config, self.total_tokens, self.batch_tokens = config, total_tokens, batch_tokens

    def __call__(self, state: State, ssr: float = 1.0) -> float:
        """The factor of the coming step."""
        tokens = int(state.timestamp.token) + self.batch_tokens
        return rate_factor(self.config, tokens, round(self.total_tokens * ssr))


class ClipGradients(Algorithm):
    """Clip the norm of all gradients, sharded ones too, and log it as `gradient_norm`."""

    def __init__(self, norm: float) -> None:
        self.norm = norm

    def match(self, event: Event, state: State) -> bool:
        """After the backward pass of the last micro-batch."""
        return event == Event.AFTER_TRAIN_BATCH

    def apply(self, event: Event, state: State, logger: Logger) -> None:
        """Clip and log."""
        logger.log_metrics({"gradient_norm": float(clip_gradients(state.model.parameters(), self.norm))})


class AverageWeights(Callback):
    """Keeps a moving average, made once weights are sharded and before state is loaded: `average` from then on."""

    def __init__(self, decay: float) -> None:
        self.decay = decay
        self.average: MovingAverage | None = None

    def before_load(self, state: State, logger: Logger) -> None:
        """Start from the weights as they are; a checkpoint brings its own average."""
        self.average = MovingAverage(state.model, self.decay)

    def batch_end(self, state: State, logger: Logger) -> None:
        """Take a step in."""
        assert self.average is not None
        self.average.update()

    def state_dict(self) -> dict[str, Any]:
        """The average, sharded as the weights are."""
        return self.average.state_dict() if self.average else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        assert self.average is not None
        self.average.load_state_dict(state)


def data_spec(loader: Iterable[Batch]) -> DataSpec:
    """A loader of prepared batches, whose tokens Composer counts by our rule: those that a loss is computed on too."""

    def tokens(batch: Batch) -> dict[str, int]:
        read = batch.get("original_ids", batch["input_ids"])
        return {"total": read.numel(), "loss_generating": count_loss_tokens(batch)}

    return DataSpec(dataloader=loader, get_num_tokens_in_batch=tokens)  # pyright: ignore[reportArgumentType]


def composer_precision(precision: str, device: str) -> str:
    """Composer's name of a precision; on a CPU fp32, whose autocast is `PretrainedModel`'s."""
    names = {"fp32": "fp32", "bf16": "amp_bf16", "fp16": "amp_fp16"}
    if precision not in names:
        raise BadInput(f"precision {precision!r} is not known. Allowed: {', '.join(names)}.")
    return names["fp32" if device == "cpu" else precision]


def parallelism(strategy: Strategy, tensor_parallel: int = 1, reshard: bool = True) -> dict[str, object] | None:
    """Composer's `parallelism_config`: None for DDP. Composer reads the keys `fsdp` and `tp` and no other.

    `reshard=False` keeps the gathered weights between forward and backward (more memory, less traffic). Raises BadInput
    for tensor parallelism: Composer 0.32 splits layers after the optimizer has their weights, and with FSDP2 ends with
    "parameters were not found in the sharded model" (2 processes, one group, plan of Llama).
    """
    if tensor_parallel > 1:
        raise BadInput("tensor_parallel: Composer 0.32 does not offer it with FSDP2. Take tensor_parallel=1.")
    return None if strategy == "ddp" else {"fsdp": FSDP2Config(reshard_after_forward=reshard)}
