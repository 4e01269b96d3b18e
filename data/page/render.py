"""Blocks of a page as readable text: paragraphs, headings, lists, tables, code with its indentation.

`plain` leaves out the signs of headings, quotes and fences; list items keep their dash, and ` | ` stands between the
cells of a row.
"""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled
from data.page.names import H1, H6
from data.page.scan import is_blank
from data.page.tree import (
    BROKEN,
    CELL,
    CODE,
    IN_CELL,
    ITEM,
    KIND,
    NESTED,
    ORDERED,
    OWN,
    QUOTED,
    RAW_START,
    RAW_STOP,
    START,
    WITHIN,
    Doc,
)

CELL_CHARS = 200
"""A row with a longer cell, or with several blocks in one, is layout, not data."""
MOST_INDENT = 8
"""Levels of lists that are indented."""
LEVELS = 64
"""Of numbered lists."""
SIGNS_A_BLOCK = 64
"""Bytes that are written beside the text of a block, at most."""
(BROKEN_LINE, ROW_KIND) = (100, 101)
(OUT, LAST_KIND, LAST_WITHIN, GROUP, MARKDOWN) = range(5)


class Page(NamedTuple):
    """What is written."""

    at: np.ndarray
    """How far, and what the last part was."""
    out: np.ndarray
    """UTF-8."""
    kept: np.ndarray
    """The blocks that are kept, in order, and one more."""
    seen: np.ndarray
    """A row an element: the run of items that it was last seen in."""
    numbers: np.ndarray
    """Of items, by level of list."""


@compiled
def render(doc: Doc, count: int, chars: np.ndarray, markdown: bool, page: Page) -> int:
    """The text of the first `count` of the blocks in `page.kept`; its length in bytes."""
    page.at[:] = 0
    page.at[LAST_KIND], page.at[LAST_WITHIN], page.at[MARKDOWN] = -1, -1, markdown
    at = 0
    while at < count:
        node = doc.node[doc.block[page.kept[at], OWN]]
        kind, stop = node[KIND], at + 1
        if kind in (CODE, IN_CELL):
            while stop < count and _alike(doc, page.kept[stop], node[KIND], node[WITHIN]):
                stop += 1
        if kind == CODE:
            _code(doc, page, at, stop, node[WITHIN])
        elif kind == IN_CELL and _is_row(doc, page, at, stop, chars):
            _row(doc, page, at, stop)
        elif kind == ITEM:
            _item(doc, page, page.kept[at])
        else:
            for place in range(at, stop):
                _paragraph(doc, page, page.kept[place])
        at = stop
    length = page.at[OUT]
    while length and page.out[length - 1] == 10:
        length -= 1
    return length


@compiled
def _alike(doc: Doc, block: int, kind: int, within: int) -> bool:
    node = doc.node[doc.block[block, OWN]]
    return node[KIND] == kind and node[WITHIN] == within


@compiled
def _write(page: Page, byte: int, times: int) -> None:
    for _ in range(times):
        page.out[page.at[OUT]] = byte
        page.at[OUT] += 1


@compiled
def _copy(page: Page, text: np.ndarray, start: int, stop: int) -> None:
    out = page.at[OUT]
    for at in range(start, stop):
        page.out[out + at - start] = text[at]
    page.at[OUT] = out + stop - start


@compiled
def _begin(page: Page, kind: int, within: int) -> None:
    """Items, rows of a table and lines after a line break follow on the next line, all else after a blank one."""
    close = (kind == page.at[LAST_KIND] and (kind in (ITEM, ROW_KIND))) or (
        kind == BROKEN_LINE and within == page.at[LAST_WITHIN]
    )
    if page.at[OUT]:
        _write(page, 10, 1 if close else 2)
    if kind == ITEM and page.at[LAST_KIND] != ITEM:
        page.at[GROUP] += 1
        page.numbers[:] = 0
    page.at[LAST_KIND], page.at[LAST_WITHIN] = kind, within


