import numpy as np
import pytest

from perfect_network import ReadsLabels
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, gather_plane
from planewise.inference.out_of_core import Here, Job, begin_work, identity_of, segment
from planewise.inference.planes import SliceOptions, plane_outputs
from planewise.labels import write_labels
from planewise.ome_zarr import CHUNK
from planewise.phantom import em_phantom
from planewise.volume import Volume, open_volume

SHAPE = (70, 83, 97)  # no slab divides it
OPTIONS = SliceOptions(1.0, 0.0, 1.0, 1)


@pytest.fixture(scope="module")
def labels():
    return em_phantom(SHAPE, 12, 3)[1].astype(np.uint16)


def in_memory(labels, grouping, batch_size, axes=("xy", "xz", "yz"), vote=2):
    planes = []
    for plane in axes:
        outputs = plane_outputs(ReadsLabels(), labels, plane, OPTIONS, batch_size, lambda count: None)
        planes.append(gather_plane(outputs, labels.shape, plane, grouping))
    return planes, consensus(planes, vote, grouping.min_size, grouping.min_extent)


def job_of(tmp_path, labels, grouping, slabs, batch_size=4, block=(CHUNK, CHUNK, CHUNK), vote=2):
    source = tmp_path / "in.ome.zarr"
    if not source.exists():
        write_labels(source, Volume(labels, (8.0, 8.0, 8.0), "nm"))
    return Job(
        source, tmp_path / "work", labels.shape, OPTIONS, grouping, batch_size, vote, slabs, block, ReadsLabels()
    )  # fmt: skip


def run(job):
    begin_work(job.work, identity_of(job), False)
    return segment(job, open_volume(job.source), Here(), 1, lambda what, count: None)


@pytest.fixture
def small_chunks(monkeypatch):
    for module in ("planewise.ome_zarr", "planewise.inference.out_of_core"):
        monkeypatch.setattr(f"{module}.CHUNK", 32)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("block", [(32, 32, 32), (32, 64, 96), (64, 32, 64)])
@pytest.mark.parametrize(("kernel", "thickness"), [(1, 4), (3, 4), (3, 12), (5, 16), (3, 200)])
def test_the_result_is_that_of_memory_voxel_for_voxel(tmp_path, labels, kernel, thickness, block):
    grouping = GroupingOptions(median_kernel=kernel, min_size=100, min_extent=3)
    planes, expected = in_memory(labels, grouping, 4)
    assert expected.max() >= 5
    job = job_of(tmp_path, labels, grouping, {"xy": thickness, "xz": 2 * thickness, "yz": thickness + 4}, 4, block)
    assert run(job) == expected.max()
    assert np.array_equal(open_volume(job.final_store()).read(), expected)
    for plane in planes:
        assert np.array_equal(open_volume(job.plane_store(plane.plane)).read(), plane.labels())
