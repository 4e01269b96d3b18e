"""Endpoints under load: a model of 317 M parameters in bf16 and compressed, by vLLM's own benchmark, and transformers.

just bench serve                                     # minutes; the model is made where the home has none
just bench serve --schemes w8a8 --clients 1,8 --repeats 1
just bench serve --model base@2 --schemes w8a8,fp8   # a model of the home, on a GPU

The weights are those of a model that was trained for one step: speed does not depend on what they say. A client asks
anew once it has its answer; prompts are random tokens, and answers do not end early.
"""

import argparse
import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

from catalog.commands import Parser
from catalog.home import Home
from catalog.records import find, versions
from catalog.tables import size
from tests.bench.tables import publish, table

MODEL = "bench-350m"
BENCH = "from vllm.benchmarks import serve; from vllm.utils.argparse_utils import FlexibleArgumentParser as P; "
BENCH += "p = P(); serve.add_cli_args(p); serve.main(p.parse_args())"
"""vLLM's benchmark without its command, which asks for the package's name; the CPU build has another."""


class Load(NamedTuple):
    """What one measure found, times in ms."""

    tokens_a_second: float
    """Of answers."""
    first_p50: float
    """Until the first token."""
    first_p99: float
    token_p50: float
    """For each further token."""
    token_p99: float


