"""Measures over the words, characters and lines of a batch of texts: Gopher's and FineWeb's, shares and counts.

>>> from data.signals.words import split
>>> word_measures(split(["The mill and the race."], ["en"]))["stop_words"].tolist()  # `and` and `the`
[2.0]
"""

from functools import lru_cache

import numpy as np

from data.signals.c4 import Lines
from data.signals.characters import ALPHA, DIGIT, NOT_PUNCTUATION, SCRIPTS, SPACE, SYMBOL, UPPER, classes, lay_out
from data.signals.lines import (
    BULLETS,
    CLOSES,
    ELLIPSES,
    ENDED,
    FULL,
    FULL_AGAIN,
    FULL_AGAIN_CHARS,
    LINES,
    LONGEST,
    NEWLINES,
    OPENS,
    PARAGRAPHS,
    PARAGRAPHS_AGAIN,
    PARAGRAPHS_AGAIN_CHARS,
    SHORT,
    WRITTEN,
    WRITTEN_AGAIN_CHARS,
)
from data.signals.passes import (
    DOTS,
    LONGEST_WORD,
    MAILS,
    PLACES,
    PLAIN,
    PLAIN_CHARS,
    URLS,
    WITH_LETTER,
    WORDS,
    count_known,
    count_signs,
    count_words,
    hash_words,
)
from data.signals.repetition import Groups, group, ratio
from data.signals.stop_words import FINEWEB_2, stop_words
from data.signals.words import CHINESE, Words, tables

_SCALE = 1 << 20
"""Entropies are summed as whole multiples of 1/_SCALE, so that no order of summing changes a bit."""


def word_measures(words: Words, groups: Groups | None = None) -> dict[str, np.ndarray]:
    """Gopher's measures of words (arXiv 2112.11446, A1.1; datatrove GopherQualityFilter), distinct words, entropy."""
    groups = groups or group(words)
    texts = len(words.langs)
    owner = np.searchsorted(words.first, groups.firsts, side="right") - 1
    counts = count_words(words.start, words.end, words.traits, words.first).T
    every, plain = counts[WORDS], counts[PLAIN]
    sizes = groups.sizes.astype(np.float64)
    spread = np.bincount(owner, np.rint(sizes * np.log2(sizes) * _SCALE), texts) / _SCALE
    return {
        "n_words": plain.astype(np.float64),
        "n_words_symbols": every.astype(np.float64),
        "mean_word_length": ratio(counts[PLAIN_CHARS], plain),
        "longest_word": counts[LONGEST_WORD].astype(np.float64),
        "alpha_word_ratio": ratio(counts[WITH_LETTER], every),
        "stop_words": _stop_words(words, owner, groups.firsts),
        "unique_word_ratio": ratio(np.bincount(owner, minlength=texts), every),
        "word_entropy": np.maximum(np.log2(np.maximum(every, 1)) - ratio(spread, every), 0.0),
    }


def _stop_words(words: Words, owner: np.ndarray, firsts: np.ndarray) -> np.ndarray:
    """How many different stop words of its language each text has, from the first occurrence of each word."""
    lists = [_list_of(lang) for lang in words.langs]
    known = {lang: number for number, lang in enumerate(sorted(set(lists)))}
    tables = np.array([_hashes(lang) for lang in known])
    return count_known(words.hashes, firsts, owner, np.array([known[lang] for lang in lists]), tables)


def _list_of(lang: str) -> str:
    return "zh" if lang in CHINESE else lang if lang in FINEWEB_2 else "en"


@lru_cache(maxsize=64)
def _hashes(lang: str) -> np.ndarray:
    """Of a language's stop words, with open addressing."""
    characters = lay_out(stop_words(lang))
    nothing = np.zeros(len(characters.points), np.uint8)
    spans = characters.starts[:-1].copy(), characters.starts[1:] - 1
    table = np.zeros(PLACES, np.int64)
    for code in hash_words(characters.points, nothing, tables().trait, *spans)[0].tolist():
        place = code & (PLACES - 1)
        while table[place]:
            place = (place + 1) & (PLACES - 1)
        table[place] = code
    return table


@lru_cache(maxsize=1)
def _kinds() -> tuple[tuple[str, ...], np.ndarray]:
    """Names of what is counted, and float64[256, names] with 1.0 where a class is counted."""
    shape, trait, script = (np.frombuffer(table, np.uint8) for table in _tables())
    columns = {
        "letters": trait & ALPHA,
        "digits": shape & DIGIT,
        "upper": trait & UPPER,
        "space": shape & SPACE,
        "punctuation": (trait & NOT_PUNCTUATION) + (shape & SPACE) == 0,
        "symbols": trait & SYMBOL,
        "replaced": np.arange(256) == classes().apart["\ufffd"],
    } | {name: script == index for index, name in enumerate(SCRIPTS)}
    return tuple(columns), np.column_stack([column > 0 for column in columns.values()]).astype(np.float64)


