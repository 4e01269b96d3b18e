"""Lines and paragraphs of a batch of texts: compiled counts, from which Gopher's, C4's and FineWeb's measures are made.

    lines, paragraphs, c4 = count_lines(words.characters.points, …)

Three definitions of a line: between newlines (FineWeb), between runs of newlines (Gopher's repetition), and as
str.splitlines() has it (C4, Gopher's bullets).
"""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled, entry
from data.signals.characters import DIGIT, ENDS_LINE, ENDS_SENTENCE, NOT_PUNCTUATION
from data.signals.passes import Tables, hash_of

SHORT_LINE = 30
"""Characters of a short line to FineWeb."""
MAX_WORD = 1000
"""Characters of a word that drops its line, to C4."""
COUNTS = 17
NEWLINES, WRITTEN, ENDED, SHORT, WRITTEN_AGAIN_CHARS, FULL, FULL_AGAIN, FULL_AGAIN_CHARS, OPENS, CLOSES = range(10)
PARAGRAPHS, PARAGRAPHS_AGAIN, PARAGRAPHS_AGAIN_CHARS, LINES, LONGEST, BULLETS, ELLIPSES = range(10, COUNTS)
"""What is counted of each text."""
LONG_WORD, UNENDED, FEW_WORDS, LOREM, JAVASCRIPT, CURLY, POLICY, CITES = (1 << i for i in range(8))
"""What C4's rules look for in a line, in C4's order; and whether it has a citation to be taken out."""
MIN_WORDS = 3
NO_PHRASE = 255
_NEWLINE, _RETURN, _DOT, _DASH, _CURLY, _SQUARE, _CLOSE = map(ord, "\n\r.-{[]")
_EDIT, _NEEDED = tuple(b"edit]"), tuple(b"citation needed]")


class Text(NamedTuple):
    """A batch of texts with their words, as the loops take it; see `words.Words`."""

    points: np.ndarray
    codes: np.ndarray
    shape: np.ndarray
    first_char: np.ndarray
    start: np.ndarray
    end: np.ndarray
    traits: np.ndarray
    first: np.ndarray
    piece_start: np.ndarray
    piece_end: np.ndarray
    breaks: np.ndarray


class Phrases(NamedTuple):
    """What C4 looks for: `signs[i, :length[i]]` in small letters, found by its rare sign at place `at[i]`; in order of
    these signs."""

    signs: np.ndarray
    length: np.ndarray
    at: np.ndarray
    flag: np.ndarray
    by_sign: np.ndarray
    """uint8[256]: where a sign is the rare one of phrases, the number of the first of them; for a bracket, how many
    phrases there are; else NO_PHRASE."""


class C4Lines(NamedTuple):
    """Lines that are not blank, as str.splitlines() has them."""

    owner: np.ndarray
    start: np.ndarray
    end: np.ndarray
    flags: np.ndarray
    sentences: np.ndarray


class _Seen(NamedTuple):
    """Hashes of lines of one text, with open addressing; a place is taken where `by` names the text."""

    hashes: np.ndarray
    by: np.ndarray


@entry
def count_lines(text: Text, tables: Tables, phrases: Phrases, bullet: int, ellipsis: int) -> tuple[np.ndarray, C4Lines]:
    """int64[texts, COUNTS], and the lines that C4's rules look at; `bullet` and `ellipsis` are classes."""
    texts, most, longest, since = len(text.first_char) - 1, len(text.breaks), 0, 0
    for one in range(texts):
        until = since
        while until < most and text.breaks[until] < text.first_char[one + 1]:
            until += 1
        longest, since = max(longest, until - since), until
    size = 16
    while size < 4 * longest:
        size *= 2
    seen = _Seen(np.empty(size, np.int64), np.zeros(size, np.int64))
    counts = np.zeros((texts, COUNTS), np.int64)
    lines = C4Lines(
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.int64),
        np.empty(most, np.uint8),
        np.empty(most, np.int64),
    )
    count, line, piece, word = 0, 0, 0, 0
    for one in range(texts):
        _newline_lines(text, one, line, piece, tables, seen, counts[one])
        _paragraphs(text, one, piece, seen, counts[one])
        count, line, piece, word = _c4_lines(
            text, one, line, piece, word, tables, phrases, bullet, ellipsis, lines, count, counts[one]
        )
    return counts, C4Lines(
        lines.owner[:count].copy(),
        lines.start[:count].copy(),
        lines.end[:count].copy(),
        lines.flags[:count].copy(),
        lines.sentences[:count].copy(),
    )


