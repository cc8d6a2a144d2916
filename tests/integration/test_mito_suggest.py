"""``planewise mito suggest``, as a user would run it, with a model that was not trained."""

import csv
import json

import numpy as np
import pytest
import tifffile

from planewise.apps.mito import suggest as suggest_module
from planewise.cli import run
from planewise.correction.worklist import read_worklist
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume
from untrained import write_untrained

SHAPE = (12, 32, 48)


@pytest.fixture
def dataset(tmp_path):
    """A dataset of two images, of one of which slices 0 to 7 are painted; an untrained model lies beside it."""
    folder = tmp_path / "Dataset001_Cells"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        image = Volume(rng.integers(0, 256, SHAPE, np.uint8), (5.0, 5.0, 5.0), "nm")
        write_volume(folder / "imagesTr" / f"{name}_0000.tiff", image)
    painted = folder / "paintedTr" / "a"
    painted.mkdir(parents=True)
    for z in range(8):
        tifffile.imwrite(painted / f"z{z:04d}.tif", np.zeros(SHAPE[1:], np.uint8))
    meta = {"channel_names": {"0": "EM"}, "labels": {"background": 0, "mito": 1}, "file_ending": ".tiff"}
    (folder / "dataset.json").write_text(json.dumps(meta))
    write_untrained(tmp_path)
    return folder


def suggest(dataset, *more):
    output = dataset.parent / "suggested"
    model = dataset.parent / "M.yaml"
    return run([
        "mito", "suggest", str(dataset / "imagesTr"), "--model", str(model), "--output", str(output),
        "--device", "cpu", *more,
    ])  # fmt: skip


def test_slices_of_all_cases_together_are_listed_with_pictures_and_those_painted_are_not(dataset, capsys):
    assert suggest(dataset, "--count", "6") == 0
    with (dataset.parent / "suggested" / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    places = {(row["case"], int(row["index"])) for row in rows}
    assert len(places) == 6
    assert not {("a", z) for z in range(8)} & places
    for row in rows:
        assert (row["z0"], row["z1"]) == (row["index"], str(int(row["index"]) + 1))
        assert [row[edge] for edge in ("y0", "y1", "x0", "x1")] == ["0", "32", "0", "48"]
        assert row["z"] == row["index"]
        assert row["paint"] == f"paintedTr/{row['case']}/z{int(row['index']):04d}.tif"
        assert tifffile.imread(dataset / "imagesTr" / f"{row['case']}_0000.tiff").shape == SHAPE
        from PIL import Image

        with Image.open(dataset.parent / "suggested" / row["picture"]) as picture:
            assert picture.size == (48, 32)
    assert not list((dataset / "paintedTr").glob("b/*"))  # an empty file would be taken for background
    printed = capsys.readouterr()
    assert "a: already known: z 0 1 2 3 4 5 6 7" in printed.out + printed.err
    items = read_worklist(dataset.parent / "suggested" / "suggestions.csv")
    assert [item.case for item in items] == [row["case"] for row in rows]


def test_slices_of_another_plane_are_named_by_their_axis(dataset):
    assert suggest(dataset, "--count", "2", "--plane", "yz") == 0
    with (dataset.parent / "suggested" / "suggestions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(row["axis"] == "x" and row["x"] == row["index"] and row["x0"] == row["index"] for row in rows)
    assert (dataset.parent / "suggested" / rows[0]["picture"]).is_file()


def test_what_is_labelled_beside_the_ignore_label_is_known(dataset, capsys):
    meta = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(meta | {"labels": {"background": 0, "mito": 1, "ignore": 2}}))
    (dataset / "labelsTr").mkdir()
    labels = np.full(SHAPE, 2, np.uint8)
    labels[[3, 9]] = 0
    write_volume(dataset / "labelsTr" / "b.tiff", Volume(labels, (5.0, 5.0, 5.0), "nm"))
    assert suggest(dataset, "--count", "1") == 0
    printed = capsys.readouterr()
    assert "b: already known: z 3 9" in printed.out + printed.err


def test_labels_that_do_not_lie_in_the_space_of_their_image_are_a_problem_of_their_case(dataset, capsys):
    meta = json.loads((dataset / "dataset.json").read_text())
    (dataset / "dataset.json").write_text(json.dumps(meta | {"labels": {"background": 0, "mito": 1, "ignore": 2}}))
    labels = Volume(np.full((4, *SHAPE[1:]), 2, np.uint8), (5.0, 5.0, 5.0), "nm")
    write_volume(dataset / "labelsTr" / "b.tiff", labels)
    assert suggest(dataset, "--count", "1") == 1
    assert "does not lie in the space of" in " ".join(capsys.readouterr().out.split())
    assert [item.case for item in read_worklist(dataset.parent / "suggested" / "suggestions.csv")] == ["a"]


def test_slices_of_several_classes_are_to_be_labelled_in_volumes(dataset, capsys):
    write_untrained(dataset.parent, class_names={1: "mito", 2: "er"}, labels=[1, 2], thing_list=[1])
    assert suggest(dataset, "--count", "1", "--axes", "xy", "xz", "yz") == 0
    with (dataset.parent / "suggested" / "suggestions.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    place = f"z {row['index']} of labelsTr/{row['case']} and instancesTr/{row['case']}"
    assert row["paint"] == place
    printed = " ".join(capsys.readouterr().err.split())
    assert f"; label {place}" in printed
    assert "Label whole slices: the class of each voxel in labelsTr" in printed
    assert "Paint slices completely" not in printed


def test_one_plane_is_refused_before_any_work(dataset, capsys):
    assert suggest(dataset, "--axes", "xy") == 2
    assert "two are needed" in capsys.readouterr().err
    assert not (dataset.parent / "suggested").exists()


def test_a_damaged_image_does_not_stop_the_others(dataset):
    (dataset / "imagesTr" / "a_0000.tiff").write_bytes(b"no image")
    assert suggest(dataset, "--count", "2", "--axes", "xy", "xz", "yz") == 1
    items = read_worklist(dataset.parent / "suggested" / "suggestions.csv")
    assert {item.case for item in items} == {"b"}


def test_what_nothing_speaks_for_is_said(dataset, capsys, monkeypatch):
    """No doubt at all, and more slices asked for than there are."""
    monkeypatch.setattr(suggest_module, "slice_doubts", lambda labels, plane, advance: np.zeros(labels[0].shape[0]))
    assert suggest(dataset, "--count", "99") == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "--count 99: only 16 slices are not yet known: all of them are listed" in said
    assert "WARNING: the planes disagree nowhere" in said
