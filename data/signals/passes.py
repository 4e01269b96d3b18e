"""Compiled passes over a batch of texts laid end to end: words, pieces between white space, counts of signs and words.

    codes, shape, begins, han = mark(points, first, tables, eliding)
    start, end, piece_start, piece_end, breaks = cut(shape, begins)
    hashes, traits = hash_words(points, codes, trait, start, end)

Each pass is one loop that stays in a core's cache; NumPy would go over the batch once for every operation. Symbols at
words are joined and cut as `symbols.py` says.
"""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled, entry
from data.signals.characters import (
    ALPHA,
    BREAK,
    DIGIT,
    HAN,
    LETTER,
    LONE,
    LOWER,
    NOT_MARK,
    SPACE,
    WORD,
)
from data.signals.symbols import (
    AMONG_DIGITS,
    AMONG_LETTERS,
    APOSTROPHE,
    BEFORE_LETTER,
    DOT,
    FOREIGN,
    LEADS,
    TRAILS,
)

PRIME, SALT = 0x1E3779B97F4A7C15, 0x14D049BB133111EB
PLACES = 128
"""Of a table of stop words."""
DOTS, URLS, MAILS = range(3)
WORDS, PLAIN, PLAIN_CHARS, LONGEST_WORD, WITH_LETTER = range(5)
_N, _T, _H, _P, _S, _W, _SLASH, _COLON, _AT, _POINT = map(ord, "nthpsw/:@.")


class Tables(NamedTuple):
    """What each class of character is; see `characters.Classes` and `symbols.rules`."""

    of_point: np.ndarray
    shape: np.ndarray
    trait: np.ndarray
    lower: np.ndarray
    rules: np.ndarray
    merges: np.ndarray
    domain: np.ndarray
    """Signs of an address: 1 in the part before @, 2 in a label of a host, 4 in a word, 8 a small letter; bits."""


