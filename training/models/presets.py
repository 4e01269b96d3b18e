"""Model sizes that make sense, from minutes on a CPU to 7B, each with where its numbers come from.

    >>> preset("1b").model.layers
    16

A preset says the shape, and what it is usually trained with: tokens, learning rate, batch. `chinchilla_tokens` is 20 a
parameter (arXiv 2203.15556), the point of least compute for a loss; `tokens` goes on where people do: a model that
will be used is cheaper small and trained long (arXiv 2302.13971).
"""

from catalog.config import Config
from catalog.errors import NotFound, near
from training.models.config import ModelConfig, parameters


class Preset(Config):
    """A model's shape and the run that suits it."""

    name: str
    model: ModelConfig
    tokens: int
    batch_tokens: int
    learning_rate: float
    precision: str = "bf16"
    source: str
    """Where shape, learning rate and batch come from."""

    @property
    def parameters(self) -> int:
        """With the vocabulary that the preset has before a tokenizer is there."""
        return parameters(self.model)

    @property
    def chinchilla_tokens(self) -> int:
        """20 tokens a parameter."""
        return 20 * self.parameters


def preset(name: str, vocab_size: int = 0) -> Preset:
    """A preset by name, with the tokenizer's vocabulary size where it is known. Raises NotFound."""
    if name not in PRESETS:
        raise NotFound(f"no model {name!r}. {near(name, PRESETS)}")
    found = PRESETS[name]
    return found.variant(model=found.model.variant(vocab_size=vocab_size)) if vocab_size else found


def _shape(hidden: int, layers: int, heads: int, mlp: int, **more: object) -> ModelConfig:
    fields = {"hidden_size": hidden, "layers": layers, "heads": heads, "kv_heads": heads, "mlp_size": mlp}
    return ModelConfig.model_validate({"vocab_size": 32_768, **fields, **more})


_OURS = "ours: GPT-3's rate for 125M, raised for the smaller width; not searched"
_TINY = _OURS + "; tokens for some three minutes on two cores, at 2,000 a core-second"
_GPT3 = "learning rate and batch of GPT-3 (arXiv 2005.14165, table 2.1) at this size"
_BERT = "arXiv 1810.04805: 256 rows of 512, 1e-4, 137 G tokens"

_LIST = (
    Preset(
        name="tiny",
        model=_shape(256, 4, 4, 768, vocab_size=8192),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=2e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="small",
        model=_shape(384, 8, 6, 1024),
        tokens=1_000_000_000,
        batch_tokens=131_072,
        learning_rate=1.5e-3,
        source=_OURS,
    ),
    Preset(
        name="125m",
        model=_shape(768, 14, 12, 2048),
        tokens=10_000_000_000,
        batch_tokens=524_288,
        learning_rate=6e-4,
        source=_GPT3,
    ),
    Preset(
        name="350m",
        model=_shape(1024, 24, 16, 2816),
        tokens=20_000_000_000,
        batch_tokens=524_288,
        learning_rate=3e-4,
        source=_GPT3,
    ),
    Preset(
        name="1b",
        model=_shape(2048, 16, 32, 8192, kv_heads=8, rope_theta=500_000.0),
        tokens=100_000_000_000,
        batch_tokens=2_097_152,
        learning_rate=4e-4,
        source="shape of Llama 3.2 1B; 4e-4 and 2 M tokens a step of TinyLlama 1.1B (arXiv 2401.02385)",
    ),
    Preset(
        name="3b",
        model=_shape(3072, 28, 24, 8192, kv_heads=8, rope_theta=500_000.0, context=4096),
        tokens=300_000_000_000,
        batch_tokens=4_194_304,
        learning_rate=3e-4,
        source="shape of Llama 3.2 3B; 3e-4 and 4 M tokens a step of Llama 2 7B, which larger models keep",
    ),
    Preset(
        name="7b",
        model=_shape(4096, 32, 32, 11_008, tied=False, context=4096),
        tokens=2_000_000_000_000,
        batch_tokens=4_194_304,
        learning_rate=3e-4,
        source="Llama 2 7B (arXiv 2307.09288, table 1 and section 2.2)",
    ),
    Preset(
        name="qwen-tiny",
        model=_shape(256, 4, 4, 768, vocab_size=8192, family="qwen", kv_heads=2),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=2e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="qwen-600m",
        model=_shape(1024, 28, 16, 3072, family="qwen", kv_heads=8, head_size=128, rope_theta=1e6, context=4096),
        tokens=60_000_000_000,
        batch_tokens=1_048_576,
        learning_rate=4e-4,
        source="shape of Qwen 3 0.6B (arXiv 2505.09388, table 1); rate and batch between 350m and 1b",
    ),
    Preset(
        name="gpt2-tiny",
        model=_shape(256, 4, 4, 1024, vocab_size=8192, family="gpt2"),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=2e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="gpt2-124m",
        model=_shape(768, 12, 12, 3072, vocab_size=50_257, family="gpt2", context=1024),
        tokens=10_000_000_000,
        batch_tokens=524_288,
        learning_rate=6e-4,
        source="shape of GPT-2 small; " + _GPT3,
    ),
    Preset(
        name="bert-tiny",
        model=_shape(256, 4, 4, 1024, vocab_size=8192, family="bert"),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=1e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="bert-base",
        model=_shape(768, 12, 12, 3072, vocab_size=30_522, family="bert", context=512),
        tokens=137_000_000_000,
        batch_tokens=131_072,
        learning_rate=1e-4,
        source=_BERT,
    ),
    Preset(
        name="modernbert-tiny",
        model=_shape(256, 6, 4, 384, vocab_size=8192, family="modernbert"),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=1e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="modernbert-base",
        model=_shape(768, 22, 12, 1152, vocab_size=50_368, family="modernbert", context=1024, rope_theta=10_000.0),
        tokens=1_719_000_000_000,
        batch_tokens=4_718_592,
        learning_rate=8e-4,
        source="arXiv 2412.13663, section 2.2: 1.7 T tokens at length 1,024, 8e-4, 4,608 rows",
    ),
    Preset(
        name="t5-tiny",
        model=_shape(256, 3, 4, 512, vocab_size=8192, family="t5"),
        tokens=600_000,
        batch_tokens=4_096,
        learning_rate=1e-3,
        precision="fp32",
        source=_TINY,
    ),
    Preset(
        name="t5-base",
        model=_shape(768, 12, 12, 2048, vocab_size=32_128, family="t5", context=512),
        tokens=34_000_000_000,
        batch_tokens=65_536,
        learning_rate=1e-3,
        source="shape of T5 1.1 base; 2^19 steps of 128 rows of 512 (arXiv 1910.10683, 3.1.2); the paper has Adafactor "
        "at 1e-2, and 1e-3 is for AdamW",
    ),
)
PRESETS = {found.name: found for found in _LIST}
