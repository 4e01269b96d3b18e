"""`just near`: is this text already here, what do bands and rows find, how much of a corpus is said twice.

just near "some text to look for" --in docs@1        documents like it, the most alike first
just near page.txt --in web@2026.11 --similarity 0.6
just near --curve 0.8                                bands and rows for a similarity, with the match curve
just near --count docs@1                             different n-grams of a corpus (HyperLogLog)
"""

import argparse
import os
from pathlib import Path

from pydantic import ValidationError
from rich.console import Console
from rich.table import Table

from catalog.commands import Parser
from catalog.errors import BadInput
from catalog.home import Home
from catalog.records import find
from catalog.store import Catalog
from data.dedup.bands import curve
from data.dedup.config import NearConfig
from data.dedup.distinct import count_grams
from data.dedup.lookup import Match, look_up
from data.dedup.near import bands_of

SHOWN = 20


def main(argv: list[str]) -> int:
    """Look a text up, print the curve, or count."""
    arguments, console = _parser().parse_args(argv), Console(soft_wrap=True, highlight=False)
    if arguments.curve is not None:
        _print_curve(_config(arguments.curve, arguments), console)
    elif arguments.count:
        _print_counts(Home.open(arguments.home), arguments.count, _config(0.8, arguments), console)
    elif arguments.text:
        _print_matches(arguments, console)
    else:
        raise BadInput('nothing to look for. Write for example: just near "some text" --in docs@1')
    return 0


def _config(similarity: float, arguments: argparse.Namespace) -> NearConfig:
    try:
        return NearConfig(similarity=similarity, hashes=arguments.hashes)
    except ValidationError as error:
        raise BadInput(f"similarity {similarity}, hashes {arguments.hashes}: {error.errors()[0]['msg']}.") from error


def _print_curve(config: NearConfig, console: Console) -> None:
    """The probability that two documents share a bucket, by their similarity."""
    bands = bands_of(config)
    console.print(
        f"similarity {config.similarity}: {bands.bands} bands of {bands.rows} rows ({config.hashes} hashes). A pair at "
        f"the similarity is found with probability {bands.match(config.similarity):.4f}; every pair found is verified."
    )
    table = Table("similarity", "found", "", box=None, pad_edge=False)
    for similarity, found in curve(bands):
        mark = " ←" if abs(similarity - config.similarity) < 0.025 else ""
        table.add_row(f"{similarity:.2f}", f"{found:.4f}", "#" * round(40 * found) + mark)
    console.print(table)


def _print_counts(home: Home, name: str, config: NearConfig, console: Console) -> None:
    counts = count_grams(home, _named(home, name), config)
    share = counts.different / max(1, counts.grams)
    console.print(
        f"{counts.documents:,} documents, {counts.grams:,} n-grams of {config.tokens} tokens, about "
        f"{counts.different:,} of them different ({share:.1%})"
    )


def _named(home: Home, name: str) -> str:
    """The latest version of a corpus that is named without one."""
    return name if "@" in name or "/" in name else str(find(home, "corpora", name).ref)


def _print_matches(arguments: argparse.Namespace, console: Console) -> None:
    home, text = Home.open(arguments.home), str(arguments.text)
    if os.path.isfile(text):  # unlike Path.is_file, it takes a text that is too long for a name
        text = Path(text).read_text(encoding="utf-8", errors="replace")
    name = _named(home, arguments.where)
    matches = look_up(home, name, text, _config(arguments.similarity, arguments))
    if not matches:
        console.print(f"not in {name}: no document has a similarity of {arguments.similarity} or more", markup=False)
        if "." in text and not text.split()[1:] and not os.path.isfile(arguments.text):
            console.print(f"(there is no file {text}: its name was looked for as a text)", markup=False)
        return
    console.print(f"in {name}: {len(matches)} document{'s' if len(matches) > 1 else ''} like it", markup=False)
    _print_table(home, matches, console)


def _print_table(home: Home, matches: list[Match], console: Console) -> None:
    shown = matches[:SHOWN]
    with Catalog.open(home) as catalog:
        rows = catalog.sql(
            "SELECT doc_id, url FROM documents WHERE doc_id IN (SELECT unnest(?))", [[match.doc_id for match in shown]]
        ).fetchall()
    urls = dict(rows)
    table = Table("jaccard", "containment", "document", "url", box=None, pad_edge=False)
    for match in shown:
        table.add_row(f"{match.jaccard:.4f}", f"{match.containment:.4f}", match.doc_id, urls.get(match.doc_id, ""))
    console.print(table)
    if len(matches) > SHOWN:
        console.print(f"{len(matches) - SHOWN} more")


def _parser() -> Parser:
    parser = Parser(
        prog="just near",
        usage="just near TEXT|FILE [--in CORPUS] [--similarity S] | --curve S | --count CORPUS",
        description=__doc__,
    )
    parser.add_argument("text", nargs="?", metavar="TEXT|FILE", help="what to look for")
    parser.add_argument("--in", dest="where", default="docs", metavar="CORPUS", help="a corpus, or intake/…@…")
    parser.add_argument("--similarity", type=float, default=0.8, help="Jaccard similarity of n-grams, 0.5 to 0.95")
    parser.add_argument("--curve", type=float, metavar="SIMILARITY", help="bands and rows, and what they find")
    parser.add_argument("--count", metavar="CORPUS", help="count the different n-grams of a corpus")
    parser.add_argument("--hashes", type=int, default=128, help="places of a signature")
    parser.add_home()
    return parser
