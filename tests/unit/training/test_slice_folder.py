import numpy as np
import pytest
import tifffile

from planewise.data.case import Case
from planewise.data.classes import Target
from planewise.errors import PlanewiseError
from planewise.training.slice_folder import read_case, read_pair, read_slice_folder, split_slab, write_slice_folder
from planewise.volumes.files import write_volume
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
    told = []
    write_slice_folder(cases, tmp_path / "2d", PLANES, told.append)
    assert told == ["a", "b", "c"]
    folder = tmp_path / "2d"
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
    case = make_case(tmp_path, "a", (8, 9, 40))
    write_slice_folder([case], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    train = names(tmp_path / "2d", "train", "images")
    assert len([name for name in train if "_yz_" in name]) == 30  # 40 less 8 to validate on and a gap of 2
    assert len([name for name in names(tmp_path / "2d", "val", "raw") if "_yz_" in name]) == 8
    assert tifffile.imread(tmp_path / "2d" / "train" / "images" / train[0]).shape == (9, 30)


def test_slabs_do_not_touch():
    for length in range(3, 60):
        training, validation = split_slab((2, length, 3), "a")
        assert training[1].stop < validation[1].start
        assert validation[1].stop == length
    with pytest.raises(PlanewiseError, match="too small"):
        split_slab((2, 2, 2), "a")


def test_a_semantic_truth_is_split_into_components(tmp_path):
    _, labels = read_case(make_case(tmp_path, "a", (8, 9, 10), instances=False), Target("body", (300,)))
    assert sorted(np.unique(labels)) == [0, 1, 2]


def test_real_numbers_are_scaled_alike_in_every_slice(tmp_path):
    case = make_case(tmp_path, "a", (8, 9, 10), dtype=np.float32)
    write_slice_folder([case, make_case(tmp_path, "b", (7, 8, 9))], tmp_path / "2d", ("xy",), lambda name: None)
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


def test_a_folder_with_other_things_in_it_is_not_replaced(tmp_path):
    case = make_case(tmp_path, "a", (8, 9, 40))
    with pytest.raises(PlanewiseError, match=r"a\.tiff"):
        write_slice_folder([case], tmp_path, ("xy",), lambda name: None)
    for _ in range(2):  # but slices of an earlier conversion are
        write_slice_folder([case], tmp_path / "2d", ("xy",), lambda name: None)


def test_a_case_that_cannot_be_read_is_left_out_and_told(tmp_path):
    cases = [make_case(tmp_path, name, (8, 9, 40)) for name in "abc"]
    path = cases[2].truth  # of the case that would have been held out
    path.write_bytes(path.read_bytes()[:-40])
    problems = write_slice_folder(cases, tmp_path / "2d", ("xy",), lambda name: None)
    assert [problem.where for problem in problems] == [str(cases[2].image)]
    assert {pair.source for pair in read_slice_folder(tmp_path / "2d", "train")} == {"a_xy"}
    assert {pair.source for pair in read_slice_folder(tmp_path / "2d", "val")} == {"b_xy"}


def test_an_interrupted_conversion_leaves_nothing(tmp_path):
    case = make_case(tmp_path, "a", (8, 9, 40))

    def stop(name):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_slice_folder([case], tmp_path / "out" / "2d", ("xy",), stop)
    assert list((tmp_path / "out").iterdir()) == []
