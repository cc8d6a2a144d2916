import numpy as np
import pytest

from perfect_network import ReadsClasses
from planewise.data.panoptic import DIVISOR
from planewise.data.phantom import organelle_phantom
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions
from planewise.training.assembled import AS_SHARES, AssembledVolume
from planewise.training.class_quality import class_quality, mean_quality

OPTIONS = SliceOptions(AS_SHARES, 0.0, 1.0, 1)
GROUPING = GroupingOptions(things=(True, True, False))


@pytest.fixture(scope="module")
def values():
    _, classes, ids = organelle_phantom((32, 48, 48), 5, 3)
    return classes.astype(np.int32) * DIVISOR + np.where(classes < 3, ids, 0).astype(np.int32)


def quality(values, seen=None):
    image = (values if seen is None else seen).astype(np.float32)  # whole numbers below 2**24
    volume = AssembledVolume(image, values)
    return class_quality(ReadsClasses((1, 2), 3, noise=0.0), [volume], ("xy", "xz", "yz"), OPTIONS, GROUPING)


def test_what_is_seen_as_it_is_is_found(values):
    mito, nucleus, er = quality(values)
    assert min(mito, nucleus) > 0.9
    assert er > 0.8  # thin sheets


def test_each_class_is_scored_by_itself(values):
    blind = np.where(values // DIVISOR == 3, 0, values)  # sees no ER
    mito, nucleus, er = quality(values, blind)
    assert min(mito, nucleus) > 0.9
    assert er == 0
    assert mean_quality([mito, nucleus, er]) == pytest.approx((mito + nucleus) / 3)


def test_what_is_not_known_counts_in_no_class(values):
    known = values.copy()
    known[values // DIVISOR == 3] = -1
    mito, nucleus, er = quality(known, values)
    assert min(mito, nucleus) > 0.9
    assert np.isnan(er)
    assert mean_quality([np.nan, np.nan]) is None
