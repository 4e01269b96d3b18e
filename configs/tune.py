"""`just sft`, `dpo`, `kto`, `reward`, `grpo`, `distill`, `tune-classifier` and `merge`: a tuned model, on record.

just sft                                          the model tiny on questions about the default corpus
just sft base@2 dataset=alpaca run=base-chat adapter.kind=lora learning_rate=1e-4
just dpo                                          the tuned model on preferences about the same questions
just dpo base-chat dataset=hh preference.beta=0.05 nproc=8
just kto base-chat dataset=votes
just reward base-chat dataset=hh                  a reward model
just grpo base-chat dataset=sums rewards=exact,format pattern='.*####.*'
just grpo base-chat dataset=tasks rewards=code    answers of the rows are tests, run in a sandbox
just distill small teacher=large@1 dataset=alpaca mode=on-policy
just tune-classifier tiny dataset=topics          accuracy and F1 on held-out rows
just merge base-chat@1                            an adapter folded into its base
just sft --dry-run                                the whole config, and what would be done
just resume base-chat                             go on from the last checkpoint, also with another nproc
"""

import sys
from functools import partial
from pathlib import Path

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.errors import BadInput
from catalog.home import Home
from catalog.records import Record, versions
from eval import likelihood, sandbox
from training.models.config import parameters
from training.runs.folder import RunFolder
from training.runs.heldout import Scorer
from training.runs.pretrain import Trained
from training.tuning.config import KINDS, TuneConfig
from training.tuning.job import Job, plan
from training.tuning.model import merge
from training.tuning.models import described
from training.tuning.report import write_report
from training.tuning.tune import Hands, resume, tune, tune_launched

BASE = "tiny"
SHOWN = {"loss", "bits_per_byte", "accuracy", "macro_f1", "reward_accuracy", "reward_margin", "margin", "reward"}
"""Of what is measured, what the last lines say; `evaluations` has the rest."""
WARNED = 0.1
"""Where more than this part of a dataset is left out, it is said loudly."""
DEMO_STEPS = {"dpo": 60, "kto": 60, "reward": 100, "grpo": 30}
"""Steps of the tiny model on the default datasets, where nothing else is said; sft reads all of them."""
QUESTIONS, PREFERENCES = "docs-questions", "docs-preferences"


def sft() -> TuneConfig:
    """Answers are learnt, questions are read; a tenth of the tokens is pretraining text."""
    return TuneConfig(method="sft", parent=BASE, dataset=QUESTIONS)


def dpo() -> TuneConfig:
    """Chosen answers against rejected ones (arXiv 2305.18290)."""
    return TuneConfig(method="dpo", parent=f"{BASE}-sft", dataset=PREFERENCES, batch_rows=16)


def kto() -> TuneConfig:
    """Answers that are good or bad, one at a time (arXiv 2402.01306)."""
    return TuneConfig(method="kto", parent=f"{BASE}-sft", dataset=PREFERENCES, batch_rows=16)


def reward() -> TuneConfig:
    """A number for a whole answer, higher for what was chosen (arXiv 2203.02155)."""
    return TuneConfig(method="reward", parent=f"{BASE}-sft", dataset=PREFERENCES, batch_rows=16)


def grpo() -> TuneConfig:
    """Answers to a prompt against one another, by rewards that can be verified (arXiv 2402.03300)."""
    return TuneConfig(method="grpo", parent=f"{BASE}-sft", dataset=QUESTIONS, batch_rows=32)


def distill() -> TuneConfig:
    """A smaller model learns from a larger one: from its distributions, or on what it writes itself."""
    return TuneConfig(method="distill", parent=BASE, dataset=QUESTIONS)


def tune_classifier() -> TuneConfig:
    """Texts into classes, by a head on the model."""
    return TuneConfig(method="classifier", parent=BASE, batch_rows=16, epochs=3)


METHODS = {
    "sft": sft,
    "dpo": dpo,
    "kto": kto,
    "reward": reward,
    "grpo": grpo,
    "distill": distill,
    "tune-classifier": tune_classifier,
}


def main(verb: str, argv: list[str]) -> int:
    """Tune, or say what would be done."""
    arguments = _parser(verb).parse_args(argv)
    config, home = _configured(verb, arguments.words), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        console.print(f"run {config.name}, home {home.root}", markup=False)
        console.print_json(config.model_dump_json())
        if missing := list(_missing(config, home)):
            console.print("\n".join(f"{one}: would be made first" for one in missing), markup=False)
            return 0
        _print_job(plan(config, home), console)
        return 0
    _make_defaults(config, home, console)
    _print_job(plan(config, home), console)
    _print_tuned(tune(config, home, hands(), verb), home, console)
    return 0


