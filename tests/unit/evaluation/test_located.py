import numpy as np
import pytest

from planewise.evaluation.located import LocatedCounter
from planewise.evaluation.overlap import overlap_table


def located(a, b, thickness):
    counter = LocatedCounter()
    for z in range(0, len(a), thickness):
        counter.add(a[z : z + thickness], b[z : z + thickness], z)
    return counter.table()


@pytest.mark.parametrize("thickness", [1, 3, 10])
def test_counts_as_the_plain_table_and_places_as_numpy(thickness):
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, (10, 12, 14), np.uint16), rng.integers(0, 4, (10, 12, 14), np.uint32)
    overlap, plain = located(a, b, thickness), overlap_table(a, b)
    for name in ("first", "second", "count"):
        assert np.array_equal(getattr(overlap, name), getattr(plain, name))
    for i, (first, second) in enumerate(zip(overlap.first, overlap.second)):
        where = np.argwhere((a == first) & (b == second))
        assert overlap.centre[i] == pytest.approx(where.mean(axis=0))
        assert overlap.lower[i].tolist() == where.min(axis=0).tolist()
        assert overlap.upper[i].tolist() == (where.max(axis=0) + 1).tolist()


def test_a_table_that_grows_within_a_plane():
    a = np.arange(1, 3 * 100 * 80 + 1, dtype=np.uint32).reshape(3, 100, 80)
    overlap = located(a, a[::-1].copy(), 2)
    assert len(overlap.count) == a.size
    assert (overlap.count == 1).all()
    assert np.array_equal(np.ravel_multi_index(tuple(overlap.lower.T), a.shape) + 1, overlap.first)


def test_pieces_that_cannot_be_compared():
    with pytest.raises(ValueError, match="cannot be compared"):
        LocatedCounter().add(np.zeros((1, 2, 2), int), np.zeros((1, 2, 3), int), 0)