@compiled
def _paragraph(doc: Doc, page: Page, block: int) -> None:
    row = doc.block[block]
    node = doc.node[row[OWN]]
    kind = node[KIND]
    _begin(page, BROKEN_LINE if row[BROKEN] else kind, row[OWN])
    if page.at[MARKDOWN]:
        if H1 <= kind <= H6:
            _write(page, 35, kind - H1 + 1)  # #
            _write(page, 32, 1)
        elif node[QUOTED]:
            _write(page, 62, 1)  # >
            _write(page, 32, 1)
    _copy(page, doc.text, row[START], doc.block[block + 1, START])


@compiled
def _item(doc: Doc, page: Page, block: int) -> None:
    row = doc.block[block]
    node = doc.node[row[OWN]]
    _begin(page, ITEM, -1)
    level, first = min(node[NESTED], LEVELS - 1), page.seen[node[WITHIN]] != page.at[GROUP]
    if first:
        page.seen[node[WITHIN]] = page.at[GROUP]
        page.numbers[level] += 1
        page.numbers[level + 1 :] = 0
    _write(page, 32, 2 * min(max(0, node[NESTED] - 1), MOST_INDENT))
    if first and node[ORDERED] and page.at[MARKDOWN]:
        _number(page, page.numbers[level])
        _write(page, 46, 1)  # .
    else:
        _write(page, 45 if first else 32, 1)  # -
    _write(page, 32, 1)
    _copy(page, doc.text, row[START], doc.block[block + 1, START])


@compiled
def _number(page: Page, number: int) -> None:
    size = 1
    while size * 10 <= number:
        size *= 10
    while size:
        _write(page, 48 + number // size % 10, 1)
        size //= 10


@compiled
def _code(doc: Doc, page: Page, at: int, stop: int, within: int) -> None:
    """The blocks of one pre as they stand, without blank lines at their ends."""
    _begin(page, CODE, within)
    if page.at[MARKDOWN]:
        _write(page, 96, 3)  # `
        _write(page, 10, 1)
    for place in range(at, stop):
        row = doc.block[page.kept[place]]
        start, end = row[RAW_START], row[RAW_STOP]
        while end > start and is_blank(doc.raw[end - 1]):
            end -= 1
        while start < end and doc.raw[start] == 10:
            start += 1
        if place > at:
            _write(page, 10, 1)
        _copy(page, doc.raw, start, end)
    if page.at[MARKDOWN]:
        _write(page, 10, 1)
        _write(page, 96, 3)


@compiled
def _is_row(doc: Doc, page: Page, at: int, stop: int, chars: np.ndarray) -> bool:
    """Several cells with a block each, none of them long."""
    last = -1
    for place in range(at, stop):
        cell = doc.node[doc.block[page.kept[place], OWN], CELL]
        if cell == last or chars[page.kept[place]] > CELL_CHARS:
            return False
        last = cell
    return stop - at > 1


@compiled
def _row(doc: Doc, page: Page, at: int, stop: int) -> None:
    first = page.at[LAST_KIND] != ROW_KIND
    _begin(page, ROW_KIND, -1)
    if page.at[MARKDOWN]:
        _write(page, 124, 1)  # |
        _write(page, 32, 1)
    for place in range(at, stop):
        if place > at:
            _write(page, 32, 1)
            _write(page, 124, 1)
            _write(page, 32, 1)
        block = page.kept[place]
        _copy(page, doc.text, doc.block[block, START], doc.block[block + 1, START])
    if page.at[MARKDOWN]:
        _write(page, 32, 1)
        _write(page, 124, 1)
        if first:
            _write(page, 10, 1)
            _write(page, 124, 1)
            for _ in range(stop - at):
                _write(page, 32, 1)
                _write(page, 45, 3)
                _write(page, 32, 1)
                _write(page, 124, 1)
