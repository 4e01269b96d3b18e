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
    COLUMNS_AT_MOST,
    FIRST,
    IN_CELL,
    IN_LIST,
    ITEM,
    KIND,
    LAST,
    NESTED,
    ORDERED,
    ORDINAL,
    OWN,
    PARAGRAPH,
    QUOTED,
    RAW_START,
    RAW_STOP,
    ROW,
    START,
    WITHIN,
    Doc,
)

CELL_CHARS = 200
"""A row with a longer cell, or with several blocks in one, is layout, unless most rows of its table are data."""
DATA_CHARS = 1_000
"""A row of data with a longer cell is written as paragraphs."""
MOST_INDENT = 8
"""Levels of lists that are indented."""
SIGNS_A_BLOCK = 64
"""Bytes that are written beside the text of a block, at most."""
SIGNS_A_COLUMN = 9
"""Bytes of bars and of the rule below a header."""
(BROKEN_LINE, ROW_KIND) = (100, 101)
(OUT, LAST_KIND, LAST_WITHIN, MARKDOWN) = range(4)


class Page(NamedTuple):
    """What is written."""

    at: np.ndarray
    """How far, and what the last part was."""
    out: np.ndarray
    """UTF-8."""
    kept: np.ndarray
    """The blocks that are kept, in order, and one more."""
    seen: np.ndarray
    """Of an item, whether it has begun; of a table, what `weigh_rows` says, and 1 more once a row is written."""


@compiled
def weigh_rows(doc: Doc, count: int, chars: np.ndarray, kept: np.ndarray, seen: np.ndarray) -> int:
    """Of each table, twice by how many its rows of data are more than those of layout (one short cell is neither).

    Returns the bytes that may stand beside the text of the first `count` kept blocks.
    """
    at, signs = 0, SIGNS_A_BLOCK * count
    while at < count:
        row, stop = doc.node[doc.block[kept[at], OWN], ROW], at + 1
        if row >= 0:
            stop = _row_stop(doc, kept, at, count, row)
            signs += (
                SIGNS_A_COLUMN * _width(doc, row) + doc.block[kept[stop - 1] + 1, START] - doc.block[kept[at], START]
            )
            if stop - at > 1 or chars[kept[at]] > CELL_CHARS:
                seen[_table(doc, row)] += 2 if _is_data(doc, kept, at, stop, chars) else -2
        at = stop
    return signs


@compiled
def _table(doc: Doc, row: int) -> int:
    return max(0, doc.node[row, IN_LIST])


@compiled
def _width(doc: Doc, row: int) -> int:
    """Columns of its table."""
    return min(doc.node[_table(doc, row), ORDINAL], COLUMNS_AT_MOST)


@compiled
def _row_stop(doc: Doc, kept: np.ndarray, at: int, count: int, row: int) -> int:
    while at < count and doc.node[doc.block[kept[at], OWN], ROW] == row:
        at += 1
    return at


@compiled
def _is_data(doc: Doc, kept: np.ndarray, at: int, stop: int, chars: np.ndarray) -> bool:
    """Several cells with a block each, none of them long."""
    last = -1
    for place in range(at, stop):
        node = doc.node[doc.block[kept[place], OWN]]
        short = chars[kept[place]] <= CELL_CHARS
        if not short or node[KIND] != IN_CELL or node[CELL] < 0 or node[CELL] == last:
            return False
        last = node[CELL]
    return stop - at > 1


@compiled
def _is_row(doc: Doc, page: Page, at: int, stop: int, count: int, row: int, chars: np.ndarray) -> bool:
    """A row of data, or one of several cells without code, a table or a very long one, in a table of data."""
    if _is_data(doc, page.kept, at, stop, chars):
        return True
    if page.seen[_table(doc, row)] <= 1 or doc.node[row, ORDINAL] < 2:
        return False
    if (at and page.kept[at - 1] >= doc.node[row, FIRST]) or (stop < count and page.kept[stop] < doc.node[row, LAST]):
        return False
    last, total = -1, 0
    for place in range(at, stop):
        node = doc.node[doc.block[page.kept[place], OWN]]
        total = chars[page.kept[place]] + (total if node[CELL] == last else 0)
        if node[KIND] == CODE or node[CELL] < 0 or total > DATA_CHARS:
            return False
        last = node[CELL]
    return True


