"""Gopher's n-gram measures (arXiv 2112.11446, table A1), compiled: text by text, one length after the other.

An n-gram is repeated only where its two (n-1)-grams are, so that each length looks only at what the last one left.
"""

from typing import NamedTuple

import numpy as np

from data.compiled import compiled, entry

LEAST, TOP, DUPLICATE, MOST = 2, 4, 5, 10
"""Most frequent n-grams of 2 to 4 words; repeated ones of 5 to 10."""
FREE = -1


class Table(NamedTuple):
    """Pairs of numbers with the number that stands for each, by open addressing; a place with FREE is empty."""

    keys: np.ndarray
    numbers: np.ndarray


@entry
def ngram_chars(ids: np.ndarray, sizes: np.ndarray, first: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """float64[9, texts]: characters in the most frequent 2-, 3- and 4-gram, and in repeated 5- to 10-grams.

    `ids` are words as numbers, which only words of one text share; `sizes` how often each is there; text i has the
    words from first[i] to first[i + 1], and words a to b have lengths[b] - lengths[a] characters.
    """
    texts, longest = len(first) - 1, 0
    for text in range(texts):
        longest = max(longest, first[text + 1] - first[text])
    places = 16
    while places < 2 * longest:
        places *= 2
    table = Table(np.empty(places, np.int64), np.empty(places, np.int32))
    runs = np.empty((longest + 1, 2), np.int32)
    groups = np.empty((longest + 1, 2), np.int32)
    chars = np.zeros((MOST - LEAST + 1, texts), np.float64)
    for text in range(texts):
        _text(ids, sizes, first[text], first[text + 1], lengths, runs, table, groups, chars[:, text])
    return chars


@compiled
def _text(
    ids: np.ndarray,
    sizes: np.ndarray,
    start: int,
    stop: int,
    lengths: np.ndarray,
    runs: np.ndarray,
    table: Table,
    groups: np.ndarray,
    chars: np.ndarray,
) -> None:
    """`runs` holds place and number of each repeated n-gram."""
    count = 0
    for word in range(start, stop):
        if sizes[ids[word]] > 1:
            runs[count, 0], runs[count, 1] = word, ids[word]
            count += 1
    for n in range(LEAST, MOST + 1):
        count, best, most = _longer(runs, count, table, groups)
        if n <= TOP and stop - start >= n:
            at = best if most > 1 else start
            chars[n - LEAST] = max(most, 1) * (lengths[at + n] - lengths[at] + n - 1)
        if n >= DUPLICATE:
            chars[n - LEAST] = _walk(runs, count, n, lengths, groups)


@compiled
def _longer(runs: np.ndarray, count: int, table: Table, groups: np.ndarray) -> tuple[int, int, int]:
    """From the repeated (n-1)-grams the n-grams that are repeated. How many; where the most frequent begins; how often.

    Of equally frequent ones, the one that comes first.
    """
    found = _numbered(runs, count, table, groups)
    kept, best, most = 0, -1, 0
    for index in range(found):
        at, number = runs[index, 0], runs[index, 1]
        if groups[number, 0] > most and groups[number, 0] > 1:
            best, most = at, groups[number, 0]
        if groups[number, 0] > 1:
            runs[kept, 0], runs[kept, 1] = at, number
            kept += 1
    return kept, best, most


@compiled
def _numbered(runs: np.ndarray, count: int, table: Table, groups: np.ndarray) -> int:
    """Neighbours joined, equal ones under one number; how many. `groups` counts the members of each."""
    size = 16
    while size < 2 * count:
        size *= 2
    mask, found, kinds = size - 1, 0, 0
    table.numbers[:size] = FREE
    for index in range(count - 1):
        if runs[index + 1, 0] != runs[index, 0] + 1:
            continue
        key = np.int64(runs[index, 1]) << 32 | np.int64(runs[index + 1, 1])
        mixed = key * 0x14D049BB133111EB
        place = (mixed ^ mixed >> 32) & mask
        while table.numbers[place] != FREE and table.keys[place] != key:
            place = (place + 1) & mask
        if table.numbers[place] == FREE:
            table.keys[place], table.numbers[place] = key, kinds
            groups[kinds, 0] = 0
            kinds += 1
        number = table.numbers[place]
        groups[number, 0] += 1
        runs[found, 0], runs[found, 1] = runs[index, 0], number
        found += 1
    return found


@compiled
def _walk(runs: np.ndarray, count: int, n: int, lengths: np.ndarray, groups: np.ndarray) -> float:
    """Characters of n-grams that were seen before and not stepped over."""
    for index in range(count):
        groups[runs[index, 1], 1] = 0
    index, total = 0, 0.0
    while index < count:
        at, number = runs[index, 0], runs[index, 1]
        if groups[number, 1]:
            total += float(lengths[at + n] - lengths[at])
            while index < count and runs[index, 0] < at + n:
                index += 1
        else:
            groups[number, 1] = 1
            index += 1
    return total
