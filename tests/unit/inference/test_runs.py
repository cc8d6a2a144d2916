import cc3d
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from partitions import same_partition
from planewise.evaluation.overlap import overlap_table
from planewise.inference.runs import connect_slice, shared_pixels

SIDES = st.tuples(st.integers(1, 40), st.integers(1, 40))


@given(SIDES, st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_components_are_8_connected(shape, values, seed):
    ids = np.random.default_rng(seed).integers(0, values + 1, shape).astype(np.int32)
    connected = connect_slice(ids)
    labels = connected.runs.paint(shape[1])
    expected = cc3d.connected_components(ids[None].astype(np.uint32), connectivity=26)[0]  # of equal values
    assert same_partition(labels, expected)
    for label, (size, box) in enumerate(zip(connected.sizes, connected.boxes), start=1):
        rows, columns = np.nonzero(labels == label)
        assert size == len(rows)
        assert box.tolist() == [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]
    assert labels.max(initial=0) == len(connected.sizes)


def test_more_provisional_labels_than_the_first_guess():
    ids = np.zeros((200, 200), np.int32)
    ids[::2, ::2] = 1
    assert len(connect_slice(ids).sizes) == 10_000


@given(SIDES, st.integers(1, 30), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_shared_pixels_are_those_of_the_images(shape, values, seed):
    rng = np.random.default_rng(seed)
    first, second = (connect_slice(rng.integers(0, values + 1, shape)).runs for _ in range(2))
    expected = overlap_table(first.paint(shape[1]), second.paint(shape[1])).objects
    connected = sorted(zip(*(values.tolist() for values in shared_pixels(first, second))))
    assert connected == list(zip(expected.first.tolist(), expected.second.tolist(), expected.count.tolist()))
