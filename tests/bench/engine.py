"""The data engine beside its peers: speed from raw crawl to published corpus, cost as the input grows, better text.

    just bench engine                                # all three
    just bench engine --only text                    # main text alone
    just bench engine --only growth --sizes 1000

Inputs: the default crawl (made if it is not there), pages made by perturbing it, and real pages of three public sets,
where `--gold` has them. Peers run on the same input in the same run.
"""

import gzip
import io
import os
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from catalog.commands import Parser
from catalog.errors import NotFound
from catalog.home import Home
from tests.bench.growth import WORKERS, grow
from tests.bench.speed import COLUMNS, build, compare, english_only
from tests.bench.tables import doing, publish, table

PARTS = ("speed", "growth", "text")
SHARED = Path(os.environ.get("MILLRACE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
GOLD = SHARED / "data" / "html-gold"
SIZES = "10000,100000,1000000"


def main(argv: list[str]) -> None:
    """Run the parts and publish their tables."""
    parser = Parser(prog="just bench engine", description=__doc__, epilog=PUBLIC_SETS)
    parser.add_argument("--only", choices=PARTS, help="one part of three")
    parser.add_argument(
        "--repeats", type=int, default=3, help="how often both sides of `speed` take turns (default: 3)"
    )
    parser.add_argument("--sizes", default=SIZES, help=f"numbers of pages that the input grows to (default: {SIZES})")
    parser.add_argument("--gold", type=Path, default=GOLD, help="real pages, laid out as below (default: %(default)s)")
    arguments = parser.parse_args(argv)
    parts = (arguments.only,) if arguments.only else PARTS
    has_gold = _has_gold(arguments.gold, parts)
    if parts != ("text",):
        _on_crawls(parts, arguments, has_gold)
    if "text" in parts and has_gold:
        from tests.bench.extract import NOTES
        from tests.bench.extract import compare as compare_texts

        body = f"{NOTES}\n{compare_texts(arguments.gold)}\n\n{PUBLIC_SETS}"
        publish("Main text", "just bench engine --only text", body)


PUBLIC_SETS = """\
The three sets are public. A folder for `--gold` holds the pages of each, gzipped, as `SET/html/ID.html.gz`, and a JSON
object by ID beside them; the figures here are of 89, 399 and 33 pages.

- `articles`: https://github.com/scrapinghub/article-extraction-benchmark. Its `html/` and `ground-truth.json` as they
  are, as `articles/html/` and `articles/ground-truth.json` (`url`, `articleBody`).
- `segments`: https://github.com/adbar/trafilatura. Pages of `tests/cache` and `tests/eval`; their rows of
  `tests/evaldata.json` as `segments/segments.json` (`url`, `with`, `without`).
- `zh-news`: https://github.com/kingname/GeneralNewsExtractor. Pages `tests/SITE/*.html`; `zh-news/reference.json` has
  `source_file` (that path) and, where its `result.txt` has one, `reference` (an object whose `content` is the text)."""


def _has_gold(folder: Path, parts: Sequence[str]) -> bool:
    """Whether real pages are there; says what is left out without them. NotFound where nothing else was asked for."""
    if any(folder.glob("*/html/*.html.gz")):
        return True
    missing = f"no pages SET/html/ID.html.gz in {folder}; `just bench engine --help` says where they come from"
    if parts == ("text",) or folder != GOLD:
        raise NotFound(f"{missing}.")
    left_out = {"speed": "the rows `real pages` of Read to publish", "text": "Main text"}
    if names := [name for part, name in left_out.items() if part in parts]:
        print(f"left out: {' and '.join(names)} ({missing})", file=sys.stderr)
    return False


def _on_crawls(parts: Sequence[str], arguments: Namespace, has_gold: bool) -> None:
    """What starts from the default crawl: speed and growth."""
    doing("the default crawl, made where the home has none")
    crawl = _default_crawl()
    with TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        if "speed" in parts:
            _speed(crawl, Path(scratch), home, arguments.repeats, arguments.gold if has_gold else None)
        if "growth" in parts:
            if not home.exists():
                doing("a build of the default crawl, for its paragraphs")
                build(crawl, home)
            _growth(home, [int(size) for size in arguments.sizes.split(",")])


def _speed(crawl: Path, scratch: Path, home: Path, repeats: int, gold: Path | None) -> None:
    inputs = {"default crawl": crawl}
    if gold:
        inputs["real pages"] = _gold_crawl(gold, scratch / "gold")
    rows, stages = [], []
    for name, folder in inputs.items():
        built = home if folder == crawl else scratch / "home of gold"
        doing(f"speed: {name}, all pages and English ones, both sides in turn, {repeats} times")
        everything = compare(folder, repeats, built)
        english_only(folder, built, english := scratch / f"{name}-english".replace(" ", "-"))
        alone = compare(english, repeats)
        rows += [*everything.rows(f"{name}, all"), *alone.rows(f"{name}, English alone")]
        parts = ", ".join(f"{stage} {cpu:.2f}" for stage, cpu in everything.stages.items())
        stages.append(f"- {name}, all, CPU seconds by stage: {parts}")
    notes = f"Medians of {repeats}, in turn. {_SPEED}"
    body = "\n\n".join([table(COLUMNS, rows), notes, "\n".join(stages)])
    publish("Read to publish", f"just bench engine --only speed --repeats {repeats}", body)


_SPEED = """The peer is the FineWeb recipe of datatrove (trafilatura, language, Gopher repetition, Gopher quality, C4,
FineWeb, MinHash signatures) in one process. `default crawl` is documentation in English and Chinese, `real pages` are
news and blogs of html-gold; `English alone` is a WARC of the pages that are English with a score of 0.65 or more.
A real page has 119 KB, of which a twentieth is text: there nearly all time goes to its tags and to inflating.
Aim: 25 times stock on the same WARC, both on all pages and on English pages alone."""


def _growth(home: Path, sizes: list[int]) -> None:
    notes = (
        f"Builds of the recipe `web` by {WORKERS} workers. Pages are made from paragraphs of the default crawl, three "
        "to six a page, in each of which three words are others; no page is like another. Memory is the most that a "
        "worker and the main process had, pages shared with other processes counted by their share."
    )
    command = f"just bench engine --only growth --sizes {','.join(map(str, sizes))}"
    publish("Cost as the input grows", command, f"{grow(home, sizes)}\n\n{notes}")


def _default_crawl() -> Path:
    from data.site.hosts import crawl_default_site

    home = Home.open()
    record = crawl_default_site(home)
    return home.artifact("crawls", record.name, record.version)


def _gold_crawl(gold: Path, folder: Path) -> Path:
    """The pages of html-gold as a WARC."""
    folder.mkdir()
    with (folder / "gold.warc.gz").open("wb") as out:
        writer = WARCWriter(out, gzip=True)
        for path in sorted(gold.glob("*/html/*.html.gz")):
            fields = [("Content-Type", "text/html")]
            http = StatusAndHeaders("200 OK", fields, protocol="HTTP/1.1")
            url = f"http://{path.parts[-3]}.example/{path.name.partition('.')[0]}"
            body = io.BytesIO(gzip.decompress(path.read_bytes()))
            writer.write_record(writer.create_warc_record(url, "response", payload=body, http_headers=http))
    return folder
