"""The schemes that a model can be compressed with: what each does to a layer, and what hardware serves it.

>>> scheme = known("w4a16")
>>> check_layers(scheme, group=128, layers=layers_of(folder), ignore=("lm_head",))     # raises BadInput by layer
>>> why_not(scheme, machine())                                                         # "" where it can be served here

Published recovery: FP8 lossless, INT8 within 1 to 3 %, INT4 near 8 bits (arXiv 2411.02355).
"""

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from catalog.errors import BadInput, Misfit, near
from catalog.weights import config_of, heads_of

LM_HEAD = "lm_head"
EMBEDDINGS = re.compile(r"(^|\.)(embed\w*|\w*embeddings?|wte|wpe)$")
FUSED = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
"""Layers that vLLM joins into one, and that therefore share a scheme."""
PLAIN = ("gpt2",)
"""Families whose layers are no `Linear`: llm-compressor passes over them without a word."""
SLOW_FP8 = "amx_int8"
"""vLLM 0.32 has kernels of its own for FP8 on a CPU only with AMX-FP8, and else gives products to `torch._scaled_mm`.
With this flag torch 2.13 hands them to oneDNN: more than 300 times slower than bf16. Without it, it widens to fp32 and
multiplies: 4 times slower, 45 s against 43 for a whole receipt of `tiny` (LOG.md)."""


class Shape(NamedTuple):
    """The size of a layer's weight."""

    outputs: int
    inputs: int


class Machine(NamedTuple):
    """What decides about kernels."""

    device: str
    """`cpu` or `cuda`."""
    capability: tuple[int, int] = (0, 0)
    """Of an NVIDIA GPU, as 9.0 for Hopper."""
    flags: frozenset[str] = frozenset()
    """Of a CPU, as Linux names them."""


@dataclass(frozen=True)
class Scheme:
    """One way of compressing."""

    name: str
    what: str
    bits: int
    """Of a weight; 16 where weights stay as they are."""
    method: str
    """`gptq`, `awq`, `round` (to nearest) or none."""
    preset: str = ""
    """The name that compressed-tensors has for it."""
    group: int = 0
    """Weights that share a scale, where one can be chosen."""
    fixed_group: int = 0
    """… and where it cannot."""
    smooth: bool = False
    """SmoothQuant first: activations have 8 bits (arXiv 2211.10438)."""
    calibrated: bool = True
    """Whether it reads calibration samples."""
    cpu: str = ""
    """The flag that a CPU needs; `any`, or none where no CPU serves it."""
    cpu_without: str = ""
    """The flag that a CPU must not have."""
    cuda: tuple[int, int] | None = None
    """The least compute capability."""
    cuda_before: tuple[int, int] | None = None
    """The first one that has no kernel for it any more."""
    kv_cache: bool = False
    """The key-value cache in FP8."""


SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme(
            "w8a8",
            "8-bit integers, weights by channel, activations by token; SmoothQuant and GPTQ",
            8,
            "gptq",
            "W8A8",
            smooth=True,
            cpu="any",
            cuda=(7, 5),
            cuda_before=(10, 0),
        ),
        Scheme("w4a16", "4-bit integer weights by group, GPTQ", 4, "gptq", "W4A16", 128, cpu="any", cuda=(7, 5)),
        Scheme("w4a16-awq", "4-bit weights by group, AWQ", 4, "awq", "W4A16_ASYM", 128, cpu="any", cuda=(7, 5)),
        Scheme(
            "fp8",
            "8-bit floats, activations scaled by token as they come",
            8,
            "round",
            "FP8_DYNAMIC",
            calibrated=False,
            cpu="any",
            cpu_without=SLOW_FP8,
            cuda=(8, 9),
        ),
        Scheme("fp8-static", "8-bit floats, activations scaled as in calibration", 8, "round", "FP8", cuda=(8, 9)),
        Scheme("nvfp4", "4-bit floats by groups of 16", 4, "round", "NVFP4", fixed_group=16, cuda=(10, 0)),
        Scheme(
            "kv-fp8", "8-bit floats in the key-value cache alone", 16, "", cpu="avx512f", cuda=(8, 9), kv_cache=True
        ),
    )
}


def known(name: str) -> Scheme:
    """A scheme by its name. Raises BadInput that lists the near ones."""
    if name not in SCHEMES:
        raise BadInput(f"no scheme {name!r}. {near(name, SCHEMES)} `just quantize --help` lists them.")
    return SCHEMES[name]


def machine() -> Machine:
    """This one."""
    if os.path.exists("/dev/nvidia0"):
        import torch

        return Machine("cuda", torch.cuda.get_device_capability())
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    said = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
    return Machine("cpu", flags=frozenset(said.split()))


def why_not(scheme: Scheme, on: Machine, kv_cache: bool = False) -> str:
    """Why a machine cannot serve a scheme; nothing where it can."""
    if kv_cache and not scheme.kv_cache:
        return why_not(scheme, on) or why_not(SCHEMES["kv-fp8"], on)
    if on.device == "cpu":
        if not scheme.cpu:
            return f"no CPU serves it: {needs(scheme)}"
        if scheme.cpu_without and scheme.cpu_without in on.flags:
            return f"emulated on this CPU, which has {scheme.cpu_without}: more than 300 times slower than bf16"
        return "" if scheme.cpu == "any" or scheme.cpu in on.flags else f"this CPU has no {scheme.cpu}"
    has = f"this GPU has {on.capability[0]}.{on.capability[1]}"
    if not scheme.cuda or on.capability < scheme.cuda:
        return f"it needs {needs(scheme)}; {has}"
    if scheme.cuda_before and on.capability >= scheme.cuda_before:
        return f"it needs {needs(scheme)}; {has}"
    return ""


