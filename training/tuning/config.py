"""What a tuning run is: its parent, its data, its method, how it learns, when it saves.

>>> TuneConfig(method="sft", parent="tiny", dataset="docs-questions")
"""

import math
from typing import Literal, NamedTuple, Self

from pydantic import Field, model_validator

from catalog.config import Config
from training.runs.config import CheckpointConfig

Method = Literal["sft", "dpo", "kto", "reward", "grpo", "distill", "classifier"]

KINDS: dict[str, tuple[str, ...]] = {
    "sft": ("instructions", "texts"),
    "dpo": ("preferences",),
    "kto": ("labels", "preferences"),
    "reward": ("preferences",),
    "grpo": ("instructions",),
    "distill": ("instructions", "texts"),
    "classifier": ("classes",),
}
"""The kinds of datasets that a method reads."""
CIRCUMSTANCE = {"nproc", "microbatch_rows", "checkpoint", "loggers", "evaluate_steps"}
"""Fields that say where and how, not what: a resume may change them."""


class AdapterConfig(Config):
    """Which weights are trained: all, or an adapter's."""

    kind: Literal["none", "lora", "qlora", "prefix"] = "none"
    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    """An adapter's update is scaled by alpha / rank (arXiv 2106.09685)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    targets: tuple[str, ...] = ()
    """Names of the linear layers that get one; empty: all but the output layer (arXiv 2305.14314)."""
    virtual_tokens: int = Field(default=20, ge=1)
    """prefix alone: learnt keys and values before every prompt (arXiv 2101.00190)."""


class ReplayConfig(Config):
    """Pretraining text among the instructions, against forgetting."""

    share: float | None = Field(default=None, ge=0, le=0.5)
    """Of the tokens that are read; 0 leaves it out; null: a tenth, where pretraining text can be read."""
    mixture: str = ""
    """`name@version`; empty: the one that the base model was trained on. Forgetting is measured by it too."""


class PreferenceConfig(Config):
    """How preferences are learnt."""

    beta: float = Field(default=0.1, gt=0)
    """How firmly the model is held to its parent: 0.1 in arXiv 2305.18290 (DPO) and 2402.01306 (KTO)."""
    loss: Literal["sigmoid", "hinge", "ipo", "robust"] = "sigmoid"
    """dpo alone; robust smooths labels by `label_smoothing`."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)


class GrpoConfig(Config):
    """Verifiable rewards, and how answers are drawn."""

    rewards: tuple[Literal["exact", "contains", "format", "code"], ...] = ("exact",)
    """exact: the row's answer and nothing else; contains: that answer somewhere; format: `pattern` matches the whole;
    code: the answer of the row is Python statements that test the code, run in a sandbox."""
    pattern: str = r"[\s\S]*\S[\s\S]*"
    model: str = ""
    """A reward model of the home besides, `name@version`."""
    generations: int = Field(default=8, ge=2)
    """Answers to a prompt, which are compared with one another (arXiv 2402.03300)."""
    completion_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=1.0, gt=0)
    beta: float = Field(default=0.0, ge=0)
    """Weight of the divergence from the parent; 0, as in arXiv 2503.20783, needs no second model."""


class DistillConfig(Config):
    """A larger model that a smaller one learns from."""

    teacher: str = ""
    """A model of the home with the same tokenizer, `name@version`."""
    mode: Literal["logits", "on-policy"] = "logits"
    """logits: on the rows of the dataset; on-policy: on what the student itself writes (arXiv 2306.13649)."""
    temperature: float = Field(default=1.0, gt=0)
    weight: float = Field(default=0.5, ge=0, le=1)
    """logits alone: of the teacher's distribution beside the dataset's tokens (arXiv 1503.02531)."""
    completion_tokens: int = Field(default=64, ge=1)
    """on-policy alone."""


