"""The traits of a block by name, and the room to measure them in.

>>> len(NAMES) == COUNT
True
"""

from typing import NamedTuple

import numpy as np

from data.page.names import ABOVE, CLASS_HINTS, OWN, TEXT_HINTS

_HINTS = [*CLASS_HINTS, "unseen"]
_TEXT = (
    *("ends", "end_share", "cjk", "comma", "digit", "upper", "sign", "quote", "log_words", "word_chars"),
    *("ends_sentence", "starts_lower", "starts_upper", "log_weight", "link"),
    *(f"text_{name}" for name in TEXT_HINTS),
)
_TAGS = (
    *(f"own_{name}" for name in OWN),
    *(f"in_{name}" for name in ABOVE),
    "page_in_article",
    "page_in_main",
    "depth",
)
_CLASSES = (*(f"{where}_{name}" for where in ("class", "over", "above") for name in _HINTS), "page_main", "page_body")
_SIZES = tuple(f"{what}_{level}" for level in range(5) for what in ("size", "links", "prose", "share", "mean"))
_BEST = (
    *("box_score", "log_box", "same_box", "in_best", "since_best", "until_best", "best_share", "page_weight"),
    *("page_prose", "page_links", "page_blocks", "prose_before", "box_before"),
)
_ORDER = (
    *("index", "log_index", "log_left", "repeated", "title", "since_title", "has_title", "since_h1", "h1s"),
    *("since_heading", "under_comment", "under_related", "under_share", "under_subscribe"),
)
NAMES = (*_TEXT, *_TAGS, *_CLASSES, *_SIZES, *_BEST, *_ORDER)
COUNT = len(NAMES)
TAGS_AT, CLASSES_AT, SIZES_AT, BEST_AT, ORDER_AT = (
    NAMES.index(name) for name in ("own_p", "class_comment", "size_0", "box_score", "index")
)
HINTS_AT, STOP_BIT, TEXT_HINT_COUNT = NAMES.index("text_stop"), 1, len(TEXT_HINTS)
OWN_COUNT, LINK = len(OWN), NAMES.index("link")
IN_ARTICLE, IN_MAIN = ABOVE.index("article"), ABOVE.index("main")
MAIN_HINT, BODY_HINT = _HINTS.index("main"), _HINTS.index("body")
UNDER = tuple(list(TEXT_HINTS).index(name) for name in ("comment", "related", "share", "subscribe"))
WORD_CHARS = 240
"""Of each text, where words are looked up."""


class Room(NamedTuple):
    """What measuring and choosing write, a row a block where not said otherwise."""

    x: np.ndarray
    """Traits, float32."""
    weight: np.ndarray
    """Characters, Chinese ones threefold; prose in it; and the sums of weight, weight in links, prose and blocks."""
    chars: np.ndarray
    words: np.ndarray
    """Kinds of words that a text holds, as bits."""
    hashes: np.ndarray
    """Of texts, with open addressing; a power of two of rows, hash and first block."""
    score: np.ndarray
    """Prose of elements that blocks lie in; a row an element."""
    sized: np.ndarray
    """Whether the sizes of an element are known, bool."""
    sizes: np.ndarray
    """Size, links, prose, share and mean of an element, float32."""
