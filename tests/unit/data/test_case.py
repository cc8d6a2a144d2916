import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile

from planewise.data.case import (
    case_name,
    channel_number,
    channel_within,
    file_of_case,
    group_by_case,
    images_beside,
    is_volume,
    label_volumes_at,
    numbered_cases,
    one_file_each,
)
from planewise.errors import PlanewiseError


def paths(*names):
    return [Path(name) for name in names]


def write(folder, names, shape=(6, 7)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / name, np.zeros(shape, np.uint8), photometric="minisblack")
    return folder


@pytest.mark.parametrize(
    ("name", "case", "channel"),
    [
        ("a.tiff", "a", None),
        ("a_0000.nii.gz", "a", 0),
        ("a_0012.ome.zarr", "a_0012", None),
        ("a_pred.nii.gz", "a", None),
        ("a_prediction.tif", "a", None),
        ("a_consensus.tiff", "a", None),
        ("a_0000_pred.tif", "a", 0),
        ("a_pred_0000.tif", "a", 0),
        ("a_consensus_pred.tif", "a", None),
        ("scan_0001_0000.nii.gz", "scan_0001", 0),
        ("scan_001.nii.gz", "scan_001", None),
        ("a_xy.tiff", "a_xy", None),
        ("_pred.tif", "_pred", None),
        ("_0000.tif", "_0000", None),
        (".tiff", ".tiff", None),
        ("folder", "folder", None),
    ],
)
def test_what_a_name_tells(name, case, channel):
    assert (case_name(Path(name)), channel_number(Path(name))) == (case, channel)


def test_the_number_of_a_known_case_is_no_channel():
    known = {"PAT_0001"}
    assert case_name(Path("PAT_0001.tiff"), known) == "PAT_0001"
    assert case_name(Path("PAT_0001_pred.tiff"), known) == "PAT_0001"
    assert case_name(Path("PAT_0001_0000.tiff"), known) == "PAT_0001"
    assert case_name(Path("PAT_0000.tiff"), known) == "PAT"


def test_numbers_that_both_sides_have_are_the_cases_own():
    truths = paths("P_0001.tif", "P_0002.tif", "P_0003.tif", "a_0000.tif", "b_0007.tif")
    predictions = paths("P_0001_pred.nii.gz", "P_0002.nii.gz", "a_0000.tif", "b.tif")
    assert numbered_cases(predictions, truths) == {"P_0001", "P_0002", "P_0003"}
    assert numbered_cases(paths("x_0000.tif", "x_0001.tif"), paths("x_0000.tif", "x_0001.tif")) == {"x_0000", "x_0001"}


def test_two_files_for_one_case_are_refused_and_both_named():
    chosen, refused = one_file_each(paths("a.tif", "P_0001.nii.gz", "P_0002.nii.gz", "b.tif", "b.tiff"))
    assert chosen == {"a": Path("a.tif")}
    assert refused["P"].what == (
        "several files for one case, P: P_0001.nii.gz, P_0002.nii.gz; _NNNN at the end of a name is nnU-Net's channel "
        "number: choose with --channel N, or rename them if they are separate images"
    )
    assert refused["b"].what == "several files for one case, b: b.tif, b.tiff; keep one, or rename the others"


def test_a_year_is_no_channel(tmp_path):
    assert [case_name(Path(f"EM_{year}.tiff")) for year in (2020, 1999)] == ["EM_2020", "EM_1999"]
    assert case_name(Path("EM_2020_0000.tiff")) == "EM_2020"


def test_a_prediction_with_a_number_is_of_no_case_without(tmp_path):
    write(tmp_path / "labelsTs", ["cell_1000.tif"], (4, 6, 7))
    with pytest.raises(PlanewiseError, match=r"cell\.\*: is missing;"):
        file_of_case("cell", tmp_path / "labelsTs", "truth")
    assert file_of_case("cell_1000", tmp_path / "labelsTs", "truth").name == "cell_1000.tif"


