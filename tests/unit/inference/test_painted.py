import numpy as np
import pytest

from perfect_network import perfect_outputs
from planewise.data.phantom import em_phantom
from planewise.inference import painted
from planewise.inference.consensus import FusionOptions, consensus
from planewise.inference.gathering import GroupingOptions, gather_classes
from planewise.volumes.slices import PLANES

WINDOWS = [
    (slice(3, 20), slice(5, 31), slice(7, 40)),
    (slice(0, 1), slice(None), slice(38, None)),
    (slice(10, 10), slice(None), slice(None)),
    (5,),
    (slice(-4, None), 2),
    (3, slice(1, 30), -1),
    (slice(None), slice(30, 33)),
]


@pytest.fixture(scope="module")
def planes():
    labels = em_phantom((24, 33, 41), 6, 2)[1]
    options = GroupingOptions(min_size=40, min_extent=2)
    return [gather_classes(perfect_outputs(labels, plane), labels.shape, plane, options)[0] for plane in PLANES]


@pytest.fixture(scope="module", params=[*PLANES, "consensus"])
def objects(request, planes):
    return (
        consensus(planes, FusionOptions(2, 40, 2))
        if request.param == "consensus"
        else planes[PLANES.index(request.param)]
    )


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_a_window_is_that_part_of_the_whole(objects, window):
    whole = objects[...]
    assert np.array_equal(objects[window], whole[window])
    assert objects[window].shape == whole[window].shape


@pytest.mark.parametrize("cores", [3, 50])
def test_layers_that_are_painted_at_the_same_time_are_those_of_one_thread(objects, monkeypatch, cores):
    whole = objects[...]
    monkeypatch.setattr(painted, "LEAST_PIXELS", 1)
    monkeypatch.setattr(painted, "machine_cores", lambda: cores)
    assert np.array_equal(objects[...], whole)
    for window in WINDOWS:
        assert np.array_equal(objects[window], whole[window])


def test_labels_are_one_to_the_number_of_objects_in_the_smallest_type(objects):
    whole = objects[...]
    assert whole.shape == objects.shape
    assert objects.count >= 3
    assert np.array_equal(np.unique(whole), np.arange(objects.count + 1))
    assert whole.dtype == objects.dtype == np.uint8


def test_more_than_255_objects_need_two_bytes(planes):
    labels = np.zeros((8, 48, 48), np.int32)
    labels[:, ::2, ::2] = np.arange(1, 577).reshape(24, 24)
    options = GroupingOptions(min_size=1, min_extent=1)
    (grouped,) = gather_classes(perfect_outputs(labels, "xy"), labels.shape, "xy", options)
    assert grouped.count > 255
    assert grouped[...].dtype == np.uint16
    assert grouped[...].max() == grouped.count


def test_steps_are_refused(objects):
    with pytest.raises(ValueError, match="every voxel"):
        objects[::2]
