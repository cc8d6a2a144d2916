import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planewise.errors import PlanewiseError
from planewise.volumes.files import read_voxels
from planewise.volumes.indexing import check_memory, split_index
from planewise.volumes.volume import Volume

CODED = np.arange(4 * 5 * 6).reshape(4, 5, 6)
PARTS = st.one_of(
    st.integers(-4, 3),
    st.builds(slice, *[st.none() | st.integers(-9, 9)] * 2, st.sampled_from([None, 1, 2, -1, -3])),
)


@given(st.lists(PARTS, max_size=3), st.booleans(), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_the_part_that_is_read_holds_what_is_asked_for(parts, dots, place):
    index = (*parts[:place], ..., *parts[place:]) if dots else tuple(parts)
    needed, within = split_index(index, CODED.shape)
    assert all(part.step is None or part.step > 0 for part in needed)  # which every format on disk can read
    assert np.array_equal(CODED[needed][within], CODED[index])


def test_a_part_that_is_not_alone_in_a_tuple():
    assert split_index(2, (4, 5)) == split_index((2, ...), (4, 5)) == split_index((np.int64(2), slice(None)), (4, 5))


@pytest.mark.parametrize("index", [4, -5, (0, 0, 0, 0), ([0, 1],), None])
def test_an_index_that_is_not_understood(index):
    with pytest.raises(IndexError):
        split_index(index, CODED.shape)


class Declared:
    """Voxels that a file says it has, far more than there is memory for."""

    shape, dtype = (10**12, 3, 4), np.dtype(np.uint16)

    def __getitem__(self, index):
        return np.zeros(split_index(index, self.shape)[0][0].stop, np.uint16)


def test_what_memory_cannot_hold_is_refused_before_it_is_read(tmp_path):
    volume = Volume(Declared())
    assert len(read_voxels(volume, tmp_path, 5)) == 6
    with pytest.raises(PlanewiseError, match=r"^/.*: 1000000000000 x 3 x 4 voxels of uint16 do not fit in memory"):
        read_voxels(volume, tmp_path)
    with pytest.raises(PlanewiseError, match="24,000 GB"):
        volume.read()


def test_what_memory_just_holds_is_read():
    memory = psutil.virtual_memory().total
    check_memory((memory,), np.dtype(np.uint8))
    check_memory((memory * 8, 1), np.dtype(np.uint16), slice(None, None, 16))
    with pytest.raises(PlanewiseError):
        check_memory((memory + 1,), np.dtype(np.uint8))
