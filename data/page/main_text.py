"""A page's main text, title and links, from its bytes: four calls of compiled code.

    >>> read_page("<title>News</title><nav><a href=/>Home</a></nav><p>It rained …")
    PageText(text='It rained …', title='News', links=['P/'], base='', failure='')

What comes out depends on the page alone. Weights lie in `main_text.npz`, made by
`data/page/train.py`, which says from what. (One call for all four takes as long, and compiles for twice the time.)
"""

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.compiled import entry
from data.page.build import BASE_AT, BASE_END, build, signs_of
from data.page.choose import Choice, choose
from data.page.columns import COUNT, Room
from data.page.names import Tables, tables
from data.page.net import Net, probabilities
from data.page.render import Page, render, weigh_rows
from data.page.scan import PADDING
from data.page.traits import measure
from data.page.tree import (
    BLOCKS,
    DEEPEST,
    FAILURE,
    LINK_TEXT,
    MOST_ATTRIBUTES,
    NODES,
    RAW_TEXT,
    START,
    TAGS,
    TEXT,
    TITLE_TEXT,
    Doc,
    new_doc,
)

WEIGHTS = Path(__file__).with_name("main_text.npz")
FAILURES = ("", "depth", "nodes", "attributes")


class PageText(NamedTuple):
    """What a page says. `failure` is empty, or the name of the bound that it exceeds; `detail` is a line on it."""

    text: str = ""
    title: str = ""
    links: list[str] = []
    """Addresses as the page has them, each after a letter: P for a plain path, A for an absolute address, U for any
    other, which is still to be resolved."""
    base: str = ""
    """Of its base element."""
    failure: str = ""
    counted: int = 0
    """How many of what a failure names."""


class Blocks(NamedTuple):
    """The blocks of a page, for training and for tests."""

    texts: list[str]
    x: np.ndarray
    """Traits, float32, a row a block, columns as in `columns.NAMES`."""
    chars: np.ndarray
    doc: Doc


def read_page(
    page: str | bytes,
    depth: int = 2_000,
    tags: int = 300_000,
    markdown: bool = False,
    net: Net | None = None,
    whole: bool = False,
) -> PageText:
    """The main text of a page (bytes are UTF-8) with at most so many nested elements and tags; `whole` chooses all of
    its blocks."""
    raw = (page if isinstance(page, bytes) else page.encode("utf-8", "surrogatepass")) + PADDING
    body = np.frombuffer(raw, dtype=np.uint8)
    doc, room = _measured(body, len(raw) - len(PADDING), depth, tags, tables())
    n, text = doc.n, b""
    failure = FAILURES[n[FAILURE]]
    if failure:
        counter = {"depth": DEEPEST, "nodes": TAGS, "attributes": MOST_ATTRIBUTES}[failure]
        return PageText(failure=failure, counted=int(n[counter]))
    if len(room.x):
        kept = np.ones(len(room.x), np.bool_)
        if not whole:
            kept = _chosen(doc, probabilities(room.x, shipped() if net is None else net), room.chars)
        text = _rendered(doc, kept, room.chars, markdown)
    links = _string(doc.links[: n[LINK_TEXT]]).split("\n")[:-1]
    base = raw[n[BASE_AT] : n[BASE_END]].decode("utf-8", "surrogatepass")
    return PageText(_string(text), _string(doc.title[: n[TITLE_TEXT]]), links, base)


def _string(utf8: np.ndarray | bytes) -> str:
    return bytes(utf8).decode("utf-8", "replace")


def cut(page: str) -> Blocks:
    """All blocks of a page, with their traits."""
    raw = page.encode("utf-8", "surrogatepass") + PADDING
    doc, room = _measured(np.frombuffer(raw, dtype=np.uint8), len(raw) - len(PADDING), 2_000, 300_000, tables())
    bounds = doc.block[: doc.n[BLOCKS] + 1, START].tolist()
    text = doc.text.tobytes()
    return Blocks([text[a:b].decode() for a, b in pairwise(bounds)], room.x, room.chars, doc)


def chosen(page: Blocks, probability: np.ndarray) -> np.ndarray:
    """Whether each block is main text, given probabilities (float64); bool."""
    return _chosen(page.doc, probability, page.chars)


@cache
def shipped() -> Net:
    """The networks of `main_text.npz`."""
    with np.load(WEIGHTS) as stored:
        return Net(*(stored[name].astype(np.float32) for name in Net._fields))


@entry
def _measured(body: np.ndarray, size: int, depth: int, tags: int, tables: Tables) -> tuple[Doc, Room]:
    """What a page holds, and the traits of its blocks: none of a page over its bounds."""
    doc = new_doc(size, min(signs_of(body, size), tags), depth)
    build(body, size, depth, tags, doc, tables)
    room = _room(doc.n[BLOCKS] * (doc.n[FAILURE] == 0), doc.n[NODES])
    if len(room.x):
        measure(doc, room, tables)
    return doc, room


@entry
def _chosen(doc: Doc, probability: np.ndarray, chars: np.ndarray) -> np.ndarray:
    blocks = len(probability)
    choice = Choice(
        np.empty(blocks, np.float64),
        np.empty(blocks, np.bool_),
        np.empty(doc.n[NODES], np.int32),
        np.empty((512, 2), np.int64),
    )
    choose(doc, probability, chars, choice)
    return choice.kept


@entry
def _rendered(doc: Doc, kept: np.ndarray, chars: np.ndarray, markdown: bool) -> np.ndarray:
    order, seen, count = np.empty(len(kept) + 1, np.int64), np.zeros(doc.n[NODES], np.int64), 0
    for block in range(len(kept)):
        if kept[block]:
            order[count] = block
            count += 1
    signs = weigh_rows(doc, count, chars, order, seen)
    out = np.empty(doc.n[TEXT] + 2 * doc.n[RAW_TEXT] + signs, np.uint8)
    page = Page(np.empty(4, np.int64), out, order, seen)
    return out[: render(doc, count, chars, markdown, page)]


@entry
def _room(blocks: int, nodes: int) -> Room:
    size = 16
    while size < 2 * blocks:
        size *= 2
    return Room(
        np.empty((blocks, COUNT), np.float32),
        np.empty((blocks + 1, 6), np.float64),
        np.empty(blocks, np.int64),
        np.empty(blocks, np.int64),
        np.zeros((size, 2), np.int64),
        np.empty(nodes, np.float64),
        np.zeros(nodes, np.bool_),
        np.empty((nodes, 5), np.float32),
    )
