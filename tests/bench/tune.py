"""Tuning beside TRL used plainly, and what it does to a model that was pretrained here.

just bench tune                                   # the model tiny of the home, which is made where there is none
just bench tune --only speed --blocks 3
just bench tune --model 350m --only speed         # random weights, on a GPU
"""

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from catalog.commands import Parser
from catalog.home import Home
from catalog.records import versions
from tests.bench.tables import publish, table

SHARED = Path(os.environ.get("MILLRACE_SHARED", Path(__file__).resolve().parents[2].parent / "shared")) / "data"
SETS = {
    "bench-instructions": ("instructions/*.jsonl",),
    "bench-preferences": ("preferences/dpo-*.jsonl", "preferences/hh-*.jsonl"),
    "bench-labels": ("preferences/kto-*.jsonl",),
}


def main(argv: list[str]) -> None:
    """Measure, print and publish."""
    parser = Parser(prog="just bench tune", description=__doc__)
    parser.add_argument("--model", default="tiny", help="a model of the home")
    parser.add_argument("--blocks", type=int, default=3, help="how often the two take turns")
    parser.add_argument("--steps", type=int, default=12, help="steps of a turn")
    parser.add_argument("--only", choices=("", "speed", "quality"), default="", help="one part")
    parser.add_argument("--turn", choices=("ours", "plain"), help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    home = Home.open()
    if options.turn:
        print("turn", *(_ours if options.turn == "ours" else _plain)(home, options))
        return
    said = f"just bench tune {' '.join(argv)}".strip()
    _make_ready(home, options.model)
    if options.only != "quality":
        publish("Tuning: speed", said, _beside(options))
    if options.only != "speed":
        publish("Tuning: what is learnt and what is forgotten", said, _quality(home, options.model))


def _make_ready(home: Home, model: str) -> None:
    from configs import pretrain
    from data.instructions.config import DatasetConfig
    from data.instructions.prepare import prepare

    if not versions(home, "models", model):
        pretrain.main([model, "--home", str(home.root)])
    for name, globs in SETS.items():
        prepare(DatasetConfig(name=name, input=tuple(str(SHARED / files) for files in globs)), home)


# ── speed ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _beside(options: argparse.Namespace) -> str:
    """Processes of their own in turn: tokens a second of each, and the most memory."""
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "plain": []}
    for _ in range(options.blocks):
        for turn, values in found.items():
            words = ["-m", "tests.bench", "tune", "--turn", turn, "--model", options.model]
            words += ["--steps", str(options.steps)]
            out = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True).stdout
            speed, peak = next(line for line in out.splitlines() if line.startswith("turn ")).split()[1:]
            values.append((float(speed), float(peak)))
    middle = {turn: statistics.median(speed for speed, _ in values) for turn, values in found.items()}
    rows = [
        [
            "Millrace" if turn == "ours" else "TRL used plainly",
            f"{middle[turn]:,.0f}",
            f"{middle[turn] / middle['plain']:.3f}",
            f"{max(peak for _, peak in values):,.0f} MB",
        ]
        for turn, values in found.items()
    ]
    note = (
        f"SFT of `{options.model}`, 8 rows a step, the same rows in the same order, none packed; medians of "
        f"{options.blocks} turns of {options.steps} steps, in processes of their own, without the first two. "
        "Both keep freed memory (`training/runs/memory.py`). Aim: within 3 %."
    )
    return table(["", "tokens / core-second", "of plain", "peak memory"], rows) + "\n\n" + note


def _config(options: argparse.Namespace):
    from training.tuning.config import TuneConfig

    return TuneConfig.model_validate(
        {
            "run": f"bench-{os.getpid()}",
            "parent": options.model,
            "dataset": "bench-instructions",
            "packing": False,
            "max_length": 512,
            "max_steps": options.steps,
            "learning_rate": 1e-4,
            "schedule": "constant",
            "warmup": 0.0,
            "heldout_rows": 0,
            "forgetting_rows": 0,
        }
    )


def _ours(home: Home, options: argparse.Namespace) -> tuple[float, float]:
    from configs.tune import hands
    from training.runs.curves import read_curves
    from training.tuning import tape
    from training.tuning.tune import tune

    config, ended, real = _config(options), list[float](), tape.Tape.step_ended

    def step_ended(self, step, values):
        ended.append(_now())
        return real(self, step, values)

    tape.Tape.step_ended = step_ended
    try:
        tune(config, home, hands(), "bench")
        series = read_curves(home, config.name).series
    finally:
        for kind in ("runs", "models"):
            shutil.rmtree(home.root / kind / config.name, ignore_errors=True)
    tokens = series["tokens"][-1][1] - series["tokens"][1][1]
    return tokens / (ended[-1] - ended[1]), _peak_mb()


