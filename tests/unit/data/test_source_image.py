"""The image that a result was made from: where it lay, moved together with the result, or a DICOM series."""

import shutil

import numpy as np
import pytest

from dicom import write_dicom
from planewise.data.manifest import MANIFEST
from planewise.data.run import Run
from planewise.data.source_image import source_image
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.formats.dicom import Series
from planewise.volumes.volume import Volume

VOXELS = np.arange(4 * 6 * 5, dtype=np.int16).reshape(4, 6, 5)


def made_from(result, *inputs):
    made = Run.begin(result.parent / MANIFEST, "test", {}, None, ["a"], overwrite=False)
    with made.making("a", inputs, [result]):
        write_volume(result, Volume(VOXELS.astype(np.uint8)))
    return result


@pytest.fixture
def project(tmp_path):
    write_volume(tmp_path / "project" / "data" / "imagesTs" / "a_0000.tiff", Volume(VOXELS))
    image = tmp_path / "project" / "data" / "imagesTs" / "a_0000.tiff"
    return tmp_path / "project", image, made_from(tmp_path / "project" / "data" / "imagesTs_model" / "a.tiff", image)


def test_the_image_lies_where_it_lay(project):
    _, image, result = project
    assert source_image(result, unchanged=True) == image
    assert source_image(image) is None  # nobody says what made it


def test_an_image_that_moved_with_its_result_is_known_by_its_bytes(project, tmp_path, capsys):
    folder, image, result = project
    folder.rename(tmp_path / "elsewhere")
    result = tmp_path / "elsewhere" / result.relative_to(folder)
    moved = tmp_path / "elsewhere" / image.relative_to(folder)
    assert source_image(result, unchanged=True) == moved
    assert f"was made from {image}, which is {moved} now" in " ".join(capsys.readouterr().err.split())
    write_volume(moved, Volume(VOXELS + 1))  # another image of that name is none
    with pytest.raises(PlanewiseError, match="no longer exists; say with --image where it is now"):
        source_image(result)


def test_an_image_that_changed_is_refused_where_it_matters(project):
    _, image, result = project
    write_volume(image, Volume(VOXELS + 1))
    assert source_image(result) == image
    with pytest.raises(PlanewiseError, match=r"has changed since .*; give the image with --image"):
        source_image(result, unchanged=True)


@pytest.fixture
def series(tmp_path):
    """A result of one of two series in a folder, and of a mask."""
    files = write_dicom(tmp_path / "p" / "ct", VOXELS)
    write_dicom(tmp_path / "p" / "ct" / "other", VOXELS + 1, uid="1.2.3.5")
    write_volume(tmp_path / "mask.nii.gz", Volume(VOXELS.astype(np.uint8)))
    return files, made_from(tmp_path / "p" / "result" / "a.nii.gz", *files, tmp_path / "mask.nii.gz")


def test_a_series_is_the_one_that_was_read(series, tmp_path):
    files, result = series
    source = source_image(result, unchanged=True)
    assert isinstance(source, Series)
    assert list(source.files) == files
    shutil.move(tmp_path / "p", tmp_path / "q")
    source = source_image(tmp_path / "q" / "result" / "a.nii.gz", unchanged=True)
    assert isinstance(source, Series)
    assert source.folder == tmp_path / "q" / "ct"


def test_a_series_that_lies_in_several_folders(tmp_path):
    first = write_dicom(tmp_path / "ct" / "1", VOXELS[:2])
    second = write_dicom(tmp_path / "ct" / "2", VOXELS[2:], origin=(0, 0, 10))
    source = source_image(made_from(tmp_path / "result" / "a.nii.gz", *first, *second), unchanged=True)
    assert isinstance(source, Series)
    assert set(source.files) == {*first, *second}


@pytest.mark.parametrize("fault", ["gone", "new", "changed"])
def test_a_series_with_a_slice_less_or_more_is_another(series, fault):
    files, result = series
    if fault == "gone":
        files[2].unlink()
    elif fault == "new":
        write_dicom(files[0].parent / "more", VOXELS[:1], origin=(0, 0, 50))
    else:
        write_dicom(files[0].parent, VOXELS + 3)
    with pytest.raises(PlanewiseError, match=r"has changed since .*; give the image with --image"):
        source_image(result, unchanged=True)
