"""What a model is: its family and sizes, and how many parameters that makes.

    >>> parameters(ModelConfig(family="llama", hidden_size=256, layers=4, mlp_size=768, vocab_size=8192))
    5507328

Nothing here imports torch: an estimate needs the numbers alone.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from catalog.config import Config
from catalog.errors import BadInput

Family = Literal["llama", "qwen", "gpt2", "bert", "modernbert", "t5"]
CAUSAL: tuple[Family, ...] = ("llama", "qwen", "gpt2")
ROTARY: tuple[Family, ...] = ("llama", "qwen", "modernbert")
T5_BUCKETS = 32
VOCABULARY_MULTIPLE = 128
"""Rows of the embedding are padded to this: whole tiles for tensor cores, whole groups for quantization."""


class RopeConfig(Config):
    """How rotary positions are stretched for a longer context in continued pretraining."""

    kind: Literal["linear", "dynamic", "yarn", "llama3"] = "yarn"
    """linear: arXiv 2306.15595; dynamic: NTK-aware; yarn: arXiv 2309.00071; llama3: the bands of Llama 3.1."""
    factor: float = Field(default=4.0, gt=1)
    """New context over the one that the model was trained with."""
    original_context: int = Field(default=2048, gt=0)


class ModelConfig(Config):
    """The shape of a model. Widths are multiples of 128, so that quantization groups of 128 divide every layer."""

    family: Family = "llama"
    """qwen is Qwen 3's (norms on queries and keys), t5 is T5 1.1's gated one with tied embeddings."""
    hidden_size: int = Field(default=256, gt=0)
    layers: int = Field(default=4, gt=0)
    """Of the encoder and of the decoder each, for t5."""
    heads: int = Field(default=4, gt=0)
    kv_heads: int = Field(default=4, gt=0)
    """Fewer than heads: grouped queries (llama and qwen)."""
    head_size: int = Field(default=0, ge=0)
    """0: hidden_size / heads."""
    mlp_size: int = Field(default=768, gt=0)
    vocab_size: int = Field(default=8192, ge=0)
    """The tokenizer's; the embedding has `rows` of it."""
    context: int = Field(default=2048, gt=0)
    """The longest sequence in tokens."""
    tied: bool = True
    """One matrix for embedding and output (always so but in llama and qwen)."""
    rope_theta: float = 10_000.0
    rope: RopeConfig | None = None
    sliding_window: int = Field(default=0, ge=0)
    """Tokens that a layer with a window looks back; 0: none. qwen; modernbert has 128 where none is given."""
    full_every: int = Field(default=4, gt=0)
    """With a window, every n-th layer still sees the whole context (3 of 4 have the window)."""
    checkpoint: str = ""
    """A local folder in Hugging Face format to go on from; the sizes are then its own."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.checkpoint:
            return self
        for name, value in (("hidden_size", self.hidden_size), ("mlp_size", self.mlp_size), ("heads", self.width)):
            if value % 128:
                raise ValueError(f"{name} gives a width of {value}; allowed are multiples of 128")
        if self.heads % self.kv_heads or (self.kv_heads != self.heads and self.family not in ("llama", "qwen")):
            raise ValueError(f"{self.kv_heads} kv_heads for {self.heads} heads of {self.family}")
        if not self.tied and self.family not in ("llama", "qwen"):
            raise ValueError(f"{self.family} has tied embeddings only")
        if self.rope and self.family not in ("llama", "qwen"):
            raise ValueError(f"rope scaling is for llama and qwen, not for {self.family}")
        if self.sliding_window and self.family not in ("qwen", "modernbert"):
            raise ValueError(f"a sliding window is for qwen and modernbert, not for {self.family}")
        return self

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.head_size or self.hidden_size // self.heads

    @property
    def width(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_width

    @property
    def rows(self) -> int:
        """Rows of the embedding: the vocabulary, padded."""
        return -(-self.vocab_size // VOCABULARY_MULTIPLE) * VOCABULARY_MULTIPLE

    @property
    def windowed(self) -> tuple[bool, ...]:
        """For every layer, whether it has a sliding window."""
        if self.family == "modernbert":
            return tuple(layer % 3 != 0 for layer in range(self.layers))
        window = self.sliding_window > 0
        return tuple(window and (layer + 1) % self.full_every != 0 for layer in range(self.layers))


def parameters(config: ModelConfig) -> int:
    """How many parameters a model has, tied ones once; tests compare it with the model itself."""
    count = {
        "llama": _llama,
        "qwen": _llama,
        "gpt2": _gpt2,
        "bert": _bert,
        "modernbert": _modernbert,
        "t5": _t5,
    }[config.family]
    return count(config)


def _llama(c: ModelConfig) -> int:
    attention = 2 * c.hidden_size * (c.width + c.kv_heads * c.head_width)
    norms = 2 * c.hidden_size + (2 * c.head_width if c.family == "qwen" else 0)
    layer = attention + 3 * c.hidden_size * c.mlp_size + norms
    return c.rows * c.hidden_size * (1 if c.tied else 2) + c.layers * layer + c.hidden_size


def _gpt2(c: ModelConfig) -> int:
    d, m = c.hidden_size, c.mlp_size
    layer = 4 * d * d + 4 * d + 2 * d * m + m + d + 4 * d
    return (c.rows + c.context) * d + c.layers * layer + 2 * d


def _bert(c: ModelConfig) -> int:
    d, m = c.hidden_size, c.mlp_size
    layer = 4 * (d * d + d) + 2 * d * m + m + d + 4 * d
    head = d * d + d + 2 * d + c.rows
    return (c.rows + c.context + 2) * d + 2 * d + c.layers * layer + head


def _modernbert(c: ModelConfig) -> int:
    d, m = c.hidden_size, c.mlp_size
    layer = 4 * d * d + 3 * d * m + 2 * d
    head = d * d + d + c.rows
    return c.rows * d + d + c.layers * layer - d + d + head  # the first layer has no norm before attention


def _t5(c: ModelConfig) -> int:
    d, attention, mlp = c.hidden_size, 4 * c.hidden_size * c.width, 3 * c.hidden_size * c.mlp_size
    encoder, decoder = attention + mlp + 2 * d, 2 * attention + mlp + 3 * d
    return c.rows * d + c.layers * (encoder + decoder) + 2 * T5_BUCKETS * c.heads + 2 * d


def extended(config: ModelConfig, context: int, kind: str = "yarn", sliding_window: int = 0) -> ModelConfig:
    """The config for continued pretraining with a longer context, by stretched rotary positions or a window.

    Raises BadInput where positions are learned, one row each (gpt2, bert); t5's are relative and need nothing.
    """
    if config.family in ("gpt2", "bert") and context > config.context:
        raise BadInput(
            f"{config.family} has {config.context} learned positions: {context} cannot be. Take llama or qwen."
        )
    if config.family == "t5" or context <= config.context:
        return config.variant(context=context, sliding_window=sliding_window)
    if config.family == "modernbert":  # its own recipe: a larger base (ModernBERT, section 2.2.2: 10,000 to 160,000)
        return config.variant(context=context, rope_theta=160_000.0)
    rope = {"kind": kind, "factor": context / config.context, "original_context": config.context}
    return config.variant(context=context, rope=rope, sliding_window=sliding_window)