def needs(scheme: Scheme) -> str:
    """The hardware that serves a scheme, in words."""
    cpu = {"": [], "any": ["a CPU"]}.get(scheme.cpu, [f"a CPU with {scheme.cpu}"])
    if scheme.cpu_without:
        cpu = [f"{cpu[0]} without {scheme.cpu_without}"]
    least = scheme.cuda
    gpu = [f"an NVIDIA GPU of compute capability {least[0]}.{least[1]} or more"] if least else []
    before = f", below {scheme.cuda_before[0]}.{scheme.cuda_before[1]}" if scheme.cuda_before else ""
    return " or ".join([*cpu, *gpu]) + before


# ── Layers ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def layers_of(folder: Path) -> dict[str, Shape]:
    """The linear layers of a saved model by name, from the heads of its files: nothing is loaded.

    Raises BadInput for a model that cannot be compressed, Damaged.
    """
    said = config_of(folder)
    if said.get("quantization_config"):
        raise BadInput(f"the model in {folder} is quantized already: take the one that it was made from.")
    if said.get("model_type") in PLAIN:
        raise BadInput(f"models of the family {said['model_type']} have no layers that llm-compressor quantizes.")
    found: dict[str, Shape] = {}
    for name, entry in heads_of(folder).items():
        module, _, what = name.rpartition(".")
        if what == "weight" and len(entry["shape"]) == 2 and not EMBEDDINGS.search(module):
            found[module] = Shape(*entry["shape"])
    return found


def chosen(layers: Mapping[str, Shape], ignore: Iterable[str]) -> dict[str, Shape]:
    """The layers that are compressed. Raises BadInput for a pattern that names none, or a part of a fused layer."""
    left = dict(layers)
    for pattern in ignore:
        out = [name for name in layers if _matches(pattern, name)]
        if not out and pattern != LM_HEAD:  # which shares the embedding's weight in many models
            leaves = {name.rpartition(".")[2] for name in layers}
            raise BadInput(
                f"ignore={pattern!r} names no layer. Write re:.*down_proj, or a name as {next(iter(layers), '')}; "
                f"there are {', '.join(sorted(leaves))}."
            )
        for name in out:
            left.pop(name, None)
    for name in layers:
        parent, _, leaf = name.rpartition(".")
        for fused in FUSED:
            missing = [one for one in fused if f"{parent}.{one}" in layers and f"{parent}.{one}" not in left]
            if leaf in fused and name in left and missing:
                raise BadInput(
                    f"ignore leaves out {parent}.{missing[0]} and not {leaf}: vLLM joins {', '.join(fused)} "
                    "into one layer. Leave out all of them, or none."
                )
    if not left:
        raise BadInput("ignore leaves out every layer: nothing would be compressed.")
    return left


def _matches(pattern: str, name: str) -> bool:
    """As compressed-tensors matches names."""
    try:
        return re.match(pattern[3:], name) is not None if pattern.startswith("re:") else pattern == name
    except re.error as error:
        raise BadInput(f"ignore={pattern!r} is no regular expression: {error}.") from error


def group_of(scheme: Scheme, asked: int) -> int:
    """The group size that is meant; 0 where a scheme has none. Raises BadInput where it has no choice."""
    if asked and not scheme.group:
        fixed = f" has groups of {scheme.fixed_group}" if scheme.fixed_group else " has no groups"
        raise BadInput(f"{scheme.name}{fixed}: leave group_size out.")
    return asked or scheme.group or scheme.fixed_group


def check_layers(scheme: Scheme, group: int, layers: Mapping[str, Shape]) -> None:
    """Raises Misfit naming a layer that the groups do not divide, its size, and the sizes that fit all layers."""
    widths = {shape.inputs for shape in layers.values()}
    for name, shape in layers.items() if group else ():
        if shape.inputs % group == 0:
            continue
        fitting = [size for size in (256, 128, 64, 32, 16) if all(width % size == 0 for width in widths)]
        if scheme.fixed_group or not fitting:
            hint = f"leave such layers out: ignore=lm_head,re:.*{name.rpartition('.')[2]}"
        else:
            hint = f"sizes that fit every layer: {', '.join(map(str, fitting))}"
        raise Misfit(f"groups of {group} do not divide {name}, which has {shape.inputs:,} inputs: {hint}.")
    if scheme.bits == 4 and scheme.method in ("gptq", "awq"):
        for name, shape in layers.items():
            if shape.inputs % 32 or shape.outputs % 32:
                size = f"{shape.outputs:,} by {shape.inputs:,}"
                raise Misfit(
                    f"{name} is {size}, and kernels of 4-bit weights take multiples of 32: leave it out with ignore=…"
                )


def size_of(scheme: Scheme, group: int, layers: Mapping[str, Shape], parameters: int) -> int:
    """About how many bytes a compressed model takes: its layers in `bits`, their scales and all else in 16."""
    inside = sum(shape.outputs * shape.inputs for shape in layers.values())
    scales = inside // group if group else sum(shape.outputs for shape in layers.values())
    return inside * scheme.bits // 8 + 2 * (scales + max(0, parameters - inside))
