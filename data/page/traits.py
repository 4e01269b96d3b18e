"""What can be measured of each block of a page: its text, its links, its place in the tree and in the page.

    measure(doc, room, tables)     # room.x[block] holds the columns that `columns.NAMES` lists

The columns are those of Kohlschütter et al., "Boilerplate Detection using Shallow Text Features" (WSDM 2010), of
Readability (text of containers, class names), and order. A block's neighbours are looked at by the network itself.
"""

import math

import numpy as np

from data.compiled import compiled
from data.page.columns import (
    BEST_AT,
    BODY_HINT,
    CLASSES_AT,
    HINTS_AT,
    IN_ARTICLE,
    IN_MAIN,
    LINK,
    MAIN_HINT,
    ORDER_AT,
    OWN_COUNT,
    SIZES_AT,
    TAGS_AT,
    TEXT_HINT_COUNT,
    UNDER,
    WORD_CHARS,
    Room,
)
from data.page.names import (
    ABOVE_COUNT,
    CJK,
    COMMA,
    DIGIT,
    END,
    H1,
    H6,
    HINT_COUNT,
    KINDS,
    LOWER,
    QUOTE,
    SIGN,
    SKIPPED,
    UPPER,
    WORD,
    Tables,
)
from data.page.scan import found, hashed
from data.page.tree import (
    AROUND,
    BITS,
    BLOCKS,
    BOX,
    DEPTH,
    FIRST,
    IDENT,
    KIND,
    LAST,
    LINKED,
    NODES,
    PARENT,
    SIGNS,
    START,
    TITLE_TEXT,
    Doc,
)
from data.page.tree import OWN as OWNER


@compiled
def measure(doc: Doc, room: Room, tables: Tables) -> None:
    """Fill in the traits of every block."""
    blocks = doc.n[BLOCKS]
    room.x[:blocks, :] = 0
    for block in range(blocks):
        _text(doc, room, block, tables)
        _tags(doc, room, block, tables)
        _classes(doc, room, block)
    _sums(doc, room)
    _whole_page(doc, room)
    best = _scores(doc, room)
    for block in range(blocks):
        _sizes(doc, room, block)
        _best(doc, room, block, best)
    _order(doc, room)


@compiled
def _text(doc: Doc, room: Room, block: int, tables: Tables) -> None:
    x = room.x[block]
    start, stop = doc.block[block, START], doc.block[block + 1, START]
    cjk = spaces = ends = comma = digit = upper = sign = quote = chars = 0
    kind = first = 0
    at = start
    while at < stop:
        byte = doc.text[at]
        if byte < 128:
            kind = tables.kinds[byte]
            at += 1
        else:
            point, at = _point(doc.text, at)
            kind = tables.kinds[point] if point < KINDS else 0
        if chars == 0:
            first = kind
        chars += 1
        spaces += byte == 32
        if kind:
            cjk += kind & CJK > 0
            ends += kind & END > 0
            comma += kind & COMMA > 0
            digit += kind & DIGIT > 0
            upper += kind & UPPER > 0
            sign += kind & SIGN > 0
            quote += kind & QUOTE > 0
    words = spaces + 1
    weight = chars + 2 * cjk
    link = doc.block[block, LINKED] / max(1, doc.block[block, SIGNS])
    room.chars[block] = chars
    room.weight[block, 0] = weight
    room.weight[block, 1] = weight * max(0.0, 1 - 1.5 * link) * min(1.0, ends / 2 + (0.5 if weight > 80 else 0.0))
    x[0], x[1], x[2], x[3], x[4] = ends, ends / chars, cjk / chars, comma / chars, digit / chars
    x[5], x[6], x[7] = upper / words, sign / chars, quote / chars
    x[8], x[9] = math.log1p(words), min(chars / words, 30.0)
    x[10], x[11], x[12] = kind & (END | QUOTE) > 0, first & LOWER > 0, first & UPPER > 0
    x[13], x[14] = math.log1p(weight), link
    _words(doc, room, block, start, stop, tables)


@compiled
def _point(text: np.ndarray, at: int) -> tuple[int, int]:
    """The code point of more than one byte at a place, and the place after it."""
    byte = text[at]
    if byte < 0xE0:
        return (byte & 31) << 6 | text[at + 1] & 63, at + 2
    if byte < 0xF0:
        return (byte & 15) << 12 | (text[at + 1] & 63) << 6 | text[at + 2] & 63, at + 3
    return 0x10000, at + 4


