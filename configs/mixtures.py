"""`just mixture` and `just show-mixture`: what a run will read, settled and checked before it starts.

just mixture                                                 one epoch of the default tokens
just mixture balanced tokens=web 'shares=web=0.5, encyclopedia<=0.4, code=0.1' budget=2e9
just mixture zh tokens=web,zh-books@2 by=lang 'shares=zh>=0.4, *<=0.3' temperature=2 max_epochs=4
just mixture long recipe=phases tokens=web budget=2e9 'phases.anneal.shares=code=0.3'
just mixture balanced tokens=web --dry-run                   print the plan, write nothing
just show-mixture balanced@1                                 the plan of a mixture, as a tree
just show-mixture balanced@1 --run zh-small                  beside it, what a run has really consumed
"""

import shlex
import sys

from rich.console import Console
from rich.tree import Tree

from catalog.commands import Parser
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import versions
from catalog.store import Catalog
from catalog.tables import table
from configs.recipes import configured, described
from training.mixtures.build import build, draft
from training.mixtures.config import MixtureConfig, PhaseConfig, parse_shares
from training.mixtures.consumed import shares
from training.mixtures.plan import PhasePlan, Plan, StreamPlan
from training.mixtures.reading import load_mixture


def plain() -> MixtureConfig:
    """One phase; by default one epoch of everything, in proportion to its size."""
    return MixtureConfig()


def phases() -> MixtureConfig:
    """Warm (5 %), main (80 %), anneal (15 %); each may have shares, tokens and a sequence length of its own."""
    return MixtureConfig(
        phases=(
            PhaseConfig(name="warm", part=0.05),
            PhaseConfig(name="main", part=0.8),
            PhaseConfig(name="anneal", part=0.15),
        )
    )


DEFAULT_TOKENS = "docs"
SMALL = 0.005
"""Of a phase: streams below it are shown together."""
MIXTURES = {"plain": plain, "phases": phases}


def main(argv: list[str]) -> int:
    """Make a mixture, or say what would be made."""
    arguments = _parser().parse_args(argv)
    words = arguments.words
    named = words[:1] if words and "=" not in words[0] else []
    fields = words[len(named) :]
    recipe = next((word.partition("=")[2] for word in fields if word.startswith("recipe=")), "plain")
    fields = [word for word in fields if not word.startswith("recipe=")]
    ref = [f"{part}={text}" for part, text in parse_ref(named[0])._asdict().items() if text] if named else []
    config, home = configured(MIXTURES, recipe, [*ref, *fields]), Home.open(arguments.home)
    console = Console(soft_wrap=True, highlight=False)
    if arguments.dry_run:
        drafted = draft(config, home)
        console.print_json(config.model_dump_json())
        _print_plan(config.name, drafted.plan, console)
        _print_warnings(drafted.warnings)
        return 0
    _make_defaults(config, home, console)
    made = build(config, home)
    ref = str(made.record.ref)
    if not made.fresh:
        console.print(f"{ref} is planned already, from the same tokens and config: nothing to do.", markup=False)
    mixture = load_mixture(home, ref)
    _print_plan(ref, mixture.plan, console)
    _print_warnings(made.warnings)
    counts = made.record.counts
    console.print(
        f"{ref}: {counts['samples']:,} samples, {counts['tokens']:,} tokens; {counts['heldout']:,} samples held out, "
        f"{counts['guards']:,} beside them left out\n"
        f"ask      just sql \"FROM mixtures WHERE mixture = '{made.record.name}'\"\n"
        f"next     just pretrain mixture={shlex.quote(ref)}",
        markup=False,
    )
    return 0


def _make_defaults(config: MixtureConfig, home: Home, console: Console) -> None:
    """Make the default tokens where they are asked for and not there yet, unless the shares cannot be read."""
    for text in (config.shares, *(phase.shares for phase in config.phases)):
        parse_shares(text)
    if DEFAULT_TOKENS in config.tokens and not versions(home, "tokens", DEFAULT_TOKENS):
        from configs import tokens

        console.print(f"there are no tokens {DEFAULT_TOKENS} yet: they are made first", markup=False)
        tokens.main([DEFAULT_TOKENS, "--home", str(home.root)])


def show(argv: list[str]) -> int:
    """Print a mixture as a tree."""
    parser = Parser(prog="just show-mixture", description="Print a mixture as a tree of phases, groups and streams.")
    parser.add_argument("mixture", help="name or name@version")
    parser.add_argument("--run", help="compare the plan with what this run has consumed")
    parser.add_home()
    arguments = parser.parse_args(argv)
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    mixture = load_mixture(home, arguments.mixture)
    _print_plan(mixture.ref, mixture.plan, console)
    if arguments.run:
        with Catalog.open(home) as catalog:
            found = shares(catalog, mixture, arguments.run)
        rows = [[one.group, f"{one.planned:.3%}", f"{one.consumed:.3%}", one.tokens] for one in found]
        console.print(table(["group", "planned", "consumed", "tokens"], rows), markup=False)
        worst = max(abs(one.planned - one.consumed) for one in found)
        console.print(f"run {arguments.run}: within {worst:.3%} of the plan", markup=False)
    return 0


def _parser() -> Parser:
    recipes = "\n".join(described(MIXTURES))
    parser = Parser(
        prog="just mixture",
        usage="just mixture [NAME[@VERSION]] [recipe=RECIPE] [field=value …] [--dry-run]",
        description=f"{__doc__}\nrecipes:\n{recipes}\n\nFields and their values: add --dry-run.",
    )
    parser.add_fields("a name, then fields of the config", "NAME", dry_run="the config and the plan")
    return parser


def _print_warnings(lines: tuple[str, ...]) -> None:
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def _print_plan(name: str, plan: Plan, console: Console) -> None:
    tree = Tree(f"{name}  {plan.tokens:,} tokens")
    for phase in plan.phases:
        branch = tree.add(f"{phase.name}  {phase.tokens:,} tokens in samples of {phase.sequence_length:,}")
        for group, share in _groups(phase).items():
            streams = [stream for stream in phase.streams if stream.group == group]
            hand = sum(stream.at_hand * stream.length for stream in streams)
            read = sum(stream.tokens for stream in streams)
            leaf = branch.add(f"{share:6.1%}  {group}  {read:,} tokens, {read / hand:.2f} epochs of {hand:,}")
            _add_streams(leaf, streams if len(streams) > 1 else [], phase.tokens)
    console.print(tree, markup=False)


def _add_streams(leaf: Tree, streams: list[StreamPlan], of: int) -> None:
    """A group's streams; those below half a percent of the phase together."""
    small = [stream for stream in streams if stream.tokens / of < SMALL]
    for stream in streams if len(small) < 2 else [stream for stream in streams if stream not in small]:
        leaf.add(f"{stream.tokens / of:6.1%}  {stream.key}  {stream.tokens:,}")
    if len(small) > 1:
        tokens = sum(stream.tokens for stream in small)
        leaf.add(f"{tokens / of:6.1%}  {len(small)} smaller streams  {tokens:,}")


def _groups(phase: PhasePlan) -> dict[str, float]:
    """The share of each group, the largest first."""
    tokens: dict[str, int] = {}
    for stream in phase.streams:
        tokens[stream.group] = tokens.get(stream.group, 0) + stream.tokens
    return {group: read / phase.tokens for group, read in sorted(tokens.items(), key=lambda pair: -pair[1])}
