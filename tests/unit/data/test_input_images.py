"""The images in a command's input: which case each is, what is passed over, and what is refused as not clear."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
import tifffile

from planewise.data import own_results
from planewise.data.case import channel_number, channel_within
from planewise.data.input_images import cases_in, images_to_segment, refuse_names_of_planes
from planewise.data.manifest import MANIFEST, SCORES, CaseRecord, Manifest, read_manifest, write_manifest
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.errors import PlanewiseError
from planewise.volumes.files import open_volume

SLICES = [f"slice_{z:04d}.tif" for z in range(5)]


def write(folder, names, shape=(6, 7)):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        tifffile.imwrite(folder / name, np.zeros(shape, np.uint8), photometric="minisblack")
    return folder


def write_results(folder, command="mito predict", names=("a.tif", "a_xy.tif", "a_xz.tif"), manifest=MANIFEST):
    write(folder, [name for name in names if not (folder / name).exists()], (4, 6, 7))
    record = CaseRecord({"/images/a_0000.tif": "1 a"}, {name: fingerprint(folder / name) for name in names})
    write_manifest(folder / manifest, Manifest(MadeFrom({"command": command}, {}), "/models/M.pth", {"a": record}))


def write_other(folder, names):
    """Volumes that planewise did not write."""
    for name in names:
        tifffile.imwrite(folder / name, np.ones((4, 6, 7), np.uint8), photometric="minisblack")


def test_folders_of_results_are_passed_over_and_it_is_said(tmp_path, capsys):
    """Else those of images of one slice would be the slices of a volume."""
    write(tmp_path, ["a.tif"])
    write(tmp_path / "out", SLICES)
    write_results(tmp_path / "out", names=SLICES)
    write(tmp_path / "scores", SLICES)
    write_results(tmp_path / "scores", "score", SLICES, SCORES)
    write_results(tmp_path / "within" / "predicted")
    assert cases_in(tmp_path, sequence="auto") == ({"a": tmp_path / "a.tif"}, [])
    said = capsys.readouterr().err
    for folder, command in (("out", "mito predict"), ("scores", "score"), ("within", "mito predict")):
        assert f"{tmp_path / folder}: is passed over: it holds only results of planewise {command}\n" in said


def test_a_folder_with_slices_of_its_own_is_read_whatever_manifest_lies_there(tmp_path, capsys):
    write_results(write(tmp_path / "a", SLICES) / "old")
    (write(tmp_path / "b", SLICES) / MANIFEST).write_text("{}")
    write_results(tmp_path / "c", names=SLICES)
    write(tmp_path / "c", SLICES)
    write_manifest(write(tmp_path / "d", SLICES) / MANIFEST, read_manifest(tmp_path / "a" / "old" / MANIFEST))
    assert list(cases_in(tmp_path, sequence="auto")[0]) == ["a", "b", "c", "d"]
    said = capsys.readouterr().err
    assert f"WARNING: {tmp_path}/b/planewise.json: is not a manifest of planewise (" in said
    assert "is passed over" not in said


def test_results_are_refused_once_and_it_is_said_what_to_give(tmp_path, capsys):
    write_results(tmp_path)
    made = "of planewise mito predict, made with /models/M.pth according to its planewise.json, and results are no"
    with pytest.raises(PlanewiseError, match=rf"^{tmp_path}: holds only results {made} images: .* segmented, /images$"):
        images_to_segment(tmp_path)
    with pytest.raises(PlanewiseError, match=rf"a\.tif: is a result {made} images: .* segmented, /images/a_0000.tif$"):
        images_to_segment(tmp_path / "a.tif")
    write(tmp_path, ["b.tif"])
    assert images_to_segment(tmp_path) == ({"b": tmp_path / "b.tif"}, [])
    assert f"{tmp_path}: passed over what planewise mito predict wrote: a.tif, a_xy.tif" in capsys.readouterr().err


def test_a_manifest_is_read_once_until_it_changes(tmp_path, monkeypatch):
    write_results(tmp_path, names=[f"case{number}.tif" for number in range(9)])
    read = []
    monkeypatch.setattr(own_results, "read_manifest", lambda path: read.append(path) or read_manifest(path))
    for times, command in ((1, "mito predict"), (2, "ild predict"), (3, "ild follow")):
        write_results(tmp_path, command, [f"case{number}.tif" for number in range(9)])
        with pytest.raises(PlanewiseError, match=command):
            images_to_segment(tmp_path)
        assert read == [tmp_path / MANIFEST] * times


def test_images_beside_results_of_the_same_names_are_segmented(tmp_path, capsys):
    write_results(tmp_path, names=["a.tiff", "a_xy.tiff", "b.tiff"])
    write_other(tmp_path, ["a.tif", "b.tif"])
    assert images_to_segment(tmp_path) == ({"a": tmp_path / "a.tif", "b": tmp_path / "b.tif"}, [])
    assert "passed over what planewise mito predict wrote: a.tiff, a_xy.tiff, b.tiff\n" in capsys.readouterr().err


def test_another_image_under_the_name_of_a_result_is_no_result(tmp_path):
    write_results(tmp_path)
    write_other(tmp_path, ["a.tif"])
    assert images_to_segment(tmp_path) == ({"a": tmp_path / "a.tif"}, [])
    (tmp_path / "a.tif.corrections").mkdir()
    with pytest.raises(PlanewiseError, match="holds only results"):
        images_to_segment(tmp_path)


def test_a_link_to_a_result_and_one_with_a_sidecar_are_results(tmp_path):
    write_results(tmp_path / "out")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "c.tif").symlink_to(tmp_path / "out" / "a.tif")
    (tmp_path / "out" / "a.json").write_text('{"spacing": [1, 1, 1]}')
    for given in (tmp_path / "links", tmp_path / "links" / "c.tif", tmp_path / "out" / "a.tif"):
        with pytest.raises(PlanewiseError, match=r"of planewise mito predict, .* give what was segmented, /images"):
            images_to_segment(given)


@pytest.mark.parametrize("manifest", [MANIFEST, f"a.{MANIFEST}"])
def test_a_manifest_that_cannot_be_read_is_a_warning_and_makes_nothing_a_result(
    tmp_path, capsys, monkeypatch, manifest
):
    write(tmp_path, ["a.tif", "b.tif"])
    (tmp_path / manifest).write_text('{"window": [-600, 1500]}')
    assert list(images_to_segment(tmp_path)[0]) == ["a", "b"]
    why = "it has no options, model, cases: it is damaged, or the file of that name beside a SAM2's weights"
    warning = f"WARNING: {tmp_path / manifest}: is not a manifest of planewise ({why}), so nothing is taken for a"
    assert capsys.readouterr().err.count(warning) == 1
    monkeypatch.chdir(tmp_path)
    assert list(images_to_segment(Path())[0]) == ["a", "b"]
    assert capsys.readouterr().err.count("WARNING") == 1


def test_what_another_command_wrote_may_be_an_image(tmp_path):
    write_results(tmp_path, "ild prepare")
    assert images_to_segment(tmp_path) == cases_in(tmp_path)


def test_a_lone_number_is_part_of_the_name_and_it_is_said(tmp_path, capsys):
    write(tmp_path, ["cell.tif", "cell_1000.tif", "PAT_0007.tif"], (4, 6, 7))
    assert list(cases_in(tmp_path)[0]) == ["PAT_0007", "cell", "cell_1000"]
    said = capsys.readouterr().err
    assert "cell_1000.tif: is case cell_1000: _1000 is taken for part of its name" in said
    assert "PAT_0007.tif: is case PAT_0007" in said
    assert list(cases_in(tmp_path / "cell_1000.tif")[0]) == ["cell_1000"]
    assert channel_number(tmp_path / "cell_1000.tif") is None
    assert list(cases_in(tmp_path, channel=7)[0]) == ["PAT", "cell", "cell_1000"]  # --channel says what 0007 is
    assert list(cases_in(tmp_path / "PAT_0007.tif", channel=7)[0]) == ["PAT"]


def test_dataset_json_names_the_channels(tmp_path, capsys):
    folder = write(tmp_path / "imagesTs", ["a_0001.tif", "b_0002.tif", "b_0003.tif"], (4, 6, 7))
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "EM", "1": "ER"}}')
    assert list(cases_in(folder)[0]) == ["a", "b_0002", "b_0003"]
    assert list(cases_in(folder / "a_0001.tif")[0]) == ["a"]
    assert list(cases_in(folder / "b_0002.tif")[0]) == ["b_0002"]
    assert capsys.readouterr().err == ""  # a fact, no guess
    assert channel_within(folder / "a_0001.tif", 1) is None
    assert channel_within(folder / "b_0002.tif", 2) == 2


def test_a_channel_that_only_other_cases_show_is_refused_without_channel(tmp_path):
    folder = write(tmp_path, ["a_0000.tif", "a_0001.tif", "b_0001.tif"], (4, 6, 7))
    images, problems = cases_in(folder)
    assert images == {}
    assert "several files for one case, a" in problems[0].what
    assert "seems to be of channel 1" in problems[1].what
    assert "seems to be of channel 1" in cases_in(folder / "b_0001.tif")[1][0].what
    assert cases_in(folder, channel=1) == ({case: folder / f"{case}_0001.tif" for case in "ab"}, [])


def test_a_file_without_number_beside_one_of_the_channel_is_not_dropped(tmp_path):
    images, (problem,) = cases_in(write(tmp_path, ["a.tif", "a_0001.tif"], (4, 6, 7)), channel=1)
    assert images == {}
    assert problem.what == "several files for one case, a: a.tif, a_0001.tif; keep one, or rename the others"


def test_a_number_is_no_channel_where_the_image_has_that_channel_within(tmp_path):
    path = tmp_path / "cell_0001.ome.tif"
    tifffile.imwrite(path, np.zeros((4, 5, 6, 7), np.uint8), metadata={"axes": "CZYX"})
    for channel in range(4):
        assert cases_in(tmp_path, channel=channel) == ({"cell_0001": path}, [])
        assert open_volume(path, channel_within(path, channel)).shape == (5, 6, 7)


def test_one_image_beside_others_of_its_name_and_another_number_is_refused_as_its_folder_is(tmp_path):
    write(tmp_path, ["PAT_0000.tif", "PAT_0001.tif", "b_0003.tif", "b_0004.tif"], (4, 6, 7))
    for name, case in (("PAT_0000.tif", "PAT"), ("PAT_0001.tif", "PAT"), ("b_0003.tif", "b")):
        images, problems = cases_in(tmp_path / name)
        assert images == {}
        assert f"several files for one case, {case}:" in problems[0].what
        assert cases_in(tmp_path / name, channel=int(name[-5])) == ({case: tmp_path / name}, [])
    assert "is of channel 0, not of --channel 1" in cases_in(tmp_path / "PAT_0000.tif", channel=1)[1][0].what


def test_an_image_given_in_another_spelling_than_its_folders(tmp_path, monkeypatch):
    composed, decomposed = (tmp_path / f"{unicodedata.normalize(form, 'Ö')}_0001.tif" for form in ("NFC", "NFD"))
    write(tmp_path, [composed.name], (4, 6, 7))
    decomposed.hardlink_to(composed)
    monkeypatch.setattr(Path, "iterdir", lambda folder: iter([decomposed]))  # as a Mac lists it
    assert cases_in(composed) == ({"Ö_0001": composed}, [])


def test_a_case_with_the_name_of_a_plane_of_another():
    cases = {name: Path(f"{name}_0000.tif") for name in ("a", "a_xy", "b_xz", "c")}
    left, problems = refuse_names_of_planes(cases)
    assert list(left) == ["b_xz", "c"]
    assert [problem.where for problem in problems] == ["a_0000.tif", "a_xy_0000.tif"]
    assert all("would both be called a_xy" in problem.what for problem in problems)


def test_a_folder_of_slices_is_one_volume_and_it_is_said(tmp_path, capsys):
    write(tmp_path / "brain", SLICES)
    assert cases_in(tmp_path / "brain", sequence="auto") == ({"brain": tmp_path / "brain"}, [])
    assert "its 5 images are the slices of one volume, case brain; --sequence no" in capsys.readouterr().err


def test_its_name_is_what_the_slices_say(tmp_path):
    names = {
        "mouse-3_z": "mouse-3",
        "brain": "brain",
        "x 2_Slice_": "x 2",
        "m_0000_": "m",
        "IMG-": "folder",
        "": "folder",
    }
    for number, (prefix, name) in enumerate(names.items()):
        folder = write(tmp_path / str(number) / "folder", [f"{prefix}{z:03d}.tif" for z in range(1, 4)])
        assert list(cases_in(folder, sequence="auto")[0]) == [name]


def test_each_folder_of_slices_is_a_case(tmp_path, capsys):
    for folder in ("a_0000", "b"):
        write(tmp_path / folder, SLICES)
    write(tmp_path / "doubtful", SLICES[:2])
    write(tmp_path / "volumes", ["v1.tif", "v2.tif", "v3.tif"], (4, 6, 7))
    write(tmp_path, ["c.tif"], (4, 6, 7))
    cases, problems = cases_in(tmp_path, sequence="auto")
    assert {case: path.name for case, path in cases.items()} == {"a": "a_0000", "b": "b", "c": "c.tif"}
    assert [problem.where for problem in problems] == [str(tmp_path / "doubtful")]
    assert "--sequence" in problems[0].what
    assert list(cases_in(tmp_path)[0]) == ["c"]


@pytest.mark.parametrize(
    ("names", "doubt"),
    [
        (SLICES[:2], "there are only 2.*say --sequence yes or --sequence no"),
        (["c1_0000.tif", "c2_0000.tif", "c3_0000.tif"], "as nnU-Net's images do.*say --sequence yes or"),
        ([*SLICES, "overview.tif"], r"differ in more than numbers.*: move overview\.tif to another folder"),
        ([*SLICES, *(f"b_{z}.tif" for z in range(4))], r"move b_0\.tif, b_1\.tif, b_2\.tif and 1 more to"),
        (["a1_z1.tif", "a2_z2.tif", "a3_z3.tif"], "differ in 2 numbers.*number them in one place, or"),
        ([*SLICES, "notes.mrc"], r"notes\.mrc lies beside them.*move notes\.mrc to another folder, or say"),
    ],
)
def test_what_may_be_one_volume_or_several_is_refused_with_what_settles_it(tmp_path, names, doubt):
    write(tmp_path, names)
    with pytest.raises(PlanewiseError, match=doubt) as refused:
        cases_in(tmp_path, sequence="auto")
    if "--sequence yes" in str(refused.value):
        assert cases_in(tmp_path, sequence="yes")[1] == []


def test_an_image_that_is_no_slice_is_named(tmp_path):
    write(tmp_path, [*SLICES, "overview.tif"])
    with pytest.raises(PlanewiseError, match=r"^--sequence yes: .* overview\.tif too, which is not named as its 5"):
        cases_in(tmp_path, sequence="yes")
    write(tmp_path, ["a_1.tif"])
    with pytest.raises(PlanewiseError, match=r"holds a_1\.tif, overview\.tif too, which are not named as"):
        cases_in(tmp_path, sequence="yes")


def test_files_that_are_not_read_are_said(tmp_path, capsys):
    write(tmp_path / "in", ["a.tif", "a.json", "a.csv", ".b.npy", "README"], (4, 6, 7))
    cases_in(tmp_path / "in")
    assert capsys.readouterr().err == ""
    write(tmp_path / "in", ["b.npy"])
    cases_in(tmp_path / "in")
    assert "b.npy is passed over: its format is not read" in capsys.readouterr().err
    for name in ("c.czi", "d.dm3", "e.ims"):
        (tmp_path / "in" / name).touch()
    cases_in(tmp_path / "in")
    assert "b.npy, c.czi, d.dm3 ... (4 files) are passed over" in capsys.readouterr().err
    write(tmp_path / "stack", [*SLICES, *(f"slice_{z:04d}.png" for z in range(5))])
    cases_in(tmp_path / "stack", sequence="auto")
    assert "(5 files) are passed over, each: a picture of the volume with its name" in capsys.readouterr().err


def test_the_data_of_a_header_is_not_passed_over(tmp_path, capsys):
    for name in ("a.mhd", "a.raw", "b.raw"):
        (tmp_path / name).touch()
    cases_in(tmp_path)
    assert "b.raw is passed over" in capsys.readouterr().err


def test_a_missing_slice_is_named(tmp_path):
    write(tmp_path, [*SLICES[:2], *SLICES[3:]])
    with pytest.raises(PlanewiseError, match=r"number 2 is missing.*; or say --sequence no"):
        cases_in(tmp_path, sequence="auto")


def test_the_option_says_which(tmp_path, capsys):
    write(tmp_path / "two", SLICES[:2])
    assert cases_in(tmp_path / "two", sequence="yes") == ({"two": tmp_path / "two"}, [])
    assert "2 images are the slices of one volume" in capsys.readouterr().err
    cases, problems = cases_in(tmp_path / "two", sequence="no")
    assert cases == {}
    assert "slices of one volume belong in a separate folder" in problems[0].what
    write(tmp_path / "none", [])
    with pytest.raises(PlanewiseError, match=r"--sequence yes: .* holds no images"):
        cases_in(tmp_path / "none", sequence="yes")
    write(tmp_path / "mixed", [*SLICES, "other.mrc"])
    with pytest.raises(PlanewiseError, match=r"also holds other\.mrc"):
        cases_in(tmp_path / "mixed", sequence="yes")


def test_volumes_and_images_without_numbers_are_cases_of_their_own(tmp_path):
    write(tmp_path / "flat", ["left.tif", "right.tif"])
    assert list(cases_in(tmp_path / "flat", sequence="auto")[0]) == ["left", "right"]
    write(tmp_path / "solid", ["v1.tif", "v2.tif", "v3.tif"], (4, 6, 7))
    assert list(cases_in(tmp_path / "solid", sequence="auto")[0]) == ["v1", "v2", "v3"]
    with pytest.raises(PlanewiseError, match="no such file"):
        cases_in(tmp_path / "gone")
