"""`just demo`: the whole story on this machine: a crawl, a corpus, a model, an endpoint, and back to one page's bytes.

just demo                 some twenty minutes on two cores, without a network; the same command goes on after a stop
just demo --keep          the endpoint stays up at the end, until Ctrl-C
just demo --dry-run       the commands that it types
just demo pretrain_steps=200 sft_epochs=1 questions=50      shorter, and worse

Each step is a command that you can type yourself; what it says is kept under <home>/demo.
"""

import json
import os
import shlex
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from pydantic import Field
from rich.console import Console
from rich.markup import escape

from catalog.commands import Parser
from catalog.config import Config, set_fields
from catalog.errors import MillraceError
from catalog.home import Home
from catalog.progress import duration
from catalog.records import RECORD, Record, load_record, versions
from catalog.store import Catalog, quoted
from catalog.tables import size, table
from configs.scorers import Question
from configs.serve import curl
from configs.stories.exam import ExamConfig, described, exam, questions, settled
from configs.trace import told
from data.again import read_again
from serving.apart import die_with_parent
from serving.endpoint import Job, ServeConfig, check_port, plan, running
from training.runs.machine import multiplies_bf16

BASE, TUNED, CHAT, SERVED = "demo", "demo-sft", "demo-chat", "demo-w8a8"
SHOWN = 5
"""Questions that the endpoint is asked aloud."""


class DemoConfig(Config):
    """How long it takes, and where the endpoint is."""

    pretrain_steps: int = Field(default=1280, ge=1)
    """Of 2,048 tokens: 1,280 read the default mixture once."""
    sft_epochs: float = Field(default=4, gt=0)
    dpo_steps: int = Field(default=40, ge=1)
    questions: int = Field(default=300, ge=2)
    """Held-out ones, to each of three models."""
    port: int = Field(default=8000, ge=1, le=65535)


class Step(NamedTuple):
    """A command, and the artifact that shows that it was done."""

    title: str
    words: tuple[str, ...]
    kind: str
    name: str
    says: Callable[[Record], str]


