"""Is this text already here? A lookup in the signature store of a corpus or an intake.

>>> look_up(home, "web@1", text, NearConfig())
[Match(doc_id='0123456789ab:17', jaccard=0.93, containment=0.98), …]
"""

from typing import NamedTuple

import numpy as np

from catalog.home import Home
from data.dedup.bands import band_keys
from data.dedup.config import NearConfig
from data.dedup.earlier import earlier_parts
from data.dedup.grams import hash_grams
from data.dedup.history import EarlierFile, Shelf
from data.dedup.minhash import signatures
from data.dedup.near import Sign, bands_of, unsigned
from data.dedup.store import signature_path
from data.dedup.verify import overlap


class Match(NamedTuple):
    """A document that is like the text."""

    doc_id: str
    jaccard: float
    containment: float


def look_up(home: Home, name: str, text: str, config: NearConfig) -> list[Match]:
    """The documents of `name` (`web@1`, `intake/…@…`) with this Jaccard similarity to the text, the most alike first.

    Parts without signatures are signed first. Raises NotFound, BadInput.
    """
    parts = earlier_parts(home, (name,))
    for part in unsigned([part.part for part in parts], config):
        list(Sign([part], config).run(rank=0))
    grams = hash_grams([text], config.tokens, config.fold_han)
    if not len(grams.hashes):
        return []
    history = [EarlierFile(part.name, signature_path(part.part, config), part.kept) for part in parts]
    shelf = Shelf(history, bands := bands_of(config), merge=False)
    wanted = band_keys(signatures(grams, config.hashes), bands)
    found = np.unique(np.concatenate([shelf.find(band, wanted[band])[1] for band in range(bands.bands)]))
    jaccard, containment = overlap(
        grams, np.zeros(len(found), np.int64), shelf.store.grams(found), np.arange(len(found))
    )
    like = np.flatnonzero(jaccard >= config.similarity)
    matches = [
        Match(earlier.doc_id, float(jaccard[at]), float(containment[at]))
        for at, earlier in zip(like, shelf.named(found[like]), strict=True)
    ]
    return sorted(matches, key=lambda match: (-match.jaccard, match.doc_id))
