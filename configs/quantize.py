"""`just quantize` and `just compress-search`: a smaller model, what it lost, and which scheme to take.

just quantize tiny-sft w8a8                                8-bit integers; tiny-sft-w8a8 is made and measured
just quantize tiny-sft w4a16 group_size=64 name=small
just quantize base@2 w8a8 ignore=lm_head,re:.*down_proj samples=512 length=2048 kv_cache=true
just quantize tiny-sft nvfp4 receipt=false                 written here, served on a GPU
just quantize tiny-sft w8a8 --dry-run                      the whole config, and what would be done
just compress-search tiny-sft max_loss=1%                  the smallest that loses no more perplexity

Samples that activations are looked at with come from the model's own training mixture, and are on record:
just sql "FROM calibration_documents('tiny-sft-w8a8', '1')".
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from catalog.calibration import Sample
from catalog.commands import Parser
from catalog.config import Config, set_fields
from catalog.errors import BadInput, Misfit
from catalog.home import Home
from catalog.records import Record
from catalog.tables import size, table
from catalog.weights import weight_bytes
from configs.scorers import Question, answered, heldout, tuned_on
from serving.compress import Document, Job, QuantizeConfig, Texts, compressible, plan, quantize
from serving.engine import EngineConfig
from serving.receipt import SPEED, MeasureConfig, Receipt, Scorer, asked, receipt
from serving.schemes import SCHEMES, machine, needs
from serving.search import Trial, loss_of, smallest, to_try, trial

if TYPE_CHECKING:
    from training.mixtures.reading import Mixture


class Recipe(Config):
    """What `just quantize` is asked for."""

    quantize: QuantizeConfig
    receipt: bool = True
    """Measure the new model and its parent, where this machine can serve both."""
    measure: MeasureConfig = MeasureConfig()
    engine: EngineConfig = EngineConfig()


class Search(Recipe):
    """What `just compress-search` is asked for."""

    max_loss: str = "1%"
    """Of perplexity, over all held-out documents."""
    schemes: tuple[str, ...] = tuple(SCHEMES)


def main(argv: list[str]) -> int:
    """Compress a model, or say what would be done."""
    parser = _parser("quantize", "MODEL SCHEME")
    parser.add_argument("scheme", help=", ".join(SCHEMES))
    parser.add_fields("ignore, group_size, samples, receipt, …")
    arguments = parser.parse_args(argv)
    made = QuantizeConfig(model=arguments.model, scheme=arguments.scheme)
    recipe, home = set_fields(Recipe(quantize=made), arguments.words), Home.open(arguments.home)
    job = plan(recipe.quantize, home, partial(texts_of, home))
    measured = recipe.receipt and not job.served
    if measured:
        _check_measure(job, recipe)
    if arguments.dry_run:
        print(recipe.model_dump_json(indent=1))
    print("\n".join(_described(job, recipe)), flush=True)
    if arguments.dry_run:
        return 0
    record, fresh = quantize(job, recipe.engine.threads)
    if not fresh:
        print(f"{record.ref} is there already, made in the same way.")
    if measured:
        parent = _receipt(job, str(job.target.model.ref), recipe)
        print(f"\n{_compared(parent, _receipt(job, str(record.ref), recipe))}\n")
    print("\n".join(_last(job, record)))
    return 0


def search_main(argv: list[str]) -> int:
    """Try the schemes that this machine can serve, and name the smallest that holds."""
    parser = _parser("compress-search", "MODEL [max_loss=1%%]")
    parser.add_fields("max_loss, schemes, ignore, samples, …")
    arguments = parser.parse_args(argv)
    first = QuantizeConfig(model=arguments.model, scheme=next(iter(SCHEMES)))
    search, home = set_fields(Search(quantize=first), arguments.words), Home.open(arguments.home)
    max_loss = loss_of(search.max_loss)
    model = compressible(home, search.quantize.model).model
    if not search.receipt:
        raise BadInput("receipt=false leaves a search nothing to choose by: leave it out, or `just quantize` each.")
    if not search.schemes:
        raise BadInput(f"schemes= names none. Leave it out for all, or name some of {', '.join(SCHEMES)}.")
    if search.quantize.name or search.quantize.version:
        raise BadInput("each scheme makes a model of its own name: leave name and version out.")
    jobs, skipped = _jobs(search, home)
    if arguments.dry_run:
        print(search.model_dump_json(indent=1))
    print(f"model    {model.ref}\ntried    {', '.join(jobs) or 'none'}")
    print("\n".join(f"skipped  {name}: {why}" for name, why in skipped.items()), flush=True)
    if not jobs:
        why = "; ".join(f"{name}: {why}" for name, why in skipped.items())
        raise BadInput(f"no scheme can be tried. {why}")
    if arguments.dry_run:
        return 0
    parent, trials = None, []
    for name, job in jobs.items():
        made = quantize(job, search.engine.threads).record
        parent = parent or _receipt(job, str(model.ref), search)
        trials.append(trial(name, parent, _receipt(job, str(made.ref), search)))
    assert parent
    print(f"\n{_tried(parent, trials, max_loss)}\n")
    found = smallest(trials, max_loss)
    if not found:
        least = min(trials, key=lambda one: one.loss)
        print(f"none holds: {least.scheme} loses least, {least.loss:.2%} of perplexity, and {max_loss:.2%} are allowed")
        return 0
    print(f"smallest {found.model}, {found.scheme}: {size(found.bytes)}, {found.loss:+.2%} perplexity")
    print(f"next     just serve {found.model}")
    return 0


def _jobs(search: Search, home: Home) -> tuple[dict[str, Job], dict[str, str]]:
    """The jobs of a search, and why each other scheme is skipped: its hardware, or the model's shapes.

    Raises BadInput for what all schemes need or one of them lacks here for now: a mixture, disk, memory.
    """
    names, skipped = to_try(search.schemes, machine())
    jobs = {}
    for name in names:
        try:
            jobs[name] = plan(
                search.quantize.variant(
                    scheme=name, group_size=search.quantize.group_size if SCHEMES[name].group else 0
                ),
                home,
                partial(texts_of, home),
            )
        except Misfit as error:
            skipped[name] = str(error)
    for job in jobs.values():
        _check_measure(job, search)
    return jobs, skipped


def texts_of(home: Home, model: Record, asked_mixture: str) -> Texts | None:
    """The text of a model's mixture, or of the one that is asked for; None where no mixture has the model's tokens."""
    from training.mixtures.reading import check_rows, own_mixture

    mixture = own_mixture(home, model, asked_mixture)
    if not mixture:
        return None
    folder = home.artifact("models", model.name, model.version)
    drawn = partial(_drawn, home, mixture)
    return Texts(mixture.record, partial(check_rows, mixture), drawn, partial(_heldout, home, mixture, folder))


def _drawn(home: Home, mixture: "Mixture", count: int, length: int, seed: int) -> list[Sample]:
    from training.loader.excerpts import drawn

    return [one.sample for one in drawn(home, mixture, count, length, seed)]


def _heldout(home: Home, mixture: "Mixture", folder: Path, rows: int) -> list[Document]:
    from training.loader.excerpts import heldout as excerpts
    from training.runs.heldout import token_bytes
    from training.tokenizers.load import load_tokenizer

    sizes = token_bytes(load_tokenizer(home, str(folder)).tokenizer)
    return [
        Document(one.domain, ids, float(sizes[ids[1:]].sum()))
        for one in excerpts(home, mixture, rows)
        for ids in one.documents
        if len(ids) > 1
    ]


def _check_measure(job: Job, recipe: Recipe) -> None:
    """Raises BadInput where there is no text to measure on, or the parent cannot be served: before hours of work."""
    if not job.texts:
        raise BadInput(
            f"no mixture in this home has the tokens of {job.target.model.ref}: name one, mixture=NAME, "
            "or say receipt=false."
        )
    if not job.texts.mixture.counts.get("heldout"):
        raise BadInput(
            f"mixture {job.texts.mixture.ref} holds nothing back to measure on: make it with heldout=0.01, "
            "or say receipt=false."
        )
    asked(job.home, str(job.target.model.ref), recipe.measure, [], recipe.engine)


def _receipt(job: Job, model: str, recipe: Recipe) -> Receipt:
    """Of the model or of its parent, on the same texts and questions."""
    assert job.texts
    talks = job.target.template and recipe.measure.questions
    exam = tuned_on(job.home, job.target.model) if talks else None
    reads = [job.texts.mixture, exam[0]] if exam else [job.texts.mixture]
    wanted = asked(job.home, model, recipe.measure, reads, recipe.engine)
    return receipt(wanted, partial(_scorers, job.texts, exam, recipe.measure))


def _scorers(texts: Texts, exam: tuple[Record, list[Question]] | None, measure: MeasureConfig) -> list[Scorer]:
    """What a receipt asks of a model; more tasks come here."""
    own: list[Scorer] = [partial(heldout, texts.heldout(measure.rows))]
    if exam:
        own.append(partial(answered, str(exam[0].ref), exam[1][: measure.questions]))
    return own


# ── What is printed ───────────────────────────────────────────────────────────────────────────────────────────────────


def _described(job: Job, recipe: Recipe) -> list[str]:
    config, group = job.config, f" in groups of {job.group}" if job.group else ""
    calibration, weights = config.calibration, weight_bytes(job.target.folder)
    text = "none: the scheme reads no text"
    if job.calibrated and job.texts:
        text = f"{calibration.samples:,} samples of up to {calibration.length:,} tokens from {job.texts.mixture.ref}"
    where = f"not here: {job.served}" if job.served else "here"
    return [
        f"model    {job.target.model.ref}, {size(weights)} of weights",
        f"scheme   {job.scheme.name}: {job.scheme.what}",
        f"layers   {len(job.layers):,}{group}; as they are: {', '.join(job.ignore)}",
        f"text     {text}",
        f"makes    models/{job.wanted.ref}, about {size(job.bytes)}{', there already' if job.wanted.found() else ''}",
        f"served   {where}{'' if recipe.receipt else ', not measured'}",
    ]


def _compared(parent: Receipt, made: Receipt) -> str:
    """What was lost and won, beside the parent."""
    rows: list[tuple[str, str, str]] = [
        ("size", "served/size", "bytes"),
        *((task, task, "perplexity") for task in parent.tasks("perplexity")),
        *(
            (f"{name} match, {task.removeprefix('served/exam/')}", task, f"{name}_match")
            for name in ("exact", "partial")
            for task in parent.tasks(f"{name}_match")
        ),
    ]
    rows += [(f"{name}, tokens/s", SPEED, f"{name}_tokens_per_second") for name in ("prefill", "decode")]
    lines = []
    for label, task, metric in rows:
        values = [one.value(task, metric) for one in (parent, made)]
        shown = [size(value) if metric == "bytes" else f"{value:,.4g}" for value in values]
        name = label.replace("served/", "perplexity, ") if metric == "perplexity" else label
        change = f"{values[1] / values[0] - 1:+.2%}" if values[0] else ""
        lines.append([name, *shown, change])
    return table(["measure", str(parent.record.config["model"]), str(made.record.config["model"]), "change"], lines)


def _tried(parent: Receipt, trials: Sequence[Trial], max_loss: float) -> str:
    decode = parent.value(SPEED, "decode_tokens_per_second")
    own = [size(parent.value("served/size", "bytes")), f"{parent.value('served/all', 'perplexity'):,.4g}"]
    rows = [["(as it is)", *own, "", f"{decode:,.0f}", "", ""]]
    for one in sorted(trials, key=lambda one: one.bytes):
        holds = "yes" if one.loss <= max_loss else "no"
        shown = [
            size(one.bytes),
            f"{one.perplexity:,.4g}",
            f"{one.loss:+.2%}",
            f"{one.decode:,.0f}",
            f"{one.times:.2f}",
        ]
        rows.append([one.scheme, *shown, holds])
    return table(["scheme", "size", "perplexity", "change", "decode/s", "times", f"within {max_loss:.2%}"], rows)


def _last(job: Job, record: Record) -> list[str]:
    folder = job.home.artifact("models", record.name, record.version)
    lines = [f"model    {folder}", f"size     {size(weight_bytes(folder))} of {size(weight_bytes(job.target.folder))}"]
    if job.calibrated:
        lines.append(f"ask      just sql \"FROM calibration_documents('{record.name}', '{record.version}')\"")
    lines.append(f"         just trace models/{record.ref}")
    if job.served:
        return [*lines, f"next     serve it elsewhere: {job.served}"]
    return [*lines, f"next     just serve {record.ref}"]


def _parser(verb: str, words: str) -> Parser:
    schemes = "\n".join(f"  {scheme.name:<12} {scheme.what}; served by {needs(scheme)}" for scheme in SCHEMES.values())
    parser = Parser(
        prog=f"just {verb}",
        usage=f"just {verb} {words} [field=value …] [--dry-run]",
        description=f"{__doc__}\nschemes:\n{schemes}\n\nFields and their values: the same with --dry-run.",
    )
    parser.add_model()
    return parser
