import functools
from dataclasses import replace

import numpy as np
import pytest

from perfect_network import ReadsClasses, ReadsLabels
from planewise.data.intensity import IntensityRange
from planewise.data.panoptic import DIVISOR
from planewise.data.phantom import em_phantom, organelle_phantom
from planewise.errors import PlanewiseError
from planewise.inference.class_grouping import fuse_classes
from planewise.inference.consensus import consensus
from planewise.inference.executor import ThisProcess
from planewise.inference.gathering import GroupingOptions, SliceParts, gather_classes, median_filter
from planewise.inference.out_of_core import segment as segment_module
from planewise.inference.out_of_core.job import Job, begin_work, identity_of, plan_block, plan_slabs
from planewise.inference.out_of_core.segment import counts_of, segment, sizes_of, votes_of
from planewise.inference.out_of_core.slabs import filter_slab
from planewise.inference.out_of_core.tasks import read_slab
from planewise.inference.panoptic_result import AllThings, ClassMap
from planewise.inference.planes import SliceOptions, plane_outputs
from planewise.volumes.files import open_volume
from planewise.volumes.formats.ome_zarr import CHUNK
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SHAPE = (70, 83, 97)  # no slab divides it
OPTIONS = SliceOptions(IntensityRange(0.0, 1.0), 0.0, 1.0, 1)


@pytest.fixture(scope="module")
def labels():
    return em_phantom(SHAPE, 12, 3)[1].astype(np.uint16)


@pytest.fixture(scope="module")
def in_memory(labels):
    """What the labels are segmented into in memory, planes and consensus: each once, however often it is asked for."""

    @functools.cache
    def plane_objects(plane, grouping):
        outputs = plane_outputs(ReadsLabels(), labels, plane, OPTIONS, 4, lambda count: None)
        return gather_classes(outputs, labels.shape, plane, grouping)[0]

    def segmented(grouping, axes=("xy", "xz", "yz"), vote=2):
        planes = [plane_objects(plane, grouping) for plane in axes]
        return planes, consensus(planes, grouping.fusion(vote))[...]

    return segmented


def job_of(tmp_path, labels, grouping, slabs, batch_size=4, block=(CHUNK, CHUNK, CHUNK), vote=2):
    source = tmp_path / "in.ome.zarr"
    if not source.exists():
        write_labels(source, Volume(labels, (8.0, 8.0, 8.0), "nm"))
    return Job(source, tmp_path / "work", labels.shape, OPTIONS, grouping, batch_size, vote, slabs, block)


def run(job):
    begin_work(job.work, identity_of(job))
    return segment(job, open_volume(job.source), ThisProcess(lambda device: ReadsLabels()), lambda what, count: None)


@pytest.fixture
def small_chunks(monkeypatch):
    for module in ("volumes.formats.ome_zarr", "inference.out_of_core.job"):
        monkeypatch.setattr(f"planewise.{module}.CHUNK", 32)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize(
    ("kernel", "thickness", "block"),  # planes are made in slabs before they are fused in blocks: no need of all pairs
    [
        (1, 4, (32, 32, 32)),
        (3, 4, (64, 32, 64)),
        (3, 12, (32, 64, 96)),
        (5, 16, (32, 64, 96)),
        (3, 200, (64, 32, 64)),
    ],
)
def test_the_result_is_that_of_memory_voxel_for_voxel(tmp_path, labels, in_memory, kernel, thickness, block):
    grouping = GroupingOptions(median_kernel=kernel, min_size=100, min_extent=3)
    planes, expected = in_memory(grouping)
    assert expected.max() >= 5
    job = job_of(tmp_path, labels, grouping, {"xy": thickness, "xz": 2 * thickness, "yz": thickness + 4}, 4, block)
    assert run(job) == expected.max()
    assert np.array_equal(open_volume(job.final_store()).read(), expected)
    for plane in planes:
        assert np.array_equal(open_volume(job.plane_store(plane.plane)).read(), plane[...])


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("cores", [1, 5])
def test_any_number_of_cores_gives_the_same(tmp_path, labels, in_memory, monkeypatch, cores):
    for module in ("executor", "painted", "out_of_core.tasks"):
        monkeypatch.setattr(f"planewise.inference.{module}.machine_cores", lambda: cores)
    monkeypatch.setattr("planewise.inference.painted.LEAST_PIXELS", 1)
    grouping = GroupingOptions(min_size=100, min_extent=3)
    planes, expected = in_memory(grouping)
    job = job_of(tmp_path, labels, grouping, dict.fromkeys(("xy", "xz", "yz"), 12), 4, (32, 64, 32))
    assert run(job) == expected.max()
    assert np.array_equal(open_volume(job.final_store()).read(), expected)
    for plane in planes:
        assert np.array_equal(open_volume(job.plane_store(plane.plane)).read(), plane[...])


@pytest.mark.usefixtures("small_chunks")
def test_each_slab_is_read_once(tmp_path, labels, monkeypatch):
    reads = []
    read = segment_module.read_slab
    monkeypatch.setattr(segment_module, "read_slab", lambda *given: reads.append(given[1:]) or read(*given))
    job = job_of(tmp_path, labels, GroupingOptions(min_size=100, min_extent=3), {"xy": 20}, 4, vote=1)
    run(job)
    assert sorted(reads) == sorted((plane, start) for plane in job.axes for start in job.starts(plane))


def test_a_worker_does_not_say_again_what_opening_the_volume_said(tmp_path, labels, capsys):
    job = job_of(tmp_path, labels, GroupingOptions(), {"xy": 20})
    source = tmp_path / "in.tiff"
    write_labels(source, Volume(labels))
    (tmp_path / "in.json").write_text('{"spacing": [8, 8, 8]}')
    read_slab(replace(job, source=source), "xy", 0)
    assert capsys.readouterr().err == ""
    open_volume(source)
    assert "state no unit" in capsys.readouterr().err


