"""`just exam`: how well models answer the questions that a dataset holds out, one beside another.

just exam tiny-sft tiny                          the first is compared with each of the others
just exam chat@2 chat@1 base dataset=docs-questions questions=200
just exam tiny-sft tiny --dry-run

Every model answers by vLLM, its likeliest token each time: one with a chat template is asked by it; another goes on
with a text in which a few questions of the training part stand answered, and its first line counts. Answers are
compared with the true ones (eval/answers.py); the scores are rows of `evaluations`, the answers are kept beside them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import Field, JsonValue

from catalog.commands import Parser
from catalog.config import Config, set_fields
from catalog.errors import BadInput, Conflict, MillraceError
from catalog.home import Home, written
from catalog.ids import Ref
from catalog.locks import hold, lock_of, remove
from catalog.records import FileEntry, Record, file_entry, find
from catalog.tables import table
from catalog.wanted import Wanted
from configs.scorers import ANSWER_TOKENS, Question, questions_of
from eval.answers import Estimate, match, mean
from serving.apart import die_with_parent
from serving.generate import GenerateConfig, plan
from serving.target import resolve

SHOTS = 4
"""Answered questions before the one that is asked of a model without a chat template."""
MEASURES = ("exact", "partial")


class ExamConfig(Config):
    """What is asked, of which models."""

    models: tuple[str, ...]
    dataset: str = "docs-questions"
    questions: int = Field(default=300, ge=2)
    """The first so many of the held-out part."""
    max_tokens: int = Field(default=ANSWER_TOKENS, ge=1)
    """Of an answer."""
    precision: Literal["", "fp32", "bf16"] = ""
    """Empty: as each model is saved."""


Answered = dict[str, str]
"""Answers by the question's id."""


def main(argv: list[str]) -> int:
    """Ask, or say what would be asked."""
    parser = Parser(
        prog="just exam",
        usage="just exam MODEL [MODEL …] [field=value …] [--dry-run]",
        description=f"{__doc__}\nFields and their values: just exam MODEL --dry-run.",
    )
    parser.add_argument("words", nargs="+", metavar="MODEL field=value", help="models of the home, then fields")
    parser.add_argument("--dry-run", action="store_true", help="print the config; do nothing")
    parser.add_home()
    arguments = parser.parse_args(argv)
    models = tuple(word for word in arguments.words if "=" not in word)
    home = Home.open(arguments.home)
    config = set_fields(ExamConfig(models=models), [word for word in arguments.words if "=" in word])
    config, rows = settled(config, home), questions(config, home, "held_out")
    if arguments.dry_run:
        print(f"{config.model_dump_json(indent=1)}\n{len(rows):,} questions to {len(config.models)} models")
        return 0
    record = exam(config, home)
    print(described(record))
    folder = home.artifact(record.kind, record.name, record.version)
    print(f"\nanswers  {folder}\nask      just sql \"FROM evaluations WHERE task LIKE 'exam/%'\"")
    return 0


def settled(config: ExamConfig, home: Home) -> ExamConfig:
    """With every version said. Raises NotFound, and BadInput for models that write no text."""
    if not config.models:
        raise BadInput("which model? Write for example: just exam tiny-sft tiny")
    models = tuple(dict.fromkeys(str(resolve(home, ref).model.ref) for ref in config.models))
    return config.variant(models=models, dataset=str(find(home, "datasets", config.dataset).ref))


def questions(config: ExamConfig, home: Home, split: str) -> list[Question]:
    """The first questions of a part of the dataset: rows of one question and one answer. Raises BadInput for none."""
    record = find(home, "datasets", config.dataset)
    found = questions_of(home, record, split)
    if not found:
        raise BadInput(f"{record.ref} holds out no rows of one question and one answer.")
    return found[: config.questions]


def exam(config: ExamConfig, home: Home, on_model: Callable[[str], None] = lambda model: None) -> Record:
    """Ask all models; what is answered already is found. The config is a `settled` one."""
    name = "exam-" + config.models[0].replace("@", "-")
    made_from = [*(find(home, "models", model) for model in config.models), find(home, "datasets", config.dataset)]
    wanted = Wanted.of(home, "evaluations", Ref(name, ""), made_from, config.model_dump(mode="json"))
    with hold(lock_of(wanted.folder)):
        if found := wanted.found():
            return found
        asked = questions(config, home, "held_out")
        answers: dict[str, Answered] = {}
        for model in config.models:
            on_model(model)
            answers[model] = _asked(config, home, wanted.folder, model, asked)
        return wanted.publish(_scores(config, asked, answers), _files(config, wanted.folder))


def _files(config: ExamConfig, folder: Path) -> list[FileEntry]:
    """Prompts and answers of these models; what an exam of others left here, killed before its record, goes."""
    kinds = ("answers.jsonl", "answers.jsonl.json", "prompts.jsonl")
    own = [folder / f"{model}.{kind}" for model in sorted(config.models) for kind in kinds]
    for path in set(folder.iterdir()) - set(own):
        remove(path)
    return [file_entry(folder, path) for path in own]


