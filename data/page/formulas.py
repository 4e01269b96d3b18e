"""Formulas as text on one line: TeX where a page has it, else MathML, powers and ruby with signs and brackets.

<math alttext="\\frac{a}{b}">…                     $\\frac{a}{b}$
<mfrac><mrow>a+1</mrow><mi>b</mi></mfrac>        (a+1)/b
10<sup>11</sup>                                  10^11
北<rt>běi</rt>                                   北(běi)
"""

import numpy as np

from data.compiled import compiled
from data.page.names import (
    FORMULA,
    IMG,
    IS_COPY,
    IS_TEX,
    MATH,
    MFRAC,
    MOVER,
    MROOT,
    MSQRT,
    MSUP,
    MTD,
    MUNDER,
    PARTED,
    RT,
    SUP,
    TOKEN,
    Tables,
    name_hash,
)
from data.page.scan import (
    TAG_ALT,
    TAG_ALT_END,
    TAG_CLASS,
    TAG_CLASS_END,
    TAG_SELF,
    VALUE_BYTES,
    after_sign,
    found,
    hashed,
    is_blank,
    raw_end,
)
from data.page.text import put_signs
from data.page.tree import (
    BLANK,
    BLOCKS,
    BRACKET,
    ELEMENT,
    FORMULA_END,
    KIND,
    MATH_END,
    NUMBER,
    OPEN_BLOCK,
    PARTS,
    STACK,
    START,
    TEXT,
    Doc,
)

OPEN, CLOSE, CARET, LOW, SLASH = (ord(sign) for sign in "()^_/")
ROOT_OF, SQUARE_ROOT_OF, NEXT = (int.from_bytes(signs, "little") for signs in (b"root(", b"sqrt(", b", "))
"""Signs as `put_signs` takes them."""


@compiled
def is_copy(page: np.ndarray, tag: np.ndarray, tables: Tables) -> bool:
    """Does an element draw a formula that is written beside it?"""
    return _classes(page, tag, tables) & IS_COPY > 0


@compiled
def _classes(page: np.ndarray, tag: np.ndarray, tables: Tables) -> int:
    """What the whole class names of a tag say of formulas; `mathjax` in small letters is a page's own."""
    word, stop, said = tag[TAG_CLASS], min(tag[TAG_CLASS_END], tag[TAG_CLASS] + VALUE_BYTES), 0
    for at in range(word, stop + 1):
        if at == stop or is_blank(page[at]):
            value = found(tables.names, tables.name_values, hashed(page, word, at, FORMULA))
            if value != IS_COPY or page[word] != 109:  # m
                said |= value
            word = at + 1
    return said


@compiled
def note(
    page: np.ndarray,
    at: int,
    size: int,
    name: int,
    name_end: int,
    ident: int,
    doc: Doc,
    tables: Tables,
) -> tuple[int, int, int, bool]:
    """Of a start tag that is NOTED: where the TeX that stands for it begins and ends (0 where there is none), the
    place where reading goes on, and whether a bracket was opened."""
    if ident == MATH:
        start, stop, past = _tex(page, at, size, name, name_end, doc)
        return start, stop, past if stop > start else at, False
    if ident == IMG:
        start, stop = _tex_of_image(page, doc, tables)
        return start, stop, at, False
    bracket = ident == RT and page[at] != 60  # <
    power = ident == SUP and _is_power(page, at, doc)
    if bracket or power:
        put_signs(OPEN if bracket else CARET, doc)
    return 0, 0, at, bracket


@compiled
def _tex(page: np.ndarray, at: int, size: int, name: int, name_end: int, doc: Doc) -> tuple[int, int, int]:
    """Where the TeX of a math element begins and ends, in it or in its tag, and the place after the element."""
    known = doc.n[MATH_END] >= at  # no annotation stands before that end, or it would have been taken
    stop = doc.n[MATH_END] if known else raw_end(page, at, size, name, name_end)
    doc.n[MATH_END] = stop
    if stop == size:
        return 0, 0, at
    past = after_sign(page, stop, size)
    while at < stop and not known:
        if page[at] == 60 and page[at + 1] == 97 and hashed(page, at + 1, at + 11, 0) == ANNOTATION:
            start = after_sign(page, at, stop)
            if _names_tex(page, at, start):
                end = start
                while end < stop and page[end] != 60:
                    end += 1
                return start, end, past
        at += 1
    return doc.tag[TAG_ALT], doc.tag[TAG_ALT_END], past


@compiled
def _names_tex(page: np.ndarray, at: int, stop: int) -> bool:
    for place in range(at, stop - 5):
        if page[place] == 120 and page[place + 1] == 45 and page[place + 2] == 116 and page[place + 3] == 101:  # x-te
            return True
    return False