@pytest.mark.parametrize(("axes", "vote"), [(("xz",), 1), (("xy", "yz"), 1)])
@pytest.mark.usefixtures("small_chunks")
def test_fewer_planes(tmp_path, labels, in_memory, axes, vote):
    grouping = GroupingOptions(min_size=100, min_extent=3)
    _, expected = in_memory(grouping, axes, vote)
    job = job_of(tmp_path, labels, grouping, dict.fromkeys(axes, 16), vote=vote, block=(32, 32, 32))
    assert run(job) == expected.max()
    assert np.array_equal(open_volume(job.final_store()).read(), expected)


def test_nothing_to_find(tmp_path):
    labels = np.zeros((20, 24, 28), np.uint8)
    labels[0, 0, 0] = 1
    job = job_of(tmp_path, labels, GroupingOptions(), dict.fromkeys(("xy", "xz", "yz"), 8))
    assert run(job) == 0
    assert not open_volume(job.final_store()).read().any()


def test_slabs_are_a_chunk_thick_where_they_fit_and_whole_batches():
    shape = (1000, 2000, 3000)
    assert plan_slabs(shape, 128, 0, 4, 10**11, 1) == 128
    assert plan_slabs(shape, 100, 0, 8, 10**11, 1) == 200
    assert plan_slabs(shape, 128, 0, 4, 60 * 4 * 6_000_000, 1) == 60
    assert plan_slabs(shape, 128, 1, 4, 10**9, 1) == 80
    assert plan_slabs(shape, 2, 0, 1, 10**11, 3) == 3  # the median needs as many of a neighbour
    with pytest.raises(PlanewiseError, match=r"--memory: 4 slices of 6000000 pixels need 0\.096 GB"):
        plan_slabs(shape, 128, 0, 4, 50_000_000, 1)


def test_blocks_are_chunks_and_fit():
    assert plan_block((1000, 2000, 3000), 10**10) == (128, 512, 512)
    assert plan_block((1000, 2000, 3000), 300_000_000) == (128, 256, 256)
    assert plan_block((1000, 200, 3000), 10**10) == (128, 128, 512)
    assert plan_block((1000, 2000, 3000), 1) == (128, 128, 128)


@pytest.mark.parametrize("kernel", [1, 3, 5, 7])
@pytest.mark.parametrize("count", [1, 2, 4, 6, 11])
def test_filtering_slab_by_slab_is_filtering_the_stack(kernel, count):
    bits = np.random.default_rng(count).integers(0, 256, (count, 3, 2)).astype(np.uint8)
    expected = [parts.foreground for parts in median_filter([SliceParts(b, 16, None, None) for b in bits], kernel)]
    half, thickness, handed_on = kernel // 2, max(2, kernel // 2), []
    for start in range(0, count, thickness):
        before = np.array(handed_on[-half:] if half else []).reshape(-1, 3, 2).astype(np.uint8)
        stop = min(start + thickness, count)
        handed_on += list(filter_slab(bits[start:stop], start, count, before, bits[stop : stop + half], kernel))
    assert np.array_equal(handed_on, expected)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("axes", [("xy", "xz", "yz"), ("xz",)])
def test_several_classes_are_those_of_memory_voxel_for_voxel(tmp_path, axes):
    _, classes, ids = organelle_phantom((48, 60, 72), 8, 1)
    values = (classes.astype(np.int32) * DIVISOR + np.where(classes < 3, ids, 0)).astype(np.uint32)
    kinds, network = (True, True, False), ReadsClasses((1, 2), 3)
    grouping = GroupingOptions(min_size=100, min_extent=3, min_agreement=0.2, things=kinds)
    outputs = [plane_outputs(network, values, plane, OPTIONS, 4, lambda count: None) for plane in axes]
    planes = [gather_classes(of, values.shape, plane, grouping) for of, plane in zip(outputs, axes)]
    fused = fuse_classes(planes, 2, grouping)
    write_labels(tmp_path / "in.ome.zarr", Volume(values, (8.0, 8.0, 8.0), "nm"))
    slabs = dict(zip(axes, (8, 16, 24)))
    job = Job(
        tmp_path / "in.ome.zarr", tmp_path / "work", values.shape, OPTIONS, grouping, 4, 2, slabs, (32, 32, 64),
        class_names=("mito", "nucleus", "er"),
    )  # fmt: skip
    begin_work(job.work, identity_of(job))
    passes = []
    count = segment(
        job, open_volume(job.source), ThisProcess(lambda device: network), lambda what, n: passes.append(what)
    )
    things = AllThings(fused, kinds)
    assert count == things.count == sum(counts_of(job)) >= 4
    assert counts_of(job) == [fused[0].count, fused[1].count, 0]
    assert np.array_equal(open_volume(job.final_store()).read(), things[...])
    handed_on = open_volume(job.class_store())
    assert np.array_equal(handed_on.read(), ClassMap(fused)[...])
    assert handed_on.labels.names == {1: "mito", 2: "nucleus", 3: "er"}
    for plane, of_plane in zip(axes, planes):
        assert np.array_equal(open_volume(job.plane_store(plane)).read(), AllThings(of_plane, kinds)[...])
    if len(axes) > 1:
        expected = np.concatenate([fused[0].votes.by_all, fused[1].votes.by_all])
        assert np.array_equal(votes_of(job).by_all, expected)
    else:
        assert sizes_of(job, "xz").tolist() == np.bincount(things[...].ravel())[1:].tolist()
    planes_of_blocks = passes.count("classes")
    assert passes.count("labels") == 3 * planes_of_blocks
