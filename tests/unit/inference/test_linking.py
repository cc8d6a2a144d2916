import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from planewise.evaluation.overlap import overlap_table
from planewise.inference.linking import long_enough, plane_objects
from planewise.inference.runs import connect_slice
from planewise.volumes.slices import as_stack


@pytest.mark.parametrize(
    ("shape", "kept"),
    [
        ((9, 9, 9), [True, False, False]),
        ((1, 9, 9), [True, True, False]),
        ((1, 1, 9), [True] * 3),
        ((1, 1, 1), [True] * 3),
    ],
)
def test_along_an_axis_of_one_voxel_no_extent_is_asked_for(shape, kept):
    sides = np.array([[5, 5, 5], [1, 5, 5], [1, 1, 5]])
    assert long_enough(sides, shape, 5).tolist() == kept


def naive_link(stack):
    """The published matching, voxel by voxel: forward over the slices, then backward on the result."""
    labels = [connect_slice(slice_).runs.paint(stack.shape[2]).astype(int) for slice_ in stack]
    fresh = 1
    for slice_ in labels:
        slice_[slice_ > 0] += fresh
        fresh = max(fresh, slice_.max())
    for order in (range(1, len(labels)), range(len(labels) - 2, -1, -1)):
        step = 1 if isinstance(order, range) and order.step > 0 else -1
        for i in order:
            labels[i] = match_slice(labels[i - step], labels[i])
    return np.stack(labels)


def match_slice(target, current):
    targets, owns = (np.array(list(dict.fromkeys(x[x > 0].tolist()))) for x in (target, current))  # as they appear
    result = current.copy()
    if len(targets) == 0 or len(owns) == 0:
        return result
    shared = np.array([[((target == t) & (current == o)).sum() for o in owns] for t in targets])
    areas = np.array([(current == o).sum() for o in owns])
    union = np.array([(target == t).sum() for t in targets])[:, None] + areas - shared
    rows, columns = linear_sum_assignment(shared / union, maximize=True)
    chosen = {c: r for r, c in zip(rows, columns) if shared[r, c] / union[r, c] >= 0.25}
    for j, o in enumerate(owns):
        cover = shared[:, j] / areas[j]
        if j in chosen:
            result[current == o] = targets[chosen[j]]
        elif cover.max() >= 0.25:
            result[current == o] = targets[cover.argmax()]
    return result


def linked(stack):
    stack = np.ascontiguousarray(stack, np.int32)
    return plane_objects([connect_slice(slice_) for slice_ in stack], stack.shape, "xy", 0, 0)[...]


def blobs(seed, shape=(9, 24, 24)):
    rng = np.random.default_rng(seed)
    stack = np.zeros(shape, np.int32)
    for label in range(1, rng.integers(2, 9)):
        z, y, x = rng.uniform(0, shape)
        radius = rng.uniform(2, 6)
        grid = np.ogrid[tuple(slice(side) for side in shape)]
        inside = (grid[0] - z) ** 2 + (grid[1] - y) ** 2 + (grid[2] - x) ** 2 < radius**2
        stack[inside & (rng.random(shape) < 0.95)] = label
    return stack


@pytest.mark.parametrize("seed", range(60))
def test_linking_is_the_published_one(seed):
    stack = blobs(seed)
    ours, expected = linked(stack), naive_link(stack)
    pairs = set(zip(ours.ravel().tolist(), expected.ravel().tolist()))
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


def test_a_split_that_the_forward_pass_opens_is_closed_backward():
    stack = np.zeros((3, 10, 20), np.int32)
    stack[0, 2:8, 1:6] = 1
    stack[0, 2:8, 12:17] = 1  # two branches ...
    stack[1:, 2:8, 1:17] = 1  # ... that join
    assert len(np.unique(linked(stack))) == 2


def test_an_object_does_not_continue_across_an_empty_slice():
    stack = np.zeros((3, 6, 6), np.int32)
    stack[[0, 2], 1:5, 1:5] = 1
    assert len(np.unique(linked(stack))) == 3


def two_slices(before, after):
    """The number of 3D objects of objects that span columns, (start, stop), of two slices of 10 rows."""
    stack = np.zeros((2, 10, 60), np.int32)
    for slice_, spans in zip(stack, (before, after)):
        for label, (start, stop) in enumerate(spans, start=1):
            slice_[:, start:stop] = label
    return len(np.unique(linked(stack))) - 1


def test_the_least_share_of_the_own_area_is_a_quarter():
    assert two_slices([(0, 8)], [(6, 14)]) == 1  # 2 of 8 columns: IoU is 1/7, but a quarter is covered
    assert two_slices([(0, 9)], [(7, 16)]) == 2  # 2 of 9


def test_the_least_iou_is_a_quarter():
    assert two_slices([(0, 5)], [(0, 20)]) == 1  # IoU 1/4
    # IoU 4/20, and forward only a fifth of the large object is covered; backward the small one is covered whole.
    assert two_slices([(0, 4)], [(0, 20)]) == 1
    assert two_slices([(0, 20)], [(16, 40)]) == 2  # IoU 4/40; a fifth and a sixth covered


def test_a_single_slice():
    stack = np.ones((1, 4, 4), np.int32)
    assert linked(stack).tolist() == stack.tolist()


def test_too_few_slices_are_refused():
    with pytest.raises(ValueError, match="2 slices"):
        plane_objects([connect_slice(np.eye(4, dtype=int))] * 2, (3, 4, 4), "xy", 0, 0)


def test_small_and_flat_objects_are_dropped():
    stack = np.zeros((8, 30, 30), np.int32)
    stack[:, 1:9, 1:9] = 1  # 512 voxels
    stack[:, 12:18, 12:18] = 2  # 288 voxels: too small
    stack[:4, 20:30, 1:21] = 3  # 800 voxels, but 4 thick
    plane = plane_objects([connect_slice(s) for s in stack], stack.shape, "xy", 500, 5)
    assert np.array_equal(plane[...], (stack == 1).astype(int))
    assert plane.sizes.tolist() == [0, 512]


@pytest.mark.parametrize("plane", ["xy", "xz", "yz"])
def test_every_plane_comes_back_in_the_volume_s_axes(plane, balls):
    slices = [connect_slice(slice_) for slice_ in as_stack(balls, plane)]
    ours = plane_objects(slices, balls.shape, plane, 10, 2)
    table = overlap_table(balls, ours[...])
    assert len(table.count) == 5
    assert (table.first > 0).all()
    assert (table.second > 0).all()
