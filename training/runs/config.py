"""What a training run is: its model, its data, how it learns, when it saves.

>>> RunConfig(run="zh-small", mixture="balanced", model=preset("small").model, batch_tokens=131_072)
"""

import re
from typing import Literal, Self

from pydantic import Field, model_validator

from catalog.config import Config
from training.models.config import ModelConfig
from training.models.objectives import ObjectiveConfig
from training.models.optimizers import OptimizerConfig
from training.models.schedules import ScheduleConfig

CIRCUMSTANCE = {
    "tokenizer",
    "nproc",
    "nodes",
    "address",
    "loader_workers",
    "microbatch_tokens",
    "checkpoint",
    "loggers",
    "cache_limit",
    "remote",
}
"""Fields that say where and how, not what: a resume may change them."""


class CheckpointConfig(Config):
    """When state is saved, and how much of it is kept. What comes first counts; 0 switches a rule off."""

    every_steps: int = Field(default=1000, ge=0)
    every_tokens: int = Field(default=0, ge=0)
    every_minutes: float = Field(default=30, ge=0)
    keep_last: int = Field(default=2, ge=1)
    keep_best: int = Field(default=1, ge=0)
    """How many of the lowest held-out loss are kept besides."""
    background: bool = True
    """Write while training goes on, from a copy of the state in the memory of the host; false: training waits."""
    mirror: str = ""
    """A second place for all of the run, and for its model: s3://bucket/prefix, or a path."""


class SpikeConfig(Config):
    """What happens when a loss is not finite, or far above those before it."""

    action: Literal["stop", "skip", "none"] = "stop"
    """stop: end before the step is taken and name the documents; skip: leave this batch out of the weights."""
    deviations: float = Field(default=6.0, gt=0)
    """A spike lies so many standard deviations above the mean of the window (as OLMo-core's SkipStepOptimizer)."""
    window: int = Field(default=128, ge=8)
    """Steps that are looked back on; half of them must have been seen before anything counts as a spike."""


class RunConfig(Config):
    """A whole run."""

    run: str = "tiny"
    """Its name; the model that comes of it has the same."""
    mixture: str = "docs"
    """`name` or `name@version`: tokens, order and phases are its own."""
    tokenizer: str = ""
    """Folder of the tokenizer, where the tokens were made with one that is not in the home."""
    model: ModelConfig = ModelConfig()
    parent: str = ""
    """A model of the home to go on from, `name@version`; a folder goes into model.checkpoint."""
    objective: ObjectiveConfig = ObjectiveConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    batch_tokens: int = Field(default=16_384, gt=0)
    """Tokens of a step, over all processes."""
    microbatch_tokens: int = Field(default=0, ge=0)
    """Tokens that one process puts through the model at a time, gradients being summed; 0: its whole batch."""
    max_steps: int = Field(default=0, ge=0)
    """The schedule ends here; 0: with the mixture."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 on a GPU, fp32 on a CPU; bf16 is faster on processors with AMX or AVX512-BF16."""
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    """auto: FSDP2 from a billion parameters on, else DDP (FSDP was 4.6 times slower below, OLMo #762)."""
    kernel: Literal["auto", "sdpa", "documents"] = "auto"
    """How attention is computed, see training/models/attention.py."""
    tensor_parallel: int = Field(default=1, ge=1)
    activation_checkpointing: int = Field(default=0, ge=0)
    """Every n-th block computes its activations again; 0: none."""
    compile: bool = False
    checkpoint: CheckpointConfig = CheckpointConfig()
    evaluate_steps: int = Field(default=0, ge=0)
    """Held-out loss every so many steps; 0: four to twenty times in the run, for about 5 % of its work."""
    heldout_rows: int = Field(default=32, ge=0)
    """The most held-out samples of each domain; 0: no held-out loss."""
    row_losses: bool = False
    """Record the loss of every row beside its sample id."""
    spikes: SpikeConfig = SpikeConfig()
    seed: int = Field(default=17, ge=0)
    nproc: int = Field(default=0, ge=0)
    """Processes on each machine; 0: one for each GPU, one on a CPU."""
    nodes: int = Field(default=1, ge=1)
    """Machines, which all have the home under the same path."""
    address: str = ""
    """`host:port` of the first machine, where the others find it."""
    loader_workers: int = Field(default=0, ge=0)
    cache_limit: str = ""
    """The most that raw shards may take on the disk, as 100gb; empty: no limit."""
    remote: str = ""
    """Address of another home that holds the shards of the tokens."""
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = ()

    @model_validator(mode="after")
    def _one_start(self) -> Self:
        if self.parent and self.model.checkpoint:
            raise ValueError("a run goes on from parent or from model.checkpoint, not from both")
        if self.nodes > 1 and not re.fullmatch(r".+:\d+", self.address):
            raise ValueError(f"{self.nodes} nodes need address=host:port of the first, as 10.0.0.1:29400")
        return self

    def identity(self) -> dict:
        """The fields that say what the run is."""
        return self.model_dump(mode="json", exclude=CIRCUMSTANCE | {"run"})
