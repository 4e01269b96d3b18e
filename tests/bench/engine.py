"""The data engine beside its peers: speed from raw crawl to published corpus, cost as the input grows, better text.

    just bench engine [--only speed|growth|text] [--repeats 3] [--sizes 10000,100000,1000000] [--gold FOLDER]

Inputs: the default crawl (made if it is not there), pages made by perturbing it, and, where the shared sample data is,
the real pages of its folder html-gold. Peers run on the same input in the same run.
"""

import argparse
import gzip
import io
from pathlib import Path
from tempfile import TemporaryDirectory

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from catalog.home import Home
from tests.bench.growth import WORKERS, grow
from tests.bench.speed import COLUMNS, build, compare, english_only
from tests.bench.tables import publish, table

PARTS = ("speed", "growth", "text")
GOLD = Path(__file__).resolve().parents[3] / "shared" / "data" / "html-gold"
SIZES = "10000,100000,1000000"


def main(argv: list[str]) -> None:
    """Run the parts and publish their tables."""
    parser = argparse.ArgumentParser(prog="just bench engine", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="one part of three")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sizes", default=SIZES, help="numbers of pages that the input grows to")
    parser.add_argument("--gold", type=Path, default=GOLD, help="the folder html-gold of the shared sample data")
    arguments = parser.parse_args(argv)
    parts = (arguments.only,) if arguments.only else PARTS
    crawl = _default_crawl()
    with TemporaryDirectory() as scratch:
        home = Path(scratch) / "home"
        if "speed" in parts:
            _speed(crawl, Path(scratch), home, arguments.repeats, arguments.gold)
        if "growth" in parts:
            if not home.exists():
                build(crawl, home)
            _growth(home, [int(size) for size in arguments.sizes.split(",")])
    if "text" in parts and arguments.gold.is_dir():
        from tests.bench.extract import compare as compare_texts

        publish("Main text", "just bench engine --only text", compare_texts(arguments.gold))


def _speed(crawl: Path, scratch: Path, home: Path, repeats: int, gold: Path) -> None:
    inputs = {"default crawl": crawl}
    if gold.is_dir():
        inputs["real pages"] = _gold_crawl(gold, scratch / "gold")
    rows, stages = [], []
    for name, folder in inputs.items():
        built = home if folder == crawl else scratch / "home of gold"
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
news and blogs of html-gold; `English alone` is a WARC of the pages that are English with a score of 0.65 or more."""


def _growth(home: Path, sizes: list[int]) -> None:
    notes = (
        f"Builds of the recipe `web` by {WORKERS} workers. Pages are made from paragraphs of the default crawl, three "
        "to six a page, in each of which three words are others; no page is like another. Memory is the most that a "
        "worker and the main process had, pages shared with other processes counted by their share."
    )
    publish("Cost as the input grows", "just bench engine --only growth", f"{grow(home, sizes)}\n\n{notes}")


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
