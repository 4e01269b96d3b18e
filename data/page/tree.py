"""The tree of a page, as far as blocks of text need it, built in one pass in time and memory of its size.

A block is the text between two tags of block elements (a line break is one). What the HTML standard does
(https://html.spec.whatwg.org/#tree-construction) is done for ends that are implied, for tables, lists and formatting
that overlaps blocks; text that stands between the rows of a table stays there, and formatting is not opened again.
"""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled, entry
from data.page.names import (
    ABOVE_COUNT,
    BLOCKQUOTE,
    BODY,
    COPY,
    DROPPED,
    ELEMENT_COUNT,
    HEADING,
    HINT_COUNT,
    INLINE,
    LI,
    LIST,
    OL,
    PRE,
    TABLE,
    TD,
    TH,
    TR,
    UL,
    A,
    Tables,
)
from data.page.scan import TAG_AMOUNT, TAG_ROWS

(NODES, BLOCKS, TEXT, RAW_TEXT, TITLE_TEXT, LINK_TEXT, STACK, FAILURE, TAGS, HIDDEN, BLANK, OPEN_BLOCK, LINE_BREAK) = (
    range(13)
)
(RAW_BEGIN, HREFS, DEEPEST, MOST_ATTRIBUTES, COVERED_IN) = range(13, 18)
"""Places in `Doc.n`."""
(FORMULA_END, MATH_END) = (20, 21)
"""Where the text of the last math element ends in `text`, and where a math element was last seen to end in the page."""
(NO_FAILURE, TOO_DEEP, TOO_MANY_TAGS, TOO_MANY_ATTRIBUTES) = range(4)


(IDENT, PARENT, BITS, FIRST, LAST, ORDINAL, PLACE) = range(7)
"""Columns of `Doc.node`: number in ELEMENTS, element around it, what its class says, blocks begun before it and before
its end, of a cell its column, of a row its columns, of a table those of its widest row, of a list and an item the
number, and the first of those of its place."""
(KIND, WITHIN, ROW, CELL, NESTED, ORDERED, QUOTED, IN_LIST, BOX) = range(PLACE, PLACE + 9)
"""What an element says of the text in it, with what those around it say; BOX is the innermost block element."""
COLUMNS = PLACE + 9
(PARAGRAPH, ITEM, IN_CELL, CODE) = (0, 7, 8, 9)
"""Kinds; 1 to 6 are headings."""
(OWN, START, RAW_START, RAW_STOP, SIGNS, LINKED, DEPTH, BROKEN, AROUND) = range(9)
"""Columns of `Doc.block`: the element that its first words lie in, where its text begins in `text` and `raw`,
characters that are not blank and those in links, depth, whether it follows a line break, and then how many
elements of ABOVE and with which kinds of class name are around it."""
(ELEMENT, NUMBER, HASH, CLOSED, PARTS, BRACKET) = range(6)
"""Columns of `Doc.stack`; the last two are those of a formula: parts begun, and whether a bracket is to be closed."""
COLUMNS_AT_MOST = 64
"""Of a table; cells beyond follow one another."""
ABOVE_AT = ELEMENT_COUNT
"""Where the counts of ABOVE, and after them those of class names, begin in `Doc.counts`."""


class Doc(NamedTuple):
    """A page while it is read: elements, blocks and their text. The root is element 0."""

    n: np.ndarray
    """Counters."""
    node: np.ndarray
    block: np.ndarray
    text: np.ndarray
    """UTF-8, white space joined."""
    raw: np.ndarray
    """Text of code, as it stands."""
    title: np.ndarray
    links: np.ndarray
    stack: np.ndarray
    """Open elements, the last innermost."""
    counts: np.ndarray
    """How many are open of each number in ELEMENTS, of ABOVE, and with each kind of class name."""
    tag: np.ndarray
    """The start tag at hand, as `scan.read_tag` writes it."""
    covered: np.ndarray
    """By column, in how many rows to come of the table `n[COVERED_IN]` a cell still stands."""


