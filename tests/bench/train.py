"""Training beside a bare PyTorch loop of the same model and batches, in turn in one process; on a GPU with MFU.

just bench train                                  # tiny on a CPU: step time, boundaries, the loss in chunks
just bench train --models 350m,1b --rows 16       # on a GPU, in bf16 with compiled blocks
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import torch
from torch.utils.data import DataLoader, IterableDataset

from catalog.commands import Parser
from tests.bench.recording import recorded
from tests.bench.tables import publish, table
from training.models.attention import Kernel, chosen_kernel
from training.models.build import build
from training.models.estimate import GPUS, flops_a_token
from training.models.language_model import LanguageModel
from training.models.objectives import Batch, ObjectiveConfig
from training.models.optimizers import OptimizerConfig, adamw, clip_gradients
from training.models.presets import preset
from training.models.schedules import ScheduleConfig, rate_factor

WORDS = 8192
SCHEDULE, OPTIMIZER = ScheduleConfig(), OptimizerConfig(learning_rate=1e-4)
ROOT = Path(__file__).resolve().parents[2]


def main(argv: list[str]) -> None:
    """Measure, print and publish."""
    parser = Parser(prog="just bench train", description=__doc__)
    parser.add_argument("--models", default="350m,1b" if torch.cuda.is_available() else "tiny")
    parser.add_argument("--rows", type=int, default=16 if torch.cuda.is_available() else 2)
    parser.add_argument("--length", type=int, default=2048 if torch.cuda.is_available() else 512)
    parser.add_argument("--blocks", type=int, default=8, help="how often the two take turns")
    parser.add_argument("--steps", type=int, default=4, help="steps of a turn")
    parser.add_argument("--only", choices=("", "recording", "saving"), default="", help="one part")
    parser.add_argument("--loss", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.loss is not None:
        print(_loss_peak(options.loss))
        return
    names = options.models.split(",")
    said = f"just bench train {' '.join(argv)}".strip()
    if options.only in ("", "recording"):
        parts = recorded(names[0], options.rows, options.length, options.blocks, options.steps)
        publish("Recording a run", said, _device_line() + parts)
    if options.only == "saving":
        publish("Checkpoints", said, _device_line() + _saving(options))
    if options.only:
        return
    parts = ["Step time of Composer's path beside a bare loop, medians in turn:", _beside(names, options)]
    parts += ["Attention within documents (eight a row) beside none:", _boundaries(names[0], options)]
    if not torch.cuda.is_available():
        parts += ["The output layer and its loss in chunks, 4,096 tokens over 32,768 words:", _chunks()]
    publish("Training", said, _device_line() + "\n\n".join(parts))


def _saving(options: argparse.Namespace) -> str:
    """What a checkpoint of a model of about 100 M parameters costs, by small steps."""
    from tests.bench.saving import saved

    model = model_of("125m", options.length)
    given, total = batches(1, options.length), 10_000 * options.length
    parameters = sum(weight.numel() for weight in model.parameters())

    def run_of(saves: object) -> Callable[[int], list[tuple[float, float]]]:
        return composed(model, given, total, 1, options.length, (saves,))

    return saved(run_of, parameters, options.length, options.blocks, ROOT)


def _device_line() -> str:
    threads = f"{torch.get_num_threads()} threads"
    return f"Device: {torch.cuda.get_device_name() if torch.cuda.is_available() else f'CPU, fp32, {threads}'}.\n\n"


def batches(rows: int, length: int) -> Iterator[Batch]:
    """Random tokens in documents of random length, eight a row on average, the same in every run."""
    draw = torch.Generator().manual_seed(0)
    while True:
        ids = torch.randint(0, WORDS, (rows, length), generator=draw)
        starts = torch.rand(rows, length, generator=draw) < 8 / length
        starts[:, 0] = True
        places = torch.arange(length).expand(rows, length)
        positions = places - torch.where(starts, places, 0).cummax(-1).values
        yield {"input_ids": ids, "labels": ids, "position_ids": positions, "sample_id": torch.arange(rows)}


def model_of(name: str, length: int, kernel: Kernel = "auto", documents: bool = True) -> LanguageModel:
    """A model on the device: fp32 on a CPU, compiled blocks on a GPU."""
    config = preset(name).model.variant(context=length, vocab_size=WORDS if name == "tiny" else 32_768)
    cuda = torch.cuda.is_available()
    chosen = chosen_kernel(kernel, config.family, "cuda" if cuda else "cpu", "bf16" if cuda else "fp32")
    model = LanguageModel(build(config, seed=1), ObjectiveConfig(documents=documents), chosen)
    if cuda:
        model.cuda().compile_blocks()
    return model


def bare(model: LanguageModel, given: Iterator[Batch], total_tokens: int) -> Callable[[int], list[tuple[float, float]]]:
    """A loop that takes so many steps and gives wall and CPU seconds of each."""
    optimizer, cuda, seen = adamw(model, OPTIMIZER), torch.cuda.is_available(), 0

    def run(steps: int) -> list[tuple[float, float]]:
        nonlocal seen
        found, clock = [], _clock()
        for _ in range(steps):
            batch = {name: value.to("cuda" if cuda else "cpu") for name, value in next(given).items()}
            seen += batch["input_ids"].numel()
            for group in optimizer.param_groups:
                group["lr"] = OPTIMIZER.learning_rate * rate_factor(SCHEDULE, seen, total_tokens)
            with torch.autocast("cuda", torch.bfloat16, enabled=cuda):
                loss = model(batch)["loss"]
            loss.backward()
            clip_gradients(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            found.append(_since(clock))
            clock = _clock()
        return found

    return run


def composed(
    model: LanguageModel, given: Iterator[Batch], total_tokens: int, rows: int, length: int, callbacks: Sequence = ()
) -> Callable[[int], list[tuple[float, float]]]:
    """The same by Composer's Trainer, a turn a `fit`."""
    from composer import Trainer

    from training.models import composer_model

    cuda, found = torch.cuda.is_available(), []

    class Given(IterableDataset):
        def __iter__(self) -> Iterator[Batch]:
            return given

    class Times(composer_model.Callback):
        def fit_start(self, state: object, logger: object) -> None:
            self.clock = _clock()

        def batch_end(self, state: object, logger: object) -> None:
            found.append(_since(self.clock))
            self.clock = _clock()

    wrapped = composer_model.PretrainedModel(model)
    trainer = Trainer(
        model=wrapped,
        train_dataloader=composer_model.data_spec(DataLoader(Given(), batch_size=None)),
        optimizers=adamw(wrapped, OPTIMIZER),
        schedulers=composer_model.TokenSchedule(SCHEDULE, total_tokens, rows * length),
        step_schedulers_every_batch=True,
        precision=composer_model.composer_precision("bf16" if cuda else "fp32", "cuda" if cuda else "cpu"),
        device="gpu" if cuda else "cpu",
        algorithms=[composer_model.ClipGradients(1.0)],
        device_train_microbatch_size=rows,
        callbacks=[*callbacks, Times()],
        progress_bar=False,
    )

    def run(steps: int) -> list[tuple[float, float]]:
        found.clear()
        trainer.fit(duration=f"{steps}ba")
        return list(found)

    return run


