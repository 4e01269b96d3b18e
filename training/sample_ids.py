"""Sample ids: one positive 64-bit number that is unique in the home, with the part of a sample in its last bits.

>>> ids = sample_id(key_of(fingerprint), np.arange(3))      # whole samples 0, 1, 2
>>> parts(ids, 4)                                           # each cut into four, in order: shape (3, 4)

From the top: a 0, 30 bits of key (the first of the artifact's fingerprint), 27 bits of ordinal (its samples are counted
through all its streams), 6 bits of part. A whole sample is part 1; part p of divisor d (2, 4, … 32) is d + p.
"""

import numpy as np
import numpy.typing as npt

from catalog.errors import BadInput

KEY_BITS, ORDINAL_BITS, PART_BITS = 30, 27, 6
MAX_SAMPLES = 1 << ORDINAL_BITS
WHOLE = 1
MAX_DIVISOR = 1 << (PART_BITS - 1)

Ids = npt.NDArray[np.int64]


def key_of(fingerprint: str) -> int:
    """The first 30 bits of an artifact's fingerprint (hex digits)."""
    return int(fingerprint[:8], 16) >> (32 - KEY_BITS)


def sample_id(key: int, ordinal: npt.ArrayLike) -> Ids:
    """The ids of whole samples, in the shape of `ordinal`."""
    return (np.int64(key) << (ORDINAL_BITS + PART_BITS)) | (np.asarray(ordinal, np.int64) << PART_BITS) | WHOLE


def key(ids: npt.ArrayLike) -> Ids:
    """The key of the artifact of each sample."""
    return np.asarray(ids, np.int64) >> (ORDINAL_BITS + PART_BITS)


def ordinal(ids: npt.ArrayLike) -> Ids:
    """The place of each sample in its artifact."""
    return (np.asarray(ids, np.int64) >> PART_BITS) & (MAX_SAMPLES - 1)


def whole(ids: npt.ArrayLike) -> Ids:
    """The whole sample of each part."""
    return (np.asarray(ids, np.int64) & -(1 << PART_BITS)) | WHOLE


def parts(ids: npt.ArrayLike, divisor: int) -> Ids:
    """The parts of whole samples: one more axis, of length `divisor`. Raises BadInput for a divisor that cannot be."""
    check_divisor(divisor)
    return (np.asarray(ids, np.int64)[..., None] - WHOLE) + divisor + np.arange(divisor)


def divisor(ids: npt.ArrayLike) -> Ids:
    """Into how many parts the sample of each id is cut (1: the id is of a whole sample)."""
    part = np.asarray(ids, np.int64) & ((1 << PART_BITS) - 1)
    return np.int64(1) << (np.frexp(part.astype(np.float64))[1] - 1).astype(np.int64)


def divisor_for(packed: int, length: int) -> int:
    """Into how many parts a packed sample is cut so that a part is no longer than `length`. Raises BadInput."""
    into = 1
    while packed // into > length:
        into *= 2
    if into > MAX_DIVISOR:
        raise BadInput(f"rows of {length} tokens are too short for samples of {packed:,}: {packed // MAX_DIVISOR} fit.")
    return into


def part(ids: npt.ArrayLike) -> Ids:
    """Which part each id is, from 0 to its divisor - 1."""
    return (np.asarray(ids, np.int64) & ((1 << PART_BITS) - 1)) - divisor(ids)


def check_divisor(divisor: int) -> None:
    """Raise BadInput where samples cannot be cut into so many parts."""
    if divisor < 1 or divisor > MAX_DIVISOR or divisor & (divisor - 1):
        raise BadInput(f"samples cannot be cut into {divisor} parts: 1, 2, 4, 8, 16 or 32 are allowed.")
