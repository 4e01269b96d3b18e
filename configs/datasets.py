"""`just dataset`: instruction and preference data in one form, registered by name and version.

just dataset                                            both default sets, questions derived from the corpus docs
just dataset alpaca input=alpaca.jsonl                  the format is detected; every field is checked first
just dataset mix input='sft/*.jsonl.gz,more/' near=0.8  near-duplicates out, too
just dataset hh input=hh.jsonl.zst format=hh held_out=0.05
just dataset good input=dpo.parquet kind=instructions   the chosen answers, to tune on
just dataset docs-questions rows=2000 --dry-run         the whole config, and what is there already
just datasets                                           what there is
"""

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.errors import BadInput, near
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.records import Record, versions, walk
from catalog.tables import table
from configs.recipes import described
from data.instructions.config import DatasetConfig
from data.instructions.formats import FORMATS
from data.instructions.prepare import plan, prepare

DEFAULT_CORPUS = "docs"


def docs_questions() -> DatasetConfig:
    """Questions about the pages of the default corpus, with their answers: for `just sft`."""
    return DatasetConfig(name="docs-questions", corpus=DEFAULT_CORPUS, kind="instructions")


def docs_preferences() -> DatasetConfig:
    """The same questions, with the answer to another one as the rejected one: for `just dpo`."""
    return DatasetConfig(name="docs-preferences", corpus=DEFAULT_CORPUS, kind="preferences")


DATASETS = {"docs-questions": docs_questions, "docs-preferences": docs_preferences}
"""The sets that need no files."""


def main(argv: list[str]) -> int:
    """Make a dataset, or both default ones, or say what would be made."""
    arguments = _parser().parse_args(argv)
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    for config in _configured(arguments.words):
        _make_corpus(config, home, console, arguments.dry_run)
        if arguments.dry_run:
            _print_plan(config, home, console)
            continue
        made = prepare(config, home)
        if not made.fresh:
            console.print(f"{made.record.ref} is there already, from the same data: nothing to do.", markup=False)
        _print_made(made.record, home, console)
    return 0


def list_main(argv: list[str]) -> int:
    """List the datasets of a home."""
    parser = Parser(
        prog="just datasets", description="List the datasets of the home.\n\njust datasets\njust dataset --help"
    )
    parser.add_home()
    home = Home.open(parser.parse_args(argv).home)
    found = list(walk(home, ["datasets"]))
    if not found:
        print(f"there are no datasets in {home.root}: run `just dataset`")
        return 0
    counted = ("kind", "rows", "train", "held_out", "dropped", "failed")
    rows = [[str(one.ref), *(one.counts.get(name) for name in counted), _origin(one)] for one in found]
    print(table(["dataset", *counted, "from"], rows))
    return 0


def _configured(words: list[str]) -> list[DatasetConfig]:
    if not words or "=" in words[0]:
        if any(word.partition("=")[0] == "input" for word in words):
            raise BadInput("give the dataset a name: just dataset NAME input=FILE.")
        return [set_fields(make(), words) for make in DATASETS.values()]
    ref = parse_ref(words[0])
    given = any(word.partition("=")[0] in ("input", "corpus") for word in words[1:])
    if ref.name not in DATASETS and not given:
        raise BadInput(f"no input for {ref.name!r}: give input=FILES. Sets that need none: {near(ref.name, DATASETS)}")
    config = DATASETS[ref.name]() if ref.name in DATASETS and not given else DatasetConfig(name=ref.name)
    return [set_fields(config.variant(version=ref.version), words[1:])]


def _make_corpus(config: DatasetConfig, home: Home, console: Console, dry_run: bool) -> None:
    """Build the default corpus where it is asked for and not there yet."""
    if config.corpus == DEFAULT_CORPUS and not versions(home, "corpora", DEFAULT_CORPUS) and not dry_run:
        from configs import build_corpus

        console.print(f"there is no corpus {DEFAULT_CORPUS} yet: it is built first", markup=False)
        build_corpus.main(["docs", "--home", str(home.root)])


def _print_plan(config: DatasetConfig, home: Home, console: Console) -> None:
    console.print(f"dataset {config.name}, home {home.root}", markup=False)
    console.print_json(config.model_dump_json())
    if config.corpus == DEFAULT_CORPUS and not versions(home, "corpora", DEFAULT_CORPUS):
        console.print(f"corpora/{DEFAULT_CORPUS}: would be built first", markup=False)
        return
    job = plan(config, home)
    for path in job.paths:
        console.print(f"file     {path.stat().st_size:>12,} bytes  {path}", markup=False)
    state = "there already" if job.wanted.found() else "to read, check and publish"
    console.print(f"{job.wanted.ref}: {state}", markup=False)


def _print_made(record: Record, home: Home, console: Console) -> None:
    counts = record.counts
    reasons = counts["reasons"] if isinstance(counts["reasons"], dict) else {}
    why = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items())
    folder = home.artifact(record.kind, record.name, record.version)
    column = {"instructions": "messages", "texts": "text", "classes": "text"}.get(str(counts["kind"]), "prompt")
    console.print(
        f"{record.ref}: {counts['rows']:,} {counts['kind']} ({counts['train']:,} train, {counts['held_out']:,} held "
        f"out) of {counts['read']:,} records; {counts['dropped']:,} dropped{f' ({why})' if why else ''}, "
        f"{counts['failed']:,} failed\n"
        f"in       {folder}\n"
        f"ask      just sql \"SELECT {column} FROM dataset_rows WHERE dataset = '{record.name}' LIMIT 3\"",
        markup=False,
    )


def _origin(record: Record) -> str:
    files = record.config.get("files")
    names = [str(file["name"]) for file in files if isinstance(file, dict)] if isinstance(files, list) else []
    return ", ".join([*record.inputs, *names])


def _parser() -> Parser:
    formats = "\n".join(f"  {name:<18} {form.says}" for name, form in FORMATS.items())
    recipes = "\n".join(described(DATASETS))
    parser = Parser(
        prog="just dataset",
        usage="just dataset [NAME[@VERSION]] [input=FILES] [field=value …] [--dry-run]",
        description=f"{__doc__}\nsets that need no files:\n{recipes}\n\nformats, known by their fields:\n{formats}\n\n"
        "Fields, and their values: add --dry-run.",
    )
    parser.add_fields("the dataset's name, then fields", "NAME", dry_run="the config and what is there already")
    return parser