def _clock() -> tuple[float, float]:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter(), time.process_time()


def _since(start: tuple[float, float]) -> tuple[float, float]:
    now = _clock()
    return now[0] - start[0], now[1] - start[1]


def median_step(turns: list[list[tuple[float, float]]]) -> tuple[float, float]:
    """Medians of wall and CPU seconds, without the first turn and without each turn's first step."""
    steps = [step for turn in turns[1:] for step in turn[1:]]
    return statistics.median(wall for wall, _ in steps), statistics.median(cpu for _, cpu in steps)


def _beside(names: list[str], options: argparse.Namespace) -> str:
    rows, shape, tokens = [], (options.rows, options.length), options.rows * options.length
    total = tokens * options.blocks * options.steps
    for name in names:
        loops = {
            "bare": bare(model_of(name, options.length), batches(*shape), total),
            "Composer": composed(model_of(name, options.length), batches(*shape), total, *shape),
        }
        turns: dict[str, list] = {loop: [] for loop in loops}
        for _ in range(options.blocks):
            for loop, run in loops.items():
                turns[loop].append(run(options.steps))
        base = median_step(turns["bare"])
        for loop, found in turns.items():
            wall, cpu = median_step(found)
            rows.append(
                [
                    f"{name}, {loop}",
                    f"{wall * 1000.0:,.1f}",
                    f"{cpu * 1000.0:,.1f}",
                    f"{wall / base[0]:.3f}",
                    f"{cpu / base[1]:.3f}",
                    f"{tokens / wall:,.0f}",
                    _mfu(name, options.length, tokens / wall),
                ]
            )
    columns = ["model, loop", "ms a step", "CPU ms a step", "times bare", "times bare, CPU", "tokens/s", "MFU"]
    return table(columns, rows)


