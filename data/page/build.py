"""From the bytes of a page to its elements and blocks: every tag in turn."""

import numpy as np

from data.compiled import compiled
from data.page.formulas import all_blank, before_part, close_bracket, is_copy, note, past_mark
from data.page.names import (
    BASE,
    BR,
    BUTTON,
    CLOSES_P,
    COPY,
    DD,
    DT,
    FORM,
    FORMATTING,
    H1,
    H6,
    HEADING,
    INLINE,
    LI,
    MATH,
    MJX,
    NOTED,
    OL,
    PARTED,
    RAW,
    ROOT,
    RP,
    RT,
    SCOPE,
    SCRIPT,
    SPECIAL,
    TABLE,
    TABLE_PART,
    TBODY,
    TD,
    TFOOT,
    TH,
    THEAD,
    TITLE,
    TOKEN,
    TR,
    UL,
    UNHINTED,
    VOID,
    A,
    P,
    Tables,
    name_hash,
)
from data.page.scan import (
    TAG_BITS,
    TAG_COUNT,
    TAG_HREF,
    TAG_HREF_END,
    TAG_SELF,
    TAG_TYPE,
    after_sign,
    comment_end,
    found,
    hashed,
    is_blank,
    raw_end,
    read_tag,
)
from data.page.text import put_formula, put_link, put_text, put_title
from data.page.tree import (
    BRACKET,
    CLOSED,
    FAILURE,
    FORMULA_END,
    HASH,
    HIDDEN,
    HREFS,
    MOST_ATTRIBUTES,
    NUMBER,
    STACK,
    TAGS,
    TEXT,
    TITLE_TEXT,
    TOO_MANY_ATTRIBUTES,
    TOO_MANY_TAGS,
    Doc,
    close_at,
    end_block,
    finish,
    pop_to,
    push,
    trim,
)

ATTRIBUTES = 5_000
"""In one tag, at most."""
MAY_END_ITSELF = INLINE | PARTED | TOKEN | NOTED
"""What may be said of an element in a formula that ends with its start tag."""
BASE_AT, BASE_END = 18, 19
"""Places in `Doc.n`: where the address of a base element lies in the page."""


@compiled
def signs_of(page: np.ndarray, size: int) -> int:
    """How many < there are."""
    signs = 0
    for at in range(size):
        signs += page[at] == 60
    return signs


@compiled
def build(page: np.ndarray, size: int, depth: int, tags: int, doc: Doc, tables: Tables) -> None:
    """Fill in the page's blocks; `Doc.n[FAILURE]` says which bound it exceeds: nesting, tags or attributes."""
    at = 0
    while at < size and not doc.n[FAILURE]:
        start = at
        while at < size and page[at] != 60:
            at += 1
        if at > start and not doc.n[HIDDEN] and not (doc.counts[MATH] and all_blank(page, start, at)):
            put_text(page, start, at, doc, tables)
        if at < size:
            at = _markup(page, at, size, doc, depth, tables)
            if doc.n[TAGS] > tags:
                doc.n[FAILURE] = TOO_MANY_TAGS
    finish(doc, tables)


@compiled
def _markup(page: np.ndarray, at: int, size: int, doc: Doc, depth: int, tables: Tables) -> int:
    """What begins with the < at a place; the place after it."""
    after = page[at + 1]
    closing = after == 47  # /
    name = at + 1 + closing
    if 97 <= (page[name] | 32) <= 122 and name < size:
        doc.n[TAGS] += 1
        if closing:
            return _closing(page, name, size, doc, tables)
        return _opening(page, name, size, doc, depth, tables)
    if after == 33 and page[at + 2] == 45 and page[at + 3] == 45:
        return comment_end(page, at, size)
    if after == 33 or after == 63 or closing:  # ! ?
        return after_sign(page, at + 1, size)
    if not doc.n[HIDDEN]:
        put_text(page, at, at + 1, doc, tables)
    return at + 1


@compiled
def _name_end(page: np.ndarray, at: int, size: int) -> int:
    while at < size and page[at] != 62 and page[at] != 47 and not is_blank(page[at]):
        at += 1
    return at


