import numpy as np
import pytest
import tifffile
from scipy import ndimage

from dicom import write_dicom
from planewise.data.leaks import Leak, shared_voxels, warn_of_leaks
from planewise.data.phantom import write_chest_dataset, write_phantom_dataset
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume


@pytest.fixture
def write(tmp_path):
    def write(**volumes):
        for name, voxels in volumes.items():
            write_volume(tmp_path / f"{name}.nrrd", Volume(voxels))
        return {name: tmp_path / f"{name}.nrrd" for name in volumes}

    return write


def noise(seed, shape=(20, 60, 80), dtype=np.uint8):
    return np.random.default_rng(seed).normal(120, 25, shape).clip(0, 255).astype(dtype)


def body(seed, shape=(24, 96, 96)):
    """A CT: noise in a cylinder of 1/4 of the area, air around it."""
    y, x = np.mgrid[: shape[1], : shape[2]]
    inside = np.hypot(y - 48, x - 48) < 27
    return np.where(inside, np.random.default_rng(seed).normal(40, 20, shape), -1024).astype(np.int16)


def test_slices_of_a_tilted_gantry_are_looked_for_as_they_are(write, tmp_path):
    volume = noise(0).astype(np.int16)
    write_dicom(tmp_path / "tilted", volume, tilt=(-1.1, 0))
    (leak,) = shared_voxels({"a": tmp_path / "tilted"}, write(copy=volume, other=noise(2)))
    assert leak == Leak("a", "copy", volume.size, 1.0, (0, 0, 0))


@pytest.mark.parametrize("offset", [(0, 0, 0), (3, 7, 11), (1, 13, 17)])
def test_a_crop_at_any_offset_is_found(write, offset):
    volume = noise(0)
    crop = volume[tuple(slice(start, start + side) for start, side in zip(offset, (9, 31, 45)))]
    (leak,) = shared_voxels(write(a=volume, b=noise(1)), write(crop=crop, other=noise(2)))
    assert leak == Leak("a", "crop", 9 * 31 * 45, 1.0, offset)


def test_volumes_that_overlap_in_part(write):
    whole = noise(0, (30, 70, 110))
    train, test = whole[:20, :60, :80], whole[10:, 15:, 40:]  # test: 20 x 55 x 70, of which 10 x 45 x 40 is in train
    (leak,) = shared_voxels(write(train=train), write(test=test))
    assert leak.offset == (10, 15, 40)
    assert leak.voxels == 10 * 45 * 40
    assert leak.share == pytest.approx(10 * 45 * 40 / (20 * 55 * 70))


def test_a_block_that_was_pasted_into_another_volume(write):
    train, test = noise(0), noise(1)
    test[5:15, 20:50, 30:70] = train[2:12, 3:33, 40:80]
    (leak,) = shared_voxels(write(train=train), write(test=test))
    assert leak.offset == (-3, -17, 10)
    assert leak.voxels == pytest.approx(10 * 30 * 40, rel=0.01)  # a neighbour may be the same by chance


def test_two_blocks_of_one_volume_are_two_leaks(write):
    train, test = noise(0), noise(1)
    test[:6, :, :40], test[6:, :, 40:] = train[10:16, :, :40], train[:14, :, 35:75]
    leaks = shared_voxels(write(train=train), write(test=test))
    assert {leak.offset for leak in leaks} == {(10, 0, 0), (-6, 0, -5)}


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32, np.float64])
def test_the_same_values_in_another_type(write, dtype):
    (leak,) = shared_voxels(write(train=noise(0)), write(test=noise(0)[2:, 5:, 9:].astype(dtype)))
    assert (leak.share, leak.offset) == (1, (2, 5, 9))


def test_the_same_patient_stored_in_another_orientation(tmp_path, capsys):
    volume = noise(0, dtype=np.int16)
    flipped = Volume(volume[:, ::-1, ::-1], direction=((1, 0, 0), (0, -1, 0), (0, 0, -1)))
    write_volume(tmp_path / "a.nii.gz", Volume(volume))
    write_volume(tmp_path / "b.nii.gz", flipped)
    (leak,) = shared_voxels({"a": tmp_path / "a.nii.gz"}, {"b": tmp_path / "b.nii.gz"})
    assert (leak.share, leak.offset) == (1, (0, 0, 0))
    (tmp_path / "cut.nii.gz").write_bytes((tmp_path / "b.nii.gz").read_bytes()[:-5000])
    assert shared_voxels({"a": tmp_path / "a.nii.gz"}, {"cut": tmp_path / "cut.nii.gz"}) == []
    assert "WARNING: cut is not searched" in capsys.readouterr().err


def test_a_channel_of_several_and_one_in_a_file_of_its_own(tmp_path):
    both = np.stack([noise(1), noise(0)], axis=1)
    tifffile.imwrite(tmp_path / "both.tiff", both, imagej=True, metadata={"axes": "ZCYX"})
    write_volume(tmp_path / "alone_0001.tiff", Volume(noise(0)[4:]))
    files = {"both": tmp_path / "both.tiff"}, {"alone": tmp_path / "alone_0001.tiff"}
    (leak,) = shared_voxels(*files, channel=1)
    assert (leak.share, leak.offset) == (1, (4, 0, 0))
    assert shared_voxels(*files, channel=0) == []


def test_air_around_two_bodies_is_no_leak_and_does_not_count_as_one(write):
    assert shared_voxels(write(train=body(0)), write(test=body(1))) == []
    (leak,) = shared_voxels(write(train=body(0)), write(test=body(0)))
    rows = (body(0)[0] > -1024).sum(axis=1) > 8  # whole rows are the same; those of air alone say nothing
    assert leak.share == pytest.approx(rows.mean(), abs=0.08)