@compiled
def _again(points: np.ndarray, start: int, end: int, seen: _Seen, by: int) -> bool:
    """Whether this span was there before; from now on it was."""
    code = hash_of(points, start, end)
    mask = len(seen.hashes) - 1
    place = code & mask
    while seen.by[place] == by:
        if seen.hashes[place] == code:
            return True
        place = (place + 1) & mask
    seen.hashes[place], seen.by[place] = code, by
    return False


@compiled
def _newline_lines(
    text: Text, one: int, line: int, piece: int, tables: Tables, seen: _Seen, counts: np.ndarray
) -> None:
    """Lines between newlines: FineWeb's measures of those that are not blank, Gopher's of those that are not empty."""
    start, last = text.first_char[one], text.first_char[one + 1] - 1
    if last > start:
        counts[OPENS] = text.codes[start] == _NEWLINE
        counts[CLOSES] = text.codes[last - 1] == _NEWLINE
    counts[NEWLINES] = -1
    while start <= last:
        end = text.breaks[line]
        line += 1
        if text.codes[end] != _NEWLINE:
            continue
        counts[NEWLINES] += 1
        if end > start:
            again = _again(text.points, start, end, seen, 2 * one + 1)
            counts[FULL] += 1
            counts[FULL_AGAIN] += again
            counts[FULL_AGAIN_CHARS] += again * (end - start)
            if piece < len(text.piece_start) and text.piece_start[piece] < end:
                counts[WRITTEN] += 1
                counts[ENDED] += (tables.trait[text.codes[end - 1]] & ENDS_LINE) > 0
                counts[SHORT] += end - start <= SHORT_LINE
                counts[WRITTEN_AGAIN_CHARS] += again * (end - start)
                while piece < len(text.piece_start) and text.piece_start[piece] < end:
                    piece += 1
        start = end + 1


@compiled
def _paragraphs(text: Text, one: int, piece: int, seen: _Seen, counts: np.ndarray) -> None:
    """Stretches between empty lines of the stripped text."""
    stop = text.first_char[one + 1] - 1
    if piece == len(text.piece_start) or text.piece_start[piece] >= stop:
        return
    last = piece
    while last + 1 < len(text.piece_start) and text.piece_start[last + 1] < stop:
        last += 1
    begin, final = text.piece_start[piece], text.piece_end[last]
    while begin < final:
        end = begin
        while end < final and not (text.codes[end] == _NEWLINE and text.codes[end + 1] == _NEWLINE):
            end += 1
        again = _again(text.points, begin, end, seen, 2 * one + 2)
        counts[PARAGRAPHS] += 1
        counts[PARAGRAPHS_AGAIN] += again
        counts[PARAGRAPHS_AGAIN_CHARS] += again * (end - begin)
        begin = end
        while begin < final and text.codes[begin] == _NEWLINE:
            begin += 1