@compiled
def _ident(page: np.ndarray, name: int, code: np.uint64, tables: Tables) -> int:
    """The number of an element; all of MathJax's without one of their own have the same."""
    ident = found(tables.names, tables.name_values, code)
    if not ident and page[name] == 109 and page[name + 1] == 106 and page[name + 2] == 120:  # mjx
        return MJX
    return ident


@compiled
def _closing(page: np.ndarray, name: int, size: int, doc: Doc, tables: Tables) -> int:
    end = _name_end(page, name, size)
    code = hashed(page, name, end, 0)
    ident = _ident(page, name, code, tables)
    flags = tables.elements[0, ident]
    if doc.stack[doc.n[STACK] - 1, BRACKET]:
        close_bracket(doc)
    if not flags & INLINE:
        end_block(doc, ident == BR)
    if not flags & (VOID | ROOT):
        _end(doc, ident, code, flags, tables)
    return after_sign(page, end, size)


@compiled
def _end(doc: Doc, ident: int, code: np.uint64, flags: int, tables: Tables) -> None:
    """End the element of this name that is open, if one is in scope, and what lies in it."""
    if ident and not doc.counts[ident] and not flags & HEADING:
        return
    barred = False
    for slot in range(doc.n[STACK] - 1, 0, -1):
        if doc.stack[slot, CLOSED]:
            continue
        other = doc.stack[slot, NUMBER]
        if other == ident and (ident or doc.stack[slot, HASH] == np.int64(code)):
            if barred and flags & FORMATTING:
                close_at(doc, slot, tables)
                trim(doc)
            elif not barred or not flags & INLINE:
                pop_to(doc, slot, tables)
            return
        if flags & HEADING and H1 <= other <= H6:
            pop_to(doc, slot, tables)
            return
        kind = tables.elements[0, other]
        if kind & SCOPE and not (ident == TABLE or (flags & TABLE_PART and other != TABLE)):
            return
        if ident == LI and (other in (UL, OL)):
            return
        barred = barred or kind & SPECIAL > 0 or not (kind & INLINE)


@compiled
def _opening(page: np.ndarray, name: int, size: int, doc: Doc, depth: int, tables: Tables) -> int:
    """A start tag; of elements without tags in them, the whole element."""
    end = _name_end(page, name, size)
    code = hashed(page, name, end, 0)
    ident = _ident(page, name, code, tables)
    flags = tables.elements[0, ident]
    after = read_tag(page, end, size, not flags & UNHINTED, doc.tag, tables)
    tag = doc.tag
    n = doc.n
    n[MOST_ATTRIBUTES] = max(n[MOST_ATTRIBUTES], tag[TAG_COUNT])
    if tag[TAG_COUNT] > ATTRIBUTES:
        n[FAILURE] = TOO_MANY_ATTRIBUTES
        return after
    if tag[TAG_HREF]:
        if ident == A:
            n[HREFS] += 1
            put_link(page, tag[TAG_HREF], tag[TAG_HREF_END], doc, tables)
        elif ident == BASE and not n[BASE_AT]:
            n[BASE_AT], n[BASE_END] = tag[TAG_HREF], tag[TAG_HREF_END]
    if flags & RAW:
        return _raw(page, name, end, after, size, doc, ident, tables)
    bits, bracket = tag[TAG_BITS], False
    if bits & COPY and (ident == MJX or not is_copy(page, tag, tables)):
        bits ^= COPY
    if not n[HIDDEN]:
        if doc.counts[MATH]:
            bracket = before_part(doc, ident, flags, tables)
        elif ident == A:
            after = past_mark(page, after, doc)
        elif flags & NOTED:
            tex, tex_end, after, bracket = note(page, after, size, name, end, ident, doc, tables)
            if tex_end > tex:
                put_formula(page, tex, tex_end, doc, tables)
                if ident == MATH:
                    n[FORMULA_END] = n[TEXT]
                return after
    if not flags & INLINE:
        end_block(doc, ident == BR)
    if flags & (VOID | ROOT) or (tag[TAG_SELF] and not flags & ~MAY_END_ITSELF and ident != A and doc.counts[MATH]):
        return after
    if _implied(doc, ident, flags, tables):
        push(doc, ident, code, bits, flags, tables.elements[1, ident], depth)
        doc.stack[n[STACK] - 1, BRACKET] = bracket
    return after