def main(argv: list[str]) -> None:
    """Measure, print and publish."""
    parser = Parser(prog="just bench serve", description=__doc__)
    parser.add_argument("--model", default=MODEL, help="a model of the home")
    parser.add_argument("--schemes", default="w8a8,w4a16", help="each compared with bf16")
    parser.add_argument("--clients", default="1,8,64", help="how many ask at a time")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--answer", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--compile", action="store_true", help="compiled models, which GPUs get anyway")
    parser.add_argument("--plain", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    home = Home.open()
    if options.plain:
        print("plain", _generate(home, options))
        return
    model = _ready(home, options.model)
    clients = [int(word) for word in options.clients.split(",")]
    found: dict[str, dict[int, Load]] = {"bf16": _served(home, model, clients, options)}
    for scheme in filter(None, options.schemes.split(",")):
        found[scheme] = _served(home, _compressed(home, model, scheme), clients, options)
    plain = {count: _plain(options, count) for count in clients}
    said = f"just bench serve {' '.join(argv)}".strip()
    publish("Serving", said, _written(home, model, found, plain, options))


def _ready(home: Home, name: str) -> str:
    """The model's name@version; the default one is trained for a step where it is not there."""
    if name == MODEL and not versions(home, "models", MODEL):
        _millrace("pretrain", "350m", f"run={MODEL}", "max_steps=1", "batch_tokens=1024", "heldout_rows=0")
    return str(find(home, "models", name).ref)


def _compressed(home: Home, model: str, scheme: str) -> str:
    name = f"{model.partition('@')[0]}-{scheme}"
    if not versions(home, "models", name):
        _millrace("quantize", model, scheme, f"name={name}", "samples=16", "length=256", "receipt=false")
    return str(find(home, "models", name).ref)


def _millrace(*words: str) -> None:
    print("just", *words, flush=True)
    subprocess.run([sys.executable, "-P", "-m", "configs", *words], check=True)


def _served(home: Home, model: str, clients: list[int], options: argparse.Namespace) -> dict[int, Load]:
    """Median of the repeats for each number of clients."""
    from serving.endpoint import ServeConfig, plan, running
    from serving.engine import EngineConfig

    context = options.prompt + options.answer + 16
    engine = EngineConfig(precision="bf16", context=context, compile=options.compile)
    job = plan(ServeConfig(model=model, port=_free_port(), engine=engine), home)
    with running(job):
        folder = str(job.target.chat)
        measured = {
            count: [_load(job.local_url, job.name, folder, count, options) for _ in range(options.repeats + 1)]
            for count in clients
        }
    return {
        count: Load(*map(statistics.median, zip(*runs[1:], strict=True)))  # the first warms up
        for count, runs in measured.items()
    }


def _load(url: str, name: str, folder: str, clients: int, options: argparse.Namespace) -> Load:
    words = {
        "--backend": "openai",
        "--base-url": url,
        "--model": name,
        "--tokenizer": folder,
        "--dataset-name": "random",
        "--random-input-len": options.prompt,
        "--random-output-len": options.answer,
        "--num-prompts": max(4, clients),
        "--max-concurrency": clients,
        "--temperature": 0,
        "--percentile-metrics": "ttft,tpot",
        "--metric-percentiles": "99",
    }
    with tempfile.TemporaryDirectory() as place:
        given = [str(word) for pair in words.items() for word in pair]
        given += ["--ignore-eos", "--disable-tqdm", "--save-result", "--result-dir", place, "--result-filename", "a"]
        done = subprocess.run([sys.executable, "-c", BENCH, *given], capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"vLLM's benchmark ended with {done.returncode}: {done.stderr[-2000:]}")
        told = json.loads((Path(place) / "a").read_text())
    assert told["completed"] == max(4, clients), told
    times = (told[f"{kind}_{of}_ms"] for of in ("ttft", "tpot") for kind in ("median", "p99"))
    return Load(told["output_throughput"], *times)


def _plain(options: argparse.Namespace, clients: int) -> float:
    """Tokens a second of transformers' generate on a batch of so many, in a process of its own."""
    words = [sys.executable, "-m", "tests.bench", "serve", "--plain", str(clients)]
    for name in ("model", "prompt", "answer", "repeats"):
        words += [f"--{name}", str(getattr(options, name))]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return next(float(line.split()[1]) for line in said.splitlines() if line.startswith("plain "))


def _generate(home: Home, options: argparse.Namespace) -> float:
    import torch
    from transformers import AutoModelForCausalLM

    record = find(home, "models", options.model)
    folder = home.artifact("models", record.name, record.version)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    loaded: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model = loaded.to(device)
    ids = torch.randint(0, model.config.vocab_size, (options.plain, options.prompt), device=device)
    more = {"max_new_tokens": options.answer, "min_new_tokens": options.answer, "do_sample": False}
    found = []
    for _ in range(options.repeats + 1):
        began = time.perf_counter()
        model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
        found.append(options.plain * options.answer / (time.perf_counter() - began))
    return statistics.median(found[1:])


def _written(
    home: Home, model: str, found: dict[str, dict[int, Load]], plain: dict[int, float], options: argparse.Namespace
) -> str:
    rows = []
    for count in plain:
        base = found["bf16"][count].tokens_a_second
        for scheme, loads in found.items():
            load = loads[count]
            times = [f"{load.first_p50:,.0f} / {load.first_p99:,.0f}", f"{load.token_p50:.1f} / {load.token_p99:.1f}"]
            rows.append(
                [
                    f"{count} clients: vLLM, {scheme}",
                    f"{load.tokens_a_second:,.1f}",
                    f"{load.tokens_a_second / base:.2f}",
                    *times,
                ]
            )
        rows.append(
            [f"{count} at a time: transformers, bf16", f"{plain[count]:,.1f}", f"{plain[count] / base:.2f}", "", ""]
        )
    columns = ["", "tokens / s of answers", "of bf16", "first token, ms p50 / p99", "further token, ms p50 / p99"]
    record = find(home, "models", model)
    sizes = ", ".join(f"{scheme} {size(_bytes(home, model, scheme))}" for scheme in found)
    return (
        f"{table(columns, rows)}\n\n{record.config['parameters']:,} parameters ({model}), prompts of {options.prompt} "
        f"and answers of {options.answer} tokens, medians of {options.repeats} after one that warms up. "
        f"Weights: {sizes}. vLLM's own benchmark asks an endpoint of `just serve`; "
        "transformers' `generate` has all prompts as one batch."
    )


def _bytes(home: Home, model: str, scheme: str) -> int:
    record = find(home, "models", model if scheme == "bf16" else f"{model.partition('@')[0]}-{scheme}")
    folder = home.artifact("models", record.name, record.version)
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