def test_only_0000_is_left_out_of_the_names_of_labels():
    labels = paths("pat_0001.tif", "pat_0002_pred.tif", "b_0000.tif", "c_0001.tif")
    assert list(group_by_case(labels, labels=True)) == ["pat_0001", "pat_0002", "b", "c_0001"]
    assert one_file_each(labels, labels=True)[1] == {}
    assert "keep one" in one_file_each(paths("b.tif", "b_0000.tif"), labels=True)[1]["b"].what


def test_a_channel_that_is_not_there_is_not_another(tmp_path):
    folder = write(tmp_path, ["a_0000.tif", "a_0001.tif", "b_0001.tif"])
    chosen, refused = one_file_each(sorted(folder.iterdir()), channel=0)
    assert list(chosen) == ["a"]
    assert "is of channel 1, not of --channel 0" in refused["b"].what


def test_a_channel_chooses_between_files_or_within_one(tmp_path):
    files = sorted(write(tmp_path, ["a_0000.tif", "a_0001.tif", "b.tif"]).iterdir())
    assert one_file_each(files, channel=1)[0] == {"a": files[1], "b": files[2]}
    assert "none of them is of --channel 2" in one_file_each(files, channel=2)[1]["a"].what
    assert channel_within(Path("a_0001.tif"), 1) is None
    assert channel_within(Path("b.tif"), 1) == 1
    assert channel_within(Path("a_0000.tif"), 1) == 1
    assert channel_within(Path("a.tif"), None) is None


def test_the_file_of_a_case(tmp_path):
    write(tmp_path, ["a_pred.tif", "P_0001.tif", "P_0002.tif", "b.tif", "b_0000.tif"])
    assert file_of_case("a", tmp_path, "truth").name == "a_pred.tif"
    assert file_of_case("P_0002", tmp_path, "truth").name == "P_0002.tif"
    with pytest.raises(PlanewiseError, match=r"holds 2 files of case b.*b\.tif, b_0000\.tif"):
        file_of_case("b", tmp_path, "truth")


def test_accents_make_one_case_however_they_are_stored(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "Zelle_Ö") for form in ("NFC", "NFD"))
    assert composed != decomposed
    assert case_name(Path(f"{decomposed}_0000.tif")) == case_name(Path(f"{composed}_pred.nii.gz")) == composed
    assert case_name(Path(f"{decomposed}_0001.tif"), {f"{composed}_0001"}) == f"{composed}_0001"
    both = paths(f"{composed}.tif", f"{decomposed}.tif")
    assert "several files for one case" in one_file_each(both)[1][composed].what


def test_images_beside_their_truth(tmp_path):
    write(tmp_path / "imagesTs", ["a_0000.tif", "a_0001.tif", "b.tif"])
    images = images_beside(tmp_path / "labelsTs")
    assert {case: path.name for case, path in images.items()} == {"a": "a_0000.tif", "b": "b.tif"}


def test_a_path_is_a_volume_or_a_folder_of_them(tmp_path):
    for name in ("b.tiff", "a.nii.gz", "notes.txt"):
        (tmp_path / name).touch()
    (tmp_path / "c.ome.zarr").mkdir()
    assert [is_volume(tmp_path / name) for name in ("a.nii.gz", "c.ome.zarr", "notes.txt")] == [True] * 3
    assert not is_volume(tmp_path)
    assert label_volumes_at(tmp_path / "c.ome.zarr") == [tmp_path / "c.ome.zarr"]
    assert [path.name for path in label_volumes_at(tmp_path)] == ["a.nii.gz", "b.tiff", "c.ome.zarr"]
    with pytest.raises(PlanewiseError, match=r"^--image .*none: no such file or folder$"):
        is_volume(tmp_path / "none", "--image")
    with pytest.raises(PlanewiseError, match=r"^/.*none: no such file or folder$"):
        label_volumes_at(tmp_path / "none")
