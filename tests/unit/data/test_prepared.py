import numpy as np
import pytest

from dicom import write_dicom
from planewise.data.prepared import (
    IGNORED,
    Patient,
    choose_slices,
    is_object,
    load_patient,
    nearest_grid,
    read_patient,
    remove_small,
    save_patient,
    save_slices,
    slices_above,
)
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

LPS, RAS = np.eye(3), np.diag([1.0, -1.0, -1.0])


def rows(direction):
    return tuple(tuple(row) for row in direction.tolist())


def write_case(folder, direction, shape=(6, 40, 50)):
    """A CT whose intensities say where they are in the patient, stored as ``direction`` says."""
    z, y, x = np.indices(shape)
    hu = (-1000 + 100 * z + 3 * y + x).astype(np.int16)
    labels = np.zeros(shape, np.uint8)
    labels[1:4, 10:30, 20:40] = 1
    labels[2:5, 5:8, 5:8] = 2  # 9 pixels a slice
    flip = slice(None, None, -1) if direction is RAS else slice(None)
    write_volume(folder / "c_0000.nii.gz", Volume(hu[:, flip, flip], (5, 2, 2), "mm", direction=rows(direction)))
    write_labels(folder / "c.nii.gz", Volume(labels[:, flip, flip], (5, 2, 2), "mm", direction=rows(direction)))
    return hu, labels


def read(folder, ignore=None):
    return read_patient("c", folder / "c_0000.nii.gz", folder / "c.nii.gz", -600, 1500, ignore)


@pytest.mark.parametrize("direction", [LPS, RAS], ids=["LPS", "RAS"])
def test_both_orientations_give_one_patient_and_go_back(tmp_path, direction):
    hu, labels = write_case(tmp_path, direction)
    patient, result = read(tmp_path)
    assert np.array_equal(result, hu)
    assert np.array_equal(patient.labels, labels)
    assert patient.spacing_mm == pytest.approx((5, 2, 2))
    restored = patient.restore(patient.labels)
    assert np.array_equal(restored.read(), labels if direction is LPS else labels[:, ::-1, ::-1])
    assert np.allclose(restored.direction, direction)


def test_labels_without_their_header_are_refused_or_taken_as_they_lie(tmp_path):
    _, labels = write_case(tmp_path, RAS)
    write_labels(tmp_path / "c.nii.gz", Volume(np.ascontiguousarray(labels[:, ::-1, ::-1]), unit="mm"))
    with pytest.raises(PlanewiseError, match=r"c\.nii\.gz: does not lie in the space of .*--ignore_geometry"):
        read(tmp_path)
    image, truth = tmp_path / "c_0000.nii.gz", tmp_path / "c.nii.gz"
    patient, _ = read_patient("c", image, truth, -600, 1500, ignore_geometry=True)
    assert np.array_equal(patient.labels, labels)


def test_a_patient_in_another_unit_is_in_millimetres(tmp_path):
    write_volume(tmp_path / "c.ome.zarr", Volume(np.zeros((2, 8, 8), np.int16), (5000.0, 2000.0, 2000.0), "um"))
    patient, _ = read_patient("c", tmp_path / "c.ome.zarr", None, -600, 1500)
    save_patient(tmp_path / "c.npz", patient)
    for result in (patient, load_patient(tmp_path / "c.npz")):
        assert result.spacing_mm == pytest.approx((5, 2, 2))


def test_an_npz_survives_and_restores_kept_slices_only(tmp_path):
    _, labels = write_case(tmp_path, RAS)
    patient, _ = read(tmp_path)
    kept = choose_slices(patient, "labelled", 0, np.random.default_rng(0))
    assert kept.kept.tolist() == [1, 2, 3, 4]
    save_patient(tmp_path / "c.npz", kept)
    with np.load(tmp_path / "c.npz") as content:
        assert content["imgs"].dtype == np.uint8
        assert content["imgs"].shape == content["gts"].shape == (4, 40, 50)
        assert content["spacing"].tolist() == [2, 2, 5]
    again = load_patient(tmp_path / "c.npz")
    assert np.array_equal(again.restore(again.labels).read(), labels[:, ::-1, ::-1])