@compiled
def _words(doc: Doc, room: Room, block: int, start: int, stop: int, tables: Tables) -> None:
    """Which words of TEXT_HINTS stand at the beginning of a text, signs in them left out."""
    x = room.x[block]
    stop = min(stop, start + WORD_CHARS)
    seed = hashed(doc.text, 0, 0, WORD)
    code, all_bits, looked_at = seed, 0, 0
    for at in range(start, stop + 1):
        byte = doc.text[at] if at < stop else 32
        if byte != 32:
            if byte < 128 and tables.kinds[byte] & SKIPPED:
                continue
            if 65 <= byte <= 90:
                byte += 32
            code = (code ^ np.uint64(byte)) * np.uint64(0x100000001B3)
            continue
        looked_at += 1
        bits = found(tables.names, tables.name_values, code) if code != seed else 0
        code = seed
        all_bits |= bits
        hint = HINTS_AT
        while bits:
            x[hint] += bits & 1
            bits >>= 1
            hint += 1
    room.words[block] = all_bits
    x[HINTS_AT] /= looked_at
    for hint in range(HINTS_AT + 1, HINTS_AT + TEXT_HINT_COUNT):
        x[hint] = min(x[hint], 3) / math.sqrt(looked_at)


@compiled
def _tags(doc: Doc, room: Room, block: int, tables: Tables) -> None:
    x, row = room.x[block], doc.block[block]
    for node in (row[OWNER], _box(doc, block)):
        own = tables.elements[2, doc.node[node, IDENT]]
        if own >= 0:
            x[TAGS_AT + own] = 1
    for column in range(ABOVE_COUNT):
        x[TAGS_AT + OWN_COUNT + column] = row[AROUND + column]
    x[TAGS_AT + OWN_COUNT + ABOVE_COUNT + 2] = row[DEPTH]


@compiled
def _box(doc: Doc, block: int) -> int:
    """The innermost block element that a block's first words lie in."""
    return doc.node[doc.block[block, OWNER], BOX]


@compiled
def _classes(doc: Doc, room: Room, block: int) -> None:
    x, row = room.x[block], doc.block[block]
    box = _box(doc, block)
    mine = doc.node[row[OWNER], BITS] | doc.node[box, BITS]
    over = doc.node[doc.node[box, PARENT], BITS] if box else 0
    for kind in range(HINT_COUNT):
        x[CLASSES_AT + kind] = mine >> kind & 1
        x[CLASSES_AT + HINT_COUNT + kind] = over >> kind & 1
        x[CLASSES_AT + 2 * HINT_COUNT + kind] = row[AROUND + ABOVE_COUNT + kind]


@compiled
def _sums(doc: Doc, room: Room) -> None:
    """Before each block: weight, weight in links, prose, blocks; one row more than there are blocks."""
    weight = room.weight
    weight[0, 2] = weight[0, 3] = weight[0, 4] = weight[0, 5] = 0
    for block in range(doc.n[BLOCKS]):
        weight[block + 1, 2] = weight[block, 2] + weight[block, 0]
        weight[block + 1, 3] = weight[block, 3] + weight[block, 0] * room.x[block, LINK]
        weight[block + 1, 4] = weight[block, 4] + weight[block, 1]
        weight[block + 1, 5] = block + 1


@compiled
def _whole_page(doc: Doc, room: Room) -> None:
    """The same for every block: is there an article, a body, …"""
    blocks = doc.n[BLOCKS]
    article = main = hint_main = hint_body = False
    for block in range(blocks):
        row = doc.block[block]
        article, main = article or row[AROUND + IN_ARTICLE] > 0, main or row[AROUND + IN_MAIN] > 0
        hint_main = hint_main or row[AROUND + ABOVE_COUNT + MAIN_HINT] > 0
        hint_body = hint_body or row[AROUND + ABOVE_COUNT + BODY_HINT] > 0
    weight, links, prose = room.weight[blocks, 2] + 1, room.weight[blocks, 3], room.weight[blocks, 4] + 1
    for block in range(blocks):
        x = room.x[block]
        at = TAGS_AT + OWN_COUNT + ABOVE_COUNT
        x[at], x[at + 1] = article, main
        x[SIZES_AT - 2], x[SIZES_AT - 1] = hint_main, hint_body
        at = BEST_AT + 7
        x[at], x[at + 1], x[at + 2], x[at + 3] = math.log1p(weight), prose / weight, links / weight, math.log1p(blocks)


@compiled
def _scores(doc: Doc, room: Room) -> int:
    """Prose of each element that blocks lie two or three levels in; the element with most of it."""
    score = room.score
    score[: doc.n[NODES]] = 0
    best = 0
    for block in range(doc.n[BLOCKS]):
        box = doc.node[_box(doc, block), PARENT]
        score[box] += room.weight[block, 1]
        if box:
            score[doc.node[box, PARENT]] += room.weight[block, 1] / 2
    for node in range(doc.n[NODES]):
        if score[node] > score[best]:
            best = node
    return best


@compiled
def _sizes(doc: Doc, room: Room, block: int) -> None:
    """Sizes and link shares of the five elements around a block."""
    x = room.x[block]
    node, at = _box(doc, block), SIZES_AT
    for _ in range(5):
        if not room.sized[node]:
            _size(doc, room, node)
        for column in range(5):
            x[at + column] = room.sizes[node, column]
        node, at = doc.node[node, PARENT], at + 5


