from dataclasses import replace

import numpy as np
import pytest
import tifffile

from dicom import write_dicom
from planewise.data.case import Case
from planewise.data.classes import Target
from planewise.data.panoptic import IGNORED
from planewise.errors import PlanewiseError
from planewise.training.slice_folder import read_case, read_pair, read_slice_folder, shows_area, write_slice_folder
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.slices import PLANES
from planewise.volumes.volume import Volume


def make_case(folder, name, shape, instances=True, dtype=np.uint8):
    image = np.arange(np.prod(shape)).reshape(shape) % 251
    labels = np.zeros(shape, np.uint16)
    labels[1:3, 1:3, 1:3] = 300  # does not fit 8 bits
    labels[4:6, 4:6, 4:6] = 7 if instances else 300
    write_volume(folder / f"{name}_0000.tiff", Volume(image.astype(dtype)))
    write_labels(folder / f"{name}.tiff", Volume(labels))
    return Case(name, folder / f"{name}_0000.tiff", folder / f"{name}.tiff", instances)


def names(folder, *parts):
    return sorted(path.name for path in folder.joinpath(*parts).iterdir())


def test_the_published_layout_with_the_smallest_case_held_out(tmp_path):
    cases = [
        make_case(tmp_path, "a", (8, 9, 10)),
        make_case(tmp_path, "b", (7, 8, 9)),
        make_case(tmp_path, "c", (8, 9, 9)),
    ]
    notes = []
    write_slice_folder(cases, tmp_path / "2d", PLANES, notes.append)
    assert notes == ["a", "b", "c"]
    folder = tmp_path / "2d"
    (tmp_path / "beside").mkdir()
    assert folder.stat().st_mode == (tmp_path / "beside").stat().st_mode  # as the umask says
    assert names(folder) == ["train", "val"]
    assert names(folder, "train") == ["images", "masks"]
    assert names(folder, "val") == ["labels", "raw"]
    assert names(folder, "train", "images") == names(folder, "train", "masks")
    assert len(names(folder, "train", "images")) == 8 + 9 + 10 + 8 + 9 + 9
    assert {name[0] for name in names(folder, "val", "raw")} == {"b"}
    mask = tifffile.imread(folder / "train" / "masks" / "a_xy_00002.tiff")
    assert mask.dtype == np.int32
    assert mask.max() == 300
    pairs = read_slice_folder(folder, "train")
    assert {pair.source for pair in pairs} == {f"{case}_{plane}" for case in "ac" for plane in PLANES}
    image, labels = read_pair(next(pair for pair in pairs if pair.image.name == "a_yz_00004.tiff"))
    assert image.shape == labels.shape == (8, 9)
    assert np.allclose(image, (np.arange(720).reshape(8, 9, 10) % 251)[:, :, 4] / 255)


