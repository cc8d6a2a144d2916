import numpy as np
import pytest
from scipy import ndimage

from planewise.data import label_signs
from planewise.data.label_signs import LabelSigns, signs_of
from planewise.data.phantom import em_phantom

IMAGE, IDS = em_phantom((12, 160, 160), 40, 0)
SMOOTH = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (4, 160, 160)), (0, 6, 6))
SMOOTH = (SMOOTH - SMOOTH.min()) / (SMOOTH.max() - SMOOTH.min())


def evidence(volume):
    signs = LabelSigns()
    for slice_ in volume:
        signs = signs.with_slice(slice_)
    return str(signs)


def supervoxels():
    """A dense segmentation, without background."""
    places = np.random.default_rng(0).integers(0, 160, (2, 60))
    nearest = np.hypot(*(np.indices((160, 160))[:, None] - places[:, :, None, None])).argmin(axis=0)
    return nearest[None].repeat(3, axis=0)


LABELS = {
    "8 bit": IDS.astype(np.uint8),
    "32 bit": IDS.astype(np.int32) * 70_001,
    "as floats": IDS.astype(np.float32),
    "with -1 for what is unknown": np.where(IDS == 3, -1, IDS.astype(np.int16)),
    "small objects": IDS[:, ::4, ::4],
    "dense": supervoxels().astype(np.uint64),
}
BORDER = np.pad(IMAGE, ((0, 0), (90, 90), (90, 90)))
NOISE = np.random.default_rng(0).integers(0, 60_000, (3, 60, 60), np.uint16)
IMAGES = {
    "8 bit": IMAGE,
    "a saturated background": np.where(IMAGE > 150, 255, IMAGE).astype(np.uint8),
    "saturated at both ends": np.clip((IMAGE.astype(float) - 120) * 8, 0, 255).astype(np.uint8),
    "thresholded": np.where(IMAGE < 130, 0, IMAGE).astype(np.uint8),
    "padded": BORDER,
    "padded with grey": np.where(BORDER == 0, 128, BORDER).astype(np.uint8),
    "masked by objects": np.where(IDS > 0, IMAGE, 0).astype(np.uint8),
    "16 bit": IMAGE.astype(np.uint16) * 257,
    "16 bit with noise, padded": np.pad(
        IMAGE.astype(np.uint16) * 200 + np.random.default_rng(0).integers(0, 200, IMAGE.shape, np.uint16),
        ((0, 0), (90, 90), (90, 90)),
    ),
    "16 grey levels": IMAGE // 16 * 16,
    "smooth 8 bit": np.rint(SMOOTH * 255).astype(np.uint8),
    "smooth 5 bit": np.rint(SMOOTH * 31).astype(np.uint8),
    "each pixel four times": IMAGE.repeat(4, 1).repeat(4, 2),
    "16 bit, each pixel four times": NOISE.repeat(4, 1).repeat(4, 2),
    "16 bit, each pixel five times, padded": np.pad(NOISE.repeat(5, 1).repeat(5, 2), ((0, 0), (90, 90), (90, 90))),
    "whole numbers as floats": IMAGE.astype(np.float32),
    "floats": IMAGE / 255,
    "counts": np.random.default_rng(0).poisson(0.8, IMAGE.shape).astype(np.uint16),
    "tiny": IDS[:, :30, :],
    "empty": np.zeros((3, 20, 20), np.uint8),
}


@pytest.mark.parametrize("name", LABELS)
def test_ids_of_objects_are_recognised(name):
    assert "% of neighbours are equal" in evidence(LABELS[name])


@pytest.mark.parametrize("name", IMAGES)
def test_no_image_is_taken_for_labels(name):
    assert evidence(IMAGES[name]) == ""


def test_of_a_large_slice_the_middle_is_looked_at(monkeypatch):
    """A slice may be larger than the memory that counting its values takes."""
    whole = supervoxels()[0]
    monkeypatch.setattr(label_signs, "MOST_SIDE", 60)
    assert signs_of(whole) == signs_of(whole[50:110, 50:110])
    assert signs_of(whole[:, :40]) == signs_of(whole[50:110, :40])