def main(argv: list[str]) -> int:
    """Tell the story, or say what would be typed."""
    parser = Parser(prog="just demo", usage="just demo [field=value …] [--keep] [--dry-run]", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the endpoint up until Ctrl-C")
    parser.add_fields(", ".join(DemoConfig.model_fields), dry_run="the commands")
    arguments = parser.parse_args(argv)
    config, home = set_fields(DemoConfig(), arguments.words), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    todo = steps(config)
    if arguments.dry_run:
        console.print("\n".join(shlex.join(["just", *step.words]) for step in todo))
        console.print(f"just exam {CHAT} {BASE} {SERVED} questions={config.questions}")
        console.print(f"just serve {SERVED} port={config.port}\njust trace endpoint {SERVED}")
        return 0
    check_port(ServeConfig(model=SERVED, port=config.port))  # what would fail after twenty minutes fails now
    Story(config, home, console, len(todo) + 3).tell(todo, arguments.keep)
    return 0


def steps(config: DemoConfig) -> list[Step]:
    """Everything up to the compressed model."""
    fast = ("precision=bf16",) if multiplies_bf16() else ()
    base = ("pretrain", "tiny", f"run={BASE}", "batch_tokens=2048", f"max_steps={config.pretrain_steps}", *fast)
    sft = (
        "sft",
        BASE,
        f"run={TUNED}",
        "dataset=docs-questions",
        f"epochs={config.sft_epochs:g}",
        "batch_rows=4",
        *fast,
    )
    dpo = ("dpo", TUNED, f"run={CHAT}", "dataset=docs-preferences", f"max_steps={config.dpo_steps}", *fast)
    return [
        Step(
            "crawl",
            ("crawl", "docs"),
            "crawls",
            "docs",
            _counts("fetched pages read", "refused links refused by the rules"),
        ),
        Step("corpus", ("build-corpus",), "corpora", "docs", _counts("documents documents kept", "chars characters")),
        Step(
            "tokenizer",
            ("train-tokenizer", "docs-8k"),
            "tokenizers",
            "docs-8k",
            _counts("vocab tokens in the vocabulary"),
        ),
        Step("tokens", ("tokenize", "docs"), "tokens", "docs", _counts("documents documents cut and packed")),
        Step("mixture", ("mixture", "docs"), "mixtures", "docs", _counts("samples samples", "tokens tokens")),
        Step("pretraining", base, "models", BASE, _trained),
        Step("questions", ("dataset", "docs-questions"), "datasets", "docs-questions", _counts("rows rows")),
        Step("preferences", ("dataset", "docs-preferences"), "datasets", "docs-preferences", _counts("rows rows")),
        Step("SFT", sft, "models", TUNED, _trained),
        Step("DPO", dpo, "models", CHAT, _preferred),
        Step("W8A8", ("quantize", CHAT, "w8a8", f"name={SERVED}"), "models", SERVED, _weights),
    ]


def _counts(*wanted: str) -> Callable[[Record], str]:
    """Says counts of a record: `fetched pages` is the count `fetched`, in pages."""

    def says(record: Record) -> str:
        pairs = (one.partition(" ")[::2] for one in wanted)
        return ", ".join(f"{record.counts[count]:,} {unit}" for count, unit in pairs if count in record.counts)

    return says


def _trained(record: Record) -> str:
    loss = record.counts.get("heldout_loss")
    return f"{record.counts['tokens']:,} tokens" + (f", held-out loss {loss:.2f}" if isinstance(loss, float) else "")


def _preferred(record: Record) -> str:
    rows = record.counts.get("evaluations", [])
    found = [row for row in rows if isinstance(row, dict) and row["metric"] == "reward_accuracy"]  # type: ignore[union-attr]
    right = f", {found[0]['value']:.0%} of held-out preferences right" if found else ""
    return f"{record.counts['tokens']:,} tokens{right}"


def _weights(record: Record) -> str:
    return f"{size(sum(entry.bytes for entry in record.files if entry.path.endswith('.safetensors')))} of weights"


class Story:
    """The telling of it: a line for each step with its time, what the commands say in files."""

    def __init__(self, config: DemoConfig, home: Home, console: Console, count: int) -> None:
        self.config, self.home, self.console, self.count = config, home, console, count
        self.logs, self.at, self.began = home.root / "demo", 0, time.monotonic()

    def tell(self, todo: Sequence[Step], keep: bool) -> None:
        """All of it. Raises MillraceError naming the step's log where one fails."""
        self.logs.mkdir(parents=True, exist_ok=True)
        self.console.print(f"home {self.home.root}; what the steps say: {self.logs}\n")
        for step in todo:
            self._step(step)
        self._say(_losses(self.home))
        asked = settled(ExamConfig(models=(CHAT, BASE, SERVED), questions=self.config.questions), self.home)
        with self._timed("exam", lambda record: f"{record.counts['questions']:,} questions to three models") as done:
            done.append(exam(asked, self.home))
        self._say(described(done[0]))
        self._endpoint(asked, keep)

    def _step(self, step: Step) -> None:
        there = versions(self.home, step.kind, step.name)
        with self._timed(step.title, step.says, bool(there)) as done:
            if not there:
                self._run(step)
                there = versions(self.home, step.kind, step.name)
            done.append(load_record(self.home.artifact(step.kind, step.name, there[-1]) / RECORD))

    def _run(self, step: Step) -> None:
        """Type the command; on a terminal its last line is shown meanwhile."""
        log = self.logs / f"{self.at:02d}-{step.words[0]}.log"
        command = [sys.executable, "-P", "-m", "configs", *step.words, "--home", str(self.home.root)]
        with log.open("w+", encoding="utf-8") as out:
            out.write(f"$ {shlex.join(['just', *step.words])}\n")
            out.flush()
            child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
            try:
                self._wait(child, log)
            except BaseException:
                child.terminate()
                child.wait()
                raise
        if child.returncode:
            raise MillraceError(f"`just {shlex.join(step.words)}` ended with {child.returncode}: {_last(log)} ({log})")

    def _wait(self, child: subprocess.Popen, log: Path) -> None:
        if not self.console.is_terminal:
            child.wait()
            return
        with self.console.status("") as live:
            while child.poll() is None:
                live.update(escape(_last(log)[:100]))
                time.sleep(0.5)

    @contextmanager
    def _timed(self, title: str, says: Callable[[Record], str], there: bool = False) -> Iterator[list[Record]]:
        """A step's line: its number, its name, its time and what came of it."""
        self.at, began, done = self.at + 1, time.monotonic(), list[Record]()
        yield done
        took = "there already" if there else duration(time.monotonic() - began)
        self.console.print(f"[{self.at:>2}/{self.count}] {title:<12} {took:>13}   {says(done[0])}")

    def _say(self, text: str) -> None:
        self.console.print(f"\n{text}\n")

    def _endpoint(self, asked: ExamConfig, keep: bool) -> None:
        """Start it, ask it, trace it, and say how it is called."""
        job = plan(ServeConfig(model=SERVED, port=self.config.port), self.home)
        with ExitStack() as stack:
            with self._timed("endpoint", lambda record: f"ready on {record.counts['url']}") as done:
                endpoint = stack.enter_context(running(job))
                done.append(endpoint.record)
            self._say(_conversation(job, questions(asked, self.home, "held_out")[:SHOWN]))
            with self._timed("trace", lambda record: f"from the endpoint {record.name} down to a page") as done:
                hops, again = _traced(self.home)
                done.append(endpoint.record)
            self._say(f"{hops}\n\n{again}")
            self._end(job, keep)
            if keep:
                with suppress(KeyboardInterrupt):
                    endpoint.wait()

    def _end(self, job: Job, keep: bool) -> None:
        up = "the endpoint is up until Ctrl-C" if keep else f"just serve {SERVED} port={self.config.port}"
        reports = [("runs", BASE), ("runs", TUNED), ("runs", CHAT), ("corpora", "docs")]
        folders = [self.home.artifact(kind, name, versions(self.home, kind, name)[-1]) for kind, name in reports]
        self.console.print(
            f"done in {duration(time.monotonic() - self.began)}\n"
            f"reports  {f'{chr(10)}         '.join(str(folder / 'report.html') for folder in folders)}\n"
            f"serve    {up}\n"
            f"call     {curl(job)}\n"
            f"ask      just sql \"FROM trace_endpoint('{SERVED}')\""
        )


def _losses(home: Home) -> str:
    """Bits a byte of held-out text by domain, of the three models."""
    names = (BASE, TUNED, CHAT)
    columns = ", ".join(f'max(value) FILTER (model = {quoted(name)}) AS "{name}"' for name in names)
    query = (
        f"SELECT replace(task, 'heldout/', ''), {columns} FROM evaluations WHERE metric = 'bits_per_byte' "
        f"AND task LIKE 'heldout/%' AND model IN ({', '.join(map(quoted, names))}) GROUP BY 1 ORDER BY 1"
    )
    with Catalog.open(home) as catalog:
        rows = catalog.con.execute(query).fetchall()
    return f"bits per byte of held-out text\n{table(['domain', *names], rows)}"


def _conversation(job: Job, asked: Sequence[Question]) -> str:
    """A few held-out questions by HTTP, with the endpoint's answers and the true ones."""
    said = []
    for one in asked:
        body = {"model": job.name, "messages": [{"role": "user", "content": one.asked}], "temperature": 0}
        found = ask(job, {**body, "max_tokens": 64})
        said.append(f"Q  {one.asked}\nA  {found}\n   in the documentation: {one.truth}")
    return "\n".join(said)


def ask(job: Job, body: dict[str, object]) -> str:
    """An endpoint's answer to a request of its chat completions."""
    request = urllib.request.Request(
        f"{job.local_url}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {job.api_key}"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"]).strip()


def _traced(home: Home) -> tuple[str, str]:
    """The hops from the endpoint to a page, by SQL, and what its crawl record says when it is read again."""
    with Catalog.open(home) as catalog:
        rows = catalog.con.execute(f"FROM trace_endpoint({quoted(SERVED)})").fetchall()
    again = read_again(home, next((name for _, what, name, _, _ in rows if what == "document"), ""))
    if again.differs:
        raise MillraceError(told(again))
    return table(["hop", "what", "name", "place", "detail"], rows), told(again)


def _last(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