def _plain(home: Home, options: argparse.Namespace) -> tuple[float, float]:
    """SFTTrainer with a dataset of tokens and labels, as its documentation has it."""
    from datasets import Dataset
    from transformers import PrinterCallback, TrainerCallback
    from trl.trainer.sft_config import SFTConfig
    from trl.trainer.sft_trainer import SFTTrainer

    from training.runs.memory import keep_freed_memory
    from training.tuning.job import plan
    from training.tuning.models import load

    keep_freed_memory()
    job = plan(_config(options), home)
    examples = [job.train.examples[row.examples[0]] for row in job.feed.rows]
    rows = [{name: ids.tolist() for name, ids in example.arrays.items()} for example in examples]
    ended: list[float] = []

    class Clock(TrainerCallback):
        def on_step_end(self, args, state, control, **_):
            ended.append(_now())

    cpu = job.device == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        config = SFTConfig(
            folder,
            per_device_train_batch_size=8,
            max_steps=options.steps,
            learning_rate=1e-4,
            lr_scheduler_type="constant",
            bf16=not cpu,
            use_cpu=cpu,
            gradient_checkpointing=False,
            shuffle_dataset=False,
            save_strategy="no",
            logging_steps=1,
            disable_tqdm=True,
            report_to="none",
            max_length=None,
            train_sampling_strategy="sequential",
        )
        trainer = SFTTrainer(
            load(job),
            config,
            train_dataset=Dataset.from_list(rows),
            processing_class=job.chat.tokenizer,
            callbacks=[Clock()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    return sum(example.tokens for example in examples[16:]) / (ended[-1] - ended[1]), _peak_mb()


def _now() -> float:
    """On a CPU its own seconds, which neighbours do not change; on a GPU the clock's."""
    import torch

    return time.perf_counter() if torch.cuda.is_available() else time.process_time()


def _peak_mb() -> float:
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


# ── quality ───────────────────────────────────────────────────────────────────────────────────────────────────────

SFT_STEPS, STEPS = 80, 40
SFT = {"dataset": "bench-instructions", "max_steps": SFT_STEPS, "batch_rows": 4, "epochs": 2}
LATER = {"max_steps": STEPS, "batch_rows": 8, "epochs": 4}
RUNS: dict[str, dict] = {
    "SFT, no replay": {"run": "bench-sft-0", **SFT, "replay": {"share": 0.0}},
    "SFT, 10 % replay": {"run": "bench-sft-10", **SFT, "replay": {"share": 0.1}},
    "SFT, 20 % replay": {"run": "bench-sft-20", **SFT, "replay": {"share": 0.2}},
    "DPO of that without": {"method": "dpo", "parent": "bench-sft-0", "dataset": "bench-preferences", **LATER},
    "DPO of that with 10 %": {"method": "dpo", "parent": "bench-sft-10", "dataset": "bench-preferences", **LATER},
    "KTO of that with 10 %": {"method": "kto", "parent": "bench-sft-10", "dataset": "bench-labels", **LATER},
    "Reward model of that with 10 %": {
        "method": "reward",
        "parent": "bench-sft-10",
        "dataset": "bench-preferences",
        **LATER,
    },
}
SHOWN = {
    "sft": ("loss",),
    "dpo": ("loss", "reward_accuracy", "reward_margin"),
    "kto": ("loss", "reward_margin"),
    "reward": ("loss", "accuracy"),
}


def _quality(home: Home, model: str) -> str:
    """SFT with and without replay, then preferences: held-out rows, and bits a byte of pretraining text."""
    from configs.tune import hands
    from training.runs.curves import read_curves
    from training.tuning.config import TuneConfig
    from training.tuning.tune import tune

    for kind in ("runs", "models"):
        for path in (home.root / kind).glob("bench-*"):
            shutil.rmtree(path)
    rows, domains = [], list[str]()
    for name, fields in RUNS.items():
        fixed = {"max_length": 1024, "forgetting_rows": 16, "heldout_rows": 128, "evaluate_steps": SFT_STEPS}
        config = TuneConfig.model_validate({"parent": model, **fixed, **fields})
        done = tune(config, home, hands(), "bench")
        series, own = read_curves(home, config.name).series, config.dataset
        told = ", ".join(_moved(series, f"heldout/{own}/{metric}", metric) for metric in SHOWN[config.method])
        domains = domains or sorted(name for name in series if name.endswith("/bits_per_byte") and own not in name)
        rate = f"{done.run.config['learning_rate']:g}"
        rows.append([name, rate, told, *(_moved(series, metric, "") for metric in domains)])
    columns = ["", "rate", "held-out rows", *(metric.split("/")[1] for metric in domains)]
    note = (
        f"Before → after {SFT_STEPS} steps of 4 packed rows of 1,024 tokens (SFT), or {STEPS} of 8 rows; all sets of "
        "instructions, preferences and labels of the shared samples. The columns on the right are bits a byte of "
        "held-out text that the base was pretrained on: what grows there is forgotten."
    )
    return table(columns, rows) + "\n\n" + note


def _moved(series: dict, metric: str, name: str) -> str:
    values = [value for _, value in series.get(metric, [])]
    if not values:
        return ""  # reward models write no text
    return f"{name} {values[0]:.3f} → {values[-1]:.3f}".strip()