@entry
def mark(
    points: np.ndarray, first: np.ndarray, tables: Tables, eliding: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Class and shape of each character, whether a word begins there, and how many Chinese characters each text has."""
    size, texts = len(points), len(first) - 1
    codes, shape, begins = np.empty(size, np.uint8), np.empty(size, np.uint8), np.zeros(size, np.bool_)
    han = np.zeros(texts, np.int64)
    for text in range(texts):
        lone = 0
        for at in range(first[text], first[text + 1]):
            code = tables.of_point[points[at]]
            bits = tables.shape[code]
            codes[at], shape[at] = code, bits
            lone |= bits
            han[text] += (bits & HAN) > 0
        _mark_text(codes, shape, begins, first[text], first[text + 1], tables, eliding[text])
        if lone & LONE:
            _cut_lone(shape, begins, first[text], first[text + 1])
    return codes, shape, begins, han


@compiled
def _mark_text(
    codes: np.ndarray, shape: np.ndarray, begins: np.ndarray, at: int, stop: int, tables: Tables, eliding: bool
) -> None:
    """Words begin at runs of word characters and at symbols that do not stay with a word."""
    glued, start = False, at
    while at < stop:
        bits = shape[at]
        if bits & SPACE:
            glued = False
            at += 1
        elif bits & WORD:
            begins[at] = not glued
            glued = False
            while shape[at] & WORD:  # every text ends in a newline
                at += 1
        else:
            tail = at
            while not shape[tail + 1] & (SPACE | WORD):
                tail += 1
            glued = _join(codes, shape, begins, start, at, tail, tables, eliding)
            at = tail + 1


@compiled
def _join(
    codes: np.ndarray,
    shape: np.ndarray,
    begins: np.ndarray,
    start: int,
    head: int,
    tail: int,
    tables: Tables,
    eliding: bool,
) -> bool:
    """Set where words begin in a run of symbols; does what follows it belong to the word before?"""
    before = shape[head - 1] if head > start else np.uint8(SPACE)
    after = shape[tail + 1]
    foreign, dots, dashes = False, False, False
    begins[head] = True
    for at in range(head, tail + 1):
        same = at > head and codes[at] == codes[at - 1] and tables.merges[codes[at]]
        begins[at] = not same
        rule = tables.rules[codes[at]]
        foreign = foreign or (rule & FOREIGN) > 0
        dots = dots or (same and (rule & DOT) > 0)
        dashes = dashes or (same and (rule & BEFORE_LETTER) > 0)
    inner = (before & after & WORD) > 0 and not (before | after) & LONE
    if head == tail:
        cuts = _cuts(tables.rules[codes[head]], before, after)
    else:
        cuts = foreign or dots or (dashes and (before & after & LETTER) > 0)
    glued = inner and not cuts
    if glued:
        begins[head : tail + 1] = False
    glued = _join_ends(codes, shape, begins, start, head, tail, tables) or glued
    if inner and head == tail and tables.rules[codes[head]] & APOSTROPHE:
        if eliding:
            return False
        if not shape[head + 2] & WORD or not shape[min(head + 3, len(shape) - 1)] & WORD:
            negated = codes[head - 1] == _N and codes[head + 1] == _T and not begins[head - 1]
            begins[head - negated] = True
    return glued


@compiled
def _cuts(rule: int, before: int, after: int) -> bool:
    """Whether a single symbol inside a word cuts it."""
    letters, digits = (before & after & LETTER) > 0, (before & after & DIGIT) > 0
    capital = (after & (LETTER | LOWER)) == LETTER
    return (
        (rule & FOREIGN) > 0
        or ((rule & AMONG_LETTERS) > 0 and letters)
        or ((rule & AMONG_DIGITS) > 0 and digits)
        or ((rule & BEFORE_LETTER) > 0 and (after & LETTER) > 0)
        or ((rule & DOT) > 0 and (before & LOWER) > 0 and capital)
    )


@compiled
def _join_ends(
    codes: np.ndarray, shape: np.ndarray, begins: np.ndarray, start: int, head: int, tail: int, tables: Tables
) -> bool:
    """Keep what spaCy takes off neither end: `\\alpha`, `-5`, `@name`, `and/`, `U.S.`."""
    before = shape[head - 1] if head > start else np.uint8(SPACE)
    if before & WORD and not shape[head + 1] & WORD and not before & LONE:
        rule = tables.rules[codes[head]]
        alone = head - 2 < start or not shape[head - 2] & WORD
        if rule & TRAILS or (rule & DOT and before & LETTER and alone):
            begins[head] = False
    leads = (tables.rules[codes[tail]] & LEADS) > 0 and (tail > head or not before & WORD)
    return bool(leads and (shape[tail + 1] & (WORD | LONE)) == WORD)


@compiled
def _cut_lone(shape: np.ndarray, begins: np.ndarray, start: int, stop: int) -> None:
    """Each letter of a script without spaces begins a word, and so does a letter of another after it."""
    for at in range(start, stop):
        if shape[at] & LONE or (at > start and shape[at - 1] & LONE and shape[at] & (LETTER | DIGIT)):
            begins[at] = True


@entry
def cut(shape: np.ndarray, begins: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Start and end of each word and of each piece between white space, and where lines break."""
    size, words, pieces, lines = len(shape), 0, 0, 0
    count, breaks_count = 0, 0
    for at in range(size):
        count += begins[at]
        breaks_count += (shape[at] & BREAK) > 0
    start, end = np.empty(count, np.int64), np.empty(count, np.int64)
    piece_start, piece_end = np.empty(size // 2 + 1, np.int64), np.empty(size // 2 + 1, np.int64)
    breaks = np.empty(breaks_count, np.int64)
    at = 0
    while at < size:
        if shape[at] & SPACE:
            if shape[at] & BREAK:
                breaks[lines] = at
                lines += 1
            at += 1
            continue
        piece_start[pieces] = at
        within = False
        while not shape[at] & SPACE:  # the last character is a newline
            if begins[at]:
                if within:
                    end[words - 1] = at
                start[words] = at
                words += 1
                within = True
            at += 1
        if within:
            end[words - 1] = at
        piece_end[pieces] = at
        pieces += 1
    return start, end, piece_start[:pieces].copy(), piece_end[:pieces].copy(), breaks


@compiled
def hash_of(points: np.ndarray, start: int, end: int) -> np.int64:
    """Of a span of characters, three of which make 63 bits; equal for equal strings wherever they lie."""
    code, at = np.int64(end - start), start
    while at + 3 <= end:
        three = np.int64(points[at]) | np.int64(points[at + 1]) << 21 | np.int64(points[at + 2]) << 42
        code = (code ^ three) * PRIME
        code, at = code ^ code >> 32, at + 3
    rest = np.int64(0)
    while at < end:
        rest, at = rest << 21 | np.int64(points[at]), at + 1
    code = (code ^ rest) * SALT
    return code ^ code >> 29


@entry
def hash_words(
    points: np.ndarray, codes: np.ndarray, trait: np.ndarray, start: np.ndarray, end: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Hash of each word, int64, and the trait bits that any of its characters has, uint8."""
    hashes, traits = np.empty(len(start), np.int64), np.empty(len(start), np.uint8)
    for word in range(len(start)):
        bits = 0
        for at in range(start[word], end[word]):
            bits |= trait[codes[at]]
        hashes[word], traits[word] = hash_of(points, start[word], end[word]), bits
    return hashes, traits


@entry
def number(hashes: np.ndarray, first: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Equal words of one text under one number: the number of each word; of each number how often, and where first."""
    longest = 0
    for text in range(len(first) - 1):
        longest = max(longest, first[text + 1] - first[text])
    places = 16
    while places < 2 * longest:
        places *= 2
    table = np.empty(places, np.int64)
    ids = np.empty(len(hashes), np.int64)
    sizes, firsts, kinds = np.zeros(len(hashes), np.int64), np.empty(len(hashes), np.int64), 0
    for text in range(len(first) - 1):
        mask = 15
        while mask + 1 < 2 * (first[text + 1] - first[text]):
            mask = 2 * mask + 1
        table[: mask + 1] = -1
        for word in range(first[text], first[text + 1]):
            place = hashes[word] & mask
            while table[place] >= 0 and hashes[firsts[table[place]]] != hashes[word]:
                place = (place + 1) & mask
            if table[place] < 0:
                table[place], firsts[kinds] = kinds, word
                kinds += 1
            ids[word] = table[place]
            sizes[table[place]] += 1
    return ids, sizes[:kinds].copy(), firsts[:kinds].copy()


@entry
def count_words(start: np.ndarray, end: np.ndarray, traits: np.ndarray, first: np.ndarray) -> np.ndarray:
    """int64[texts, 5]: words; words that are no marks, their characters, the longest; words with a letter."""
    counts = np.zeros((len(first) - 1, WITH_LETTER + 1), np.int64)
    for text in range(len(first) - 1):
        for word in range(first[text], first[text + 1]):
            length = end[word] - start[word]
            counts[text, WORDS] += 1
            counts[text, WITH_LETTER] += (traits[word] & ALPHA) > 0
            if traits[word] & NOT_MARK:
                counts[text, PLAIN] += 1
                counts[text, PLAIN_CHARS] += length
                counts[text, LONGEST_WORD] = max(counts[text, LONGEST_WORD], length)
    return counts


@entry
def count_known(
    hashes: np.ndarray, which: np.ndarray, owner: np.ndarray, lists: np.ndarray, tables: np.ndarray
) -> np.ndarray:
    """float64[texts]: how many of some words stand in the list of their text, by tables[list] of PLACES hashes."""
    counts = np.zeros(len(lists), np.float64)
    for index in range(len(which)):
        code, table = hashes[which[index]], lists[owner[index]]
        place = code & (PLACES - 1)
        while tables[table, place] and tables[table, place] != code:
            place = (place + 1) & (PLACES - 1)
        counts[owner[index]] += tables[table, place] == code
    return counts


@entry
def count_signs(codes: np.ndarray, first: np.ndarray, tables: Tables) -> tuple[np.ndarray, np.ndarray]:
    """int64[texts, 256]: characters of each class; int64[texts, 3]: `...`, web addresses, e-mail addresses."""
    texts = len(first) - 1
    histogram, counts = np.zeros((texts, 256), np.int64), np.zeros((texts, 3), np.int64)
    for text in range(texts):
        dots = 0
        for at in range(first[text], first[text + 1] - 1):
            code = codes[at]
            histogram[text, code] += 1
            if code == _POINT:
                dots += 1
                counts[text, DOTS] += dots % 3 == 0
                counts[text, URLS] += _is_www(codes, first[text], at, tables)
                continue
            dots = 0
            if code == _COLON:
                counts[text, URLS] += _is_scheme(codes, first[text], at, tables.lower)
            elif code == _AT:
                counts[text, MAILS] += _is_mail(codes, first[text], at, tables)
    return histogram, counts


@compiled
def _is_www(codes: np.ndarray, start: int, at: int, tables: Tables) -> bool:
    """Does `www` stand before this point, and no letter, digit or slash before it?"""
    if at - 3 < start:
        return False
    for back in range(1, 4):
        if tables.lower[codes[at - back]] != _W:
            return False
    return at - 4 < start or not (tables.domain[tables.lower[codes[at - 4]]] & 4 or codes[at - 4] == _SLASH)


@compiled
def _is_scheme(codes: np.ndarray, start: int, at: int, lower: np.ndarray) -> bool:
    """Does `http` or `https` stand before this colon, and two slashes after it?"""
    if codes[at + 1] != _SLASH or codes[at + 2] != _SLASH:  # every text ends in a newline
        return False
    last = at - 1 - (at > start and lower[codes[at - 1]] == _S)
    return (
        last - 3 >= start
        and lower[codes[last]] == _P
        and lower[codes[last - 1]] == _T
        and lower[codes[last - 2]] == _T
        and lower[codes[last - 3]] == _H
    )


@compiled
def _is_mail(codes: np.ndarray, start: int, at: int, tables: Tables) -> bool:
    """[a-z0-9._%+-]@([a-z0-9-]+\\.)+[a-z]{2,}"""
    domain, lower = tables.domain, tables.lower
    if at == start or not domain[lower[codes[at - 1]]] & 1:
        return False
    while True:
        label = at = at + 1
        while domain[lower[codes[at]]] & 2:
            at += 1
        if at == label or codes[at] != _POINT:
            return False
        if domain[lower[codes[at + 1]]] & 8 and domain[lower[codes[at + 2]]] & 8:
            return True
