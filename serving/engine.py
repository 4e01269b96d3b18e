"""The one adapter to vLLM: settings derived from the machine and the model, and an engine in this process.

>>> settings = settings_for(EngineConfig(), shape_of(target))
>>> with start(target, settings) as llm:
...     llm.generate(["Once upon"])
"""

import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import psutil
from pydantic import Field

from catalog.config import Config
from catalog.errors import BadInput, NotFound
from catalog.room import GIB
from serving.target import Shape, Target

if TYPE_CHECKING:
    from vllm import LLM  # pyright: ignore[reportMissingImports]

SEQUENCES = 64
"""Full contexts that the cache is made for, where memory allows."""
PROCESS_BYTES = 3 * GIB
"""What a CPU engine takes beside weights and cache: 2.2 GB in one process, half of it code; a server is three."""
GPU_BYTES = 2 * GIB
"""What a GPU engine takes on each GPU beside weights and cache: activations, compiled graphs."""
BLOCK = 128
"""Tokens of a block of the cache on CPUs, the largest there is; contexts derived from memory are whole blocks."""
LEAST_CONTEXT = 4
"""Two tokens of a prompt, two of an answer."""
DISK_BYTES = 200_000_000
"""Free space for temporary files; engines fail late and in many words without it."""
BYTES = {"fp32": 4, "bf16": 2}
DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


class EngineConfig(Config):
    """How a model is loaded; zero means: as the machine and the model say."""

    precision: Literal["", "fp32", "bf16"] = ""
    """Of weights and activations; by default that of the saved weights."""
    context: int = Field(default=0, ge=0)
    """Tokens of prompt and answer together; by default the model's own, or as many as memory holds."""
    cache_gib: int = Field(default=0, ge=0)
    """Memory of the key-value cache on a CPU, in whole GiB."""
    gpu_memory: float = Field(default=0.85, gt=0, lt=1, allow_inf_nan=False)
    """Share of a GPU's memory for weights and cache."""
    tensor_parallel: int = Field(default=0, ge=0)
    """GPUs that share each layer; by default as few as hold the weights and a full context."""
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
    wanted_context: int
    """What was asked for, or the model's own."""

    @property
    def notes(self) -> list[str]:
        """What was derived otherwise than one would think, in lines."""
        if self.context == self.wanted_context:
            return []
        said = f"{self.context:,} tokens of the model's {self.wanted_context:,}, the most that fits the memory"
        return [f"context  {said}; context={self.context} keeps it so"]

    def __str__(self) -> str:
        where = f"{self.threads} threads, cache {self.cache_gib} GiB" if self.device == "cpu" else self._gpus()
        return f"{self.device}, {self.precision}, context {self.context:,}, {where}"

    def _gpus(self) -> str:
        return f"{self.tensor_parallel} of the GPUs, {self.gpu_memory:.0%} of the memory"


class Capacity(NamedTuple):
    """What there is to serve on."""

    device: str
    """`cpu` or `cuda`."""
    free_bytes: int
    """Memory that is free; of a GPU all of it."""
    gpus: int = 0
    cores: int = 1


def capacity() -> Capacity:
    """What this machine has for this process."""
    cores = len(os.sched_getaffinity(0))
    if os.path.exists("/dev/nvidia0"):
        import torch

        if gpus := torch.cuda.device_count():  # none for a torch that was built for CPUs
            sizes = [torch.cuda.get_device_properties(at).total_memory for at in range(gpus)]
            return Capacity("cuda", min(sizes), gpus, cores)
    return Capacity("cpu", psutil.virtual_memory().available, 0, cores)


def settings_for(config: EngineConfig, shape: Shape, on: Capacity | None = None) -> Settings:
    """Settle every value. Raises BadInput where the model, the context or the cache do not fit this machine."""
    on = on or capacity()
    _check(config, shape, on)
    precision = config.precision or ("fp32" if shape.dtype == "float32" else "bf16")
    loaded = _Loaded.of(shape, precision)
    gpus, cache = 1, 0
    if on.device == "cpu":
        cache, context = _on_cpu(config, loaded, on.free_bytes)
    else:
        gpus, context = _on_gpus(config, loaded, on)
    return Settings(
        device=on.device,
        precision=precision,
        context=context,
        cache_gib=cache,
        gpu_memory=config.gpu_memory,
        tensor_parallel=gpus,
        compile=config.compile or on.device != "cpu",
        threads=config.threads or on.cores,
        wanted_context=config.context or shape.context,
    )


def _check(config: EngineConfig, shape: Shape, on: Capacity) -> None:
    """Raises BadInput for what no memory would mend."""
    if shape.compressed and config.precision == "fp32":
        raise BadInput("precision=fp32 is not for a compressed model, which computes in bf16: leave it out.")
    context = config.context or shape.context
    if context > shape.context:
        raise BadInput(f"context={context:,} is longer than the model's own, {shape.context:,}.")
    if context < LEAST_CONTEXT:
        raise BadInput(f"context={context} has no room for a prompt and an answer: {LEAST_CONTEXT} tokens at least.")
    if config.threads > on.cores:
        raise BadInput(f"threads={config.threads:,} are more than the cores of this process, {on.cores}.")
    if on.device == "cpu" and config.tensor_parallel > 1:
        raise BadInput(f"tensor_parallel={config.tensor_parallel} is for GPUs, and there is none here: leave it out.")
    if config.tensor_parallel and not _divides(config.tensor_parallel, shape):
        raise BadInput(
            f"tensor_parallel={config.tensor_parallel} does not divide the model's {shape.heads} heads "
            f"and {shape.kv_heads} key-value heads."
        )
    if on.device != "cpu" and config.tensor_parallel > on.gpus:
        raise BadInput(f"tensor_parallel={config.tensor_parallel} is more than the GPUs of this machine, {on.gpus}.")