@compiled
def _raw(
    page: np.ndarray,
    name: int,
    name_end: int,
    at: int,
    size: int,
    doc: Doc,
    ident: int,
    tables: Tables,
) -> int:
    """An element that holds no tags: the title, a formula, or nothing of the text."""
    stop, tag = raw_end(page, at, size, name, name_end), doc.tag
    if not tables.elements[0, ident] & INLINE:
        end_block(doc, False)
    if ident == TITLE and not doc.n[TITLE_TEXT] and not doc.n[HIDDEN]:
        put_title(page, at, stop, doc, tables)
    if ident == SCRIPT and tag[TAG_TYPE] and not doc.n[HIDDEN]:
        kind = hashed(page, tag[TAG_TYPE], tag[TAG_TYPE] + 8, 0)
        if kind == MATH_MML:
            return at
        if kind == MATH_TEX:
            put_formula(page, at, stop, doc, tables)
    return after_sign(page, stop, size)


@compiled
def _implied(doc: Doc, ident: int, flags: int, tables: Tables) -> bool:
    """End what a start tag ends without saying so; false where the tag itself is to be passed over."""
    opened = doc.counts
    if flags & TABLE_PART:
        return opened[TABLE] > 0 and _table_part(doc, ident, tables)
    if flags & CLOSES_P and opened[P]:
        _close_near(doc, P, P, SCOPE, tables)
    if flags & HEADING and H1 <= doc.stack[doc.n[STACK] - 1, NUMBER] <= H6:
        pop_to(doc, doc.n[STACK] - 1, tables)
    elif ident == LI and opened[LI]:
        _close_near(doc, LI, LI, SPECIAL, tables)
    elif (ident in (DT, DD)) and opened[DT] + opened[DD]:
        _close_near(doc, DT, DD, SPECIAL, tables)
    elif ident == A and opened[A]:
        _end(doc, A, np.uint64(0), tables.elements[0, A], tables)
    elif ident == BUTTON and opened[BUTTON]:
        _close_near(doc, BUTTON, BUTTON, SCOPE, tables)
    elif (ident in (RT, RP)) and opened[RT] + opened[RP]:
        _close_near(doc, RT, RP, SPECIAL, tables)
    return ident != FORM or not opened[FORM]


@compiled
def _close_near(doc: Doc, ident: int, other: int, barriers: int, tables: Tables) -> None:
    """End the innermost of two elements, and what lies in it, unless a barrier lies between."""
    for slot in range(doc.n[STACK] - 1, 0, -1):
        if doc.stack[slot, CLOSED]:
            continue
        here = doc.stack[slot, NUMBER]
        if here in (ident, other):
            pop_to(doc, slot, tables)
            return
        if tables.elements[0, here] & barriers:
            return


@compiled
def _table_part(doc: Doc, ident: int, tables: Tables) -> bool:
    """In a table: a cell ends the cell before it, a row the row, a group of rows the group."""
    level = 1 if ident in (TD, TH) else 2 if ident == TR else 3
    for slot in range(doc.n[STACK] - 1, 0, -1):
        if doc.stack[slot, CLOSED]:
            continue
        here = doc.stack[slot, NUMBER]
        if here == TABLE:
            pop_to(doc, slot + 1, tables)
            return True
        mine = 1 if here in (TD, TH) else 2 if here == TR else 3
        if here in (TR, TD, TH, TBODY, THEAD, TFOOT):
            if mine == level:
                pop_to(doc, slot, tables)
                return True
            if mine > level:
                pop_to(doc, slot + 1, tables)
                return True
    return True


MATH_TEX, MATH_MML = name_hash(b"math/tex"), name_hash(b"math/mml")
