"""Text of a page: entities read, white space joined, written block by block."""

import numpy as np

from data.compiled import compiled
from data.page.names import PRE, Tables
from data.page.scan import entity, is_blank, put
from data.page.tree import (
    BLANK,
    BLOCKS,
    LINK_TEXT,
    LINKED,
    OPEN_BLOCK,
    RAW_TEXT,
    SIGNS,
    TEXT,
    TITLE_TEXT,
    Doc,
    begin_block,
    in_link,
)

TITLE_BYTES = 2_000
DOLLAR = 36


@compiled
def put_text(page: np.ndarray, at: int, stop: int, doc: Doc, tables: Tables) -> None:
    """A stretch of a page between two tags."""
    linked, code = in_link(doc), doc.counts[PRE] > 0
    n = doc.n
    while at < stop:
        byte = page[at]
        if is_blank(byte):
            n[BLANK] = 1
            if code:
                doc.raw[n[RAW_TEXT]] = byte
                n[RAW_TEXT] += 1
            at += 1
        elif byte == 38:  # &
            first, second, after = entity(page, at, stop, tables)
            if first < 0:
                first, after = 38, at + 1
            put_point(first, doc, linked, code)
            if second:
                put_point(second, doc, linked, code)
            at = after
        elif 0xC2 <= byte <= 0xE3 and _blank_width(page, at):
            n[BLANK], width = 1, _blank_width(page, at)
            if code:
                for offset in range(width):
                    doc.raw[n[RAW_TEXT] + offset] = page[at + offset]
                n[RAW_TEXT] += width
            at += width
        elif byte == 0 or 28 <= byte <= 31:
            n[BLANK] |= byte > 0
            at += 1
        else:
            at = _put_run(page, at, stop, doc, linked, code)


@compiled
def _put_run(page: np.ndarray, at: int, stop: int, doc: Doc, linked: bool, code: bool) -> int:
    """Characters up to the next that is blank or may be an entity; the place after them. At least one."""
    n = doc.n
    _ready(doc)
    start, out, signs = at, n[TEXT], 0
    while at < stop:
        byte = page[at]
        if at > start and (byte <= 32 or byte == 38 or (0xC2 <= byte <= 0xE3 and _blank_width(page, at))):
            break
        doc.text[out] = byte
        out += 1
        signs += byte & 0xC0 != 0x80
        at += 1
    n[TEXT] = out
    block = n[BLOCKS] - 1
    doc.block[block, SIGNS] += signs
    if linked:
        doc.block[block, LINKED] += signs
    if code:
        for offset in range(at - start):
            doc.raw[n[RAW_TEXT] + offset] = page[start + offset]
        n[RAW_TEXT] += at - start
    return at


@compiled
def put_point(point: int, doc: Doc, linked: bool, code: bool) -> None:
    """One character that an entity stands for."""
    n = doc.n
    if code:
        n[RAW_TEXT] = put(doc.raw, n[RAW_TEXT], point)
    if is_blank_point(point):
        n[BLANK] = 1
        return
    _ready(doc)
    n[TEXT] = put(doc.text, n[TEXT], point)
    doc.block[n[BLOCKS] - 1, SIGNS] += 1
    doc.block[n[BLOCKS] - 1, LINKED] += linked


@compiled
def _ready(doc: Doc) -> None:
    """Begin a block where there is none, else write the space that is due."""
    n = doc.n
    if not n[OPEN_BLOCK]:
        begin_block(doc)
    elif n[BLANK]:
        doc.text[n[TEXT]] = 32
        n[TEXT] += 1
    n[BLANK] = 0


@compiled
def _blank_width(page: np.ndarray, at: int) -> int:
    """Bytes of the white space of Unicode at a place; 0 where there is none."""
    first, second, third = page[at], page[at + 1], page[at + 2]
    if first == 0xC2:
        return 2 if second == 0x85 or second == 0xA0 else 0
    if first == 0xE2:
        wide = second == 0x80 and (0x80 <= third <= 0x8A or third == 0xA8 or third == 0xA9 or third == 0xAF)
        return 3 if wide or (second == 0x81 and third == 0x9F) else 0
    if first == 0xE3 or first == 0xE1:
        wide = second == 0x80 if first == 0xE3 else second == 0x9A
        return 3 if wide and third == 0x80 else 0
    return 0


@compiled
def is_blank_point(point: int) -> bool:
    """As str.isspace has it."""
    if point < 0x2000:
        return point == 32 or 9 <= point <= 13 or 28 <= point <= 31 or point in (0x85, 0xA0, 0x1680)
    return point <= 0x200A or point in (0x2028, 0x2029, 0x202F, 0x205F, 0x3000)


