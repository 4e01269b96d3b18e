"""What a run needs before it starts: memory a GPU, steps, hours, cost, tokens a parameter, epochs a domain.

    >>> found = estimate(EstimateConfig(model="1b", gpus=8, tokens=20e9, price=2.5))
    >>> round(found.hours, 1), found.fits

Model FLOPs a token, forward and backward: 6 for each weight that is multiplied (not for rows that are looked up), and
for attention 12 · layers · width · keys (arXiv 2204.02311, appendix B), where keys are the tokens that a query can see:
half of the length for causal models, the window where there is one. Work that is done twice (checkpointed activations,
the output layer in chunks) is not counted, as in MFU. Hours are FLOPs over peak times MFU.

Nothing here imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput, NotFound, near
from catalog.room import GIB
from training.models.config import CAUSAL, ModelConfig, parameters
from training.models.presets import preset

MFU = 0.40
"""llm-foundry 0.35-0.46, Megatron 0.41-0.48, nanochat 0.50 of H100s: what a good run reaches without more work."""
RESERVED = 0.08
"""Share of a GPU's memory for its context, libraries and what the allocator cannot use."""


@dataclass(frozen=True)
class Gpu:
    """A device: dense bf16 peak (fp32 accumulation, no sparsity) and memory, from its maker's data sheet."""

    tflops: float
    gib: float


CPU = "cpu"
CPU_MFU = 0.45
"""Of what a CPU reaches in a product of matrices: 0.36 for tiny, 0.62 for small, see docs/benchmarks.md."""
PROCESS = 1.25 * GIB
"""A process of a run on a CPU without its model: torch, Composer, the catalog."""
LOGIT_BYTES_CPU = 24
"""As LOGIT_BYTES, with what a CPU's allocator keeps of those before: three runs' peaks within 5 %."""

GPUS = {
    "a100": Gpu(312, 80),
    "h100": Gpu(989, 80),
    "h100-pcie": Gpu(756, 80),
    "h200": Gpu(989, 141),
    "b200": Gpu(2250, 180),
    "a10g": Gpu(70, 24),
    "l4": Gpu(121, 24),
    "l40s": Gpu(362, 48),
    "rtx3090": Gpu(71, 24),
    "rtx4090": Gpu(165, 24),
    "mi300x": Gpu(1307, 192),
}

SAVED = {
    ("llama", "fp32"): (24, 12, 8, 16),
    ("llama", "half"): (26, 6, 4, 8),
    ("qwen", "fp32"): (24, 20, 16, 16),
    ("qwen", "half"): (26, 12, 10, 8),
    ("gpt2", "fp32"): (36, 0, 0, 20),
    ("gpt2", "half"): (22, 0, 0, 10),
    ("bert", "fp32"): (36, 0, 0, 8),
    ("bert", "half"): (26, 0, 0, 4),
    ("modernbert", "fp32"): (44, 0, 0, 16),
    ("modernbert", "half"): (26, 0, 0, 8),
}
"""Bytes that a layer keeps for its backward pass, a token, for each unit of hidden_size, width of all heads, of all kv
heads, and mlp_size: counted with saved-tensor hooks on models of two widths; tests count again."""
LOGIT_BYTES = 12
"""A logit in fp32, its gradient and the softmax between them."""


class EstimateConfig(Config):
    """The run to be estimated; a field left at 0 is the preset's own, or chosen."""

    model: str = "1b"
    gpus: int = Field(default=1, gt=0)
    gpu: str = "h100"
    tflops: float = Field(default=0, ge=0)
    """Its peak; 0: by its data sheet. A CPU has none: `just estimate gpu=cpu` measures it."""
    gib: float = Field(default=0, ge=0)
    """Its memory; 0: by its data sheet."""
    tokens: int = Field(default=0, ge=0)
    sequence_length: int = Field(default=0, ge=0)
    batch_tokens: int = Field(default=0, ge=0)
    micro_rows: int = Field(default=0, ge=0)
    """Rows of one forward pass on one GPU; 0: as many as fit."""
    vocab_size: int = Field(default=0, ge=0)
    precision: Literal["fp32", "bf16", "fp16"] = "bf16"
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    """auto: DDP below a billion parameters, FSDP2 from there."""
    activation_checkpointing: bool = False
    chunk_tokens: int = Field(default=8192, ge=0)
    mfu: float = Field(default=MFU, gt=0, le=1)
    price: float = Field(default=0.0, ge=0)
    """Of a GPU-hour, in any currency."""


@dataclass(frozen=True)
class Memory:
    """Bytes on each GPU at the peak."""

    weights: float
    gradients: float
    optimizer: float
    gathered: float
    """Copies of weights: FSDP2's gathered layers, DDP's buckets, autocast's halves."""
    activations: float
    logits: float
    process: float = 0.0
    """On a CPU: the process itself, and the copy of its state that a checkpoint is written from."""

    @property
    def total(self) -> float:
        """All of it."""
        return sum(getattr(self, field.name) for field in fields(self))


@dataclass(frozen=True)
class Estimate:
    """What a run needs."""

    parameters: int
    tokens: int
    strategy: str
    micro_rows: int
    memory: Memory
    gpu_bytes: float
    steps: int
    flops_a_token: float
    hours: float
    cost: float
    epochs: Mapping[str, float]

    @property
    def fits(self) -> bool:
        """Whether the memory is enough."""
        return self.memory.total <= self.gpu_bytes

    @property
    def tokens_a_parameter(self) -> float:
        """20 is Chinchilla's point."""
        return self.tokens / self.parameters


