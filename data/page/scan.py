"""Names, attributes and entities in the bytes of a page (https://html.spec.whatwg.org/#tokenization)."""

import numpy as np

from data.compiled import compiled
from data.page.names import (
    ALT,
    AMOUNT,
    ARIA_HIDDEN,
    ATTRIBUTE,
    CLASS,
    CLASSES,
    HIDDEN,
    HINT,
    HREF,
    ROWSPAN,
    STYLE,
    TYPE,
    UNSEEN,
    Tables,
    name_hash,
)

PADDING = b"\0" * 16
"""After the bytes of a page, so that what follows its last sign can be read."""
VALUE_BYTES = 600
"""Of an attribute, where words are looked for."""
(TAG_NAME, TAG_CODE, TAG_NAME_END, TAG_BITS, TAG_SELF, TAG_HREF, TAG_HREF_END, TAG_TYPE, TAG_TYPE_END, TAG_COUNT) = (
    range(10)
)
(TAG_AMOUNT, TAG_ROWS, TAG_ALT_END, TAG_CLASS_END, TAG_ALT, TAG_CLASS) = range(10, 16)
"""What `read_tag` writes of a tag; an amount is the columns of a cell or the first number of a list."""
MOST_AMOUNT = 1_000_000


@compiled
def hashed(page: np.ndarray, start: int, stop: int, seed: int) -> np.uint64:
    """FNV-1a of the bytes, capital letters of ASCII made small."""
    code = np.uint64(0xCBF29CE484222325) + np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15)
    for at in range(start, stop):
        byte = page[at]
        if 65 <= byte <= 90:
            byte += 32
        code = (code ^ np.uint64(byte)) * np.uint64(0x100000001B3)
    return code if code else np.uint64(1)


@compiled
def found(keys: np.ndarray, values: np.ndarray, code: np.uint64) -> int:
    """The value of a hash; 0 where it is none of the table's."""
    mask = np.uint64(len(keys) - 1)
    at = (code ^ (code >> np.uint64(32))) & mask
    while keys[at] != 0:
        if keys[at] == code:
            return values[at]
        at = (at + np.uint64(1)) & mask
    return 0