@compiled
def put_title(page: np.ndarray, at: int, stop: int, doc: Doc, tables: Tables) -> None:
    """The page's title, with its entities read and its white space joined."""
    n, blank, most = doc.n, False, min(stop, at + TITLE_BYTES)
    while at < most:
        first, second, after = np.int64(page[at]), 0, at + 1
        if first == 38:
            first, second, after = entity(page, at, stop, tables)
            if first < 0:
                first, second, after = 38, 0, at + 1
        elif first >= 0xC2 and _blank_width(page, at):
            first, after = 32, at + _blank_width(page, at)
        elif first >= 0x80:
            first = -first
        if first >= 0 and is_blank_point(first):
            blank = True
        else:
            if blank and n[TITLE_TEXT]:
                doc.title[n[TITLE_TEXT]] = 32
                n[TITLE_TEXT] += 1
            blank = False
            _put_sign(doc, first)
            if second:
                _put_sign(doc, second)
        at = after


@compiled
def _put_sign(doc: Doc, point: int) -> None:
    """A code point, or below zero a byte of one."""
    if point < 0:
        doc.title[doc.n[TITLE_TEXT]] = -point
        doc.n[TITLE_TEXT] += 1
    elif point:
        doc.n[TITLE_TEXT] = put(doc.title, doc.n[TITLE_TEXT], point)


@compiled
def put_formula(page: np.ndarray, at: int, stop: int, doc: Doc, tables: Tables) -> None:
    """TeX between dollars; blanks and dollars at its ends are left out."""
    while at < stop and is_blank(page[at]):
        at += 1
    while stop > at and is_blank(page[stop - 1]):
        stop -= 1
    while at + 1 < stop and page[at] == DOLLAR and page[stop - 1] == DOLLAR:
        at, stop = at + 1, stop - 1
    linked, code = in_link(doc), doc.counts[PRE] > 0
    put_point(DOLLAR, doc, linked, code)
    put_text(page, at, stop, doc, tables)
    put_point(DOLLAR, doc, linked, code)


@compiled
def put_signs(signs: int, doc: Doc) -> None:
    """ASCII signs of a formula, the first in the lowest byte."""
    while signs:
        put_point(signs & 255, doc, in_link(doc), doc.counts[PRE] > 0)
        signs >>= 8


@compiled
def put_link(page: np.ndarray, at: int, stop: int, doc: Doc, tables: Tables) -> None:
    """An address on a line of its own, after a letter: P for a plain path, A for an absolute one, U for any other."""
    n = doc.n
    while at < stop and is_blank(page[at]):
        at += 1
    while stop > at and is_blank(page[stop - 1]):
        stop -= 1
    if at == stop or page[at] == 35:  # #
        return
    start = n[LINK_TEXT]
    out, odd = start + 1, False
    while at < stop:
        byte = page[at]
        if byte == 38:
            first, _second, after = entity(page, at, stop, tables)
            if first >= 0:
                out, at, odd = put(doc.links, out, first), after, odd or first != 38
                continue
        at += 1
        if byte >= 32:
            doc.links[out] = byte
            out += 1
            odd = odd or byte == 32 or byte == 92 or byte >= 127
    doc.links[start], out = _kind_of(doc.links, start + 1, out, odd)
    doc.links[out] = 10
    n[LINK_TEXT] = out + 1


@compiled
def _kind_of(links: np.ndarray, at: int, stop: int, odd: bool) -> tuple[int, int]:
    """The letter of an address, and its end without a fragment."""
    if odd or stop - at < 1:
        return 85, stop  # U
    if links[at] == 104 and stop - at > 8 and links[at + 1] == 116 and links[at + 2] == 116 and links[at + 3] == 112:
        colon = at + 4 + (links[at + 4] == 115)
        if links[colon] == 58 and links[colon + 1] == 47 and links[colon + 2] == 47:
            end = at
            while end < stop and links[end] != 35:
                end += 1
            return 65, end  # A
    if (
        links[at] != 47
        or (stop - at > 1 and links[at + 1] == 47)
        or links[stop - 1] == 46
        or links[stop - 1] == 63
        or links[stop - 1] == 35
    ):
        return 85, stop
    for place in range(at, stop - 1):
        if links[place] == 35 or (links[place] == 46 and (links[place + 1] == 47 or links[place + 1] == 63)):
            return 85, stop
    return 80, stop  # P
