"""Every quality signal of a text, measured over a batch with the words segmented once.

>>> measure(["It was the best of times."], ["en"])["stop_words"].tolist()
[2.0]
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from data.signals.c4 import c4_measures, cut_lines
from data.signals.prose import (
    character_measures,
    fineweb_measures,
    line_measures,
    repetition_measures,
    word_measures,
)
from data.signals.repetition import group, ngram_measures
from data.signals.words import Words, place, split

CHUNK_CHARS = 200_000
"""Characters that are measured at once: their arrays stay in a core's cache."""

GOPHER_QUALITY = "Gopher quality, arXiv 2112.11446 A1.1"
GOPHER_REPETITION = "Gopher repetition, arXiv 2112.11446 table A1"
C4 = "C4, arXiv 1910.10683"
FINEWEB = "FineWeb, arXiv 2406.17557"
OURS = "Millrace"


class Signal(NamedTuple):
    """A column of the documents, DOUBLE and never NULL: 0.0 where a text has nothing to measure."""

    name: str
    unit: str
    """chars, words, lines, …; `ratio` is a share of something, from 0 to 1 unless said."""
    meaning: str
    source: str
    """Where the definition was published."""


SIGNALS: tuple[Signal, ...] = (
    Signal("n_chars", "chars", "characters (code points)", OURS),
    Signal("n_words", "words", "words with more than punctuation in them", GOPHER_QUALITY),
    Signal("n_words_symbols", "words", "words and symbols: what ratios of words are taken of", GOPHER_QUALITY),
    Signal("n_lines", "lines", "lines that are not blank", OURS),
    Signal("n_paragraphs", "paragraphs", "stretches between empty lines", GOPHER_REPETITION),
    Signal("n_sentences", "sentences", "sentences, each line by itself", OURS),
    Signal("mean_word_length", "chars", "mean length of the words of n_words", GOPHER_QUALITY),
    Signal("hash_word_ratio", "ratio", "number signs for each word or symbol; can pass 1", GOPHER_QUALITY),
    Signal("ellipsis_word_ratio", "ratio", "ellipses for each word or symbol", GOPHER_QUALITY),
    Signal("bullet_line_ratio", "ratio", "lines that begin with a bullet or dash", GOPHER_QUALITY),
    Signal("ellipsis_line_ratio", "ratio", "lines that end in an ellipsis", GOPHER_QUALITY),
    Signal("alpha_word_ratio", "ratio", "words and symbols with a letter in them", GOPHER_QUALITY),
    Signal("stop_words", "words", "different stop words of its language", GOPHER_QUALITY),
    Signal("dup_line_ratio", "ratio", "lines that were there before", GOPHER_REPETITION),
    Signal("dup_line_char_ratio", "ratio", "characters in lines that were there before", GOPHER_REPETITION),
    Signal("dup_paragraph_ratio", "ratio", "paragraphs that were there before", GOPHER_REPETITION),
    Signal("dup_paragraph_char_ratio", "ratio", "characters in such paragraphs", GOPHER_REPETITION),
    *(
        Signal(f"top_{n}gram_char_ratio", "ratio", f"characters in the most frequent {n} words", GOPHER_REPETITION)
        for n in (2, 3, 4)
    ),
    *(
        Signal(f"dup_{n}gram_char_ratio", "ratio", f"characters in {n} words that were there before", GOPHER_REPETITION)
        for n in (5, 6, 7, 8, 9, 10)
    ),
    Signal("c4_long_word_lines", "lines", "lines with a word of over 1,000 characters", C4),
    Signal("c4_unended_lines", "lines", "of the rest, lines that end in no . ? ! \" ' or in three full stops", C4),
    Signal("c4_few_word_lines", "lines", "of the rest, lines of fewer than three words", C4),
    Signal("c4_lorem_lines", "lines", "of the rest, lines with `lorem ipsum`: one drops the text", C4),
    Signal("c4_javascript_lines", "lines", "of the rest, lines with `javascript`", C4),
    Signal("c4_curly_lines", "lines", "of the rest, lines with a { : one drops the text", C4),
    Signal("c4_policy_lines", "lines", "of the rest, lines on cookies, privacy or terms of use", C4),
    Signal("c4_kept_lines", "lines", "lines that are left", C4),
    Signal("c4_kept_line_ratio", "ratio", "lines that are left", C4),
    Signal("c4_sentences", "sentences", "sentences in the lines that are left", C4),
    Signal("line_punct_ratio", "ratio", "lines that end in a mark that ends sentences, blank ones aside", FINEWEB),
    Signal("short_line_ratio", "ratio", "lines of at most 30 characters, blank ones aside", FINEWEB),
    Signal("line_dup_char_ratio", "ratio", "characters in lines that were there before, blank ones aside", FINEWEB),
    Signal("newline_word_ratio", "ratio", "newlines for each word or symbol; can pass 1", FINEWEB),
    Signal("digit_ratio", "ratio", "characters that are digits of any script", OURS),
    Signal("upper_ratio", "ratio", "letters that are capitals", OURS),
    Signal("space_ratio", "ratio", "characters that are white space", OURS),
    Signal("punctuation_ratio", "ratio", "characters of Unicode category P", OURS),
    Signal("symbol_ratio", "ratio", "characters of Unicode category S", OURS),
    Signal("curly_brackets", "chars", "{ and }", OURS),
    Signal("replaced_chars", "chars", "U+FFFD: characters that were lost in decoding", OURS),
    Signal("latin_ratio", "ratio", "letters that are Latin", OURS),
    Signal("han_ratio", "ratio", "letters that are Chinese characters", OURS),
    Signal("kana_ratio", "ratio", "letters that are hiragana or katakana", OURS),
    Signal("hangul_ratio", "ratio", "letters that are Korean", OURS),
    Signal("cyrillic_ratio", "ratio", "letters that are Cyrillic", OURS),
    Signal("arabic_ratio", "ratio", "letters that are Arabic", OURS),
    Signal("other_script_ratio", "ratio", "letters of other scripts", OURS),
    Signal("n_urls", "addresses", "web addresses", OURS),
    Signal("n_emails", "addresses", "e-mail addresses", OURS),
    Signal("longest_line", "chars", "the longest line", OURS),
    Signal("longest_word", "chars", "the longest word", OURS),
    Signal("unique_word_ratio", "ratio", "words and symbols that differ", OURS),
    Signal("word_entropy", "bits", "entropy of the words' and symbols' frequencies", OURS),
)


