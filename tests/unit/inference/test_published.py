"""Segmentation along three planes gives the published program's labels, stage by stage; see tests/reference."""

import pytest

from partitions import same_partition
from planewise.inference.consensus import FusionOptions, consensus
from planewise.inference.gathering import GroupingOptions, SliceOutputs, gather_classes
from planewise.inference.linking import plane_objects
from planewise.inference.runs import connect_slice
from planewise.volumes.slices import PLANES
from reference.formulas import AXES, VOLUMES, crowd, slice_outputs
from reference.published import published


def outputs(name, plane):
    shape, count, doubt = VOLUMES[name]
    volume = crowd(name, shape, count)
    for index in range(shape[AXES[plane]]):
        of_slice = slice_outputs(volume, plane, index, doubt)
        yield SliceOutputs(of_slice["sem_logits"][0, 0], of_slice["ctr_hmp"][0, 0], of_slice["offsets"][0])


@pytest.mark.parametrize("name", VOLUMES)
def test_slices_planes_and_consensus_are_the_published_ones(name):
    stages, shape, planes = published("mitonet_volumes", name), VOLUMES[name][0], []
    for plane in PLANES:
        linked = plane_objects([connect_slice(slice_) for slice_ in stages[f"slices_{plane}"]], shape, plane, 500, 5)
        assert same_partition(linked[...], stages[f"objects_{plane}"]), plane
        planes.append(gather_classes(outputs(name, plane), shape, plane, GroupingOptions())[0])
        assert same_partition(planes[-1][...], linked[...]), plane
    assert same_partition(consensus(planes, FusionOptions(2, 500, 5))[...], stages["consensus"])