def test_a_published_npz_is_read(tmp_path):
    images = np.zeros((3, 8, 9), np.uint8)
    np.savez(tmp_path / "old.npz", imgs=images, gts=images, spacing=np.array([1.0, 2.0, 5.0]))
    patient = load_patient(tmp_path / "old.npz")
    assert patient.spacing_mm == (5, 2, 1)
    assert patient.restore(images).shape == (3, 8, 9)


@pytest.mark.parametrize("content", [b"", b"PK\3\4torn"])
def test_a_damaged_npz_is_named(tmp_path, content):
    (tmp_path / "c.npz").write_bytes(content)
    with pytest.raises(PlanewiseError, match=r"c\.npz"):
        load_patient(tmp_path / "c.npz")


def test_small_components_are_removed_in_3d_and_in_slices(tmp_path):
    _, labels = write_case(tmp_path, LPS)
    assert set(np.unique(remove_small(labels, 28, 0))) == {0, 1}  # class 2 has 27 voxels
    assert set(np.unique(remove_small(labels, 27, 0))) == {0, 1, 2}
    assert set(np.unique(remove_small(labels, 0, 10))) == {0, 1}
    corner = np.zeros((1, 4, 4), np.uint8)
    corner[0, [0, 1], [0, 1]] = 1  # 8-connected: 2 pixels
    assert remove_small(corner, 0, 2).any()
    assert not remove_small(corner, 0, 3).any()


@pytest.mark.parametrize(("choice", "count"), [("labelled", 4), ("all", 6), ("both", 5)])
def test_choice_of_slices(tmp_path, choice, count):
    write_case(tmp_path, LPS)
    kept = choose_slices(read(tmp_path)[0], choice, 0.2, np.random.default_rng(0))
    assert len(kept.images) == count


def test_slices_are_written_in_the_published_layout(tmp_path):
    write_case(tmp_path, LPS)
    patient, _ = read(tmp_path)
    assert save_slices(tmp_path / "npy", patient) == 6
    image = np.load(tmp_path / "npy" / "imgs" / "c-002.npy")
    labels = np.load(tmp_path / "npy" / "gts" / "c-002.npy")
    assert image.shape == (40, 50, 3)
    assert image.dtype == np.uint8
    assert labels.shape == (256, 256)
    assert labels[128, 153] == patient.labels[2, 20, 30] == 1
    assert np.array_equal(nearest_grid(np.arange(12).reshape(3, 4), 12)[::4, ::3], np.arange(12).reshape(3, 4))