def _mfu(name: str, length: int, tokens_a_second: float) -> str:
    """6 N plus attention over the chip's dense bf16 peak, where the chip is known."""
    device = torch.cuda.get_device_name().lower() if torch.cuda.is_available() else ""
    peaks = [gpu.tflops for key, gpu in GPUS.items() if key in device]
    if not peaks:
        return ""
    flops = flops_a_token(preset(name).model, length)
    return f"{tokens_a_second * flops / (peaks[0] * 1e12):.3f}"


def _boundaries(name: str, options: argparse.Namespace) -> str:
    kinds: dict[str, tuple[Kernel, bool]] = {
        "none": ("sdpa", False),
        "sdpa, dense mask": ("sdpa", True),
        "documents": ("documents", True),
    }
    given = batches(options.rows, options.length)
    total = options.rows * options.length * options.blocks * options.steps * len(kinds)
    loops = {kind: bare(model_of(name, options.length, *how), given, total) for kind, how in kinds.items()}
    turns: dict[str, list] = {kind: [] for kind in kinds}
    for _ in range(options.blocks):
        for kind, run in loops.items():
            turns[kind].append(run(options.steps))
    base = median_step(turns["none"])
    medians = {kind: median_step(found) for kind, found in turns.items()}
    rows = [
        [kind, f"{wall * 1e3:,.1f}", f"{cpu * 1e3:,.1f}", f"{cpu / base[1]:.3f}"]
        for kind, (wall, cpu) in medians.items()
    ]
    return table(["attention", "ms a step", "CPU ms a step", "times none, CPU"], rows)


def _loss_peak(chunk_tokens: int) -> str:
    """MiB that a process grows by in three passes of the output layer and its loss, and their CPU seconds.

    At most: the peak may be that of the imports, some 250 MiB above what they leave.
    """
    from training.models.losses import token_losses

    head, hidden = torch.nn.Linear(256, 32_768, bias=False), torch.randn(4096, 256, requires_grad=True)
    labels = torch.randint(0, 32_768, (4096,))
    before, clock = psutil.Process().memory_info().rss / 1024, time.process_time()
    for _ in range(3):
        token_losses(hidden, head, labels, chunk_tokens)[0].mean().backward()
    return (
        f"{(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024:.0f} {time.process_time() - clock:.3f}"
    )


def _chunks() -> str:
    """Each variant in a process of its own, whose memory is its own."""
    rows = []
    for chunk in (0, 2048, 512):
        command = [sys.executable, "-c", f"from tests.bench.train import main; main(['--loss', '{chunk}'])"]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
        megabytes, seconds = done.stdout.split()
        rows.append([f"{chunk} tokens" if chunk else "whole", megabytes, f"{float(seconds) / 3 * 1e3:,.0f}"])
    return table(["chunk", "MiB at the peak (at most)", "CPU ms"], rows)