sft_main, dpo_main, kto_main = partial(main, "sft"), partial(main, "dpo"), partial(main, "kto")
reward_main, grpo_main, distill_main = partial(main, "reward"), partial(main, "grpo"), partial(main, "distill")
classifier_main = partial(main, "tune-classifier")


def _configured(verb: str, words: list[str]) -> TuneConfig:
    own = {"mode": "distill.mode", "teacher": "distill.teacher", "rewards": "grpo.rewards", "pattern": "grpo.pattern"}
    given = [words[0]] if words and "=" not in words[0] else []
    fields = [f"parent={given[0]}"] if given else []
    for word in words[len(given) :]:
        name, _, value = word.partition("=")
        fields.append(f"{own.get(name, name)}={value}")
    config = set_fields(METHODS[verb](), fields)
    said = {field.partition("=")[0] for field in fields}
    if not said & {"dataset", "epochs", "max_steps"} and config.parent.partition("@")[0] in (BASE, f"{BASE}-sft"):
        config = config.variant(max_steps=DEMO_STEPS.get(verb, 0))
    if not config.dataset:
        raise BadInput(f"which dataset? Write for example: just {verb} {config.parent} dataset=NAME (`just datasets`).")
    return config


def _missing(config: TuneConfig, home: Home) -> list[str]:
    """The defaults that are asked for and not there yet, in the order in which they are made."""
    found = []
    if config.parent == f"{BASE}-sft" and not versions(home, "models", config.parent):
        found = [*_missing(sft(), home), f"models/{config.parent}"]
    elif config.parent == BASE and not versions(home, "models", BASE):
        found = [f"models/{BASE}"]
    if config.dataset in (QUESTIONS, PREFERENCES) and not versions(home, "datasets", config.dataset):
        found.append(f"datasets/{config.dataset}")
    return list(dict.fromkeys(found))


def _make_defaults(config: TuneConfig, home: Home, console: Console) -> None:
    """Make the default model and datasets where they are asked for and not there yet."""
    from configs import datasets, pretrain

    for missing in _missing(config, home):
        kind, _, name = missing.partition("/")
        console.print(f"there is no {missing} yet: it is made first", markup=False)
        if kind == "datasets":
            datasets.main([name, "--home", str(home.root)])
        elif name == BASE:
            pretrain.main([BASE, "--home", str(home.root)])
        else:
            main("sft", ["--home", str(home.root)])


def resume_main(name: str, fields: list[str], home: Home) -> int:
    """Go on with a tuning run: `just resume` knows runs of both kinds."""
    step = next((int(field.partition("=")[2]) for field in fields if field.startswith("step=")), 0)
    rest = [field for field in fields if not field.startswith("step=")]
    done = resume(name, home, hands(), step, lambda config: set_fields(config, rest))
    _print_tuned(done, home, Console(soft_wrap=True, highlight=False))
    return 0


def rank_main(argv: list[str]) -> int:
    """One of several processes of a run: `RUN HOME`, started by `composer -n`."""
    tune_launched(argv[0], Home.open(argv[1]), hands())
    return 0


def merge_main(argv: list[str]) -> int:
    """Fold an adapter into its base."""
    parser = Parser(
        prog="just merge",
        description="Fold an adapter into its base.\n\njust merge base-chat@1\njust merge base-chat name=base-chat-2",
    )
    parser.add_argument("model", help="an adapter of the home, name or name@version")
    parser.add_argument("name", nargs="?", default="", help="name=… of the new model; else <adapter>-merged")
    parser.add_home()
    arguments = parser.parse_args(argv)
    home = Home.open(arguments.home)
    field, equals, name = arguments.name.partition("=")
    if arguments.name and (field != "name" or not equals):
        raise BadInput(f"not a field of merge: {arguments.name!r}. Write name=…")
    record, fresh = merge(home, arguments.model, name)
    if not fresh:
        print(f"{record.ref} is there already, from the same adapter: nothing to do.")
    print(f"model    {home.artifact(record.kind, record.name, record.version)}")
    return 0


def hands() -> Hands:
    """What training is handed: how held-out text is scored, how code is run, and how processes are started."""
    return Hands(Scorer(likelihood.score, likelihood.rates), sandbox.passes, _command)


def _command(job: Job) -> list[str]:
    launcher = [sys.executable, "-m", "composer.cli.launcher", "-n", str(job.processes)]
    return [*launcher, "-m", "configs", "tune-rank", job.config.name, str(job.home.root)]