def test_labels_of_a_tilted_gantry_go_back_to_its_slices(tmp_path):
    z, y, _ = np.indices((6, 40, 50))
    labels = ((y // 8) % 3).astype(np.uint8)
    tilt = (-0.75, 0.0)
    write_dicom(tmp_path / "c", (100 * z + y).astype(np.int16), spacing=(5, 2, 2), tilt=tilt)
    stack = Volume(labels, (5, 2, 2), "mm")
    write_labels(tmp_path / "c.nii.gz", stack)
    patient, hu = read_patient("c", tmp_path / "c", tmp_path / "c.nii.gz", -600, 1500)
    assert hu.shape == patient.images.shape == patient.labels.shape == (6, 42, 50)  # 5 steps of 0.375 pixels
    save_patient(tmp_path / "c.npz", patient)
    back = load_patient(tmp_path / "c.npz")
    assert back.geometry.tilt == tilt
    restored = back.restore(back.labels)
    assert np.array_equal(restored.read(), labels)


def test_labels_of_a_tilted_gantry_may_be_stored_turned_but_not_elsewhere(tmp_path):
    labels = np.random.default_rng(0).integers(0, 3, (6, 40, 50)).astype(np.uint8)
    write_dicom(tmp_path / "c", np.zeros((6, 40, 50), np.int16), spacing=(5, 2, 2), tilt=(-0.75, 0.0))
    backwards = rows(np.diag([1, -1, 1]))
    for name, origin in (("turned", (0.0, 78.0, 0.0)), ("elsewhere", (0.0, 0.0, 0.0))):
        write_labels(tmp_path / f"{name}.nii.gz", Volume(labels[:, ::-1], (5, 2, 2), "mm", origin, backwards))
    patient, _ = read_patient("c", tmp_path / "c", tmp_path / "turned.nii.gz", -600, 1500)
    assert np.array_equal(patient.restore(patient.labels).read(), labels)
    with pytest.raises(PlanewiseError, match=r"elsewhere\.nii\.gz: does not lie in the space of .*origin"):
        read_patient("c", tmp_path / "c", tmp_path / "elsewhere.nii.gz", -600, 1500)
    write_labels(tmp_path / "as_stored.nii.gz", Volume(labels, (5, 2, 2), "mm", direction=backwards))
    patient, _ = read_patient("c", tmp_path / "c", tmp_path / "as_stored.nii.gz", -600, 1500, ignore_geometry=True)
    assert np.array_equal(patient.restore(patient.labels).read(), labels)


def test_the_ignore_label_is_kept_as_255_and_is_neither_an_object_nor_small(tmp_path):
    write_case(tmp_path, LPS)
    labels = read(tmp_path, ignore=2)[0].labels
    assert set(np.unique(labels)) == {0, 1, IGNORED}
    assert (labels == IGNORED).sum() == 27
    assert (remove_small(labels, 28, 10) == IGNORED).sum() == 27
    assert not is_object(labels)[labels != 1].any()
    assert is_object(labels)[labels == 1].all()


def test_a_slice_with_ignored_voxels_alone_is_not_labelled(tmp_path):
    write_case(tmp_path, LPS)
    patient = read(tmp_path, ignore=2)[0]  # slice 4 holds class 2 alone
    kept = choose_slices(patient, "labelled", 0, np.random.default_rng(0))
    assert kept.kept.tolist() == [1, 2, 3]


@pytest.mark.parametrize(("value", "ignore"), [(255, None), (300, None), (256, 255)])
def test_classes_that_do_not_fit_are_refused_by_name(tmp_path, value, ignore):
    write_case(tmp_path, LPS)
    labels = np.zeros((6, 40, 50), np.uint16)
    labels[2, 3, 4] = value
    write_labels(tmp_path / "c.nii.gz", Volume(labels, (5, 2, 2), "mm"))
    with pytest.raises(PlanewiseError, match=rf"c\.nii\.gz: holds {value}; classes are numbers from 1 to 254"):
        read(tmp_path, ignore)
    if ignore is None:
        assert (read(tmp_path, ignore=value)[0].labels == IGNORED).sum() == 1


def test_slices_lie_above_each_other_where_none_is_missing(tmp_path):
    """By what the patient's file says; the files' numbers count the slices that were kept."""
    geometry = Volume(np.zeros((20, 8, 8), np.uint8), (5.0, 1.0, 1.0), "mm")
    for case, kept in (("a-1", [3, 4, 6, 7]), ("b", [8])):
        voxels = np.ones((len(kept), 8, 8), np.uint8)
        patient = Patient(case, voxels, voxels, np.array(kept), geometry)
        save_patient(tmp_path / f"{case}.npz", patient)
        save_slices(tmp_path, patient)
    slices = sorted((tmp_path / "imgs").glob("*.npy"))
    above = slices_above(slices, tmp_path)
    assert {lower.stem: upper.stem for lower, upper in above.items()} == {"a-1-000": "a-1-001", "a-1-002": "a-1-003"}
    assert slices_above([slices[0], slices[2]], tmp_path) == {}
    np.savez(tmp_path / "b.npz", imgs=voxels, gts=voxels)  # as the original scripts write it
    assert slices_above(slices, tmp_path) == above
    for wrong, words in ((tmp_path / "b-001.npy", "has 1 slice, and"), (tmp_path / "c-000.npy", "c.npz: no such")):
        with pytest.raises(PlanewiseError, match=words):
            slices_above([*slices, wrong], tmp_path)
    (tmp_path / "b.npz").write_bytes(b"no archive")
    with pytest.raises(PlanewiseError, match=r"b\.npz: is not a prepared patient"):
        slices_above(slices, tmp_path)


def test_a_ct_with_voxels_that_are_no_numbers_is_refused_naming_their_place(tmp_path):
    hu = np.full((6, 8, 8), -800, np.float32)
    hu[2, 3:5, 1], hu[4, 0, 0] = np.nan, np.inf
    for name in ("a.nii.gz", "a.mha"):
        write_volume(tmp_path / name, Volume(hu, (5.0, 1.0, 1.0), "mm"))
        with pytest.raises(PlanewiseError, match=f"{name}: 3 voxels between z = 2 and 4 are NaN or infinite"):
            read_patient("a", tmp_path / name, None, -600, 1500)
