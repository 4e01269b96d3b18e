"""Which blocks are main text, from their probabilities: lists as wholes, and the original rather than its copy."""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled
from data.page.tree import BLOCKS, FIRST, IN_LIST, LAST, LINKED, OWN, SIGNS, START, Doc

THRESHOLD = 0.5
LIST_THRESHOLD, INTRODUCED_THRESHOLD = 0.15, 0.05
LIST_CHARS = 600
"""A longer block is no item or cell: the list or table lays out the page."""
LIST_BLOCKS = 1_000
"""Of a list with lists in it that is kept as a whole, at most."""
COPY_CHARS = 1_000
"""A block of this length may be a copy of the whole text, for search engines or for a script."""
COPIES, OTHERS = 5, 200
"""So many long blocks are looked at, and so many others for each."""
PREFIX = 40
"""Bytes of a block that are looked for in its copy."""
ROLL = 0x100000001B3


class Choice(NamedTuple):
    """What choosing writes."""

    likely: np.ndarray
    """A row a block, float64."""
    kept: np.ndarray
    """bool"""
    runs: np.ndarray
    """A row an element: runs of blocks that it is the innermost list of, int32."""
    prefixes: np.ndarray
    """512 places: hash and block + 1 of the others that a copy may hold, int64."""


@compiled
def choose(doc: Doc, probability: np.ndarray, chars: np.ndarray, choice: Choice) -> None:
    """The likely blocks; lists and tables as wholes, and for a block that copies others, those."""
    blocks = doc.n[BLOCKS]
    _whole_lists(doc, probability, chars, choice)
    most, kept = 0.0, False
    for block in range(blocks):
        choice.kept[block] = choice.likely[block] > THRESHOLD
        kept = kept or choice.kept[block]
        most = max(most, choice.likely[block])
    if not kept:  # a page is seldom without any text of its own
        for block in range(blocks):
            choice.kept[block] = choice.likely[block] >= 0.7 * most
        return
    looked_at = 0
    for block in range(blocks):
        if choice.kept[block] and chars[block] > COPY_CHARS and looked_at < COPIES:
            looked_at += 1
            _without_copy(doc, block, chars, choice)


@compiled
def _list_of(doc: Doc, block: int) -> int:
    return doc.node[doc.block[block, OWN], IN_LIST]


@compiled
def _whole_lists(doc: Doc, probability: np.ndarray, chars: np.ndarray, choice: Choice) -> None:
    """Probabilities with that of a list or table (of short blocks, with none inside) for all of its blocks."""
    blocks, likely, runs = doc.n[BLOCKS], choice.likely, choice.runs
    for block in range(blocks):
        likely[block] = probability[block]
        runs[max(0, _list_of(doc, block))] = 0
    for block in range(blocks):
        group = _list_of(doc, block)
        if group > 0 and (block == 0 or _list_of(doc, block - 1) != group):
            runs[group] += 1
    start = 0
    while start < blocks:
        group, stop, longest, total, weighted = _list_of(doc, start), start, 0, 0, 0.0
        while stop < blocks and _list_of(doc, stop) == group:
            longest, total = max(longest, chars[stop]), total + chars[stop]
            weighted += probability[stop] * chars[stop]
            stop += 1
        kept = _kept_as_whole(doc, probability, chars, start, group)
        if kept > start:
            stop = kept
            likely[start:stop] = 1.0
        elif group > 0 and runs[group] == 1 and longest <= LIST_CHARS:
            likely[start:stop] = weighted / total
        start = stop


@compiled
def _kept_as_whole(doc: Doc, probability: np.ndarray, chars: np.ndarray, start: int, group: int) -> int:
    """The end of a list or table with those inside that begins at a block, where all of it is kept; else the block.

    Between two blocks of main text, where menus do not stand, one is kept from `LIST_THRESHOLD` on, and one without
    many links below main text that ends in a colon from `INTRODUCED_THRESHOLD` on.
    """
    stop = doc.node[max(0, group), LAST]
    begins = group > 0 and start > 0 and doc.node[group, FIRST] == start and stop - start <= LIST_BLOCKS
    if not begins or probability[start - 1] <= THRESHOLD:
        return start
    total, weighted, signs, linked = 0, 0.0, 0, 0
    for block in range(start, stop):
        if chars[block] > LIST_CHARS:
            return start
        total, weighted = total + chars[block], weighted + probability[block] * chars[block]
        signs, linked = signs + doc.block[block, SIGNS], linked + doc.block[block, LINKED]
    between = stop < doc.n[BLOCKS] and probability[stop] > THRESHOLD and weighted > LIST_THRESHOLD * total
    introduced = _ends_in_colon(doc, start - 1) and 3 * linked <= signs and weighted > INTRODUCED_THRESHOLD * total
    return stop if between or introduced else start


@compiled
def _ends_in_colon(doc: Doc, block: int) -> bool:
    """Or in the wide one of Chinese."""
    last = doc.block[block + 1, START] - 1
    return doc.text[last] == 58 or (
        doc.text[last] == 0x9A and doc.text[last - 1] == 0xBC and doc.text[last - 2] == 0xEF
    )


@compiled
def _without_copy(doc: Doc, whole: int, chars: np.ndarray, choice: Choice) -> None:
    """Where other blocks make up half of one, they stand for it."""
    prefixes, others, sum_of_others = choice.prefixes, 0, 0
    prefixes[:, 1] = 0
    for block in range(doc.n[BLOCKS]):
        if 60 < chars[block] < chars[whole] and others < OTHERS:
            others, sum_of_others = others + 1, sum_of_others + chars[block]
            code = _prefix_hash(doc.text, doc.block[block, START])
            at = (code ^ code >> 32) & 511
            while prefixes[at, 1]:
                at = (at + 1) & 511
            prefixes[at, 0], prefixes[at, 1] = code, block + 1
    if 2 * sum_of_others <= chars[whole]:
        return
    held = _mark_held(doc, whole, choice)
    total = 0
    for at in range(512 if held else 0):
        if prefixes[at, 1] < 0:
            total += chars[-prefixes[at, 1] - 1]
    if 2 * total > chars[whole]:
        choice.kept[whole] = False
        for at in range(512):
            if prefixes[at, 1] < 0:
                choice.kept[-prefixes[at, 1] - 1] = True


@compiled
def _prefix_hash(text: np.ndarray, start: int) -> np.int64:
    code = np.int64(0)
    for at in range(start, start + PREFIX):
        code = code * ROLL + text[at]
    return code


@compiled
def _mark_held(doc: Doc, whole: int, choice: Choice) -> bool:
    """Turn the sign of each other block whose first bytes stand in the whole, by a rolling hash; is there one?"""
    start, stop = doc.block[whole, START], doc.block[whole + 1, START]
    text, prefixes, marked = doc.text, choice.prefixes, False
    gone = np.int64(1)
    for _ in range(PREFIX):
        gone *= ROLL
    code = _prefix_hash(text, start)
    for at in range(start + PREFIX, stop + 1):
        place = (code ^ code >> 32) & 511
        while prefixes[place, 1]:
            if prefixes[place, 0] == code:
                prefixes[place, 1], marked = -abs(prefixes[place, 1]), True
            place = (place + 1) & 511
        code = code * ROLL + text[at] - gone * text[at - PREFIX]
    return marked
