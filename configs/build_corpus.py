"""`just build-corpus`: from a recipe to a published corpus version, with its funnel.

just build-corpus                                             the default corpus, from a crawl of its own
just build-corpus web input='crawl/*.warc.gz' version=2026.11
just build-corpus web input=s3://bucket/pages.jsonl.zst,more/ min_words=80 workers=8
just build-corpus common-crawl crawl=CC-MAIN-2026-10 files=4
just build-corpus web input=new.warc.gz against=web@2026.11   only what that corpus lacks; a URL that it has comes in
                                                              again if fetched later, never with url_keep=first
just build-corpus docs --dry-run                              the whole config, and what is there already
"""

import shlex
from pathlib import Path

import duckdb
from pydantic import TypeAdapter
from rich.console import Console

from catalog.commands import Parser
from catalog.home import Home
from catalog.ids import SHORT
from catalog.records import RECORD, Record
from catalog.store import quoted
from configs.corpora import CORPORA
from configs.crawl import crawl_docs
from configs.recipes import configured, described
from data.build import Built, build, plan
from data.corpus import CorpusConfig
from data.intake import intake_folder, read_key
from data.ledger import StageCounts
from data.report.funnel import FunnelRow, funnel_rows, print_funnel
from data.report.numbers import edit_counts
from data.rules import Rule

SHOWN_EDITS = 5


def main(argv: list[str]) -> int:
    """Build a corpus, or say what would be built."""
    arguments = _parser().parse_args(argv)
    words = arguments.words
    recipe, fields = (words[0], words[1:]) if words and "=" not in words[0] else ("docs", words)
    config, home = configured(CORPORA, recipe, fields), Home.open(arguments.home)
    if arguments.dry_run:
        _print_plan(config, home, recipe)
        return 0
    if _wants_default_crawl(config, home):
        crawl_docs(home)
    command = shlex.join(["just", "build-corpus", *argv])
    _print_built(build(config, home, command), home, config.rules)
    return 0


def _parser() -> Parser:
    recipes = "\n".join(described(CORPORA))
    parser = Parser(
        prog="just build-corpus",
        usage="just build-corpus [RECIPE] [field=value …] [--dry-run]",
        description=f"{__doc__}\nrecipes:\n{recipes}\n\nFields of a recipe, and their values: add --dry-run.",
    )
    parser.add_fields("a recipe, then fields of its config", "RECIPE", dry_run="the config and what is there already")
    return parser


def _wants_default_crawl(config: CorpusConfig, home: Home) -> bool:
    """Whether the default crawl is asked for and not there yet."""
    there = (home.artifact("crawls", "docs", "1") / RECORD).exists()
    return not there and any(text in ("docs", "docs@1") for text in config.input)


def _print_plan(config: CorpusConfig, home: Home, recipe: str) -> None:
    """The resolved config, field by field, and the stages with what is there already."""
    console = Console(soft_wrap=True, highlight=False)
    console.print(f"recipe {recipe}, corpus {config.name}, home {home.root}", markup=False)
    console.print_json(config.model_dump_json())
    if _wants_default_crawl(config, home):
        console.print("crawl    docs@1: would be made (rendered, served on loopback and crawled)", markup=False)
        return
    sources, job = plan(config, home)
    identity = config.read.identity()
    there = [
        (intake_folder(home, source, read_key(identity, source.source_id)) / RECORD).exists() for source in sources
    ]
    for source, done in zip(sources, there, strict=True):
        state = "read already" if done else "to read"
        console.print(
            f"source   {source.source_id[:SHORT]}  {source.size_bytes:>12,} bytes  {state}  {source.uri}", markup=False
        )
    console.print(f"read     {sum(there)} of {len(there)} sources are there", markup=False)
    state = "published already" if (job.folder / RECORD).exists() else "to decide, write and publish"
    console.print(f"corpus   {config.name}@{job.version}: {state}", markup=False)


def _print_built(built: Built, home: Home, rules: tuple[Rule, ...]) -> None:
    record, console = built.record, Console(soft_wrap=True, highlight=False)
    folder = home.artifact(record.kind, record.name, record.version)
    if not built.fresh:
        console.print(f"{record.ref} is built already, from the same sources and config: nothing to do.", markup=False)
    print_funnel(_funnel(record, folder, rules), console)
    _print_edits(folder, console)
    counts = record.counts
    console.print(
        f"{record.ref}: {counts['documents']:,} documents, {counts['chars']:,} characters, {counts['bytes']:,} bytes\n"
        f"report   {folder / 'report.html'}\n"
        f"ask      just sql \"FROM funnel('{record.name}', '{record.version}')\"\n"
        '         just sql "SELECT lang, count(*) FROM documents GROUP BY 1 ORDER BY 2 DESC"',
        markup=False,
    )


def _print_edits(folder: Path, console: Console) -> None:
    """What edits took out of the documents that stayed, in a line."""
    changed = edit_counts(duckdb.connect(), str(folder / "edits" / "*.parquet"))
    most = sorted(changed, key=lambda each: -each.removed_chars)
    named = [f"{each.rule} {each.removed_chars:,}" for each in most[:SHOWN_EDITS]]
    named += [f"{len(most) - SHOWN_EDITS} more rules"] if len(most) > SHOWN_EDITS else []
    if most:
        total = sum(each.removed_chars for each in most)
        console.print(f"edits took {total:,} characters out of what was kept: {', '.join(named)}", markup=False)


def _funnel(record: Record, folder: Path, rules: tuple[Rule, ...]) -> list[FunnelRow]:
    con = duckdb.connect()
    con.execute(f"CREATE VIEW ledger AS FROM read_parquet({quoted(folder / 'ledger' / '*.parquet')})")
    stages = TypeAdapter(list[StageCounts]).validate_python(record.counts["stages"])
    return funnel_rows(con, stages, rules)