@compiled
def render(doc: Doc, count: int, chars: np.ndarray, markdown: bool, page: Page) -> int:
    """The text of the first `count` of the blocks in `page.kept`; its length in bytes."""
    page.at[:] = 0
    page.at[LAST_KIND], page.at[LAST_WITHIN], page.at[MARKDOWN] = -1, -1, markdown
    at, stop, row = 0, 0, -1
    while at < count:
        node = doc.node[doc.block[page.kept[at], OWN]]
        if node[ROW] != row:
            row = node[ROW]
            stop = at if row < 0 else _row_stop(doc, page.kept, at, count, row)
            if stop > at and _is_row(doc, page, at, stop, count, row, chars):
                _row(doc, page, at, stop, row)
                at, row = stop, -1
                continue
        kind, stop = node[KIND], at + 1
        if kind == CODE:
            while stop < count and _alike(doc, page.kept[stop], node[KIND], node[WITHIN]):
                stop += 1
            _code(doc, page, at, stop, node[WITHIN])
        elif kind == ITEM and (page.at[LAST_KIND] == ITEM or not page.seen[node[WITHIN]]):
            _item(doc, page, page.kept[at])
        else:
            _paragraph(doc, page, page.kept[at])
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
    close = (kind == ITEM and page.at[LAST_KIND] == ITEM) or (
        within == page.at[LAST_WITHIN] and (kind == BROKEN_LINE or kind == ROW_KIND == page.at[LAST_KIND])
    )
    if page.at[OUT]:
        _write(page, 10, 1 if close else 2)
    page.at[LAST_KIND], page.at[LAST_WITHIN] = kind, within


@compiled
def _paragraph(doc: Doc, page: Page, block: int) -> None:
    row = doc.block[block]
    node = doc.node[row[OWN]]
    kind = node[KIND]
    _begin(page, BROKEN_LINE if row[BROKEN] else PARAGRAPH if kind == ITEM else kind, row[OWN])
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
    first = not page.seen[node[WITHIN]]
    page.seen[node[WITHIN]] = 1
    _begin(page, ITEM, -1)
    _write(page, 32, 2 * min(max(0, node[NESTED] - 1), MOST_INDENT))
    if first and node[ORDERED] and page.at[MARKDOWN]:
        _number(page, doc.node[node[WITHIN], ORDINAL])
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
    """The blocks of one pre as they stand, without blank lines at their ends, in a fence longer than any in them."""
    _begin(page, CODE, within)
    fence, run = 3, 0
    for place in range(doc.block[page.kept[at], RAW_START], doc.block[page.kept[stop - 1], RAW_STOP]):
        run = run + 1 if doc.raw[place] == 96 else 0
        fence = max(fence, run + 1)
    if page.at[MARKDOWN]:
        _write(page, 96, fence)  # `
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
        _write(page, 96, fence)


@compiled
def _row(doc: Doc, page: Page, at: int, stop: int, row: int) -> None:
    """Its cells at their columns; in Markdown as many as the table has, and a rule below the table's first row."""
    table, markdown = _table(doc, row), page.at[MARKDOWN]
    _begin(page, ROW_KIND, table)
    start, column, last = page.at[OUT], 0, -1
    if markdown:
        _write(page, 124, 1)  # |
    for place in range(at, stop):
        block = page.kept[place]
        cell = doc.node[doc.block[block, OWN], CELL]
        if cell != last:
            wanted = doc.node[cell, ORDINAL] if last < 0 else max(column + 1, doc.node[cell, ORDINAL])
            column, last = _bars(page, column, wanted, start), cell
        if page.at[OUT] > start:
            _write(page, 32, 1)
        for byte in doc.text[doc.block[block, START] : doc.block[block + 1, START]]:
            if byte == 124 and markdown:
                _write(page, 92, 1)  # backslash
            _write(page, byte, 1)
    if markdown:
        width = max(column + 1, _width(doc, row))
        _bars(page, column, width, start)
        if not page.seen[table] & 1:
            _write(page, 10, 1)
            _write(page, 124, 1)
            for _ in range(width):
                _write(page, 32, 1)
                _write(page, 45, 3)
                _write(page, 32, 1)
                _write(page, 124, 1)
    page.seen[table] |= 1


@compiled
def _bars(page: Page, column: int, wanted: int, start: int) -> int:
    """From a column of a row that begins at a place to the wanted one."""
    for _ in range(column, wanted):
        if page.at[OUT] > start:
            _write(page, 32, 1)
        _write(page, 124, 1)
    return wanted
