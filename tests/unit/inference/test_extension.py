"""Objects of a consensus, extended into what one plane alone gives them, on hand-made planes."""

import numpy as np
import pytest

from plane_labels import plane_of
from planewise.inference.consensus import FusionOptions, consensus
from planewise.inference.extension import extended
from planewise.inference.fused import FusedObjects
from planewise.inference.repair import undo_cuts
from planewise.volumes.slices import PLANES

ANY = np.ones(5, bool)


def row(text):
    """Return a volume of one row, a digit for each voxel, each of them 10 x 10 voxels thick."""
    return np.tile(np.array([int(digit) for digit in text], np.int32), (10, 10, 1))


def fused(rows, **options):
    planes = [plane_of(row(text), plane) for text, plane in zip(rows, PLANES)]
    return consensus(planes, FusionOptions(2, 0, 0, **options))


def seen(result):
    return "".join(map(str, result[...][0, 0].tolist()))


def test_voxels_of_one_plane_join_the_object_that_its_own_is_mostly_in():
    rows = ["0111100000", "0011110000", "0011000022"]
    assert seen(fused(rows)) == "0011100000"
    more = fused(rows, extend=True)
    assert seen(more) == "0111110000"  # 2 of the last plane is in no object, and makes none
    assert isinstance(more, FusedObjects)
    assert more.votes.voxels.tolist() == [300]
    assert more.votes.added.tolist() == [200]
    assert more.votes.by_all.tolist() == pytest.approx([2 / 3])  # as without


def test_where_planes_disagree_the_one_decides_whose_object_lies_in_its_own_with_the_larger_share():
    labels = np.array([[1, 1, 1], [1, 0, 0], [1, 2, 0], [0, 2, 2], [3, 0, 0]])
    counts = np.array([300, 200, 200, 300, 50])
    objects = np.array([1, 0, 0, 2, 0])
    # label 1 of the first plane has 300 of its 700 voxels in object 1, label 2 of the second 300 of 500 in object 2
    assert extended(objects, labels, counts, np.zeros(2, np.int64), ANY).tolist() == [1, 1, 2, 2, 0]


def test_parts_of_a_cut_object_share_what_it_would_have():
    """A label that lies mostly in another object goes there, cut or not, and in a cut one to the larger part of it."""
    labels = np.array([[1, 1], [1, 2], [1, 3], [1, 0], [2, 0]])
    counts = np.array([40, 30, 50, 10, 10])
    whole, cut = np.array([1, 1, 2, 0, 0]), np.array([1, 3, 2, 0, 0])
    assert extended(whole, labels, counts, np.zeros(2, np.int64), ANY).tolist() == [1, 1, 2, 1, 0]
    assert extended(cut, labels, counts, np.array([0, 0, 1]), ANY).tolist() == [1, 3, 2, 1, 0]


def test_an_object_of_a_plane_that_lies_mostly_elsewhere_adds_nothing():
    labels, counts = np.array([[1, 1], [1, 0]]), np.array([24, 76])
    objects = np.array([1, 0])
    assert extended(objects, labels, counts, np.zeros(1, np.int64), np.ones(2, bool)).tolist() == [1, 0]
    assert extended(objects, labels, counts + [2, 0], np.zeros(1, np.int64), np.ones(2, bool)).tolist() == [1, 1]


def test_what_was_dropped_does_not_come_back_in_a_neighbour():
    """One plane merges two objects, of which the second is dropped, since the planes do not agree on it."""
    labels, counts = np.array([[1, 1, 1], [1, 3, 0], [1, 0, 0]]), np.array([400, 500, 100])
    voted = np.array([1, 2, 0])
    kept = np.array([1, 0, 0])
    assert extended(kept, labels, counts, np.zeros(1, np.int64), voted == 0).tolist() == [1, 0, 1]


@pytest.mark.parametrize("seed", range(20))
def test_extending_adds_voxels_that_a_plane_has_and_changes_none(seed):
    rng = np.random.default_rng(seed)
    blobs = np.kron(rng.integers(0, 4, (3, 3, 3)), np.ones((6, 6, 6), int)).astype(np.int32)
    planes = []
    for plane in PLANES:
        shifted = np.roll(blobs, rng.integers(-2, 3, 3), (0, 1, 2))
        planes.append(plane_of(np.where(rng.random(blobs.shape) < 0.05, 0, shifted).astype(np.int32), plane))
    before, after = (consensus(planes, FusionOptions(2, 0, 0, repair=True, extend=more)) for more in (False, True))
    old, new = before[...], after[...]
    assert after.count == before.count
    assert np.array_equal(new[old > 0], old[old > 0])
    given = np.any([plane[...] > 0 for plane in planes], axis=0)
    assert not new[~given].any()
    assert np.bincount(new.ravel())[1:].tolist() == (after.votes.voxels + after.votes.added).tolist()
    whole = consensus(planes, FusionOptions(2, 0, 0, extend=True))
    assert np.array_equal(undo_cuts(new, after.votes.cut_from), whole[...])
