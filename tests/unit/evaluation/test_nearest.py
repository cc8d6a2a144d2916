import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.evaluation.nearest import nearest_distances


@given(st.integers(1, 120), st.integers(1, 300), st.sampled_from([3, 40, 60000]), st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_as_trying_every_pair(n, m, side, seed):
    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, side, (n, 3), np.uint16), rng.integers(0, side, (m, 3), np.uint16)
    spacing = (30.0, 4.0, 5.5)
    brute_force = np.linalg.norm((a[:, None].astype(float) - b[None]) * spacing, axis=2).min(axis=1)
    assert nearest_distances(a, b, spacing) == pytest.approx(brute_force, rel=1e-12, abs=1e-12)


def test_far_away_and_nothing_there():
    a, b = np.array([[0, 0, 0]], np.uint16), np.array([[0, 0, 65535], [65535, 0, 0]], np.uint16)
    assert nearest_distances(a, b, (1, 1, 2)).tolist() == [65535]
    assert nearest_distances(a, b[:0], (1, 1, 1)).tolist() == [np.inf]
    assert nearest_distances(a[:0], b, (1, 1, 1)).tolist() == []
