"""`just trace`: what an artifact, a run, an endpoint or a document was made from; a page's record is read again.

just trace corpora/docs@1
just trace run tiny                 down to hosts and crawl files
just trace endpoint tiny-sft        down to one page that its model read, whose crawl record is compared
just trace 0123456789ab:42          one document: its record, its fate in every corpus
"""

import re

from catalog import __main__ as catalog_commands
from catalog.commands import Parser
from catalog.home import Home
from catalog.ids import SHORT
from catalog.store import Catalog, quoted
from data.again import Again, read_again


def main(argv: list[str]) -> int:
    """Trace as the catalog does, then read the record of the page that was arrived at."""
    status = catalog_commands.main(["trace", *argv])
    parser = Parser(prog="just trace")
    parser.add_argument("words", nargs="+")
    parser.add_argument("--all", action="store_true")
    parser.add_home()
    given = parser.parse_args(argv)  # as the catalog has read it
    home = Home.open(given.home)
    if doc_id := _arrived_at(home, given.words) if status == 0 else "":
        print(f"\n{told(read_again(home, doc_id))}")
    return status


def _arrived_at(home: Home, words: list[str]) -> str:
    """The document at the end of a trace, if there is one."""
    if words[:1] == ["endpoint"] and len(words) > 1:
        return page_of_endpoint(home, words[1])
    return words[0] if words and re.fullmatch(rf"[0-9a-f]{{{SHORT}}}:\d+", words[0]) else ""


def page_of_endpoint(home: Home, endpoint: str) -> str:
    """The id of a document that an endpoint's model read in its last step; empty where its run read none."""
    with Catalog.open(home) as catalog:
        query = f"SELECT name FROM trace_endpoint({quoted(endpoint)}) WHERE what = 'document'"
        found = catalog.con.execute(query).fetchone()
    return found[0] if found else ""


def told(again: Again) -> str:
    """What came out when a document's record was read again."""
    where = f"at byte {again.offset:,} of {again.uri}" if again.offset >= 0 else f"in {again.uri}"
    if not again.differs:
        return f"read again {where}: {again.url}, the same text and fields as on record"
    return f"read again {where}: {again.url}, DIFFERENT in {', '.join(again.differs)}"
