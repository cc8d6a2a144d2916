import cc3d
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from partitions import same_partition
from planewise.inference.grouping import find_centres, group_slice, least_logit

FULL = np.full((8, 1), 255, np.uint8)  # 8 x 8 pixels of foreground
SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIDES, st.integers(1, 7), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_centres_are_the_local_maxima(shape, kernel, seed):
    heatmap = np.random.default_rng(seed).integers(0, 6, shape).astype(np.float32) / 6  # with many ties, which all stay
    # A kernel of even side reaches further back than forward, as max pooling with its last row cut off does.
    largest = ndimage.maximum_filter(heatmap, kernel, mode="constant", cval=-1)
    expected = np.argwhere((heatmap > 0.3) & (heatmap == largest))
    assert np.array_equal(find_centres(heatmap, 0.3, kernel), expected)


def naive_group(logits, heatmap, offsets, scale, least, threshold, kernel):
    """The published grouping: every cell looks at every centre."""
    centres = find_centres(heatmap, threshold, kernel)
    ids = np.zeros(logits.shape, int)
    for y, x in np.argwhere(logits >= least) if len(centres) else ():
        row, column = y // (4 * scale), x // (4 * scale)
        vote = np.array([4 * row, 4 * column]) + offsets[:, row, column]
        ids[y, x] = 1 + np.square(4 * centres - vote).sum(1).argmin()
    return cc3d.connected_components(ids[None].astype(np.uint32), connectivity=26)[0]


@given(SIDES, st.sampled_from([1, 2]), st.floats(1, 300), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_grouping_is_the_published_one(shape, scale, reach, seed):
    rng = np.random.default_rng(seed)
    rows, columns = shape
    logits = ndimage.gaussian_filter(rng.standard_normal((rows * 4 * scale, columns * 4 * scale)), 3).astype(np.float32)
    heatmap = rng.random(shape, np.float32)
    offsets = rng.normal(0, reach, (2, *shape)).astype(np.float32)
    width = int(logits.shape[1] - rng.integers(0, 4 * scale))  # the last cell and the last byte may be cut off
    bits = np.packbits(logits[:, :width] >= 0, axis=1)
    grouped = group_slice(bits, width, find_centres(heatmap, 0.8, 3), offsets, scale)
    expected = naive_group(logits[:, :width], heatmap, offsets, scale, 0.0, 0.8, 3)
    assert same_partition(grouped.runs.paint(width), expected)


def test_no_centre_gives_no_object():
    grouped = group_slice(FULL, 8, np.zeros((0, 2), np.int64), np.zeros((2, 2, 2), np.float32), 1)
    assert len(grouped.sizes) == len(grouped.runs.start) == 0


def test_offsets_that_are_not_numbers_do_no_harm():
    offsets = np.full((2, 2, 2), np.nan, np.float32)
    group_slice(FULL, 8, np.argwhere(np.ones((2, 2))), offsets, 1)


@pytest.mark.parametrize("confidence", [0.1, 0.3, 0.5, 0.7, 0.9, 0.999])
def test_least_logit_is_where_the_probability_reaches_the_confidence(confidence):
    least = np.float32(least_logit(confidence))
    logits = torch.tensor([least, np.nextafter(least, np.float32(-100)), least + 1e-3, least - 1e-3])
    probability = 1 / (1 + np.exp(-logits.numpy()))
    assert (probability >= np.float32(confidence)).tolist() == [True, False, True, False]
