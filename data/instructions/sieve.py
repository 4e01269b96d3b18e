"""What is taken out of a dataset, and why: each step takes rows and gives those that stay and a verdict for each other.

>>> kept, dropped = exact_duplicates(rows)
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from data.instructions.config import DatasetConfig
from data.instructions.form import Row, conversation


class Dropped(NamedTuple):
    """A row that does not stay."""

    row: Row
    reason: str
    kept_row_id: str = ""
    value: float = 0.0


class Sieved(NamedTuple):
    """What one step gives."""

    kept: list[Row]
    dropped: list[Dropped]


Step = Callable[[Sequence[Row]], Sieved]


def steps(config: DatasetConfig) -> list[Step]:
    """The steps in order. Decontamination, once benchmarks are registered, is one more of them."""
    found: list[Step] = [unusable, exact_duplicates]
    if config.near:
        found.append(lambda rows: near_duplicates(rows, config.near))
    return found


def unusable(rows: Sequence[Row]) -> Sieved:
    """Rows that are well formed and from which nothing can be learnt."""
    reasons = [(row, why_unusable(row)) for row in rows]
    kept = [row for row, reason in reasons if not reason]
    return Sieved(kept, [Dropped(row, reason) for row, reason in reasons if reason])


def why_unusable(row: Row) -> str:
    """The reason why a row is of no use; empty where it is."""
    if row.kind in ("texts", "classes"):
        return "" if str(row.parts["text"]).strip() else "empty_text"
    if row.kind == "instructions":
        messages = conversation(row, "messages")
        if all(message["role"] != "assistant" for message in messages):
            return "no_answer"
        answers = [message for message in messages if message["role"] == "assistant"]
        return "" if all(map(_says_something, answers)) else "empty_answer"
    if not conversation(row, "prompt"):
        return "no_prompt"
    sides = [conversation(row, name) for name in ("chosen", "rejected", "completion") if name in row.parts]
    if len(sides) == 2 and sides[0] == sides[1]:
        return "no_preference"
    if not all(side and side[0]["role"] == "assistant" for side in sides):
        return "no_answer"
    return "" if all(_says_something(side[-1]) for side in sides) else "empty_answer"


def _says_something(message: dict) -> bool:
    return bool(str(message["content"]).strip() or message.get("tool_calls"))


def exact_duplicates(rows: Sequence[Row]) -> Sieved:
    """Rows that say the same: the first stays."""
    seen: set[str] = set()
    sieved = Sieved([], [])
    for row in rows:
        row_id = row.row_id
        if row_id in seen:
            sieved.dropped.append(Dropped(row, "exact_duplicate", row_id, 1.0))
        else:
            seen.add(row_id)
            sieved.kept.append(row)
    return sieved


def near_duplicates(rows: Sequence[Row], similarity: float) -> Sieved:
    """Rows whose 5-grams are alike, proven on the n-grams themselves: the first stays, and is named with the value."""
    from data.dedup.bands import band_keys
    from data.dedup.config import NearConfig
    from data.dedup.grams import hash_grams
    from data.dedup.minhash import signatures
    from data.dedup.near import bands_of
    from data.dedup.verify import overlap

    config = NearConfig(similarity=similarity)
    grams = hash_grams([row.all_text() for row in rows], config.tokens, config.fold_han)
    counts = np.diff(grams.first)
    keys = band_keys(signatures(grams, config.hashes), bands_of(config))
    buckets: dict[tuple[int, int], list[int]] = defaultdict(list)
    sieved = Sieved([], [])
    for at, row in enumerate(rows):
        mine = [(band, int(keys[band, at])) for band in range(len(keys))] if counts[at] else []
        others = np.array(sorted({other for key in mine for other in buckets.get(key, ())}), np.int64)
        jaccard = overlap(grams, np.full(len(others), at), grams, others)[0] if len(others) else np.zeros(0)
        if len(jaccard) and jaccard.max() >= similarity:
            best = int(jaccard.argmax())
            sieved.dropped.append(Dropped(row, "near_duplicate", rows[others[best]].row_id, float(jaccard[best])))
            continue
        sieved.kept.append(row)
        for key in mine:
            buckets[key].append(at)
    return sieved