def _asked(config: ExamConfig, home: Home, folder: Path, model: str, asked: Sequence[Question]) -> Answered:
    """A model's answers, by `just generate` in a process of its own: an engine leaves its memory with its process."""
    prompts, out = folder / f"{model}.prompts.jsonl", folder / f"{model}.answers.jsonl"
    talks = resolve(home, model).template is not None
    _write_prompts(prompts, asked, [] if talks else questions(config, home, "train")[:SHOTS], talks)
    words = [f"out={out}", "temperature=0", f"max_tokens={config.max_tokens}"]
    words += [f"precision={config.precision}"] if config.precision else []
    _clear(set_fields(GenerateConfig(model=model, prompts=str(prompts)), words), home)
    command = [sys.executable, "-P", "-m", "configs", "generate", model, str(prompts), *words]
    done = subprocess.run(
        [*command, "--home", str(home.root)],
        capture_output=True,
        text=True,
        preexec_fn=partial(die_with_parent, os.getpid()),
    )
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        raise MillraceError(f"{model} gave no answers: {said.removeprefix('error: ')}")
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: (row["answer"] or "").strip() if talks else first_line(row["answer"] or "") for row in rows}


def _write_prompts(path: Path, asked: Sequence[Question], shots: Sequence[Question], talks: bool) -> None:
    """Messages for a model that talks, a text to go on with for another."""
    before = "".join(_shown(one, one.truth) for one in shots)
    with written(path) as partial, partial.open("w", encoding="utf-8") as lines:
        for one in asked:
            chat = {"messages": [{"role": "user", "content": one.asked}]}
            row = {"id": one.id, **(chat if talks else {"prompt": before + _shown(one, "").rstrip()})}
            lines.write(json.dumps(row, ensure_ascii=False) + "\n")


def _clear(wanted: GenerateConfig, home: Home) -> None:
    """Answers to something else, of an exam that was killed before its record: they are in the way of these."""
    try:
        plan(wanted, home)
    except Conflict:
        remove(Path(wanted.out))


def _shown(question: Question, answer: str) -> str:
    return f"Question: {question.asked}\nAnswer: {answer}\n\n"


def first_line(text: str) -> str:
    """What a text that goes on and on answers: its first line that says something."""
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def _scores(config: ExamConfig, asked: Sequence[Question], answers: dict[str, Answered]) -> dict[str, JsonValue]:
    """Rows of `evaluations` by language, and the first model's lead over each of the others, question by question."""
    task, rows, leads = f"exam/{config.dataset}", list[JsonValue](), list[JsonValue]()
    scored = {model: [match(given.get(one.id, ""), one.truth) for one in asked] for model, given in answers.items()}
    groups = ["all", *sorted({one.lang for one in asked})]
    for model, matches in scored.items():
        for group in groups:
            held = [found for found, one in zip(matches, asked, strict=True) if group in ("all", one.lang)]
            for measure in MEASURES:
                at, (name, _, version) = mean([getattr(one, measure) for one in held]), model.partition("@")
                rows.append(
                    {
                        "model": name,
                        "version": version,
                        "task": task if group == "all" else f"{task}/{group}",
                        "metric": f"{measure}_match",
                        "value": at.value,
                        "stderr": at.stderr,
                        "n": at.n,
                    }
                )
    first, *others = config.models
    for other in others:
        for measure in MEASURES:
            pairs = zip(scored[first], scored[other], strict=True)
            lead = mean([getattr(a, measure) - getattr(b, measure) for a, b in pairs])
            leads.append({"over": other, "measure": measure, **lead._asdict()})
    own = {
        model: {measure: mean([getattr(one, measure) for one in found])._asdict() for measure in MEASURES}
        for model, found in scored.items()
    }
    return {"questions": len(asked), "evaluations": rows, "models": own, "leads": leads}  # pyright: ignore


def described(record: Record) -> str:
    """The table of an exam, and what follows from it."""
    counts: dict = record.counts
    rows = [
        [model, *(_interval(Estimate(**own[measure])) for measure in MEASURES)]
        for model, own in counts["models"].items()
    ]
    said = [f"{counts['questions']:,} held-out questions of {record.config['dataset']}; in brackets 95 % intervals"]
    said += [table(["model", "exact match", "partial match"], rows)]
    first = next(iter(counts["models"]))
    for lead in counts["leads"]:
        at = Estimate(**{name: lead[name] for name in Estimate._fields})
        verdict = "no difference" if at.low <= 0 <= at.high else ("better" if at.low > 0 else "worse")
        said.append(f"{first} against {lead['over']}, {lead['measure']} match: {verdict}, {_interval(at, signed=True)}")
    return "\n".join(said)


def _interval(at: Estimate, signed: bool = False) -> str:
    form = "{:+.3f} ({:+.3f} to {:+.3f})" if signed else "{:.3f} ({:.3f} to {:.3f})"
    return form.format(at.value, at.low, at.high)
