"""`just pretrain` and `just resume`: a model from a mixture, every batch on record.

just pretrain                                          a tiny model on the default corpus, on a CPU in minutes
just pretrain small mixture=balanced run=zh-small nproc=8
just pretrain 350m mixture=balanced precision=bf16 compile=true schedule.kind=wsd
just pretrain 7b mixture=web nodes=2 nproc=8 address=10.0.0.1:29400   it prints the line for the other machine
just pretrain tiny mixture=zh parent=tiny@1 run=tiny-zh   go on from a model of the home
just pretrain tiny --dry-run                           the whole config, and what would be done
just resume zh-small                                   go on from the last checkpoint, also with another nproc
just resume zh-small skip=true                         leave out the batch on which it diverged
just resume zh-small step=500                          from an earlier checkpoint; later rows are set aside
just resume zh-small mixture=more-code@2               read another mixture from here on; the schedule goes on
just resume zh-small mirror=s3://bucket/lake   on another machine: the run comes from there, and goes there
"""

import sys
from pathlib import Path

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.errors import BadInput
from catalog.home import Home
from catalog.records import versions
from configs.recipes import configured, described
from eval import likelihood
from training.models.config import parameters
from training.models.objectives import objective_for
from training.models.optimizers import OptimizerConfig
from training.models.presets import PRESETS, Preset
from training.models.schedules import ScheduleConfig
from training.runs.config import RunConfig
from training.runs.folder import RunFolder
from training.runs.heldout import Scorer
from training.runs.job import Job, plan
from training.runs.pretrain import Hands, Resume, Trained, pretrain, resume, train_launched
from training.runs.report.page import write_report

DEFAULT_MIXTURE = "docs"
WARMUP = 0.05
"""Of the run: GPT-3 warmed up over 0.1 %, small runs need more of their few steps."""


def recipe_of(preset: Preset) -> RunConfig:
    """A preset's run: its shape, learning rate and batch, on the default mixture."""
    return RunConfig(
        run=preset.name,
        model=preset.model,
        objective=objective_for(preset.model.family),
        optimizer=OptimizerConfig(learning_rate=preset.learning_rate),
        batch_tokens=preset.batch_tokens,
    )


def _recipe(preset: Preset):
    def recipe() -> RunConfig:
        return recipe_of(preset)

    recipe.__doc__ = f"{preset.parameters / 1e6:,.0f} M parameters, {preset.model.family}; {preset.source}"
    return recipe


RUNS = {name: _recipe(preset) for name, preset in PRESETS.items()}


def main(argv: list[str]) -> int:
    """Pretrain, or say what would be done."""
    arguments = _parser("pretrain").parse_args(argv)
    words = arguments.words
    recipe, fields = (words[0], words[1:]) if words and "=" not in words[0] else ("tiny", words)
    config, home = configured(RUNS, recipe, fields), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        return _print_plan(config, home, recipe, fields, console)
    _make_defaults(config, home, console)
    config = _settled(config, home, recipe, fields)
    _print_job(plan(config, home), console)
    _print_trained(pretrain(config, home, hands(), recipe), home, console)
    return 0


def resume_main(argv: list[str]) -> int:
    """Go on with a run."""
    parser = _parser("resume")
    arguments = parser.parse_args(argv)
    if not arguments.words:
        raise BadInput("which run? Write for example: just resume zh-small")
    name, *fields = arguments.words
    given = dict(field.partition("=")[::2] for field in fields)
    how = set_fields(Resume(), [f"{key}={given[key]}" for key in Resume.model_fields if key in given])
    rest = [field for field in fields if field.partition("=")[0] not in Resume.model_fields]
    home = Home.open(arguments.home)
    run = RunFolder(home, name)
    if run.exists and run.state().kind != "pretrain":
        from configs import tune

        return tune.resume_main(name, fields, home)
    mirror = given.get("checkpoint.mirror", given.get("mirror", ""))
    done = resume(name, home, hands(), how, lambda config: set_fields(config, rest), mirror)
    _print_trained(done, home, Console(soft_wrap=True, highlight=False))
    return 0


def rank_main(argv: list[str]) -> int:
    """One of several processes of a run: `RUN HOME`, started by `composer -n`."""
    train_launched(argv[0], Home.open(argv[1]), hands().scorer)
    return 0


def hands() -> Hands:
    """What training is handed: how held-out text is scored, and how processes are started."""
    return Hands(Scorer(likelihood.score, likelihood.rates), _command)


