import numpy as np
import pytest
from scipy import ndimage

from planewise.volumes.parts import connected_parts


@pytest.mark.parametrize(
    ("shape", "connectivity"),
    [((39, 39), 8), ((1, 39, 39), 26), ((39, 1, 39), 26), ((39, 39, 1), 26), ((9, 9, 9), 26), ((9, 9, 9), 6)],
)
def test_parts_of_ragged_masks_are_whole(shape, connectivity):
    """cc3d gives parts of about one in thirty slices in pieces if they are boolean, and breaks off at a few volumes."""
    near = np.ones((3,) * len(shape)) if connectivity > 6 else ndimage.generate_binary_structure(3, 1)
    rng = np.random.default_rng(0)
    for _ in range(300):
        mask = rng.random([rng.integers(1, side + 1) for side in shape]) < rng.random()
        expected, count = ndimage.label(mask, near)
        parts = connected_parts(mask, connectivity)
        assert np.array_equal(np.unique(parts), np.unique(expected))
        assert len(np.unique(np.stack([parts, expected])[:, mask], axis=1).T) == count


def test_a_volume_at_which_cc3d_breaks_off_if_it_is_boolean():
    mask = np.array([[[True], [False], [True]]])
    assert connected_parts(mask, 26).tolist() == [[[1], [0], [2]]]
