"""Words of a batch of texts, segmented once for every measure.

Texts with spaces between words are cut near to the way of spaCy's tokenizer, which the published thresholds were
chosen with: punctuation apart, `it's` as `it` and `'s`, `3.14` and `example.com` whole. Chinese is cut by rjieba.
Japanese is cut where the script changes, and Thai, Lao, Khmer, Burmese, Tibetan and stray Chinese at each letter with
its marks.

>>> split(["It's 3.14!"], ["en"]).strings(0)
['It', "'s", '3.14', '!']
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import rjieba

from catalog.errors import BadInput
from data.signals.characters import SCRIPTS, SPACE, WORD, Characters, classes, lay_out
from data.signals.passes import Tables, cut, hash_words, mark
from data.signals.symbols import ELIDING, rules

CHINESE = frozenset({"zh", "yue", "wuu", "lzh", "gan", "hak", "nan"})
_LETTERS = b"abcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a batch of texts, symbols included, in order. Positions count characters of the batch."""

    characters: Characters
    langs: tuple[str, ...]
    codes: np.ndarray
    """uint8 class of each character."""
    shape: np.ndarray
    """uint8 shape bits of each character."""
    start: np.ndarray
    end: np.ndarray
    hashes: np.ndarray
    """int64, the same for the same word in any text and batch."""
    traits: np.ndarray
    """uint8 trait bits that any of the word's characters has."""
    first: np.ndarray
    """int64[texts + 1]: the first word of each text."""
    piece_start: np.ndarray
    """Pieces between white space, as str.split() gives them."""
    piece_end: np.ndarray
    breaks: np.ndarray
    """Where lines break, as str.splitlines() has it; the newline after each text is one."""

    def strings(self, text: int) -> list[str]:
        """The words of one text as strings."""
        span = slice(self.first[text], self.first[text + 1])
        start, end = self.start[span].tolist(), self.end[span].tolist()
        return [self.characters.text(a, b) for a, b in zip(start, end, strict=True)]


def split(texts: Sequence[str], langs: Sequence[str]) -> Words:
    """Lay texts out and cut each into words by its language (a code such as `en`; empty where unknown)."""
    characters, (codes, shape, begins, han) = _marked(texts, langs)
    for text in np.flatnonzero(han).tolist():
        span = slice(characters.starts[text], characters.starts[text + 1] - 1)
        if langs[text] == "ja":
            begins[span] = _japanese(characters.points[span], codes[span], shape[span])
        elif langs[text] in CHINESE or 2 * han[text] > characters.lengths[text]:
            begins[span] = _chinese(texts[text], shape[span])
    start, end, *pieces = cut(shape, begins)
    return _words(characters, langs, codes, shape, start, end, pieces)


def place(texts: Sequence[str], words: Sequence[Sequence[str]], langs: Sequence[str]) -> Words:
    """Lay texts out with words that somebody else has cut. Raises BadInput where they are not the text's, in order."""
    characters, (codes, shape, begins, _) = _marked(texts, langs)
    spans: list[tuple[int, int]] = []
    for text, own, base in zip(texts, words, characters.starts.tolist(), strict=False):
        end = 0
        for word in own:
            start = text.find(word, end)
            if start < 0 or not word:
                raise BadInput(
                    f"not a word of its text, in order: {word!r}. Give the words of a text as they stand in it."
                )
            end = start + len(word)
            spans.append((base + start, base + end))
    edges = np.array(spans, np.int64).reshape(-1, 2)
    _, _, *pieces = cut(shape, begins)
    return _words(characters, langs, codes, shape, edges[:, 0].copy(), edges[:, 1].copy(), pieces)


@lru_cache(maxsize=1)
def tables() -> Tables:
    """What the compiled passes look up."""
    known, (bits, merges) = classes(), rules()
    domain = np.zeros(256, np.uint8)
    for signs, bit in ((b"0123456789._%+-", 1), (b"0123456789-", 2), (b"0123456789_", 4), (b"", 8)):
        domain[list(signs + _LETTERS)] |= bit
    shape, trait, lower = (np.frombuffer(table, np.uint8) for table in (known.shape, known.trait, known.lower))
    return Tables(known.of_point, shape, trait, lower, bits, merges, domain)


def _marked(
    texts: Sequence[str], langs: Sequence[str]
) -> tuple[Characters, tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]]:
    if len(texts) != len(langs):
        raise BadInput(f"{len(texts)} texts and {len(langs)} languages: give one language a text, empty where unknown.")
    characters = lay_out(texts)
    eliding = np.array([lang in ELIDING for lang in langs], np.bool_)
    return characters, mark(characters.points, characters.starts, tables(), eliding)


def _words(
    characters: Characters,
    langs: Sequence[str],
    codes: np.ndarray,
    shape: np.ndarray,
    start: np.ndarray,
    end: np.ndarray,
    pieces: Sequence[np.ndarray],
) -> Words:
    hashes, traits = hash_words(characters.points, codes, tables().trait, start, end)
    first = np.searchsorted(start, characters.starts)
    return Words(characters, tuple(langs), codes, shape, start, end, hashes, traits, first, *pieces)


def _japanese(points: np.ndarray, codes: np.ndarray, shape: np.ndarray) -> np.ndarray:
    """Starts of one text's words where the script changes; the mark of a long vowel is katakana."""
    script = np.frombuffer(classes().script, np.uint8)[codes]
    script[points == 0x30FC] = SCRIPTS.index("katakana")
    within = (shape & WORD).astype(bool)
    starts = (shape & SPACE) == 0
    starts[1:] &= ~(within[1:] & within[:-1] & (script[1:] == script[:-1]))
    return starts


def _chinese(text: str, shape: np.ndarray) -> np.ndarray:
    """Starts of one text's words by rjieba, with its hidden Markov model for unknown words."""
    words = rjieba.cut(text)
    starts = np.zeros(len(text) + 1, bool)
    starts[0] = True
    starts[np.cumsum(np.fromiter(map(len, words), np.int64, len(words)))] = True
    return starts[:-1] & ((shape & SPACE) == 0)
