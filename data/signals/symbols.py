"""Which symbols stay with a word, near to spaCy's rules for prefixes, suffixes and infixes.

Punctuation at a word's ends is cut off, and stays inside one: `x^2`, `3.14`, `foo(bar`. Inside are cut hyphens and
`:<>=/` before a letter, a comma between letters, a full stop between sentences, ellipses, and all symbols that are not
ASCII. A single letter keeps its full stop.

>>> from data.signals.words import split
>>> split(["(well-known) e.g. x^2, isn't \\\\alpha..."], ["en"]).strings(0)
['(', 'well', '-', 'known', ')', 'e.g.', 'x^2', ',', 'is', "n't", '\\\\alpha', '...']
"""

from functools import lru_cache

import numpy as np

from data.signals.characters import classes

ELIDING = frozenset({"fr", "it", "ca", "oc"})
"""Languages whose apostrophe stays with the word before it: `l'` and `homme`. In others it goes with a short ending
(`'s`, `'ll`, `n't`)."""
AMONG_LETTERS, AMONG_DIGITS, BEFORE_LETTER, DOT, FOREIGN, APOSTROPHE, LEADS, TRAILS = (1 << i for i in range(8))
_RUNS = ".-=~"
"""Symbols of which a run is one word; of others each is."""


@lru_cache(maxsize=1)
def rules() -> tuple[np.ndarray, np.ndarray]:
    """For each class of character, bits that say where it cuts and where it stays; and whether a run is one word."""
    bits = np.zeros(256, np.uint8)
    bits[128:] = FOREIGN
    bits[classes().apart["’"]] = APOSTROPHE
    for symbols, bit in (
        (",", AMONG_LETTERS),
        ("+-*^", AMONG_DIGITS),
        ("-~:<>=/", BEFORE_LETTER),
        (".", DOT),
        ("'", APOSTROPHE),
        ("-\\/|^~@", LEADS),
        ("-\\/|^~@=$", TRAILS),
    ):
        for symbol in symbols:
            bits[ord(symbol)] |= bit
    return bits, np.isin(np.arange(256), [ord(symbol) for symbol in _RUNS])