@entry
def new_doc(size: int, tags: int, depth: int) -> Doc:
    """For a page of so many bytes, tags and nested elements."""
    doc = Doc(
        np.zeros(22, np.int64),
        np.empty((tags + 2, COLUMNS), np.int32),
        np.empty((tags + 3, AROUND + ABOVE_COUNT + HINT_COUNT), np.int32),
        np.empty(size + 16, np.uint8),
        np.empty(size + 16, np.uint8),
        np.empty(2048, np.uint8),
        np.empty(size + 16, np.uint8),
        np.empty((depth + 4, 6), np.int64),
        np.zeros(ELEMENT_COUNT + ABOVE_COUNT + HINT_COUNT + 1, np.int64),
        np.zeros(16, np.int64),
        np.zeros(COLUMNS_AT_MOST, np.int64),
    )
    doc.n[FORMULA_END] = doc.n[MATH_END] = -1
    doc.n[NODES] = doc.n[STACK] = 1
    doc.node[0, :] = 0
    doc.node[0, IDENT] = doc.stack[0, NUMBER] = BODY
    doc.node[0, WITHIN] = doc.node[0, ROW] = doc.node[0, CELL] = doc.node[0, IN_LIST] = -1
    doc.stack[0, ELEMENT] = doc.stack[0, HASH] = doc.stack[0, CLOSED] = 0
    doc.stack[0, PARTS] = doc.stack[0, BRACKET] = 0
    doc.block[0, START] = 0
    return doc


@compiled
def push(doc: Doc, ident: int, code: np.uint64, bits: int, flags: int, above: int, most: int) -> None:
    """Open an element; `most` may be open."""
    n = doc.n
    number, top = n[NODES], n[STACK]
    parent = doc.stack[top - 1, ELEMENT]
    n[DEEPEST] = max(n[DEEPEST], top)
    if top > most:
        n[FAILURE] = TOO_DEEP
        return
    n[NODES] += 1
    n[STACK] += 1
    doc.stack[top, ELEMENT], doc.stack[top, NUMBER] = number, ident
    doc.stack[top, HASH], doc.stack[top, CLOSED] = np.int64(code), 0
    doc.stack[top, PARTS] = doc.stack[top, BRACKET] = 0
    _count(doc, ident, bits, flags, above, 1)
    node, outer = doc.node[number], doc.node[parent]
    node[IDENT], node[PARENT], node[BITS], node[FIRST], node[ORDINAL] = ident, parent, bits, n[BLOCKS], 0
    for column in range(PLACE, COLUMNS):
        node[column] = outer[column]
    if not flags & INLINE:
        node[BOX] = number
    if flags & LIST:
        node[IN_LIST] = number
    if ident in (UL, OL):
        node[NESTED] += 1
        node[ORDERED] = ident == OL
        node[ORDINAL] = doc.tag[TAG_AMOUNT] - 1
    elif ident == BLOCKQUOTE:
        node[QUOTED] = 1
    elif ident == TR:
        node[ROW] = number
        _begin_row(doc, node[IN_LIST])
    elif ident in (TD, TH):
        node[KIND], node[CELL], node[WITHIN] = IN_CELL, number, number
        if node[ROW] >= 0:
            _begin_cell(doc, node, node[ROW], max(0, node[IN_LIST]))
    elif ident == TABLE:
        node[ROW], node[CELL], node[ORDERED] = -1, -1, 0
    elif ident in (LI, PRE) or flags & HEADING:
        node[KIND] = ITEM if ident == LI else CODE if ident == PRE else ident
        node[WITHIN] = number
        if node[ORDERED] and ident == LI:
            doc.node[node[IN_LIST], ORDINAL] += 1
            node[ORDINAL] = doc.node[node[IN_LIST], ORDINAL]


@compiled
def _begin_row(doc: Doc, table: int) -> None:
    if doc.n[COVERED_IN] != table:
        doc.n[COVERED_IN] = table
        doc.covered[:] = 0
    for column in range(COLUMNS_AT_MOST):
        doc.covered[column] = max(0, doc.covered[column] - 1)