def test_a_single_case_keeps_a_slab_after_a_gap(tmp_path):
    labels = np.zeros((8, 9, 40), np.uint8)
    labels[3:5, 3:5, 1:39] = 1
    case = make_labelled(tmp_path, labels)
    write_slice_folder([case], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    train = names(tmp_path / "2d", "train", "images")
    assert len([name for name in train if "_yz_" in name]) == 30  # 40 less 8 to validate on and a gap of 2
    assert len([name for name in names(tmp_path / "2d", "val", "raw") if "_yz_" in name]) == 8
    assert tifffile.imread(tmp_path / "2d" / "train" / "images" / train[0]).shape == (9, 30)


def test_two_cases_keep_a_slab_of_each_and_three_a_whole_one(tmp_path, capsys):
    cases = [make_case(tmp_path, name, (8, 9, 40)) for name in "abc"]
    for count, validated in ((2, {"a", "b"}), (3, {"c"})):
        folder = tmp_path / str(count)
        write_slice_folder(cases[:count], folder, ("xy",), lambda name: None)
        assert {name[0] for name in names(folder, "val", "raw")} == validated
    printed = capsys.readouterr().err
    assert printed.count("y 0 to 1 of 9 is kept for validation") == 2


def test_a_case_that_cannot_spare_a_slab_is_trained_whole_beside_one_that_can(tmp_path):
    cases = [make_case(tmp_path, "a", (8, 9, 40)), make_labelled(tmp_path / "b", np.ones((2, 2, 2), np.uint8))]
    cases[1] = replace(cases[1], name="b")
    write_slice_folder(cases, tmp_path / "2d", ("xy",), lambda name: None)
    assert len([name for name in names(tmp_path / "2d", "train", "masks") if name.startswith("b")]) == 2
    assert {name[0] for name in names(tmp_path / "2d", "val", "raw")} == {"a"}
    with pytest.raises(PlanewiseError, match="b: no slab can be kept for validation"):
        write_slice_folder(cases[1:], tmp_path / "alone", ("xy",), lambda name: None)


def test_a_semantic_truth_is_split_into_components(tmp_path):
    _, labels, _ = read_case(make_case(tmp_path, "a", (8, 9, 10), instances=False), Target("body", (300,)))
    assert sorted(np.unique(labels)) == [0, 1, 2]


def test_labels_are_brought_to_where_the_image_s_array_lies(tmp_path):
    """Of one place, but stored in another order: trained as they are stored, they would be flipped."""
    case = make_case(tmp_path, "a", (8, 9, 10))
    image, labels = (open_volume(path).read() for path in (case.image, case.truth))
    flipped = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
    stored = replace(case, image=tmp_path / "a_0000.nii.gz", truth=tmp_path / "a.nii.gz")
    spacing = (2.0, 2.0, 2.0)
    write_volume(stored.image, Volume(image[:, ::-1, ::-1], spacing, "mm", (0.0, 16.0, 18.0), flipped))
    write_labels(stored.truth, Volume(labels, spacing, "mm"))
    assert np.array_equal(read_case(stored)[1], labels[:, ::-1, ::-1])
    write_labels(stored.truth, Volume(np.ascontiguousarray(labels[:, ::-1, ::-1]), unit="mm"))  # its header is lost
    with pytest.raises(PlanewiseError, match="--ignore_geometry"):
        read_case(stored)
    assert np.array_equal(read_case(replace(stored, ignore_geometry=True))[1], labels[:, ::-1, ::-1])


def test_slices_of_a_tilted_gantry_are_trained_as_they_are_and_it_is_said(tmp_path, capsys):
    voxels = np.random.default_rng(0).integers(0, 256, (4, 12, 14)).astype(np.int16)
    labels = (voxels > 128).astype(np.uint8) * np.arange(1, 5, dtype=np.uint8)[:, None, None]
    write_dicom(tmp_path / "a", voxels, spacing=(5, 2, 2), tilt=(-0.75, 0))
    write_labels(tmp_path / "a.nii.gz", Volume(labels, (5, 2, 2), "mm"))
    image, ids, _ = read_case(Case("a", tmp_path / "a", tmp_path / "a.nii.gz", True))
    assert image.shape == voxels.shape
    assert np.array_equal(ids, labels)
    assert "a: the gantry was tilted by 8.5 degrees: its slices are taken as they are" in capsys.readouterr().err


def test_real_numbers_are_scaled_alike_in_every_slice(tmp_path):
    case = make_case(tmp_path, "a", (8, 9, 10), dtype=np.float32)
    cases = [case, make_case(tmp_path, "b", (7, 8, 9)), make_case(tmp_path, "c", (8, 8, 9))]
    write_slice_folder(cases, tmp_path / "2d", ("xy",), lambda name: None)
    image, _ = read_pair(read_slice_folder(tmp_path / "2d", "train")[0])
    assert np.allclose(image, (np.arange(90) % 251).reshape(9, 10) / 255)


def test_one_stray_file_is_named_and_shifts_nothing(tmp_path):
    write_slice_folder([make_case(tmp_path, "a", (8, 9, 40))], tmp_path / "2d", ("xy",), lambda name: None)
    (tmp_path / "2d" / "train" / "images" / "a_xy_00003b.tiff").write_bytes(b"")
    with pytest.raises(PlanewiseError, match="a_xy_00003b"):
        read_slice_folder(tmp_path / "2d", "train")


def test_no_slices_are_refused(tmp_path):
    with pytest.raises(PlanewiseError, match="--output_data_path"):
        read_slice_folder(tmp_path / "nowhere", "train")


def test_a_case_that_cannot_be_read_is_left_out_and_told(tmp_path, capsys):
    cases = [make_case(tmp_path, name, (8, 9, 40)) for name in "abc"]
    path = cases[2].truth  # of the case that would have been held out
    path.write_bytes(path.read_bytes()[:-40])
    problems = write_slice_folder(cases, tmp_path / "2d", ("xy",), lambda name: None)
    assert [problem.where for problem in problems] == [str(cases[2].truth)]
    printed = capsys.readouterr().err.splitlines()
    assert len(printed) == len(set(printed))  # though the cases that are left were begun again
    for part in ("train", "val"):  # a slab of each: there are but two now
        assert {pair.source for pair in read_slice_folder(tmp_path / "2d", part)} == {"a_xy", "b_xy"}


def test_an_interrupted_conversion_leaves_nothing(tmp_path):
    case = make_case(tmp_path, "a", (8, 9, 40))

    def stop(name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_slice_folder([case], tmp_path / "out" / "2d", ("xy",), stop)
    assert list((tmp_path / "out").iterdir()) == []


def make_labelled(folder, labels, instances=None):
    """A case with a semantic truth in labelsTr, and with instancesTr beside if they are given."""
    image = (np.arange(labels.size) * 37 % 251).reshape(labels.shape).astype(np.uint8)  # no neighbours are equal
    write_volume(folder / "imagesTr" / "a_0000.tiff", Volume(image))
    write_volume(folder / "labelsTr" / "a.tiff", Volume(labels))
    if instances is not None:
        write_volume(folder / "instancesTr" / "a.tiff", Volume(instances))
    truth = folder / ("labelsTr" if instances is None else "instancesTr") / "a.tiff"
    return Case("a", folder / "imagesTr" / "a_0000.tiff", truth, instances is not None)


def test_only_the_class_is_trained_and_the_ignore_label_is_marked(tmp_path):
    case = make_labelled(tmp_path, np.array([[[1, 0, 1, 2, 3]]], np.uint8))
    assert read_case(case, Target("a", (1,), 3))[1].tolist() == [[[1, 0, 2, 0, -1]]]
    assert read_case(case, Target("both", (1, 2), 3))[1].tolist() == [[[1, 0, 2, 2, -1]]]
    assert read_case(case, Target("a", (1,)))[1].tolist() == [[[1, 0, 2, 0, 0]]]


def test_instances_are_ignored_where_the_labels_beside_them_are(tmp_path):
    labels, instances = np.array([[[1, 3, 3, 0]]], np.uint8), np.array([[[7, 7, 9, 3]]], np.uint16)
    case = make_labelled(tmp_path, labels, instances)
    assert read_case(case, Target("instances", (), 3))[1].tolist() == [[[7, -1, -1, 3]]]
    assert read_case(case)[1].tolist() == instances.tolist()


def test_ignored_pixels_come_back_from_the_slices(tmp_path):
    labels = np.zeros((40, 8, 9), np.uint8)
    labels[:, 2:4, 2:4], labels[:, 5:] = 1, 2
    case, target = make_labelled(tmp_path, labels), Target("a", (1,), 2)
    write_slice_folder([case], tmp_path / "2d", ("xy",), lambda name: None, target)
    for part in ("train", "val"):
        ids = read_pair(read_slice_folder(tmp_path / "2d", part)[0])[1]
        assert ids.dtype == np.int32
        assert (ids[5:] == IGNORED).all()
        assert ids[:5].min() == 0
        assert ids[2, 2] > 0


@pytest.mark.parametrize("largest", [2**31 - 1, 2**31, 3_000_000_000, 2**32 + 7], ids=str)
def test_ids_that_do_not_fit_are_numbered_anew_and_none_are_merged(tmp_path, largest):
    ids = np.array([[[0, 7, largest, 7, 12]]], np.uint64)
    tifffile.imwrite(tmp_path / "ids.tiff", ids, photometric="minisblack")
    case = make_labelled(tmp_path, np.zeros((1, 1, 5), np.uint8))
    result = read_case(replace(case, truth=tmp_path / "ids.tiff", instances=True))[1]
    assert result.dtype == np.int32
    assert result[0, 0, 0] == 0
    assert (result[0, 0, 1:] > 0).all()
    assert [result[0, 0, 1] == other for other in result[0, 0, 2:]] == [False, True, False]


def test_negative_ids_are_refused_by_name(tmp_path):
    case = make_labelled(tmp_path, np.zeros((1, 1, 2), np.uint8), np.array([[[-1, 4]]], np.int32))
    with pytest.raises(PlanewiseError, match=r"instancesTr/a\.tiff: holds negative values"):
        read_case(case)


@pytest.mark.parametrize("ids", [np.array([[-2, 1]], np.int16), np.array([[0.5, 1]], np.float32)], ids=str)
def test_slices_of_others_with_such_labels_are_refused_too(tmp_path, ids):
    write_slice_folder([make_case(tmp_path, "a", (8, 9, 40))], tmp_path / "2d", ("xy",), lambda name: None)
    pair = read_slice_folder(tmp_path / "2d", "train")[0]
    tifffile.imwrite(pair.image, np.zeros((1, 2), np.uint8), photometric="minisblack")
    tifffile.imwrite(pair.labels, ids, photometric="minisblack")
    with pytest.raises(PlanewiseError, match=pair.labels.name):
        read_pair(pair)


def test_cases_without_an_object_are_left_out_and_without_any_there_is_no_training(tmp_path):
    empty = make_labelled(tmp_path / "b", np.full((8, 9, 40), 255, np.uint8))
    problems = write_slice_folder(
        [make_case(tmp_path, "c", (8, 9, 40)), empty], tmp_path / "2d", ("xy",), lambda name: None
    )
    assert "holds no voxel of class 1 (1) to learn from; its values are 255" in problems[0].what
    with pytest.raises(PlanewiseError, match=r"labelsTr/a\.tiff: cannot be trained on: holds no voxel of mito \(3\)"):
        write_slice_folder([empty], tmp_path / "2d", ("xy",), lambda name: None, Target("mito", (3,)))


def make_painted(folder, *painted):
    """A case with one object, of which these parts are known."""
    labels = np.zeros((24, 32, 60), np.uint8)
    labels[2:22, 4:28, 1:59] = 1
    known = np.zeros(labels.shape, bool)
    for part in painted:
        known[part] = True
    image = np.arange(labels.size).reshape(labels.shape) % 251
    write_volume(folder / "a_0000.tiff", Volume(image.astype(np.uint8)))
    write_labels(folder / "a.tiff", Volume(np.where(known, labels, 2).astype(np.uint8)))
    return Case("a", folder / "a_0000.tiff", folder / "a.tiff", instances=False)


@pytest.mark.parametrize(
    ("shape", "known", "shown"),
    [
        ((20, 20), np.s_[:], True),
        ((20, 20), np.s_[3, :], False),
        ((20, 20), np.s_[:, 3:6], False),
        ((20, 20), np.s_[8:16, 0:8], True),
        ((20, 20), np.s_[8:16, 0:7], False),
        ((5, 20), np.s_[:, 8:16], True),
        ((5, 20), np.s_[1:, 8:16], False),
        ((20, 20), np.s_[0:0], False),
    ],
)
def test_lines_are_no_area(shape, known, shown):
    labels = np.full(shape, IGNORED)
    labels[known] = 0
    assert shows_area(labels) == shown


def test_of_painted_slices_the_other_planes_are_not_trained_on(tmp_path):
    case = make_painted(tmp_path, np.s_[4], np.s_[9])
    write_slice_folder([case], tmp_path / "2d", PLANES, lambda name: None, Target("mito", (1,), 2))
    assert names(tmp_path / "2d", "train", "images") == ["a_xy_00004.tiff", "a_xy_00009.tiff"]
    assert names(tmp_path / "2d", "val", "raw") == [f"a_xy_{index:05d}.tiff" for index in range(24)]  # whole
    image, ids = read_pair(read_slice_folder(tmp_path / "2d", "train")[0])
    assert image.shape == (32, 45)
    assert (ids >= 0).all()


def test_where_nothing_but_lines_is_painted_they_are_trained_on(tmp_path):
    case = make_painted(tmp_path, np.s_[4, 10, :])
    write_slice_folder([case], tmp_path / "2d", PLANES, lambda name: None, Target("mito", (1,), 2))
    of_planes = [name[2:4] for name in names(tmp_path / "2d", "train", "images")]
    assert {plane: of_planes.count(plane) for plane in PLANES} == {"xy": 1, "xz": 1, "yz": 45}