def estimate(config: EstimateConfig, domains: Mapping[str, tuple[float, int]] | None = None) -> Estimate:
    """Estimate a run. `domains` gives each domain's share of the mixture and the tokens that it has, for its epochs.

    Raises NotFound for an unknown model or GPU, BadInput where one row does not make a batch.
    """
    found, gpu = preset(config.model, config.vocab_size), _device(config)
    model, length = found.model, config.sequence_length or found.model.context
    if model.family == "t5":
        raise BadInput("t5 has no estimate: its encoder and decoder see different lengths. Take another model.")
    tokens, batch_tokens = config.tokens or found.tokens, config.batch_tokens or found.batch_tokens
    if batch_tokens < length * config.gpus:
        raise BadInput(f"a batch of {batch_tokens:,} tokens has no row of {length:,} for each of {config.gpus} GPUs.")
    count = parameters(model)
    strategy = config.strategy if config.strategy != "auto" else ("fsdp2" if count >= 1e9 else "ddp")
    room = gpu.gib * GIB * (1 - RESERVED)
    rows = config.micro_rows or _rows_that_fit(config, model, length, strategy, room, batch_tokens)
    flops = flops_a_token(model, length)
    seconds = tokens * flops / (gpu.tflops * 1e12 * config.mfu * config.gpus)
    return Estimate(
        parameters=count,
        tokens=tokens,
        strategy=strategy,
        micro_rows=rows,
        memory=memory(config, model, length, strategy, rows),
        gpu_bytes=room,
        steps=-(-tokens // batch_tokens),
        flops_a_token=flops,
        hours=seconds / 3600,
        cost=seconds / 3600 * config.gpus * config.price,
        epochs={name: share * tokens / there for name, (share, there) in (domains or {}).items()},
    )


def _device(config: EstimateConfig) -> Gpu:
    if config.tflops and config.gib:
        return Gpu(config.tflops, config.gib)
    if config.gpu not in GPUS:
        raise NotFound(f"no GPU {config.gpu!r}: give its tflops= and gib=. {near(config.gpu, [*GPUS, CPU])}")
    sheet = GPUS[config.gpu]
    return Gpu(config.tflops or sheet.tflops, config.gib or sheet.gib)


def flops_a_token(model: ModelConfig, length: int) -> float:
    """Forward and backward FLOPs of a token in rows of `length`, documents taken as long as rows."""
    looked_up = 0 if model.tied else model.rows * model.hidden_size
    if model.family in ("gpt2", "bert"):
        looked_up += model.context * model.hidden_size
    window = model.sliding_window or 128
    reach = length / 2 if model.family in CAUSAL else length
    keys = sum(min(window, reach) if windowed else reach for windowed in model.windowed)
    return 6 * (parameters(model) - looked_up) + 12 * model.width * keys


def memory(config: EstimateConfig, model: ModelConfig, length: int, strategy: str, rows: int) -> Memory:
    """Bytes on each GPU: fp32 weights, gradients and two moments, split by FSDP2, and what a pass over `rows` keeps."""
    count, tokens = parameters(model), rows * length
    half = config.precision != "fp32"
    width = 2 if half else 4
    split = config.gpus if strategy == "fsdp2" else 1
    root = model.rows * model.hidden_size * (1 if model.tied else 2)
    layer = (count - root) / model.layers
    if strategy == "fsdp2":  # the root's weights, and two layers: one at work, one on its way; gradients of both
        gathered = (root + 2 * layer) * width + (root + layer) * width
    else:  # autocast keeps halves of all weights, DDP's buckets hold a copy of the gradients
        gathered = (count * 2 if half else 0) + (count * 4 if config.gpus > 1 else 0)
    coefficients = SAVED[model.family, "half" if half else "fp32"]
    widths = (model.hidden_size, model.width, model.kv_heads * model.head_width, model.mlp_size)
    kept = sum(a * b for a, b in zip(coefficients, widths, strict=True))
    layers = kept * model.layers
    if config.activation_checkpointing:  # each layer's input, and one layer at work
        layers = 4 * model.hidden_size * model.layers + kept
    outside = 28 * model.hidden_size
    chunk = min(tokens, config.chunk_tokens or tokens)
    return Memory(
        weights=4 * count / split,
        gradients=4 * count / split,
        optimizer=8 * count / split,
        gathered=gathered,
        activations=tokens * (layers + outside),
        logits=chunk * model.rows * (LOGIT_BYTES_CPU if config.gpu == CPU else LOGIT_BYTES),
        process=PROCESS + 12 * count / split if config.gpu == CPU else 0.0,
    )


def _rows_that_fit(
    config: EstimateConfig, model: ModelConfig, length: int, strategy: str, room: float, batch_tokens: int
) -> int:
    """The largest power of two of rows that fits and is in a GPU's part of the batch; 1 where none fits."""
    rows = 1
    while (
        2 * rows * length * config.gpus <= batch_tokens
        and memory(config, model, length, strategy, 2 * rows).total <= room
    ):
        rows *= 2
    return rows
