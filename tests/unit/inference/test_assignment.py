import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from planewise.inference.assignment import assign_pairs


@given(st.integers(1, 7), st.integers(1, 7), st.floats(0.1, 1), st.integers(0, 2**32 - 1))
@settings(max_examples=150, deadline=None)
def test_the_sparse_assignment_is_as_good_as_the_dense_one(n, m, density, seed):
    rng = np.random.default_rng(seed)
    gain = rng.random((n, m)) * (rng.random((n, m)) < density)
    rows, columns = np.nonzero(gain)
    chosen = assign_pairs(rows, columns, gain[rows, columns], n, m)
    assert len(set(rows[chosen])) == len(set(columns[chosen])) == chosen.sum()
    best = gain[linear_sum_assignment(gain, maximize=True)].sum()
    assert gain[rows, columns][chosen].sum() == pytest.approx(best)


def test_two_good_pairs_go_before_the_best_one():
    rows, columns = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 0, 1, 2])
    gain = np.array([0.9, 0.8, 0.7, 0.1, 0.2])  # 0.8 + 0.7 is more than 0.9 + 0.1; row 2 is a problem of its own
    assert assign_pairs(rows, columns, gain, 3, 3).tolist() == [False, True, True, False, True]