def _divides(gpus: int, shape: Shape) -> bool:
    """Whether so many GPUs can share the heads; more of them than key-value heads hold copies of these."""
    return shape.heads % gpus == 0 and (shape.kv_heads % gpus == 0 or gpus % shape.kv_heads == 0)


class _Loaded(NamedTuple):
    """A model in memory."""

    shape: Shape
    weight_bytes: int
    token_bytes: int
    """Of the cache, for each token."""

    @classmethod
    def of(cls, shape: Shape, precision: str) -> "_Loaded":
        saved = BYTES["fp32" if shape.dtype == "float32" else "bf16"]
        weights = shape.weight_bytes if shape.compressed else shape.weight_bytes * BYTES[precision] // saved
        return cls(shape, weights, 2 * shape.layers * shape.kv_heads * shape.head_size * BYTES[precision])


def _on_cpu(config: EngineConfig, model: _Loaded, free: int) -> tuple[int, int]:
    """The cache in GiB and the context: 64 full ones, at most a third of what is free. Raises BadInput for none."""
    context = config.context or model.shape.context
    sequence = model.token_bytes * context
    room = min(free // 3, free - model.weight_bytes - PROCESS_BYTES) // GIB
    cache = config.cache_gib or max(1, min(math.ceil(SEQUENCES * sequence / GIB), room))
    needed = model.weight_bytes + cache * GIB + PROCESS_BYTES
    if needed > free:
        raise BadInput(
            f"not enough memory: the engine takes about {needed / GIB:.1f} GiB, {free / GIB:.1f} GiB are free. "
            "Set a smaller cache_gib=… or context=…, or free some."
        )
    if sequence <= cache * GIB:
        return cache, context
    fitting = _fitting(cache * GIB, model.token_bytes)
    if config.context or not fitting:
        raise BadInput(
            f"a cache of {cache} GiB does not hold one context of {context:,} tokens ({sequence / GIB:.1f} GiB): "
            "set a smaller context=… or a larger cache_gib=…."
        )
    return cache, fitting


def _on_gpus(config: EngineConfig, model: _Loaded, on: Capacity) -> tuple[int, int]:
    """How many GPUs share the model, as few as hold it and a full context, and the context that they hold.

    Raises BadInput where all of them do not hold the weights, or the context that is asked for.
    """
    context = config.context or model.shape.context
    possible = [gpus for gpus in range(1, on.gpus + 1) if _divides(gpus, model.shape)]
    left = token = gpus = 0
    for gpus in [config.tensor_parallel] if config.tensor_parallel else possible:
        left = int(on.free_bytes * config.gpu_memory) - GPU_BYTES - model.weight_bytes // gpus
        token = model.token_bytes // min(gpus, model.shape.kv_heads)
        if token * context <= left:
            return gpus, context
    fitting = min(_fitting(left, token), context)
    if config.context or not fitting:
        where = f"{gpus} GPUs hold" if gpus > 1 else "one GPU holds"
        raise BadInput(
            f"not enough memory: {where} {max(0, left) / GIB:.1f} GiB beside the weights, which are "
            f"{model.weight_bytes / GIB:.1f} GiB; a context of {context:,} tokens takes {token * context / GIB:.1f} "
            "GiB on each. Set a smaller context=… or a larger gpu_memory=…."
        )
    return gpus, fitting


def _fitting(cache_bytes: int, token_bytes: int) -> int:
    """The longest context of a cache; a block of it is the engine's own."""
    return max(0, cache_bytes // (token_bytes * BLOCK) - 1) * BLOCK


def check_machine(folder: Path) -> None:
    """Raises NotFound without vLLM, BadInput where the disk of `folder` or of temporary files is full."""
    from importlib.util import find_spec

    if find_spec("vllm") is None:
        raise NotFound("vLLM is not installed: run `requirements/install serving`.")
    check_disk(folder)


def check_disk(folder: Path) -> None:
    """Raises BadInput where the disk of `folder`, which may not be there yet, or of temporary files is full."""
    there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
    for place in (there, Path(tempfile.gettempdir())):
        if (free := shutil.disk_usage(place).free) < DISK_BYTES:
            raise BadInput(
                f"no space: {free / 1e6:,.0f} MB are free in {place}, {DISK_BYTES / 1e6:,.0f} MB are needed."
            )


def environment(settings: Settings) -> dict[str, str]:
    """Variables of an engine's process. Nothing is asked of the network.

    vLLM's own binding leaves a core to the server, which is half of two: threads are not bound. At a barrier they spin
    for a moment, then sleep: asleep at once, W8A8 was no faster than bf16 (docs/benchmarks.md "Serving"); spinning on,
    they were much slower beside another busy program (once 5.7 s against 0.5 for the same answers).
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
        "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "20000"),
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