@compiled
def _size(doc: Doc, room: Room, node: int) -> None:
    weight, size = room.weight, room.sizes[node]
    first, stop = doc.node[node, FIRST], doc.node[node, LAST]
    inside = weight[stop, 2] - weight[first, 2]
    prose = weight[stop, 4] - weight[first, 4]
    size[0] = math.log1p(inside)
    size[1] = (weight[stop, 3] - weight[first, 3]) / (inside + 1)
    size[2] = prose / (inside + 1)
    size[3] = prose / (weight[doc.n[BLOCKS], 4] + 1)
    size[4] = math.log1p(inside / max(1, stop - first))
    room.sized[node] = True


@compiled
def _best(doc: Doc, room: Room, block: int, best: int) -> None:
    """Where the element with most prose lies."""
    x, weight, score = room.x[block], room.weight, room.score
    prose_of_page = weight[doc.n[BLOCKS], 4] + 1
    box = doc.node[_box(doc, block), PARENT]
    start, stop = doc.node[best, FIRST], doc.node[best, LAST]
    x[BEST_AT] = score[box] / (score[best] + 1)
    x[BEST_AT + 1] = math.log1p(score[box])
    x[BEST_AT + 2] = box == best
    x[BEST_AT + 3] = start <= block < stop
    x[BEST_AT + 4] = min(max((block - start) / 20, -3.0), 3.0)
    x[BEST_AT + 5] = min(max((stop - block) / 20, -3.0), 3.0)
    x[BEST_AT + 6] = score[best] / prose_of_page
    x[BEST_AT + 11] = weight[block, 4] / prose_of_page
    x[BEST_AT + 12] = (weight[block, 4] - weight[doc.node[box, FIRST], 4]) / prose_of_page


@compiled
def _order(doc: Doc, room: Room) -> None:
    blocks = doc.n[BLOCKS]
    _count_texts(doc, room)
    at_top, h1, h1s = -30, -30, 0
    for block in range(blocks):
        kind = doc.node[doc.block[block, OWNER], KIND]
        room.x[block, ORDER_AT + 4] = top = _in_title(doc, room, block)
        if top and (at_top < 0 or (H1 <= kind <= H6 and not _is_heading(doc, at_top))):
            at_top = block
        if kind == H1:
            h1, h1s = block if h1 < 0 else h1, h1s + 1
    heading, words = -1, 0
    for block in range(blocks):
        x = room.x[block]
        if _is_heading(doc, block):
            heading, words = block, room.words[block]
        x[ORDER_AT] = block / blocks
        x[ORDER_AT + 1], x[ORDER_AT + 2] = math.log1p(block), math.log1p(blocks - block)
        x[ORDER_AT + 5] = min(max((block - at_top) / 10, -3.0), 3.0)
        x[ORDER_AT + 6] = at_top >= 0
        x[ORDER_AT + 7] = min(max((block - h1) / 10, -3.0), 3.0)
        x[ORDER_AT + 8] = min(h1s, 4)
        x[ORDER_AT + 9] = min(block - heading, 30) / 10
        for column in range(len(UNDER)):
            x[ORDER_AT + 10 + column] = words >> UNDER[column] & 1


@compiled
def _is_heading(doc: Doc, block: int) -> bool:
    return H1 <= doc.node[doc.block[block, OWNER], KIND] <= H6


@compiled
def _count_texts(doc: Doc, room: Room) -> None:
    """Does a text stand more than once in the page?"""
    hashes = room.hashes
    mask = len(hashes) - 1
    for block in range(doc.n[BLOCKS]):
        code = np.int64(hashed(doc.text, doc.block[block, START], doc.block[block + 1, START], 0))
        at = (code ^ code >> 32) & mask
        while hashes[at, 0] and hashes[at, 0] != code:
            at = (at + 1) & mask
        if hashes[at, 0]:
            room.x[block, ORDER_AT + 3] = room.x[hashes[at, 1], ORDER_AT + 3] = 1
        else:
            hashes[at, 0], hashes[at, 1] = code, block


@compiled
def _in_title(doc: Doc, room: Room, block: int) -> bool:
    """Is a text of more than eight characters a part of the title, whatever the case of its letters?"""
    start, stop = doc.block[block, START], doc.block[block + 1, START]
    length, title = stop - start, doc.n[TITLE_TEXT]
    if room.chars[block] <= 8 or length > title:
        return False
    for at in range(title - length + 1):
        offset = 0
        while offset < length and _small(doc.title[at + offset]) == _small(doc.text[start + offset]):
            offset += 1
        if offset == length:
            return True
    return False


@compiled
def _small(byte: int) -> int:
    return byte + 32 if 65 <= byte <= 90 else byte
