"""C4's line rules (arXiv 1910.10683, in the order of datatrove's C4QualityFilter) as counts, and sentences.

>>> from data.signals.words import split
>>> c4_measures(cut_lines(split(["It has four words. And four more.\\nMenu"], ["en"])))["c4_sentences"].tolist()
[2.0]
"""

import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.compiled import entry
from data.signals.characters import ENDS_SENTENCE, NOT_PUNCTUATION, classes
from data.signals.lines import (
    CITES,
    CURLY,
    FEW_WORDS,
    JAVASCRIPT,
    LINES,
    LONG_WORD,
    LOREM,
    NO_PHRASE,
    POLICY,
    UNENDED,
    C4Lines,
    Phrases,
    Text,
    count_lines,
)
from data.signals.repetition import ratio
from data.signals.words import Words, split, tables

ENDINGS = (".", "?", "!", '"', "'")
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")
_PHRASES = (
    ("lorem ipsum", "m", LOREM),
    ("javascript", "j", JAVASCRIPT),
    ("terms of use", "f", POLICY),
    ("privacy policy", "v", POLICY),
    ("cookie policy", "k", POLICY),
    ("uses cookies", "k", POLICY),
    ("use of cookies", "k", POLICY),
    ("use cookies", "k", POLICY),
)
"""What a line may say, and a sign in it that few words have: side by side where it is the same."""
_RULES = {
    "c4_long_word_lines": LONG_WORD,
    "c4_unended_lines": UNENDED,
    "c4_few_word_lines": FEW_WORDS,
    "c4_lorem_lines": LOREM,
    "c4_javascript_lines": JAVASCRIPT,
    "c4_curly_lines": CURLY,
    "c4_policy_lines": POLICY,
}
"""In C4's order."""


@dataclass(frozen=True, slots=True)
class Lines:
    """The lines of a batch: what is counted of each text, and those that C4's rules look at."""

    words: Words
    counts: np.ndarray
    """int64[texts, COUNTS] of `lines.py`."""
    c4: C4Lines


def cut_lines(words: Words) -> Lines:
    """Find and count the lines of every text."""
    text = Text(
        words.characters.points,
        words.codes,
        words.shape,
        words.characters.starts,
        words.start,
        words.end,
        words.traits,
        words.first,
        words.piece_start,
        words.piece_end,
        words.breaks,
    )
    apart = classes().apart
    return Lines(words, *count_lines(text, tables(), _phrases(), apart["•"], apart["…"]))


@lru_cache(maxsize=1)
def _phrases() -> Phrases:
    signs = np.zeros((len(_PHRASES), max(len(phrase) for phrase, _, _ in _PHRASES)), np.uint8)
    by_sign = np.full(256, NO_PHRASE, np.uint8)
    by_sign[list(b"{[")] = len(_PHRASES)
    for row, (phrase, sign, _) in enumerate(_PHRASES):
        signs[row, : len(phrase)] = list(phrase.encode())
        by_sign[[ord(sign), ord(sign.upper())]] = min(row, by_sign[ord(sign)])
    return Phrases(
        signs,
        np.array([len(phrase) for phrase, _, _ in _PHRASES]),
        np.array([phrase.index(sign) for phrase, sign, _ in _PHRASES]),
        np.array([flag for _, _, flag in _PHRASES], np.uint8),
        by_sign,
    )


def c4_measures(lines: Lines) -> dict[str, np.ndarray]:
    """How many lines of each text every rule takes, in C4's order, so that a line counts for one rule only; a phrase
    that takes the whole text counts where its line got so far. Lines are stripped and freed of citations."""
    texts, c4 = len(lines.counts), lines.c4
    n_sentences = np.bincount(c4.owner, c4.sentences, texts)
    _without_citations(lines)
    taken = _taken(c4.owner, c4.flags, c4.sentences, texts)
    every, kept = lines.counts[:, LINES], taken[:, len(_RULES)]
    taken[:, 1] += every - taken[:, : len(_RULES) + 1].sum(axis=1)  # a blank line has no end
    measures = {name: taken[:, rule].astype(np.float64) for rule, name in enumerate(_RULES)}
    return measures | {
        "c4_kept_lines": kept.astype(np.float64),
        "c4_kept_line_ratio": ratio(kept, every),
        "c4_sentences": taken[:, len(_RULES) + 1].astype(np.float64),
        "n_sentences": n_sentences,
    }


@entry
def _taken(owner: np.ndarray, flags: np.ndarray, sentences: np.ndarray, texts: int) -> np.ndarray:
    """int64[texts, 9]: lines that each of seven rules takes, lines that are left, sentences in those."""
    taken = np.zeros((texts, 9), np.int64)
    for line in range(len(owner)):
        rule = 0
        while rule < 7 and not flags[line] >> rule & 1:
            rule += 1
        taken[owner[line], rule] += 1
        if rule == 7:
            taken[owner[line], 8] += sentences[line]
    return taken


def sentence_openings(words: Words) -> np.ndarray:
    """The words, by index, that are no punctuation and follow a word that ends a sentence."""
    closes = (words.end - words.start == 1) & ((words.traits & ENDS_SENTENCE) > 0)
    plain = np.flatnonzero(~closes & ((words.traits & NOT_PUNCTUATION) > 0))
    following = np.searchsorted(plain, np.flatnonzero(closes))
    return np.unique(plain[following[following < len(plain)]])


def _without_citations(lines: Lines) -> None:
    """Set the end and the sentences of the lines that change when citations are taken out."""
    words, c4 = lines.words, lines.c4
    changed = np.flatnonzero(c4.flags & CITES).tolist()
    if not changed:
        return
    spans = zip(c4.start[changed].tolist(), c4.end[changed].tolist(), strict=True)
    cleaned = [CITATION.sub("", words.characters.text(start, end).strip()) for start, end in spans]
    for line, clean in zip(changed, cleaned, strict=True):
        closed = clean.endswith(ENDINGS) and not clean.endswith("...")
        c4.flags[line] = c4.flags[line] & (255 - UNENDED) | UNENDED * (not closed)
    again = cut_lines(split(cleaned, [words.langs[owner] for owner in c4.owner[changed].tolist()])).c4
    c4.sentences[changed] = np.bincount(again.owner, again.sentences, len(cleaned)).astype(np.int64)