def measure(texts: Sequence[str], langs: Sequence[str]) -> dict[str, np.ndarray]:
    """Every signal of SIGNALS, float64[len(texts)] each, for texts of the given languages (`en`; empty where unknown).

    A text's values do not depend on the texts beside it. Raises BadInput for a text with lone surrogates."""
    return _gather([measures(split(texts[a:b], langs[a:b])) for a, b in chunks(texts)])


def measure_words(texts: Sequence[str], words: Sequence[Sequence[str]], langs: Sequence[str]) -> dict[str, np.ndarray]:
    """The same with words that were cut elsewhere. Raises BadInput where they are not their text's, in order."""
    return _gather([measures(place(texts[a:b], words[a:b], langs[a:b])) for a, b in chunks(texts)])


def measures(words: Words) -> dict[str, np.ndarray]:
    """Every signal of one chunk of texts."""
    groups, lines = group(words), cut_lines(words)
    found = character_measures(words) | word_measures(words, groups) | ngram_measures(words, groups)
    found |= line_measures(lines) | repetition_measures(lines) | c4_measures(lines) | fineweb_measures(lines)
    return {signal.name: found[signal.name] for signal in SIGNALS}


def chunks(texts: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Ranges of texts of about CHUNK_CHARS characters."""
    first, chars = 0, 0
    for index, text in enumerate(texts):
        if chars + len(text) > CHUNK_CHARS and index > first:
            yield first, index
            first, chars = index, 0
        chars += len(text)
    if len(texts) > first:
        yield first, len(texts)


def _gather(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    if not parts:
        return {signal.name: np.zeros(0) for signal in SIGNALS}
    return {signal.name: np.concatenate([part[signal.name] for part in parts]) for signal in SIGNALS}
