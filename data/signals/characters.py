"""Texts laid end to end as arrays of characters, with the class of every character.

Every measure of a text starts here: one array per batch instead of a Python string per word.

>>> lay_out(["Hi."]).points.tolist()  # a newline follows every text
[72, 105, 46, 10]
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

import numpy as np

from catalog.errors import BadInput

TERMINAL = (
    "᪩？⁈𑩂．꩞𑅃﹗𑂾\u1b7d፧𑅂꡶꘎⁉࠾᪨𑊩𑱂᱿𖩮᥅\U00011f43\U00011f44﹒𑈹𑈸።܂؞꛳\U00010f88𑗍𐩖𑙂\u061d꩟᠉\u1b7e𑗗᰼𑻸؟𑪜꧉𑗉𐽙𖫵𖬷܀꓿᜵𑗏𑁇𑗓𑥄"
    "៖𑥆𑗑𑗒꯫۔𐩗\U00010f86꡷\u2e54｡៕߹⸮.𑇅࠹𛲟꫰꤯𐽗᭞𑜼፨𑃁꣏𑇟𖬸𑪛𑜾࠷𝪈?𑃀𑗃！։꣎॥𑗖᭛᠃!၊𖺘⁇𑗌𑑋𖭄᭟𑅁𑙁⸼꩝𑗋。꧈꫱𑜽𐽖𑂿᙮។꛷\U00010f89"
    "៚᥄𑗕𑗎᪪᭚࠽𑇞𑗊𐽘\u2e53𑗔𖩯𑇍𑻷𐽕𑩃।𑗂𑇆𑁈။᱾𑱁꘏܁᜶‼𑈻‽᪫﹖𑑌𑈼\U00010f87𑗐៙᰻"
)
"""Characters that end a line in FineWeb's line measure (datatrove.utils.text.TERMINAL_PUNCTUATION)."""

MARKS = frozenset(
    "!/—”:％１〈&(、━\\【#%「」，】；+^]~“《„';’{|∶´[=-`*．（–？！：$～«〉,><》)?）。…@_.\"}►»"
    + "".join(map(chr, [*range(9), *range(11, 32), *range(127, 160)]))
    + TERMINAL
)
"""A word of these alone is a symbol to Gopher's measures (datatrove.utils.text.PUNCTUATION_SET)."""

SENTENCE_ENDS = (
    "!.?։؟۔܀܁܂߹।॥၊။።፧፨᙮᜵᜶᠃᠉᥄᥅᪨᪩᪪᪫᭚᭛᭞᭟᰻᰼᱾᱿‼‽⁇⁈⁉⸮⸼꓿꘎꘏꛳꛷꡶꡷꣎꣏꤯꧈꧉꩝꩞꩟꫰꫱꯫﹒﹖﹗！．？𐩖𐩗𑁇𑁈𑂾𑂿𑃀𑃁𑅁𑅂𑅃𑇅𑇆𑇍𑇞𑇟𑈸𑈹𑈻𑈼𑊩𑑋𑑌"
    "𑗂𑗃𑗉𑗊𑗋𑗌𑗍𑗎𑗏𑗐𑗑𑗒𑗓𑗔𑗕𑗖𑗗𑙁𑙂𑜼𑜽𑜾𑩂𑩃𑪛𑪜𑱁𑱂𖩮𖩯𖫵𖬷𖬸𖭄𛲟𝪈｡。"
)
"""A word that is one of these ends a sentence (spaCy's Sentencizer.default_punct_chars)."""

SCRIPTS = ("none", "latin", "han", "hiragana", "katakana", "hangul", "cyrillic", "arabic", "unspaced", "other")
"""Scripts of letters; `unspaced` are Thai, Lao, Khmer, Burmese and Tibetan, which put no spaces between words."""

# What a character is, a bit each: SHAPE decides where words and lines begin, TRAIT is what is measured.
SPACE, BREAK, WORD, LONE, LETTER, DIGIT, LOWER, HAN = 1, 2, 4, 8, 16, 32, 64, 128
ALPHA, NOT_MARK, NOT_PUNCTUATION, ENDS_LINE, ENDS_SENTENCE, UPPER, SYMBOL = 1, 2, 4, 8, 16, 32, 64

_WORDS_OF_NAMES = {
    "LATIN": "latin", "CJK": "han", "IDEOGRAPHIC": "han", "HIRAGANA": "hiragana", "KATAKANA": "katakana",
    "KATAKANA-HIRAGANA": "katakana", "HANGUL": "hangul", "CYRILLIC": "cyrillic", "ARABIC": "arabic", "THAI": "unspaced",
    "LAO": "unspaced", "KHMER": "unspaced", "MYANMAR": "unspaced", "TIBETAN": "unspaced",
}  # fmt: skip
_ASSIGNED = (range(128, 0x33500), range(0xE0000, 0xE0200))
_ALIKE = (range(0x3400, 0x4DC0), range(0x4E00, 0xA000), range(0xAC00, 0xD7A4), range(0x20000, 0x323B0))
"""Blocks of Chinese characters and Korean syllables, whose letters are all of one kind: looked up once."""
_APART = "…•’\ufffd"
"""Characters outside ASCII that are counted by themselves: each is a class of its own."""
_FIRST_CLASS = 128
_LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"