@compiled
def _c4_lines(
    text: Text,
    one: int,
    line: int,
    piece: int,
    word: int,
    tables: Tables,
    phrases: Phrases,
    bullet: int,
    ellipsis: int,
    lines: C4Lines,
    count: int,
    counts: np.ndarray,
) -> tuple[int, int, int, int]:
    """Lines as str.splitlines() has them. Gives how many lines, breaks, pieces and words have been passed."""
    start, last = text.first_char[one], text.first_char[one + 1] - 1
    while start <= last:
        end = text.breaks[line]
        line += 1
        if end > start or end < last:
            counts[LINES] += 1
            counts[LONGEST] = max(counts[LONGEST], end - start)
        first_piece = piece
        flags = 0
        while piece < len(text.piece_start) and text.piece_start[piece] < end:
            flags |= LONG_WORD * (text.piece_end[piece] - text.piece_start[piece] > MAX_WORD)
            piece += 1
        if piece > first_piece:
            begins, closes = text.codes[text.piece_start[first_piece]], text.piece_end[piece - 1]
            counts[BULLETS] += begins in (_DASH, bullet)
            dots = _three_dots(text.codes, start, closes)
            counts[ELLIPSES] += dots or text.codes[closes - 1] == ellipsis
            flags |= UNENDED * (dots or not _is_ending(text.codes[closes - 1]))
            flags |= FEW_WORDS * (piece - first_piece < MIN_WORDS)
            flags |= _phrases(text.codes, text.piece_start[first_piece], closes, tables, phrases)
            lines.owner[count], lines.start[count], lines.end[count], lines.flags[count] = one, start, end, flags
            lines.sentences[count], word = _sentences(text, word, end)
            count += 1
        if text.codes[end] == _RETURN and end < last and text.codes[end + 1] == _NEWLINE:
            end = text.breaks[line]
            line += 1
        start = end + 1
    return count, line, piece, word


@compiled
def _three_dots(codes: np.ndarray, start: int, end: int) -> bool:
    return end - start >= 3 and codes[end - 1] == _DOT and codes[end - 2] == _DOT and codes[end - 3] == _DOT


@compiled
def _is_ending(code: int) -> bool:
    """. ? ! " '"""
    return code == 46 or code == 63 or code == 33 or code == 34 or code == 39


@compiled
def _sentences(text: Text, word: int, end: int) -> tuple[int, int]:
    """Sentences in a line, by spaCy's sentencizer: one more at each word that is no punctuation and follows a word that
    ends a sentence. And the first word after the line."""
    sentences, closed = 1, False
    while word < len(text.start) and text.start[word] < end:
        traits = text.traits[word]
        if text.end[word] - text.start[word] == 1 and traits & ENDS_SENTENCE:
            closed = True
        elif closed and traits & NOT_PUNCTUATION:
            sentences, closed = sentences + 1, False
        word += 1
    return sentences, word


@compiled
def _phrases(codes: np.ndarray, start: int, end: int, tables: Tables, phrases: Phrases) -> int:
    """Flags of what C4 looks for in a line."""
    flags = 0
    for at in range(start, end):
        first = int(phrases.by_sign[codes[at]])
        if first == NO_PHRASE:
            continue
        if codes[at] == _CURLY:
            flags |= CURLY
        elif codes[at] == _SQUARE:
            flags |= CITES * _is_citation(codes, at + 1, end, tables.shape)
        else:
            phrase = first
            while phrase < len(phrases.length) and phrases.by_sign[phrases.signs[phrase, phrases.at[phrase]]] == first:
                if _stands(codes, at - phrases.at[phrase], start, end, phrase, phrases, tables.lower):
                    flags |= int(phrases.flag[phrase])
                phrase += 1
    return flags


@compiled
def _stands(codes: np.ndarray, at: int, start: int, end: int, phrase: int, phrases: Phrases, lower: np.ndarray) -> bool:
    length = phrases.length[phrase]
    if at < start or at + length > end:
        return False
    place = 0
    while place < length and lower[codes[at + place]] == phrases.signs[phrase, place]:
        place += 1
    return place == length


@compiled
def _is_citation(codes: np.ndarray, at: int, end: int, shape: np.ndarray) -> bool:
    """\\[\\d*]|\\[edit]|\\[citation needed], after its first sign."""
    digits = at
    while digits < end and shape[codes[digits]] & DIGIT:
        digits += 1
    if digits < end and codes[digits] == _CLOSE:
        return True
    edit, needed = at + len(_EDIT) <= end, at + len(_NEEDED) <= end
    for place in range(len(_EDIT)):
        edit = edit and codes[at + place] == _EDIT[place]
    for place in range(len(_NEEDED)):
        needed = needed and codes[at + place] == _NEEDED[place]
    return edit or needed
