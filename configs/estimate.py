"""`just estimate`: memory, steps, hours and cost of a pretraining run, before any GPU time is spent.

just estimate model=1b gpus=8 tokens=20e9
just estimate model=7b gpus=64 gpu=h200 price=2.5 activation_checkpointing=true
just estimate model=tiny gpu=cpu                            this machine, whose speed is measured for a second
just estimate --models                                      the models, with what they are usually trained with
"""

import os
import subprocess
import sys

import psutil
from rich.console import Console
from rich.table import Table

from catalog.commands import Parser
from catalog.config import set_fields
from training.models.estimate import CPU, CPU_MFU, GIB, Estimate, EstimateConfig, estimate
from training.models.presets import PRESETS

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
MEASURE = """
import time, numpy as np
a = np.random.default_rng(0).standard_normal((1024, 1024), dtype=np.float32)
def seconds():
    start = time.perf_counter()
    a @ a
    return time.perf_counter() - start
print(2 * 1024**3 / min(seconds() for _ in range(40)) / 1e12)
"""


def main(argv: list[str]) -> int:
    """Print the estimate, or the models."""
    arguments, console = _parser().parse_args(argv), Console(soft_wrap=True, highlight=False)
    if arguments.models:
        console.print(_models())
        return 0
    config = set_fields(this_machine() if f"gpu={CPU}" in arguments.fields else EstimateConfig(), arguments.fields)
    if arguments.dry_run:
        console.print_json(config.model_dump_json())
        return 0
    found = estimate(config)
    console.print(_memory(config, found))
    for line in _lines(config, found):
        console.print(line, markup=False)
    return 0


def this_machine() -> EstimateConfig:
    """This machine as a device: the best of some products of matrices on one core, times its cores, and its memory."""
    return EstimateConfig(
        gpu=CPU,
        tflops=float(subprocess.check_output([sys.executable, "-c", MEASURE], env=os.environ | ONE_THREAD))
        * (psutil.cpu_count() or 1),
        gib=psutil.virtual_memory().total / GIB,
        precision="fp32",
        mfu=CPU_MFU,
    )


def _lines(config: EstimateConfig, found: Estimate) -> list[str]:
    lines = [
        f"{found.parameters / 1e6:,.1f} M parameters, {found.tokens / 1e6:,.1f} M tokens: "
        f"{found.tokens_a_parameter:.1f} tokens a parameter (Chinchilla: 20)",
        f"{found.steps:,} steps with {found.strategy}, {found.micro_rows} rows at a time on each GPU",
        f"{found.flops_a_token / 1e9:,.2f} GFLOPs a token (6 N plus attention); "
        f"{_time(found.hours)} on {config.gpus} {config.gpu} at MFU {config.mfu:.2f}"
        + (f" of {config.tflops:.2f} TFLOP/s, as this machine is now" if config.gpu == CPU else ""),
    ]
    if config.price:
        lines.append(f"cost {found.cost:,.0f} at {config.price:g} a GPU-hour")
    lines += [f"{domain}: {epochs:.2f} epochs" for domain, epochs in found.epochs.items()]
    if not found.fits:
        lines.append("does not fit: take more GPUs with strategy=fsdp2, or activation_checkpointing=true")
    return lines


def _time(hours: float) -> str:
    return f"{hours:,.1f} hours" if hours >= 1 else f"{hours * 60:,.1f} minutes"


def _memory(config: EstimateConfig, found: Estimate) -> Table:
    table = Table("GiB a GPU", *("ddp", "fsdp2"), box=None, pad_edge=False)
    rows = {name: config.variant(strategy=name, micro_rows=found.micro_rows) for name in ("ddp", "fsdp2")}
    both = [estimate(variant).memory for variant in rows.values()]
    for part in ("weights", "gradients", "optimizer", "gathered", "activations", "logits", "process", "total"):
        table.add_row(part, *(f"{getattr(memory, part) / GIB:.1f}" for memory in both))
    table.add_row("there is", *(f"{found.gpu_bytes / GIB:.1f}",) * 2)
    return table


def _models() -> Table:
    table = Table("model", "parameters", "tokens", "a parameter", "batch", "rate", box=None, pad_edge=False)
    for name, found in PRESETS.items():
        table.add_row(
            name,
            f"{found.parameters / 1e6:,.1f} M",
            f"{found.tokens / 1e9:,.2f} G",
            f"{found.tokens / found.parameters:,.0f}",
            f"{found.batch_tokens:,}",
            f"{found.learning_rate:g}",
        )
    return table


def _parser() -> Parser:
    parser = Parser(
        prog="just estimate",
        usage="just estimate [field=value …] [--dry-run] | --models",
        description=__doc__,
    )
    parser.add_argument("fields", nargs="*", metavar="field=value", help="fields of the estimate (see --dry-run)")
    parser.add_argument("--models", action="store_true", help="list the models")
    parser.add_argument("--dry-run", action="store_true", help="print the config; do nothing")
    return parser