def _print_job(job: Job, console: Console) -> None:
    config, many = job.config, job.processes > 1
    state = f"at step {job.folder.state().step}, {job.folder.state().status}" if job.folder.exists else "to begin"
    trained = job.train.trained_tokens
    learnt = f", {trained:,} tokens to learn" if trained else ""
    console.print(
        f"run      {config.name}: {state}\n"
        f"model    {job.parent.ref}, {parameters(job.shape) / 1e6:,.1f} M parameters; {described(config.adapter)}\n"
        f"data     {job.dataset.ref}: {len(job.train.examples):,} rows{learnt}\n"
        f"{_left_out(job)}"
        f"steps    {job.feed.steps:,} of {config.batch_rows} rows of up to {job.longest:,} tokens\n"
        f"reads    {_reads(job)}\n"
        f"rate     {job.rate.rate:g}: {job.rate.source}\n"
        f"on       {job.device}, {job.precision}, {job.processes} process{'es by ' + job.strategy if many else ''}",
        markup=False,
    )


def _left_out(job: Job) -> str:
    """The rows that are not read by reason; a warning where they are many."""
    count, rows = sum(job.train.left_out.values()), len(job.train.examples)
    if not count:
        return ""
    why = ", ".join(f"{number:,} {reason}" for reason, number in job.train.left_out.items())
    word, all_rows = "WARNING" if count > WARNED * (count + rows) else "note", count + rows
    return f"{word:<8} {count:,} of {all_rows:,} rows are left out: {why} (max_length={job.config.max_length})\n"


def _reads(job: Job) -> str:
    """Rows and tokens of the steps; with what is replayed, or why nothing is."""
    read = job.reads
    said = f"{read.rows:,} rows of {read.tokens:,} tokens"
    if read.replayed and job.mixture:
        share = read.replayed_tokens / (read.tokens + read.replayed_tokens)
        of = f"{read.replayed_tokens:,} tokens ({share:.1%}) of {job.mixture.ref}"
        return f"{said}, and {read.replayed:,} samples of {of} against forgetting"
    learns = job.config.method in ("sft", "distill") and not job.config.on_policy
    return f"{said}; no replay: {job.no_replay}" if learns and job.no_replay else said


def _print_tuned(done: Trained, home: Home, console: Console) -> None:
    name, counts = done.run.name, done.run.counts
    if not done.fresh:
        console.print(f"run {name} is finished already: nothing to do.", markup=False)
    console.print(f"{name}: {counts['step']:,} steps, {counts['samples']:,} rows read", markup=False)
    for row in _scores(done.model):
        console.print(f"         {row}", markup=False)
    adapter, report = done.model.config.get("kind") == "adapter", RunFolder(home, name).path / "report.html"
    if done.fresh or not report.is_file():
        write_report(home, name)
    console.print(
        f"model    {Path(home.artifact('models', done.model.name, done.model.version))}\n"
        f"report   {report}\n"
        f"ask      just sql \"FROM batch_rows('{name}', 1)\"\n"
        f"         just trace models/{name}\n"
        f"next     {_next(done.model, adapter)}",
        markup=False,
    )


def _scores(model: Record) -> list[str]:
    rows = model.counts.get("evaluations", [])
    found: dict[str, list[str]] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, dict) and row["metric"] in SHOWN:
            error = f" ± {row['stderr']:.2g}" if row["stderr"] else ""
            found.setdefault(str(row["task"]), []).append(f"{row['metric']} {row['value']:.4g}{error}")
    return [f"{task}: {', '.join(said)}" for task, said in found.items()]


def _next(model: Record, adapter: bool) -> str:
    if adapter:
        return f"just merge {model.ref}   a model of its own"
    if model.config.get("kind") == "sft":
        return f"just dpo {model.ref}   learns from preferences"
    if model.config.get("kind") == "reward":
        return f"just grpo NAME grpo.model={model.ref}   learns from this reward"
    return f"just sql \"SELECT * FROM evaluations WHERE model = '{model.name}'\""


def _parser(verb: str) -> Parser:
    method = METHODS[verb]()
    recipes = "\n".join(f"  {name:<16} {made.__doc__}" for name, made in METHODS.items())
    kinds = " or ".join(KINDS["distill" if verb == "distill" else method.method])
    parser = Parser(
        prog=f"just {verb}",
        usage=f"just {verb} [MODEL] [dataset=NAME] [field=value …] [--dry-run]",
        description=f"{__doc__}\nverbs:\n{recipes}\n\n{verb} reads datasets of {kinds}. "
        f"Fields and their values: just {verb} --dry-run.",
    )
    parser.add_fields("a model of the home, then fields", "MODEL")
    return parser
