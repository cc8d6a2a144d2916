import numpy as np
import pytest

from plane_labels import plane_of
from planewise.inference.combinations import LABEL_BITS, check_number, count_combinations, unpack


@pytest.fixture(scope="module")
def planes():
    first, second = np.zeros((3, 4, 40), np.int32), np.zeros((3, 4, 40), np.int32)
    first[0, 1, 2:30] = 1
    first[2, 3, 5:7] = 2
    second[0:2, 1, 20:40] = 3
    return [plane_of(first, "xy"), plane_of(second, "xz")]


def test_voxels_and_boxes_by_hand(planes):
    table = count_combinations(planes)
    assert unpack(table.keys, 2).tolist() == [[1, 0], [2, 0], [0, 3], [1, 3]]
    assert table.counts.tolist() == [18, 2, 10 + 20, 10]
    assert table.boxes.tolist() == [
        [0, 1, 2, 1, 2, 20],
        [2, 3, 5, 3, 4, 7],
        [0, 1, 20, 2, 2, 40],  # the box of all of it: in the first layer from 30 on, in the second from 20
        [0, 1, 20, 1, 2, 30],
    ]


@pytest.mark.parametrize("threads", [2, 3, 50])
def test_parts_that_are_counted_at_the_same_time_are_the_whole(planes, threads):
    whole, joined = count_combinations(planes), count_combinations(planes, threads)
    assert all(np.array_equal(value, vars(joined)[name]) for name, value in vars(whole).items())


def test_more_objects_than_a_key_has_room_for_are_refused():
    check_number([np.zeros(1 << LABEL_BITS)])
    with pytest.raises(ValueError, match="more than 2097151 objects"):
        check_number([np.zeros(2), np.zeros((1 << LABEL_BITS) + 1)])
