import numpy as np
import pytest

from perfect_network import perfect_outputs
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_classes, median_filter, slice_parts

NOTHING = np.zeros((1, 1), np.float32)


def filtered(values, kernel, least):
    """Whether the slices of these logits are foreground after the median."""
    outputs = [SliceOutputs(np.full((2, 3), value, np.float32), NOTHING, NOTHING[None]) for value in values]
    parts = (slice_parts(output, 2, 3, least, GroupingOptions()) for output in outputs)
    result = [np.unpackbits(slice_.foreground, axis=1, count=3) for slice_ in median_filter(parts, kernel)]
    assert all(bits.min() == bits.max() for bits in result)
    return [bool(bits[0, 0]) for bits in result]


def naive(values, kernel):
    """The median of the logits with earlier slices filtered already; both ends pass."""
    values, half = list(values), kernel // 2
    for i in range(half, len(values) - half):
        values[i] = float(np.median(values[i - half : i + half + 1]))
    return values


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("length", range(1, 12))
def test_the_median_is_stored_back_and_the_ends_pass(kernel, length):
    values = np.random.default_rng(length).integers(0, 9, length).astype(float)
    expected = naive(values, kernel) if length >= kernel else values.tolist()
    for least in range(10):
        assert filtered(values, kernel, least) == [value >= least for value in expected]


def test_storing_back_matters():
    assert filtered([0, 9, 0, 9, 9], 3, 5) == [False, False, False, True, True]


@pytest.mark.parametrize("shape", [(2, 40, 40), (1, 20, 20), (5, 3, 7), (40, 9, 9)])
def test_volumes_of_few_slices_and_short_sides(shape):
    labels = np.ones(shape, np.int32)
    options = GroupingOptions(min_size=1, min_extent=1)
    for plane in ("xy", "xz", "yz"):
        (objects,) = gather_classes(perfect_outputs(labels, plane), shape, plane, options)
        assert objects[...].shape == shape
        assert objects[...].max() >= 1


def test_nothing_to_find():
    labels = np.zeros((6, 20, 24), np.int32)
    for plane in ("xy", "xz", "yz"):
        assert not gather_classes(perfect_outputs(labels, plane), labels.shape, plane, GroupingOptions())[0][...].any()


def test_too_few_slices_are_refused():
    outputs = list(perfect_outputs(np.ones((6, 20, 24), np.int32), "xy"))[:5]
    with pytest.raises(ValueError, match="5 slices"):
        gather_classes(outputs, (6, 20, 24), "xy", GroupingOptions())