@compiled
def _tex_of_image(page: np.ndarray, doc: Doc, tables: Tables) -> tuple[int, int]:
    """Where the alternative text of an image begins and ends if that is TeX which no math element before it holds."""
    start, stop = doc.tag[TAG_ALT], doc.tag[TAG_ALT_END]
    if start >= stop or doc.n[TEXT] == doc.n[FORMULA_END]:
        return 0, 0
    dollars = stop - start > 2 and page[start] == 36 and page[stop - 1] == 36
    display = page[start] == 123 and hashed(page, start, start + 14, 0) == DISPLAY_STYLE  # {
    if dollars or display or _classes(page, doc.tag, tables) & IS_TEX:
        return start, stop
    return 0, 0


@compiled
def past_mark(page: np.ndarray, at: int, doc: Doc) -> int:
    """The place after the ¶, § or, in a heading, # that is all of a link."""
    stop = at
    if page[at] == 0xC2 and (page[at + 1] == 0xB6 or page[at + 1] == 0xA7):
        stop = at + 2
    elif page[at] == 38 and hashed(page, at, at + 6, 0) == PARAGRAPH_MARK:
        stop = at + 6
    elif page[at] == 35 and 1 <= doc.node[doc.stack[doc.n[STACK] - 1, ELEMENT], KIND] <= 6:
        stop = at + 1
    return stop if page[stop] == 60 and page[stop + 1] == 47 else at


@compiled
def _is_power(page: np.ndarray, at: int, doc: Doc) -> bool:
    """Is a whole number, and no more, raised above a number or a letter that stands alone?"""
    n, text = doc.n, doc.text
    if not n[OPEN_BLOCK] or n[BLANK]:
        return False
    last = n[TEXT] - 1
    if not 48 <= text[last] <= 57:
        if not 97 <= (text[last] | 32) <= 122:
            return False
        if last > doc.block[n[BLOCKS] - 1, START] and (text[last - 1] >= 65 or text[last - 1] == 39):
            return False
    if page[at] == 43 or page[at] == 45:  # + -
        at += 1
    elif page[at] == 0xE2 and ((page[at + 1] == 0x88 and page[at + 2] == 0x92) or page[at + 1] == 0x80):  # − –
        at += 3
    elif page[at] == 38 and hashed(page, at, at + 7, 0) == MINUS:
        at += 7
    start = at
    while 48 <= page[at] <= 57:
        at += 1
    return at > start and page[at] == 60 and page[at + 1] == 47


@compiled
def before_part(doc: Doc, ident: int, flags: int, tables: Tables) -> bool:
    """Write what stands before an element in MathML: the sign between it and the part before, and its bracket; is
    there one?"""
    row = doc.stack[doc.n[STACK] - 1]
    around, signs, bracket = row[NUMBER], 0, False
    if tables.elements[0, around] & PARTED:
        row[PARTS] += 1
        part, leaf = row[PARTS], flags & TOKEN > 0 or doc.tag[TAG_SELF] > 0
        if part > 1 and around == MROOT:
            signs = NEXT
        elif part > 1 and not (leaf and (around in (MOVER, MUNDER))):
            signs = SLASH if around == MFRAC else CARET if part == 3 or (around in (MSUP, MOVER)) else LOW
        bracket = not leaf and around != MROOT and (part > 1 or around == MFRAC or ident == MFRAC)
    shift = 0 if signs == 0 else 16 if signs == NEXT else 8
    if bracket:
        signs |= OPEN << shift
    elif ident in (MSQRT, MROOT) and not doc.tag[TAG_SELF]:
        signs |= (SQUARE_ROOT_OF if ident == MSQRT else ROOT_OF) << shift
        bracket = True
    if signs:
        put_signs(signs, doc)
    elif ident == MTD:
        doc.n[BLANK] = 1
    return bracket


@compiled
def all_blank(page: np.ndarray, at: int, stop: int) -> bool:
    """Blanks between the parts of a formula mean nothing."""
    while at < stop and is_blank(page[at]):
        at += 1
    return at == stop


@compiled
def close_bracket(doc: Doc) -> None:
    """The bracket of the innermost element, at the first closing tag that comes."""
    doc.stack[doc.n[STACK] - 1, BRACKET] = 0
    if doc.n[OPEN_BLOCK]:
        doc.n[BLANK] = 0
        put_signs(CLOSE, doc)


ANNOTATION, DISPLAY_STYLE = name_hash(b"annotation"), name_hash(b"{\\displaystyle")
PARAGRAPH_MARK, MINUS = name_hash(b"&para;"), name_hash(b"&minus;")