def _script(char: str) -> str:
    if not char.isalpha() and char != "〇":
        return "none"
    parts = unicodedata.name(char, "").split(" ")
    if parts[0] in ("FULLWIDTH", "HALFWIDTH"):
        parts = parts[1:]
    return _WORDS_OF_NAMES.get(parts[0] if parts else "", "other")


def _shape(char: str, script: str) -> int:
    category = unicodedata.category(char)
    lone = script in ("han", "unspaced")
    in_word = char.isalnum() or category[0] == "M" or char == "_" or category == "Cf"
    return (
        SPACE * char.isspace()
        | BREAK * (char in _LINE_BREAKS)
        | WORD * in_word
        | LONE * lone
        | LETTER * char.isalpha()
        | DIGIT * (category == "Nd")
        | LOWER * char.islower()
        | HAN * (script == "han")
    )


def _trait(char: str) -> int:
    if char.isspace():
        return 0  # so that the traits from one word's start to the next one's are the word's
    category = unicodedata.category(char)[0]
    return (
        ALPHA * char.isalpha()
        | NOT_MARK * (char not in MARKS)
        | NOT_PUNCTUATION * (category != "P")
        | ENDS_LINE * (char in TERMINAL)
        | ENDS_SENTENCE * (char in SENTENCE_ENDS)
        | UPPER * char.isupper()
        | SYMBOL * (category == "S")
    )


@dataclass(frozen=True, slots=True)
class Classes:
    """Tables over the at most 256 classes; the class of an ASCII character is its code point."""

    of_point: np.ndarray
    """uint8 for each of the 0x110000 code points."""
    shape: bytes
    trait: bytes
    script: bytes
    """Index into SCRIPTS."""
    lower: bytes
    """ASCII capitals to small letters, the rest unchanged."""
    apart: dict[str, int]
    """Class of each character that has one of its own."""


@lru_cache(maxsize=1)
def classes() -> Classes:
    """Build the tables from this Python's Unicode data (0.2 s, once a process)."""
    of_point = np.zeros(0x110000, np.uint8)
    of_point[:_FIRST_CLASS] = np.arange(_FIRST_CLASS)
    kinds = [_kind(chr(point)) for point in range(_FIRST_CLASS)]
    known: dict[tuple[int, int, int, str], int] = {}
    of_point[_FIRST_CLASS:] = known.setdefault(_kind(chr(0x10FFFF)), _FIRST_CLASS)
    for point in chain(*_ASSIGNED):
        if not any(point in block for block in _ALIKE):
            of_point[point] = known.setdefault(_kind(chr(point)), _FIRST_CLASS + len(known))
    for block in _ALIKE:
        of_point[[point for point in block if chr(point).isalpha()]] = known[_kind(chr(block[0]))]
    of_point[0x212A] = ord("k")  # the Kelvin sign: the one other character whose small letter is ASCII
    kinds += known
    kinds += [kinds[0]] * (256 - len(kinds))
    shape, trait, script, _ = (list(column) for column in zip(*kinds, strict=True))
    apart = {char: int(of_point[ord(char)]) for char in _APART}
    return Classes(of_point, bytes(shape), bytes(trait), bytes(script), bytes(range(256)).lower(), apart)


def _kind(char: str) -> tuple[int, int, int, str]:
    script = _script(char)
    return _shape(char, script), _trait(char), SCRIPTS.index(script), char if char in _APART else ""


@dataclass(frozen=True, slots=True)
class Characters:
    """A batch of texts end to end, each followed by one newline that is not its own."""

    points: np.ndarray
    """uint32 code points."""
    starts: np.ndarray
    """int64[texts + 1]: where each text starts; text i ends before starts[i + 1] - 1."""

    @property
    def lengths(self) -> np.ndarray:
        """Characters of each text."""
        return np.diff(self.starts) - 1

    def text(self, start: int, end: int) -> str:
        return self.points[start:end].tobytes().decode("utf-32-le")


def lay_out(texts: Sequence[str]) -> Characters:
    """Lay texts end to end. Raises BadInput for a text with lone surrogates, which no file can hold."""
    joined = "\n".join(texts) + "\n"
    try:
        points = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    except UnicodeEncodeError as error:
        raise BadInput(f"a lone surrogate at character {error.start}: decode the text with errors='replace'.") from None
    starts = np.zeros(len(texts) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, texts), np.int64, len(texts)) + 1, out=starts[1:])
    return Characters(points, starts)