def _command(job: Job, node: int) -> list[str]:
    config, launcher = job.config, [sys.executable, "-m", "composer.cli.launcher"]
    many = {"-n": job.processes // config.nodes}
    if config.nodes > 1:
        host, _, port = config.address.rpartition(":")
        many |= {"--world_size": job.processes, "--node_rank": node, "--master_addr": host, "--master_port": port}
    words = [str(word) for pair in many.items() for word in pair]
    return [*launcher, *words, "-m", "configs", "pretrain-rank", config.run, str(job.home.root)]


def _settled(config: RunConfig, home: Home, recipe: str, fields: list[str]) -> RunConfig:
    """What follows from the mixture: of the default one no more than the preset's tokens; a twentieth to warm up."""
    job, wanted = plan(config, home), PRESETS[recipe].tokens // config.batch_tokens
    if job.mixture.record.name == DEFAULT_MIXTURE and not config.max_steps and wanted < job.steps:
        config = config.variant(max_steps=wanted)
    if any("warmup" in field for field in fields) or config.schedule.warmup_tokens:
        return config
    total = plan(config, home).total_tokens
    return config.variant(
        schedule=ScheduleConfig(**{**config.schedule.model_dump(), "warmup_tokens": int(total * WARMUP)})
    )


def _make_defaults(config: RunConfig, home: Home, console: Console) -> None:
    """Plan the default mixture, and all that it needs, where it is asked for and not there yet."""
    if config.mixture == DEFAULT_MIXTURE and not versions(home, "mixtures", DEFAULT_MIXTURE):
        from configs import mixtures

        console.print(f"there is no mixture {DEFAULT_MIXTURE} yet: it is planned first", markup=False)
        mixtures.main([DEFAULT_MIXTURE, "--home", str(home.root)])


def _print_plan(config: RunConfig, home: Home, recipe: str, fields: list[str], console: Console) -> int:
    console.print(f"run {config.run}, home {home.root}", markup=False)
    console.print_json(config.model_dump_json())
    if config.mixture == DEFAULT_MIXTURE and not versions(home, "mixtures", DEFAULT_MIXTURE):
        console.print(f"mixtures/{DEFAULT_MIXTURE}: would be planned first", markup=False)
        return 0
    _print_job(plan(_settled(config, home, recipe, fields), home), console)
    return 0


def _print_job(job: Job, console: Console) -> None:
    config, steps = job.config, job.schedule.steps
    many = job.processes > 1
    size = f"{parameters(job.model) / 1e6:,.1f} M parameters"
    state = f"at step {job.folder.state().step}, {job.folder.state().status}" if job.folder.exists else "to begin"
    start = f", from {job.parent.ref if job.parent else job.model.checkpoint}" if job.model.checkpoint else ""
    part = f"; the mixture has {steps:,}, which max_steps={steps} reads" if job.steps < steps else ""
    console.print(
        f"run      {config.run}: {state}\n"
        f"model    {job.model.family}, {size}, context {job.model.context:,}{start}\n"
        f"data     mixture {job.mixture.ref}, tokenizer {job.tokenizer.ref}\n"
        f"steps    {job.steps:,} of {config.batch_tokens:,} tokens, {job.total_tokens:,} in all{part}\n"
        f"measured held-out loss of each domain, every {job.evaluation_interval:,} steps\n"
        f"on       {job.device}, {job.precision}, {job.processes} process{'es by ' + job.strategy if many else ''}",
        markup=False,
    )


def _print_trained(done: Trained, home: Home, console: Console) -> None:
    counts, name = done.run.counts, done.run.name
    if not done.fresh:
        console.print(f"run {name} is finished already: nothing to do.", markup=False)
    loss = done.model.counts.get("heldout_loss")
    heldout = f", held-out loss {loss:.3f}" if isinstance(loss, float) else ""
    console.print(
        f"{name}: {counts['step']:,} steps, {counts['tokens']:,} tokens{heldout}\n"
        f"model    {Path(home.artifact('models', done.model.name, done.model.version))}\n"
        f"report   {write_report(home, name)}\n"
        f"ask      just sql \"FROM batch_documents('{name}', 5)\"\n"
        f"         just trace run {name}\n"
        f"next     just pretrain parent={done.model.ref} run={name}-2 mixture=…   goes on with other data",
        markup=False,
    )


def _parser(verb: str) -> Parser:
    recipes = "\n".join(described(RUNS))
    parser = Parser(
        prog=f"just {verb}",
        usage="just pretrain [RECIPE] [field=value …] [--dry-run]"
        if verb == "pretrain"
        else "just resume RUN [field=value …]",
        description=f"{__doc__}\nrecipes:\n{recipes}\n\nFields of a recipe, and their values: just pretrain --dry-run.",
    )
    parser.add_fields("a recipe or run, then fields", "NAME")
    return parser