def _tables() -> tuple[bytes, bytes, bytes]:
    return classes().shape, classes().trait, classes().script


def character_measures(words: Words) -> dict[str, np.ndarray]:
    """Counts and shares of kinds of characters, and of letters by script; web and e-mail addresses; Gopher's number
    signs and ellipses for each word, symbols counted as words."""
    chars, every, apart = words.characters.lengths, np.diff(words.first), classes().apart
    histogram, counts = count_signs(words.codes, words.characters.starts, tables())
    names, kinds = _kinds()
    count = dict(zip(names, (histogram.astype(np.float64) @ kinds).T, strict=True))
    letters = count["letters"]
    return {
        "n_chars": chars.astype(np.float64),
        "digit_ratio": ratio(count["digits"], chars),
        "upper_ratio": ratio(count["upper"], letters),
        "space_ratio": ratio(count["space"], chars),
        "punctuation_ratio": ratio(count["punctuation"], chars),
        "symbol_ratio": ratio(count["symbols"], chars),
        "curly_brackets": (histogram[:, ord("{")] + histogram[:, ord("}")]).astype(np.float64),
        "replaced_chars": count["replaced"],
        "latin_ratio": ratio(count["latin"], letters),
        "han_ratio": ratio(count["han"], letters),
        "kana_ratio": ratio(count["hiragana"] + count["katakana"], letters),
        "hangul_ratio": ratio(count["hangul"], letters),
        "cyrillic_ratio": ratio(count["cyrillic"], letters),
        "arabic_ratio": ratio(count["arabic"], letters),
        "other_script_ratio": ratio(count["unspaced"] + count["other"], letters),
        "n_urls": counts[:, URLS].astype(np.float64),
        "n_emails": counts[:, MAILS].astype(np.float64),
        "hash_word_ratio": ratio(histogram[:, ord("#")], every),
        "ellipsis_word_ratio": ratio(counts[:, DOTS] + histogram[:, apart["…"]], every),
    }


def line_measures(lines: Lines) -> dict[str, np.ndarray]:
    """Counts, and Gopher's shares of lines that begin with a bullet or end in an ellipsis (blank lines count)."""
    counts = lines.counts.T
    return {
        "n_lines": counts[WRITTEN].astype(np.float64),
        "longest_line": counts[LONGEST].astype(np.float64),
        "bullet_line_ratio": ratio(counts[BULLETS], counts[LINES]),
        "ellipsis_line_ratio": ratio(counts[ELLIPSES], counts[LINES]),
    }


def fineweb_measures(lines: Lines) -> dict[str, np.ndarray]:
    """FineWeb's shares (datatrove FineWebQualityFilter): lines that end in punctuation, short lines, characters in
    repeated lines, newlines for each word. Blank lines do not count."""
    counts, words = lines.counts.T, lines.words
    return {
        "line_punct_ratio": ratio(counts[ENDED], counts[WRITTEN]),
        "short_line_ratio": ratio(counts[SHORT], counts[WRITTEN]),
        "line_dup_char_ratio": ratio(counts[WRITTEN_AGAIN_CHARS], words.characters.lengths - counts[NEWLINES]),
        "newline_word_ratio": ratio(counts[NEWLINES], np.diff(words.first)),
    }


def repetition_measures(lines: Lines) -> dict[str, np.ndarray]:
    """Gopher's shares of repeated lines and paragraphs and of their characters (datatrove GopherRepetitionFilter):
    lines are between runs of newlines, paragraphs between runs of two and more in the stripped text. A text that
    begins or ends in a newline has an empty line there."""
    counts, chars = lines.counts.T, lines.words.characters.lengths
    opens, closes = counts[OPENS], counts[CLOSES]
    return {
        "n_paragraphs": counts[PARAGRAPHS].astype(np.float64),
        "dup_line_ratio": ratio(counts[FULL_AGAIN] + (opens & closes), counts[FULL] + opens + closes),
        "dup_line_char_ratio": ratio(counts[FULL_AGAIN_CHARS], chars),
        "dup_paragraph_ratio": ratio(counts[PARAGRAPHS_AGAIN], counts[PARAGRAPHS]),
        "dup_paragraph_char_ratio": ratio(counts[PARAGRAPHS_AGAIN_CHARS], chars),
    }