class TuneConfig(Config):
    """A whole tuning run."""

    run: str = ""
    """Its name; the model that comes of it has the same. Empty: <parent>-<method>."""
    method: Method = "sft"
    parent: str = "tiny"
    """A model of the home, `name` or `name@version`."""
    dataset: str = ""
    """A dataset of the home, `name` or `name@version`."""
    template: str = "auto"
    """How messages become text: auto (the parent's own, else by its tokens), chatml, plain, or a file of Jinja."""
    max_length: int = Field(default=0, ge=0)
    """Tokens of a row, prompt and answer together; 0: the model's context, 2,048 at most."""
    too_long: Literal["drop", "stop"] = "drop"
    """What becomes of longer rows: left out and counted, or refused. None is ever cut."""
    packing: bool = True
    """sft and distill: several conversations a row, none of which sees another."""
    batch_rows: int = Field(default=8, ge=1)
    """Rows of a step, over all processes (grpo: answers)."""
    microbatch_rows: int = Field(default=0, ge=0)
    """Rows that a process puts through the model at a time; 0: as many of its own as hold 16,384 tokens."""
    epochs: float = Field(default=1.0, gt=0)
    max_steps: int = Field(default=0, ge=0)
    """0: as many as the epochs have."""
    learning_rate: float = Field(default=0.0, ge=0)
    """0: by method and size, see `rate_of`."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Of the steps."""
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float = Field(default=1.0, ge=0)
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    """auto: FSDP2 from a billion parameters on, where there are several processes."""
    activation_checkpointing: bool = False
    freeze_layers: int = Field(default=0, ge=0)
    """The embeddings and so many of the lowest blocks stay as they are."""
    adapter: AdapterConfig = AdapterConfig()
    replay: ReplayConfig = ReplayConfig()
    preference: PreferenceConfig = PreferenceConfig()
    grpo: GrpoConfig = GrpoConfig()
    distill: DistillConfig = DistillConfig()
    checkpoint: CheckpointConfig = CheckpointConfig(every_steps=500)
    evaluate_steps: int = Field(default=0, ge=0)
    """Held-out rows are scored every so many steps; 0: at the start, four times on the way, and at the end."""
    heldout_rows: int = Field(default=256, ge=0)
    """The most held-out rows of the dataset that are scored."""
    forgetting_rows: int = Field(default=8, ge=0)
    """Held-out samples of each pretraining domain that are scored before and after; 0: none."""
    seed: int = Field(default=17, ge=0)
    nproc: int = Field(default=0, ge=0)
    """Processes; 0: one for each GPU, one on a CPU."""
    loggers: tuple[Literal["tensorboard", "mlflow"], ...] = ()

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.adapter.kind != "none" and self.freeze_layers:
            raise ValueError("an adapter leaves all layers as they are: freeze_layers is for adapter.kind=none")
        if self.adapter.kind == "prefix" and self.method in ("reward", "classifier", "grpo", "dpo", "kto"):
            raise ValueError("prefix tuning is offered for sft and distill; take adapter.kind=lora")
        if 0 < self.max_length < 8:
            raise ValueError(f"max_length={self.max_length}: at least 8, or 0 for the model's context")
        if self.method == "grpo" and self.batch_rows % self.grpo.generations:
            raise ValueError(f"batch_rows={self.batch_rows} is no multiple of generations={self.grpo.generations}")
        return self

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run or f"{self.parent.partition('@')[0]}-{self.method}"

    @property
    def packs(self) -> bool:
        """Whether rows hold several conversations; virtual tokens come with an attention mask, which knows none."""
        learns_rows = self.method in ("sft", "distill") and not self.on_policy
        return learns_rows and self.packing and self.adapter.kind != "prefix"

    @property
    def on_policy(self) -> bool:
        """Whether the model learns from what it writes itself."""
        return self.method == "grpo" or (self.method == "distill" and self.distill.mode == "on-policy")

    def identity(self) -> dict:
        """The fields that say what the run is."""
        unused = {"preference", "grpo", "distill"} - {"preference" if self.method in ("dpo", "kto") else self.method}
        return self.model_dump(mode="json", exclude=CIRCUMSTANCE | unused | {"run"})


class Rate(NamedTuple):
    """A learning rate for models of up to so many parameters."""

    up_to: float
    rate: float
    source: str


_TRL = "TRL 1.16's default, for models of some billions"
RATES: dict[str, tuple[Rate, ...]] = {
    "sft": (
        Rate(1e9, 1e-3, "SmolLM2-135M- and 360M-Instruct (alignment-handbook, smollm2/sft/config_smol.yaml)"),
        Rate(3e9, 3e-4, "SmolLM2-1.7B-Instruct (alignment-handbook, smollm2/sft/config.yaml)"),
        Rate(math.inf, 2e-5, _TRL),
    ),
    "dpo": (Rate(5e7, 1e-4, "ours, for a few hundred steps; 3e-4 raised held-out losses"), Rate(math.inf, 1e-6, _TRL)),
    "kto": (Rate(5e7, 1e-4, "ours, for a few hundred steps; 3e-4 raised held-out losses"), Rate(math.inf, 1e-6, _TRL)),
    "reward": (Rate(5e7, 5e-4, "ours, for a few hundred steps"), Rate(math.inf, 1e-4, _TRL)),
    "grpo": (Rate(5e7, 1e-4, "ours, for a few hundred steps"), Rate(math.inf, 1e-6, _TRL)),
    "distill": (Rate(1e9, 1e-3, "as sft"), Rate(3e9, 3e-4, "as sft"), Rate(math.inf, 2e-5, "as sft")),
    "classifier": (Rate(5e7, 5e-4, "ours, for a few hundred steps"), Rate(math.inf, 3e-5, "arXiv 1810.04805, A.3")),
}
ADAPTERS = {
    "lora": Rate(math.inf, 2e-4, "arXiv 2305.14314, table 9, up to 13B"),
    "qlora": Rate(math.inf, 2e-4, "arXiv 2305.14314, table 9, up to 13B"),
    "prefix": Rate(math.inf, 1e-2, "arXiv 2110.07602, appendix: 5e-3 to 1e-2"),
}
ADAPTER_TIMES = 10
"""An adapter's rate is about ten times that of full tuning (Schulman et al., "LoRA Without Regret", 2025)."""
ON_POLICY = Rate(math.inf, 1e-5, "a tenth of what rows take: TRL 1.16 has 1e-6 for models of some billions")


def rate_of(config: TuneConfig, parameters: int) -> Rate:
    """The learning rate of a run, and where it comes from."""
    if config.learning_rate:
        return Rate(math.inf, config.learning_rate, "given")
    full = next(rate for rate in RATES[config.method] if parameters <= rate.up_to)
    if config.method == "distill" and config.on_policy:
        full = RATES["grpo"][0] if parameters <= RATES["grpo"][0].up_to else ON_POLICY
    if config.adapter.kind == "none":
        return full
    own = ADAPTERS[config.adapter.kind]
    if config.method == "sft" or config.adapter.kind == "prefix":
        scaled = full.rate * (ADAPTER_TIMES if parameters > 1e9 else 1)
        return own if own.rate >= scaled else Rate(math.inf, scaled, full.source)
    return Rate(math.inf, full.rate * ADAPTER_TIMES, f"ten times {full.source}")
