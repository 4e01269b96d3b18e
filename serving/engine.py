"""The one adapter to vLLM: settings derived from the machine and the model, and an engine in this process.

>>> settings = settings_for(EngineConfig(), shape_of(target))
>>> llm = start(target, settings)
"""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import psutil
from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput, NotFound
from serving.target import Shape, Target

if TYPE_CHECKING:
    from vllm import LLM  # pyright: ignore[reportMissingImports]

GIB = 1024**3
SEQUENCES = 64
"""Full contexts that the cache is made for, where memory allows."""
PROCESS_BYTES = 3 * GIB
"""What a CPU engine takes beside weights and cache: 2.2 GB in one process, half of it code; a server is three."""
DISK_BYTES = 200_000_000
"""Free space for temporary files; engines fail late and in many words without it."""
BYTES = {"fp32": 4, "bf16": 2}
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class EngineConfig(Config):
    """How a model is loaded; zero means: as the machine and the model say."""

    precision: Literal["", "fp32", "bf16"] = ""
    """Of weights and activations; by default that of the saved weights."""
    context: int = Field(default=0, ge=0)
    """Tokens of prompt and answer together; by default the model's own."""
    cache_gib: int = Field(default=0, ge=0)
    """Memory of the key-value cache on a CPU, in whole GiB."""
    gpu_memory: float = Field(default=0.85, gt=0, lt=1)
    """Share of a GPU's memory for weights and cache."""
    tensor_parallel: int = Field(default=1, ge=1)
    """GPUs that share each layer."""
    compile: bool = False
    """Compile the model first: a minute or more of start, on two cores."""
    threads: int = Field(default=0, ge=0)
    """Threads of a CPU engine; by default every core of this process."""


@dataclass(frozen=True)
class Settings:
    """What the engine is started with, every value known."""

    device: str
    precision: str
    context: int
    cache_gib: int
    gpu_memory: float
    tensor_parallel: int
    compile: bool
    threads: int

    def __str__(self) -> str:
        where = f"{self.threads} threads, cache {self.cache_gib} GiB" if self.device == "cpu" else self._gpus()
        return f"{self.device}, {self.precision}, context {self.context:,}, {where}"

    def _gpus(self) -> str:
        return f"{self.tensor_parallel} of the GPUs, {self.gpu_memory:.0%} of the memory"


def settings_for(config: EngineConfig, shape: Shape, device: str = "", free_bytes: int = 0) -> Settings:
    """Settle every value. Raises BadInput where the model, the context or the cache do not fit this machine."""
    device = device or ("cuda" if os.path.exists("/dev/nvidia0") else "cpu")
    precision = config.precision or ("fp32" if shape.dtype == "float32" else "bf16")
    if shape.compressed and precision == "fp32":
        raise BadInput("precision=fp32 is not for a compressed model, which computes in bf16: leave it out.")
    context = config.context or shape.context
    if context > shape.context:
        raise BadInput(f"context={context:,} is longer than the model's own, {shape.context:,}.")
    if shape.heads % config.tensor_parallel:
        raise BadInput(f"tensor_parallel={config.tensor_parallel} does not divide the model's {shape.heads} heads.")
    cache = _cache_gib(config, shape, precision, context, free_bytes) if device == "cpu" else 0
    return Settings(
        device=device,
        precision=precision,
        context=context,
        cache_gib=cache,
        gpu_memory=config.gpu_memory,
        tensor_parallel=config.tensor_parallel,
        compile=config.compile or device != "cpu",
        threads=config.threads or len(os.sched_getaffinity(0)),
    )


def _cache_gib(config: EngineConfig, shape: Shape, precision: str, context: int, free_bytes: int) -> int:
    """Room for 64 full contexts, at most a third of what is free. Raises BadInput where one does not fit."""
    free = free_bytes or psutil.virtual_memory().available
    sequence = 2 * shape.layers * shape.kv_heads * shape.head_size * BYTES[precision] * context
    wanted = config.cache_gib or max(1, min(math.ceil(SEQUENCES * sequence / GIB), free // 3 // GIB))
    if wanted * GIB < sequence:
        raise BadInput(
            f"a cache of {wanted} GiB does not hold one context of {context:,} tokens ({sequence / GIB:.1f} GiB): "
            "set a smaller context=… or a larger cache_gib=…."
        )
    needed = shape.weight_bytes + wanted * GIB + PROCESS_BYTES
    if needed > free:
        raise BadInput(
            f"not enough memory: the engine takes about {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free. "
            "Set a smaller cache_gib=… or context=…, or free some."
        )
    return wanted


def check_machine(folder: Path) -> None:
    """Raises NotFound without vLLM, BadInput where the disk of `folder` or of temporary files is full."""
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        raise NotFound("vLLM is not installed: run `requirements/install serving`.")
    for place in (folder, Path(tempfile.gettempdir())):
        if (free := shutil.disk_usage(place).free) < DISK_BYTES:
            raise BadInput(
                f"no space: {free / 1e6:,.0f} MB are free in {place}, {DISK_BYTES / 1e6:,.0f} MB are needed."
            )


def environment(settings: Settings) -> dict[str, str]:
    """Variables of an engine's process. Nothing is asked of the network.

    vLLM's own binding leaves a core to the server, which is half of two: threads are not bound. They wait passively:
    beside another busy program spinning ones were much slower (once 5.7 s against 0.5 for the same answers).
    """
    own = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "VLLM_LOGGING_LEVEL": os.environ.get("VLLM_LOGGING_LEVEL", "ERROR"),
        "TQDM_DISABLE": "1",
    }
    if settings.device != "cpu":
        return own
    return own | {
        "VLLM_CPU_KVCACHE_SPACE": str(settings.cache_gib),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(settings.threads),
        "OMP_WAIT_POLICY": "PASSIVE",
    }


def arguments(target: Target, settings: Settings) -> dict[str, Any]:
    """vLLM's own arguments, by the names of its EngineArgs."""
    given: dict[str, Any] = {
        "model": str(target.folder),
        "tokenizer": str(target.chat),
        "generation_config": str(target.chat if (target.chat / "generation_config.json").is_file() else target.folder),
        "dtype": DTYPES[settings.precision],
        "max_model_len": settings.context,
        "tensor_parallel_size": settings.tensor_parallel,
        "enforce_eager": not settings.compile,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": True,
        "seed": 0,
        "use_tqdm_on_load": False,
    }
    if settings.device != "cpu":
        given["gpu_memory_utilization"] = settings.gpu_memory
    if target.adapter:
        given |= {"enable_lora": True, "max_lora_rank": target.rank}
    return given


@contextmanager
def start(target: Target, settings: Settings) -> Iterator["LLM"]:
    """An engine in this very process: on two cores it starts in 17 s, not 38 as three processes, and dies with it."""
    os.environ.update(environment(settings) | {"VLLM_ENABLE_V1_MULTIPROCESSING": "0"})
    from vllm import LLM  # pyright: ignore[reportMissingImports]

    llm = LLM(**arguments(target, settings))
    try:
        yield llm
    finally:
        llm.llm_engine.engine_core.shutdown()
