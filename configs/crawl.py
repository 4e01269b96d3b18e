"""`just crawl`: a site of your own, politely, into WARC files that a corpus can be built from.

just crawl                                                    the default crawl, docs@1
just crawl handbook seeds=https://handbook.example.org/ delay_s=1 max_pages=500
just crawl handbook@2 seeds=https://handbook.example.org/,https://wiki.example.org/ --dry-run
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console

from catalog.commands import Parser
from catalog.config import set_fields
from catalog.errors import BadInput
from catalog.home import Home
from catalog.ids import parse_ref
from catalog.progress import stage_progress
from catalog.records import Record
from data.crawl.crawler import CrawlConfig, crawl
from data.site.hosts import crawl_default_site, default_crawl_config


def main(argv: list[str]) -> int:
    """Crawl, or say what would be crawled."""
    arguments = _parser().parse_args(argv)
    home, console = Home.open(arguments.home), Console(soft_wrap=True, highlight=False)
    ref = parse_ref(arguments.name)
    default = ref.name == "docs" and not arguments.words
    config = default_crawl_config() if default else set_fields(CrawlConfig(name=ref.name, seeds=()), arguments.words)
    if not config.seeds:
        raise BadInput(f"nowhere to start. Write for example: just crawl {ref.name} seeds=https://example.org/")
    if arguments.dry_run:
        console.print_json(config.model_dump_json())
        return 0
    if default:
        record = crawl_docs(home)
    else:
        with _progress() as on_progress:
            record = crawl(config, home, version=ref.version or None, on_progress=on_progress)
    counts = ", ".join(f"{count:,} {word}" for word, count in record.counts.items() if isinstance(count, int))
    console.print(f"{record.ref}: {counts}", markup=False)
    console.print(f"build    just build-corpus web input={record.ref}", markup=False)
    return 0


def crawl_docs(home: Home) -> Record:
    """The default crawl, made once."""
    with _progress() as on_progress:
        return crawl_default_site(home, on_progress)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    with stage_progress("crawl", unit="URLs") as bar:
        seen = 0

        def tell(done: int, queued: int) -> None:
            nonlocal seen
            bar.grow(done + queued)
            bar.advance(done - seen)
            seen = done

        yield tell


def _parser() -> Parser:
    parser = Parser(
        prog="just crawl",
        usage="just crawl [NAME[@VERSION]] [field=value …] [--dry-run]",
        description=__doc__,
    )
    parser.add_argument("name", nargs="?", default="docs", help="the crawl's name")
    parser.add_fields("fields of the crawl's config (see --dry-run)", dry_run="the config")
    return parser
