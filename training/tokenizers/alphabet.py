"""The characters of a sample: which are sure to have a token, which are left out.

>>> counts = count_characters(texts)
>>> covering(counts, 0.9995)[:3], chinese(counts, 3)
([' ', 'e', 't'], ['的', '一', '是'])
"""

from collections import Counter
from collections.abc import Iterable, Mapping

from tokenizers import Regex, pre_tokenizers

from training.tokenizers.patterns import EAST

_HAN = pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated")
_NOT_EAST = pre_tokenizers.Split(Regex(rf"[{EAST}]"), behavior="removed")


def count_characters(texts: Iterable[str]) -> Counter[str]:
    """How often each character stands in texts."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    return counts


def by_frequency(counts: Mapping[str, int]) -> list[str]:
    """Characters, the most frequent first; equal ones by code point."""
    return sorted(counts, key=lambda character: (-counts[character], character))


def covering(counts: Mapping[str, int], coverage: float) -> list[str]:
    """The most frequent characters that together make up a share of the text."""
    enough, seen, found = coverage * sum(counts.values()), 0, []
    for character in by_frequency(counts):
        if seen >= enough:
            break
        found.append(character)
        seen += counts[character]
    return found


def chinese(counts: Mapping[str, int], count: int) -> list[str]:
    """So many Chinese characters: the sample's most frequent, then the 3,755 of GB 2312 level 1 (common ones, 1980)."""
    common = [bytes((row, cell)).decode("gb2312", "ignore") for row in range(0xB0, 0xD8) for cell in range(0xA1, 0xFF)]
    seen = [character for character in by_frequency(counts) if ord(character) > 0x2E7F and _is_han(character)]
    return list(dict.fromkeys([*seen, *(character for character in common if character)]))[:count]


def not_eastern(characters: Iterable[str]) -> list[str]:
    """The characters that words are made of together: all but Chinese and Japanese ones."""
    return [character for piece, _ in _NOT_EAST.pre_tokenize_str("".join(characters)) for character in piece]


def _is_han(character: str) -> bool:
    # "a" and the character are two words where the second is cut off, one where it is not
    return len(_HAN.pre_tokenize_str(f"a{character}")) == 2
