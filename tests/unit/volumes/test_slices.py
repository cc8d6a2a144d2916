import numpy as np
import pytest

from planewise.volumes import slices
from planewise.volumes.slices import PLANES, as_stack, crop, from_stack, in_batches, pad_to_factor, shrink

CODED = np.arange(4 * 5 * 6).reshape(4, 5, 6)


def test_slices_of_each_plane():
    assert np.array_equal(as_stack(CODED, "xy")[3], CODED[3])
    assert np.array_equal(as_stack(CODED, "xz")[2], CODED[:, 2])
    assert np.array_equal(as_stack(CODED, "yz")[5], CODED[:, :, 5])


@pytest.mark.parametrize("plane", PLANES)
def test_a_stack_goes_back_to_its_volume(plane):
    assert np.array_equal(from_stack(as_stack(CODED, plane), plane), CODED)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("size", [1, 4, 7])
@pytest.mark.parametrize("room", [0, 200, 2**26])  # for few slices, some batches of them, or all
def test_batches_are_the_slices_in_order(monkeypatch, plane, size, room):
    monkeypatch.setattr(slices, "TURNED_BYTES", room)
    volume = np.arange(11 * 6 * 13, dtype=np.uint16).reshape(11, 6, 13)
    stack = as_stack(volume, plane)
    batches = list(in_batches(volume, plane, size))
    assert [len(batch) for batch in batches] == [len(stack[i : i + size]) for i in range(0, len(stack), size)]
    assert all(batch.flags.c_contiguous for batch in batches)
    assert np.array_equal(np.concatenate(batches), stack)


@pytest.mark.parametrize("factor", [1, 4, 16])
def test_padding_and_cropping(factor):
    padded = pad_to_factor(CODED, factor)
    assert padded.shape[1] % factor == padded.shape[2] % factor == 0
    assert padded.sum() == CODED.sum()
    assert np.array_equal(crop(padded, 5, 6), CODED)


def test_shrinking_averages_blocks_and_continues_the_last_pixel():
    assert np.array_equal(shrink(np.array([[[1, 3, 5], [5, 7, 9]]]), 2), [[[4, 7]]])


@pytest.mark.parametrize("factor", [2, 4])
def test_enlarging_what_was_shrunk_puts_every_pixel_back(factor):
    blocks = np.arange(2 * 3 * 4).reshape(2, 3, 4).repeat(factor, 1).repeat(factor, 2)[:, :-1, :-1]
    enlarged = shrink(blocks, factor).repeat(factor, 1).repeat(factor, 2)
    assert np.array_equal(crop(enlarged, *blocks.shape[1:]), blocks)