def test_a_mark_in_one_place_of_two_scans_is_no_leak(write):
    first, second = body(0), body(1)
    mark = np.random.default_rng(5).normal(500, 100, (10, 33))
    first[3, :10, :33] = second[3, :10, :33] = mark
    assert shared_voxels(write(train=first), write(test=second)) == []


@pytest.mark.parametrize("value", [0, 255])
def test_constant_volumes(write, value):
    constant = np.full((20, 60, 80), value, np.uint8)
    assert shared_voxels(write(train=constant, noise=noise(0)), write(test=constant)) == []


def test_a_shared_smooth_background_or_pattern_is_no_leak(write):
    z, y, x = np.mgrid[:20, :60, :80].astype(np.float32)
    background = 100 + 20 * np.sin(x / 9) + y + z
    stripes = (x % 4 * 40 + x % 7).astype(np.float32)
    for shared in (background, stripes):
        train, test = shared.copy(), shared.copy()
        train[5:15, 10:30, 10:30] += noise(0, (10, 20, 20))
        test[5:15, 30:50, 40:60] += noise(1, (10, 20, 20))
        assert shared_voxels(write(train=train), write(test=test)) == []


def test_upsampled_images_are_still_varied(write):
    volume = ndimage.zoom(noise(0, (10, 60, 80)), (1, 2, 2), order=1)
    (leak,) = shared_voxels(write(train=volume), write(test=volume[2:, 30:90, 21:121]))
    assert (leak.offset, leak.share > 0.9) == ((2, 30, 21), True)


def test_phantoms_of_several_seeds_share_nothing(tmp_path):
    for seed in (0, 1):
        write_phantom_dataset(tmp_path / f"em{seed}", seed, (24, 64, 64))
        write_chest_dataset(tmp_path / f"ct{seed}", seed, (8, 64, 64), train_cases=1)
    files = [{path.name: path for path in sorted(tmp_path.glob(f"*{seed}/images*/*_0000*"))} for seed in (0, 1)]
    assert len(files[0]) >= 3
    assert shared_voxels(*files) == []


def test_slabs_of_any_thickness_give_the_same(write, monkeypatch):
    train, test = write(train=noise(0)), write(test=noise(0)[4:17, 5:, :70])
    whole = shared_voxels(train, test)
    monkeypatch.setattr("planewise.volumes.labels.SLAB_VOXELS", 0)
    for planes in (1, 7):
        monkeypatch.setattr("planewise.volumes.labels.SLAB_PLANES", planes)
        assert shared_voxels(train, test) == whole
    assert whole[0].share == 1


def test_large_training_data_is_thinned_and_still_known(write, monkeypatch):
    monkeypatch.setattr("planewise.data.leaks.MOST_ANCHORS", 300)
    volume = noise(0, (40, 80, 120))
    (leak,) = shared_voxels(write(train=volume), write(test=volume[3:35, 5:75, 7:107]))
    assert (leak.share, leak.offset) == (1, (3, 5, 7))


def test_what_any_two_sides_share_is_said_and_what_cannot_be_read_too(write, tmp_path, capsys):
    broken = tmp_path / "broken.nrrd"
    broken.write_bytes(b"NRRD0004\n")
    torn = tmp_path / "torn.nrrd"
    torn.write_bytes(b"NRRD0004\n")
    train, valid = write(a=noise(0)) | {"broken": broken}, write(b=noise(1), new=noise(2)) | {"torn": torn}
    leaks = warn_of_leaks(train, valid, write(a2=noise(0)[2:], b2=noise(1)[:, 3:], narrow=noise(0)[:, :, :31]))
    text = capsys.readouterr().err
    assert [leak.share for leak in leaks] == [1, 1]
    assert "test case a2: 100 % of its voxels (86,400) are those of training case a at an offset of (2, 0, 0)" in text
    assert "test case b2: 100 % of its voxels (91,200) are those of validation case b at an offset of (0, 3, 0)" in text
    for case in ("training case broken", "validation case torn", "test case narrow"):  # two are on two sides
        assert text.count(f"WARNING: {case} is not searched for voxels in both training and test: ") == 1
    assert "narrow.nrrd: is 31 voxels wide, but runs of 32 are compared" in text
    assert "new" not in text.replace("new data", "")


def test_what_two_training_cases_share_is_said_where_parts_of_them_validate(write, capsys):
    train = write(a=noise(0), b=noise(1), c=noise(0)[2:])
    assert warn_of_leaks(train, {}, {}) == []
    (leak,) = warn_of_leaks(train, {}, {}, parts_validate=True)
    assert (leak.train, leak.test) == ("training case a", "training case c")
    assert "WARNING: training case c: 100 % of its voxels" in capsys.readouterr().err


def test_real_volumes(real_data):
    em, ct = real_data / "Dataset001_HippocampusMito", real_data / "Dataset002_ChestCT"
    lower = {"lower": real_data / "Dataset003_HippocampusLower" / "imagesTs" / "hippo_lower_0000.tiff"}
    train = {path.name: path for path in (em / "imagesTr").glob("*.tiff")}
    test = {"test": em / "imagesTs" / "hippo_test1_0000.tiff"}
    assert len(train) == 2
    assert shared_voxels(train, test) == []  # other slices of one volume
    assert shared_voxels(lower, test) == [Leak("lower", "test", 64 * 256 * 256, 1.0, (11, 0, 640))]
    tests = {path.name: path for path in (ct / "imagesTs").iterdir()}
    assert shared_voxels({path.name: path for path in (ct / "imagesTr").iterdir()}, tests) == []