@compiled
def _begin_cell(doc: Doc, node: np.ndarray, row: int, table: int) -> None:
    """Where it stands: after the cells before it, and under none that spans its row."""
    column, covered = doc.node[row, ORDINAL], doc.covered
    while column < COLUMNS_AT_MOST and doc.n[COVERED_IN] == table and covered[column]:
        column += 1
    node[ORDINAL] = column
    stop = min(column + max(1, doc.tag[TAG_AMOUNT]), COLUMNS_AT_MOST)
    if doc.n[COVERED_IN] == table:
        for at in range(column, stop):
            covered[at] = doc.tag[TAG_ROWS]
    doc.node[row, ORDINAL] = stop
    doc.node[table, ORDINAL] = max(doc.node[table, ORDINAL], stop)


@compiled
def _count(doc: Doc, ident: int, bits: int, flags: int, above: int, change: int) -> None:
    """An element opens (1) or ends (-1)."""
    doc.counts[ident] += change
    if flags & DROPPED or bits & COPY:
        doc.n[HIDDEN] += change
    if above >= 0:
        doc.counts[ABOVE_AT + above] += change
    kind = ABOVE_AT + ABOVE_COUNT
    while bits:
        if bits & 1:
            doc.counts[kind] += change
        bits >>= 1
        kind += 1


@compiled
def close_at(doc: Doc, slot: int, tables: Tables) -> None:
    """End one open element, and leave those in it open."""
    if doc.stack[slot, CLOSED]:
        return
    number, ident = doc.stack[slot, ELEMENT], doc.stack[slot, NUMBER]
    doc.stack[slot, CLOSED] = 1
    doc.node[number, LAST] = doc.n[BLOCKS]
    _count(doc, ident, doc.node[number, BITS], tables.elements[0, ident], tables.elements[1, ident], -1)


@compiled
def pop_to(doc: Doc, slot: int, tables: Tables) -> None:
    """End the element at a place of the stack, and all in it."""
    for at in range(doc.n[STACK] - 1, slot - 1, -1):
        close_at(doc, at, tables)
    doc.n[STACK] = slot
    trim(doc)


@compiled
def trim(doc: Doc) -> None:
    """The innermost element of the stack is open."""
    while doc.stack[doc.n[STACK] - 1, CLOSED]:
        doc.n[STACK] -= 1


@compiled
def end_block(doc: Doc, line_break: bool) -> None:
    """A tag of a block element."""
    n = doc.n
    if n[OPEN_BLOCK]:
        block = n[BLOCKS] - 1
        doc.block[block + 1, START] = n[TEXT]
        doc.block[block, RAW_STOP] = n[RAW_TEXT]
        n[OPEN_BLOCK] = 0
    n[BLANK] = 0
    n[RAW_BEGIN] = n[RAW_TEXT]
    n[LINE_BREAK] = line_break


@compiled
def begin_block(doc: Doc) -> None:
    """At its first character."""
    n = doc.n
    block = doc.block[n[BLOCKS]]
    n[BLOCKS] += 1
    n[OPEN_BLOCK] = 1
    block[OWN], block[START] = doc.stack[n[STACK] - 1, ELEMENT], n[TEXT]
    block[RAW_START], block[SIGNS], block[LINKED] = n[RAW_BEGIN], 0, 0
    block[DEPTH], block[BROKEN] = n[STACK], n[LINE_BREAK]
    for column in range(ABOVE_COUNT + HINT_COUNT):
        block[AROUND + column] = min(doc.counts[ABOVE_AT + column], 3)


@compiled
def in_link(doc: Doc) -> bool:
    return doc.counts[A] > 0


@compiled
def finish(doc: Doc, tables: Tables) -> None:
    """End all that is open."""
    end_block(doc, False)
    pop_to(doc, 1, tables)
    doc.node[0, LAST] = doc.n[BLOCKS]
