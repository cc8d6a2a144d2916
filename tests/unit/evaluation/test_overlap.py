import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.evaluation.overlap import overlap_table


def test_by_hand():
    table = overlap_table(np.array([[0, 0, 1, 1, 2]]), np.array([[0, 3, 3, 0, 3]]))
    assert list(zip(table.first, table.second, table.count)) == [(0, 3, 1), (1, 0, 1), (1, 3, 1), (2, 3, 1)]
    assert [x.tolist() for x in table.first_sizes()] == [[1, 2], [2, 1]]
    assert [x.tolist() for x in table.second_sizes()] == [[3], [3]]
    assert table.objects.first.tolist() == [1, 2]


@given(st.integers(0, 300), st.integers(1, 2000), st.sampled_from(["u1", "u2", "u4", "i4", "i8"]), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_as_numpy_counts(size, labels, dtype, seed):
    rng = np.random.default_rng(seed)
    a, b = (rng.integers(0, labels, size).clip(0, np.iinfo(dtype).max).astype(dtype) for _ in range(2))
    table = overlap_table(a, b)
    pairs, counts = np.unique(np.stack([a, b]).astype(np.int64), axis=1, return_counts=True)
    keep = pairs.any(axis=0) if size else slice(0)
    assert np.array_equal(np.stack([table.first, table.second]), pairs[:, keep])
    assert np.array_equal(table.count, counts[keep])


def test_more_pairs_than_the_first_table_holds():
    a, b = np.divmod(np.arange(1, 90_001), 300)
    table = overlap_table(a, b)
    assert len(table.count) == 90_000
    assert (table.count == 1).all()


def test_any_memory_layout():
    a = np.arange(24).reshape(2, 3, 4)
    table = overlap_table(a.T, np.asfortranarray(a.T))
    assert np.array_equal(table.first, table.second)


def test_shapes_and_labels_that_cannot_be_compared():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        overlap_table(np.zeros(2, int), np.zeros(3, int))
    with pytest.raises(ValueError, match="at most 2147483647"):
        overlap_table(np.array([2**31]), np.array([1]))
