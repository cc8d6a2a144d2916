import numpy as np
import pytest

from planewise.data.intensity import full_scale, normalise


@pytest.mark.parametrize(
    ("voxels", "scale"),
    [
        (np.zeros(3, np.uint8), 255),
        (np.zeros(3, np.uint16), 65535),
        (np.zeros(3, np.int16), 32767),
        (np.array([0, 0.5, 1], np.float32), 1),
        (np.array([0, 128, 255], np.float32), 255),
        (np.array([0, 1], np.float16), 1),
        (np.zeros(3, bool), 1),
    ],
)
def test_full_scale(voxels, scale):
    assert full_scale(voxels) == scale


def test_the_same_image_is_normalised_alike_in_every_type():
    share = np.array([[0, 0.2, 1.0]])
    expected = (share - 0.57571) / 0.12765
    for voxels in ((share * 255).astype(np.uint8), (share * 65535).astype(np.uint16), share, share * 255):
        assert np.allclose(normalise(voxels, full_scale(voxels), 0.57571, 0.12765), expected, atol=1e-4)
    assert normalise(share, 1, 0.5, 0.1).dtype == np.float32