@compiled
def is_blank(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13


@compiled
def read_tag(page: np.ndarray, at: int, size: int, hinted: bool, tag: np.ndarray, tables: Tables) -> int:
    """The attributes of a start tag from the end of its name on. The place after it; `size` if it has no end."""
    tag[TAG_BITS] = tag[TAG_SELF] = tag[TAG_HREF] = tag[TAG_TYPE] = tag[TAG_COUNT] = 0
    tag[TAG_AMOUNT] = tag[TAG_ROWS] = 1
    tag[TAG_ALT_END] = tag[TAG_CLASS_END] = 0
    while at < size:
        byte = page[at]
        if byte == 62:  # >
            return at + 1
        if byte == 47 or is_blank(byte):  # /
            tag[TAG_SELF] = byte == 47 and page[at + 1] == 62
            at += 1
            continue
        start = at
        at += 1
        while at < size and page[at] != 61 and page[at] != 62 and page[at] != 47 and not is_blank(page[at]):
            at += 1
        stop = at
        while at < size and is_blank(page[at]):
            at += 1
        value = value_end = at
        if at < size and page[at] == 61:  # =
            value, value_end, at = _value(page, at + 1, size)
        tag[TAG_COUNT] += 1
        kind = found(tables.names, tables.name_values, hashed(page, start, min(stop, start + 16), ATTRIBUTE))
        if kind:
            _take(page, kind, value, value_end, hinted, tag, tables)
    return size


@compiled
def _value(page: np.ndarray, at: int, size: int) -> tuple[int, int, int]:
    """Where an attribute's value begins and ends, and what comes after it."""
    while at < size and is_blank(page[at]):
        at += 1
    quote = page[at]
    if quote == 34 or quote == 39:
        at += 1
        start = at
        while at < size and page[at] != quote:
            at += 1
        return start, at, at + 1
    start = at
    while at < size and page[at] != 62 and not is_blank(page[at]):
        at += 1
    return start, at, at


@compiled
def _take(page: np.ndarray, kind: int, start: int, stop: int, hinted: bool, tag: np.ndarray, tables: Tables) -> None:
    if kind == HREF:
        if not tag[TAG_HREF]:
            tag[TAG_HREF], tag[TAG_HREF_END] = start, stop
    elif kind == TYPE:
        tag[TAG_TYPE], tag[TAG_TYPE_END] = start, stop
    elif kind == AMOUNT:
        tag[TAG_AMOUNT] = _amount(page, start, stop)
    elif kind == ROWSPAN:
        tag[TAG_ROWS] = _amount(page, start, stop)
    elif kind == ALT:
        tag[TAG_ALT], tag[TAG_ALT_END] = start, stop
    elif kind == CLASSES:
        tag[TAG_CLASS], tag[TAG_CLASS_END] = start, stop
    if not hinted:
        return
    if kind in (HINT, CLASSES):
        tag[TAG_BITS] |= _class_bits(page, start, min(stop, start + VALUE_BYTES), tables)
    elif (
        kind == HIDDEN
        or (kind == ARIA_HIDDEN and page[start] == 116)  # t
        or (kind == STYLE and _hides(page, start, min(stop, start + VALUE_BYTES)))
    ):
        tag[TAG_BITS] |= UNSEEN


@compiled
def _amount(page: np.ndarray, at: int, stop: int) -> int:
    """Of digits, as far as they go; 1 where there are none."""
    value, start = 0, at
    while at < stop and 48 <= page[at] <= 57:
        value = min(10 * value + page[at] - 48, MOST_AMOUNT)
        at += 1
    return value if at > start else 1


@compiled
def _class_bits(page: np.ndarray, start: int, stop: int, tables: Tables) -> int:
    """What the words of a value say: runs of letters, a joint or a capital between them."""
    bits, word = 0, start
    for at in range(start, stop + 1):
        byte = page[at] | 32
        if at < stop and 97 <= byte <= 122:
            continue
        if at > word:
            bits |= found(tables.names, tables.name_values, hashed(page, word, at, CLASS))
        word = at + 1
    return bits


@compiled
def _hides(page: np.ndarray, start: int, stop: int) -> bool:
    """display:none, with or without a space."""
    for at in range(start, stop - 11):
        if page[at] == 100 and page[at + 7] == 58 and hashed(page, at, at + 8, 0) == DISPLAY:  # d, colon
            at += 8
            at += page[at] == 32
            if at + 4 <= stop and hashed(page, at, at + 4, 0) == NONE:
                return True
    return False


DISPLAY, NONE = name_hash(b"display:"), name_hash(b"none")


@compiled
def begins(page: np.ndarray, at: int, name: int, name_end: int) -> bool:
    """Do the bytes of a name stand at a place, whatever their case?"""
    for offset in range(name_end - name):
        one, other = page[at + offset], page[name + offset]
        if one != other and ((one | 32) != (other | 32) or not 97 <= (one | 32) <= 122):
            return False
    return True


@compiled
def raw_end(page: np.ndarray, at: int, size: int, name: int, name_end: int) -> int:
    """Where `</name` stands, from a place on; `size` if nowhere."""
    length = name_end - name
    while at < size:
        at = next_sign(page, at, size, 60)
        if page[at + 1] == 47 and at + 2 + length <= size and begins(page, at + 2, name, name_end):
            after = page[at + 2 + length]
            if after == 62 or after == 47 or is_blank(after) or at + 2 + length == size:
                return at
        at += 1
    return size


@compiled
def next_sign(page: np.ndarray, at: int, size: int, sign: int) -> int:
    """Where the sign stands next, 32 bytes compared at once; `size` if nowhere."""
    there = np.uint8(0)
    while at + 32 <= size:
        for offset in range(32):
            there |= np.uint8(page[at + offset] == sign)
        if there:
            break
        at += 32
    while at < size and page[at] != sign:
        at += 1
    return at


@compiled
def after_sign(page: np.ndarray, at: int, size: int) -> int:
    """The place after the next >."""
    while at < size and page[at] != 62:
        at += 1
    return min(at + 1, size)


@compiled
def comment_end(page: np.ndarray, at: int, size: int) -> int:
    """The place after a comment that begins with `<!--` at a place."""
    if page[at + 4] == 62:
        return at + 5
    if page[at + 4] == 45 and page[at + 5] == 62:
        return at + 6
    at += 4
    while at < size:
        if page[at] == 45 and page[at + 1] == 45:
            if page[at + 2] == 62:
                return at + 3
            if page[at + 2] == 33 and page[at + 3] == 62:
                return at + 4
        at += 1
    return size


@compiled
def entity(page: np.ndarray, at: int, stop: int, tables: Tables) -> tuple[int, int, int]:
    """Of the & at a place: one or two code points (the second 0 if it is one), and the place after the entity.

    The first is -1 where it begins no entity.
    """
    if page[at + 1] == 35 and at + 2 < stop:  # #
        return _numbered(page, at + 2, stop)
    code = np.uint64(0xCBF29CE484222325)
    best, best_end, place = 0, 0, at + 1
    while place < min(stop, at + 34):
        byte = page[place]
        alike = 48 <= byte <= 57 or 97 <= (byte | 32) <= 122
        if not alike and byte != 59:
            break
        code = (code ^ np.uint64(byte)) * np.uint64(0x100000001B3)
        place += 1
        if byte == 59 or place <= at + 7:
            value = found(tables.entities, tables.entity_values, code)
            if value:
                best, best_end = value, place
        if byte == 59:
            break
    if not best:
        return -1, 0, at + 1
    return best & 0x1FFFFF, best >> 21, best_end


@compiled
def _numbered(page: np.ndarray, at: int, stop: int) -> tuple[int, int, int]:
    hexadecimal = (page[at] | 32) == 120  # x
    at += hexadecimal
    value, digits = 0, 0
    while at < stop:
        byte = page[at]
        if 48 <= byte <= 57:
            digit = byte - 48
        elif hexadecimal and 97 <= (byte | 32) <= 102:
            digit = (byte | 32) - 87
        else:
            break
        value = min(value * (16 if hexadecimal else 10) + digit, 0x110000)
        digits += 1
        at += 1
    if not digits:
        return -1, 0, at
    at += at < stop and page[at] == 59
    if 0x80 <= value < 0xA0:
        value = WINDOWS[value - 0x80]
    if value == 0 or 0xD800 <= value < 0xE000 or value > 0x10FFFF:
        value = 0xFFFD
    return value, 0, at


WINDOWS = tuple(
    ord(bytes([byte]).decode("cp1252", "replace").replace("\ufffd", chr(byte))) for byte in range(0x80, 0xA0)
)
"""Numbered entities of control characters mean those of windows-1252 (https://html.spec.whatwg.org/)."""


@compiled
def put(out: np.ndarray, at: int, point: int) -> int:
    """Write a code point as UTF-8; the place after it."""
    if point < 0x80:
        out[at] = point
        return at + 1
    if point < 0x800:
        out[at], out[at + 1] = 0xC0 | point >> 6, 0x80 | point & 63
        return at + 2
    if point < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | point >> 12, 0x80 | point >> 6 & 63, 0x80 | point & 63
        return at + 3
    out[at], out[at + 1] = 0xF0 | point >> 18, 0x80 | point >> 12 & 63
    out[at + 2], out[at + 3] = 0x80 | point >> 6 & 63, 0x80 | point & 63
    return at + 4
