"""`just prune`: a part of a model's weights at 0, what that cost, and recovery tuning that keeps them at 0.

just prune tiny                                        tiny-pruned: half of each row's weights, by Wanda
just prune tiny pattern=2:4 steps=50                   then 50 steps of pretraining on its mixture: tiny-pruned-tuned
just prune base@2 method=magnitude sparsity=0.3 name=base-light
just prune tiny samples=64 length=256 mixture=docs     which text activations are looked at with
just prune tiny pattern=2:4 steps=50 --dry-run         the whole config, and what would be done

The samples are on record: just sql "FROM calibration_documents('tiny-pruned', '1')". Recovery is a run like any other:
`just resume tiny-pruned-tuned` goes on with it, and any other training of a pruned model keeps its zeros too.
"""

from pydantic import Field

from catalog.commands import Parser
from catalog.config import Config, set_fields
from catalog.errors import BadInput
from catalog.home import Home
from catalog.records import Record
from catalog.tables import size, table
from catalog.wanted import check_name
from catalog.weights import weight_bytes
from configs.pretrain import hands
from eval import likelihood
from training.models.objectives import objective_for
from training.models.optimizers import OptimizerConfig
from training.models.schedules import ScheduleConfig
from training.pruning.prune import Job, PruneConfig, plan, prune
from training.runs.config import RunConfig
from training.runs.heldout import Scorer
from training.runs.job import plan as plan_run
from training.runs.pretrain import pretrain

WARMUP = 0.05


class Recipe(Config):
    """What `just prune` is asked for."""

    prune: PruneConfig
    steps: int = Field(default=0, ge=0)
    """Of recovery tuning; 0: none."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Higher ones undo what the end of the parent's own schedule won: 2e-4 raised the loss of tiny in 12 steps."""
    batch_tokens: int = Field(default=4096, gt=0)
    run: str = ""
    """Of the recovery, and its model's name; by default `<name>-tuned`."""


def main(argv: list[str]) -> int:
    """Prune a model, or say what would be done."""
    arguments = _parser().parse_args(argv)
    made = Recipe(prune=PruneConfig(model=arguments.model))
    recipe, home = set_fields(made, arguments.words), Home.open(arguments.home)
    job = plan(recipe.prune, home)
    if recipe.steps and not job.mixture:
        raise BadInput(f"no mixture in this home has the tokens of {job.model.ref}: name one, mixture=NAME.")
    if recipe.steps:
        for made_from in (job.model.ref, job.wanted.ref):
            check_name(made_from, recipe.run, "run")
        plan_run(recovery(job, recipe, job.model), home)  # what a run would refuse is said before anything is pruned
    if arguments.dry_run:
        print(recipe.model_dump_json(indent=1))
    print("\n".join(_described(job, recipe)), flush=True)
    if arguments.dry_run:
        return 0
    record, fresh = prune(job, Scorer(likelihood.score, likelihood.rates))
    if not fresh:
        print(f"{record.ref} is there already, made in the same way.")
    recovered = pretrain(recovery(job, recipe, record), home, hands(), "prune").model if recipe.steps else None
    print(f"\n{_compared(record, recovered)}\n")
    print("\n".join(_last(job, record, recovered)))
    return 0


def recovery(job: Job, recipe: Recipe, pruned: Record) -> RunConfig:
    """The run that trains what is left."""
    assert job.mixture
    return RunConfig(
        run=recipe.run or f"{job.name}-tuned",
        mixture=job.mixture.ref,
        tokenizer=str(job.home.artifact("models", pruned.name, pruned.version)),
        parent=str(pruned.ref),
        objective=objective_for(job.shape.family),
        optimizer=OptimizerConfig(learning_rate=recipe.learning_rate),
        schedule=ScheduleConfig(warmup_tokens=int(WARMUP * recipe.steps * recipe.batch_tokens)),
        batch_tokens=recipe.batch_tokens,
        max_steps=recipe.steps,
        heldout_rows=recipe.prune.rows,
        seed=recipe.prune.seed,
    )


def _described(job: Job, recipe: Recipe) -> list[str]:
    config, text = job.config, "none: magnitude reads no text"
    if job.calibrated and job.mixture:
        text = f"{config.samples:,} samples of up to {config.length:,} tokens from {job.mixture.ref}"
    then = f", then {recipe.steps:,} steps of {recipe.batch_tokens:,} tokens" if recipe.steps else ""
    return [
        f"model    {job.model.ref}",
        f"prunes   {config.sparsity:.0%} of each linear layer by {config.method}, pattern {config.pattern}{then}",
        f"text     {text}",
        f"makes    models/{job.wanted.ref}{', there already' if job.wanted.found() else ''}",
    ]


def _compared(pruned: Record, recovered: Record | None) -> str:
    """Held-out loss before, after, and recovered."""
    last = _losses(recovered, "loss") if recovered else {}
    after, before = _losses(pruned, "loss"), _losses(pruned, "parent_loss")
    rows = [[name, *(f"{of[name]:.4f}" if name in of else "" for of in (before, after, last))] for name in after]
    return table(["held-out loss", str(pruned.config["parent"]), str(pruned.ref), "recovered"], rows)


def _losses(record: Record, metric: str) -> dict[str, float]:
    rows = record.counts.get("evaluations")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    return {str(row["task"]): float(str(row["value"])) for row in found if row["metric"] == metric}


def _last(job: Job, pruned: Record, recovered: Record | None) -> list[str]:
    last, counts = recovered or pruned, pruned.counts
    own, now = (weight_bytes(job.home.artifact("models", one.name, one.version)) for one in (job.model, last))
    lines = [
        f"zeros    {counts['zeros']:,} of {counts['weights']:,} weights of {counts['layers']:,} layers",
        f"size     {size(now)} of {size(own)}: zeros are written as other numbers are",
        f"model    {job.home.artifact('models', last.name, last.version)}",
        f"ask      just trace models/{last.ref}",
    ]
    if recovered:
        return [*lines, f"next     just serve {last.ref}"]
    return [*lines, f"next     just pretrain parent={pruned.ref} run={pruned.name}-tuned …   trains what is left"]


def _parser() -> Parser:
    parser = Parser(
        prog="just prune",
        usage="just prune MODEL [method=wanda|magnitude] [pattern=2:4] [steps=N] [field=value …] [--dry-run]",
        description=f"{__doc__}\nFields and their values: just prune MODEL --dry-run.",
    )
    parser.add_model()
    parser.add_fields("method, pattern, sparsity, steps, …")
    return parser
