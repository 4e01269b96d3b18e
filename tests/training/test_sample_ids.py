"""Sample ids: unique, positive, and a part knows its whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import BadInput
from training import sample_ids as ids

KEYS, ORDINALS = st.integers(0, 2**30 - 1), st.integers(0, ids.MAX_SAMPLES - 1)


@given(KEYS, ORDINALS, st.sampled_from([1, 2, 4, 8, 16, 32]))
def test_a_part_knows_its_sample_key_and_place(key, ordinal, divisor):
    whole = ids.sample_id(key, ordinal)
    parts = ids.parts(whole, divisor)
    assert whole > 0
    assert parts.shape == (divisor,)
    assert (parts > 0).all()
    assert (ids.whole(parts) == whole).all()
    assert (ids.key(parts) == key).all()
    assert (ids.ordinal(parts) == ordinal).all()
    assert (ids.divisor(parts) == divisor).all()
    assert ids.part(parts).tolist() == list(range(divisor))


def test_all_ids_of_neighbours_differ():
    whole = ids.sample_id(ids.key_of("ff" * 32), np.arange(50))
    every = np.concatenate([ids.parts(whole, divisor).ravel() for divisor in (1, 2, 4, 8, 16, 32)])
    assert len(np.unique(every)) == len(every) == 50 * 63
    assert every.dtype == np.int64
    assert (ids.parts(whole, 1)[:, 0] == whole).all()


@pytest.mark.parametrize("divisor", [0, 3, 64, -2])
def test_a_divisor_that_cannot_be_is_refused(divisor):
    with pytest.raises(BadInput, match="1, 2, 4, 8, 16 or 32 are allowed"):
        ids.parts(np.array([1]), divisor)
