"""Scores and measures from Python are those that the commands write."""

import csv
import json
import math

import numpy as np
import pytest
import tifffile

import planewise as pw
from chest_boxes import chest_boxes
from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.errors import PlanewiseError
from planewise.interface.calls import as_arguments
from planewise.progress import ON_TERMINAL

SPACING_NM = (8.0, 8.0, 8.0)


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.delenv(ON_TERMINAL)


@pytest.fixture
def predicted(balls):
    """The balls, one missed and one shifted."""
    labels = np.where(balls == 5, 0, balls)
    labels[balls == 1] = 0
    labels[:, :, 2:][balls[:, :, :-2] == 1] = 1
    return labels


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def dataset(folder, truth, methods, kind="instancesTs", classes=None):
    """Write an nnU-Net dataset with one test case and predictions of it."""
    pw.write_labels(folder / kind / "case.tiff", pw.Volume(truth, SPACING_NM, "nm"))
    for name, labels in methods.items():
        pw.write_labels(folder / f"imagesTs_{name}" / "case.tiff", pw.Volume(labels, SPACING_NM, "nm"))
    labels = {"background": 0} | (classes or {"mitochondria": 1})
    (folder / "dataset.json").write_text(json.dumps({"labels": labels, "file_ending": ".tiff"}))
    return folder


def same_scores(frame, written):
    """Whether a frame holds what results.csv does, to its digits."""
    for line in written:
        if line["metric"] == "delivered":
            continue
        row = frame[(frame["method"] == line["method"]) & (frame["class"] == line["class"])].iloc[0]
        value, text = float(row[line["metric"]]), line["value"]
        assert math.isnan(value) if text == "" else math.isclose(value, float(text), rel_tol=1e-4, abs_tol=1e-6), line


def test_scores_by_hand(quiet, balls, predicted, capfd):
    result = pw.score(predicted, balls)
    assert (result["n_truth"], result["n_pred"], result["tp_50"]) == (5, 4, 4)
    assert result["f1_50"] == pytest.approx(2 * 4 / 9)
    assert pw.score(balls, balls)["voxel_dice"] == 1
    assert "copy" in pw.score(balls, balls).notes[0]
    assert repr(result) == "Result(1 row of labels; to_frame() has the scores)"
    assert capfd.readouterr() == ("", "")


def test_what_is_to_be_known_of_the_labels_is_logged_in_the_command_s_words(quiet, balls, tmp_path, caplog, capsys):
    mask = (balls > 0).astype(np.uint8)
    result = pw.score(mask, balls)
    assert "labels has one id for 5 separate pieces, counted as 1 object; if it is a mask" in result.notes[0]
    assert [record.message for record in caplog.records] == list(result.notes)
    assert {record.levelname for record in caplog.records} == {"WARNING"}
    folder = dataset(tmp_path / "D", balls, {"m": mask})
    assert run(["mito", "evaluate", str(folder / "imagesTs_m"), str(folder / "instancesTs")]) == 0
    assert result.notes[0].removeprefix("labels ") in " ".join(capsys.readouterr().err.split())


def test_compare_gives_what_the_command_writes_of_arrays_and_of_folders(balls, predicted, tmp_path, monkeypatch):
    methods = {"good": predicted, "none": np.zeros_like(balls)}
    folder = dataset(tmp_path / "Dataset001_X", balls, methods)
    assert run(["compare", str(folder), "--output", str(tmp_path / "report")]) == 0
    written = rows_of(tmp_path / "report" / "results.csv")
    monkeypatch.delenv(ON_TERMINAL)
    as_volumes = {name: pw.open(labels, spacing=SPACING_NM, unit="nm") for name, labels in methods.items()}
    of_arrays = pw.compare(as_volumes, pw.open(balls, spacing=SPACING_NM, unit="nm"))
    of_folders = pw.compare({name: folder / f"imagesTs_{name}" for name in methods}, folder / "instancesTs")
    for result in (of_arrays, of_folders):
        assert list(result.to_frame()["method"]) == ["good", "none"]
        same_scores(result.to_frame(), written)


def test_classes_are_scored_by_name(tmp_path, monkeypatch):
    truth = np.zeros((4, 20, 20), np.uint8)
    truth[:, 2:10, 2:10], truth[:, 12:18, 12:18] = 1, 2
    predicted = np.roll(truth, 1, axis=2)
    folder = dataset(tmp_path / "D", truth, {"m": predicted}, "labelsTs", {"a": 1, "b": 2})
    assert run(["compare", str(folder), "--output", str(tmp_path / "report")]) == 0
    monkeypatch.delenv(ON_TERMINAL)
    shared = {"spacing": SPACING_NM, "unit": "nm"}
    results = [
        pw.compare({"m": pw.open(predicted, **shared)}, pw.open(truth, **shared), classes={1: "a", 2: "b"}),
        pw.compare({"m": str(folder / "imagesTs_m")}, str(folder / "labelsTs")),
        pw.compare({"m": folder / "imagesTs_m" / "case.tiff"}, folder / "labelsTs" / "case.tiff"),
    ]
    for result in results:
        assert list(result.to_frame()["class"]) == ["a", "b"]
        same_scores(result.to_frame(), rows_of(tmp_path / "report" / "results.csv"))
    assert results[0].rows[0].scores["dsc"] == pytest.approx(7 / 8)
    with pytest.raises(PlanewiseError, match="2 rows"):
        results[0]["dsc"]


def test_voxels_of_the_ignore_value_are_not_scored(quiet):
    truth = np.zeros((3, 16, 16), np.uint8)
    truth[:, :8], truth[:, 8:] = 1, 9
    predicted = np.ones_like(truth)
    assert pw.score(predicted, truth, classes={1: "a"}, ignore=9).rows[0].scores["dsc"] == 1


def test_a_case_that_a_folder_lacks_counts_as_nothing_found(quiet, balls, tmp_path):
    folder = dataset(tmp_path / "D", balls, {"a": balls, "b": balls})
    pw.write_labels(folder / "instancesTs" / "other.tiff", pw.Volume(balls, SPACING_NM, "nm"))
    pw.write_labels(folder / "imagesTs_a" / "other.tiff", pw.Volume(balls, SPACING_NM, "nm"))
    frame = pw.compare({m: folder / f"imagesTs_{m}" for m in "ab"}, folder / "instancesTs").to_frame()
    missing = frame[(frame["method"] == "b") & (frame["case"] == "other")].iloc[0]
    assert "missing" in missing["status"]
    assert missing["f1_50"] == 0


@pytest.mark.parametrize(
    ("labels", "truth", "words"),
    [
        (np.zeros((2, 4, 4), int), np.zeros((2, 4, 5), int), "does not lie in the space"),
        (np.full((2, 4, 4), 0.5), np.zeros((2, 4, 4), int), "fractions"),
        (np.full((2, 4, 4), -1), np.zeros((2, 4, 4), int), "negative"),
        ("nonesuch.tiff", np.zeros((2, 4, 4), int), "nonesuch.tiff: no such file"),
    ],
)
def test_what_cannot_be_compared_is_refused(quiet, labels, truth, words):
    with pytest.raises(PlanewiseError, match=words):
        pw.score(labels, truth)


def test_a_folder_and_a_volume_are_not_compared(quiet, balls, tmp_path):
    with pytest.raises(PlanewiseError, match="both"):
        pw.score(tmp_path, balls)


def test_a_folder_that_cannot_be_compared_is_left_out_as_by_the_command(quiet, balls, tmp_path, caplog):
    folder = dataset(tmp_path / "D", balls, {"m": balls})
    truth, fits, other = (folder / name for name in ("instancesTs", "imagesTs_m", "other"))
    pw.write_labels(other / "b.tiff", pw.Volume(balls, SPACING_NM, "nm"))
    for unfit, words in ((other, "no prediction has the name of a truth"), (truth, "is the truth itself")):
        caplog.clear()
        assert set(pw.compare({"n": unfit, "m": fits}, truth).to_frame()["method"]) == {"m"}
        assert [f"{unfit}: {words}" in record.message for record in caplog.records].count(True) == 1
        with pytest.raises(PlanewiseError, match=words):
            pw.score(unfit, truth)
    with pytest.raises(PlanewiseError, match=r"has the name of a truth.*; .* is the truth itself"):
        pw.compare({"m": other, "n": truth}, truth)


def test_a_file_is_not_scored_against_itself_and_a_copy_is_noted_as_by_the_command(quiet, tmp_path):
    labels = np.zeros((4, 8, 8), np.uint8)
    labels[:2], labels[2:] = 1, 2
    truth, copy = tmp_path / "truth.nii.gz", tmp_path / "copy.nii.gz"
    pw.write_labels(truth, pw.Volume(labels, SPACING_NM, "nm"))
    copy.write_bytes(truth.read_bytes())
    for again in (truth, tmp_path / ".." / tmp_path.name / "truth.nii.gz"):
        with pytest.raises(PlanewiseError, match=r"truth.nii.gz: is the truth itself"):
            pw.score(again, truth)
    noted = pw.score(copy, truth, classes={1: "a", 2: "b"}).notes
    assert noted == (f"{copy} is the truth itself ({truth}): its scores say nothing about a method",)


def test_a_prediction_without_a_truth_is_named(quiet, balls, tmp_path, caplog):
    folder = dataset(tmp_path / "D", balls, {"m": balls})
    pw.write_labels(folder / "imagesTs_m" / "b.tiff", pw.Volume(balls, SPACING_NM, "nm"))
    assert list(pw.score(folder / "imagesTs_m", folder / "instancesTs").to_frame()["case"]) == ["case"]
    assert any("b.tiff: no truth" in record.message for record in caplog.records)


def test_a_truth_that_was_predicted_is_refused(quiet, balls, tmp_path):
    truth = dataset(tmp_path / "D", balls, {"m": balls}) / "instancesTs" / "case.tiff"
    record = CaseRecord({}, {truth.name: fingerprint(truth)})
    manifest = Manifest(MadeFrom({"command": "mito predict"}, {}), "model.pth", {"case": record})
    write_manifest(truth.parent / MANIFEST, manifest)
    for refused in (truth, truth.parent):
        given = balls if refused is truth else tmp_path / "D" / "imagesTs_m"
        with pytest.raises(PlanewiseError, match=r"is given as the truth, and planewise mito predict wrote case.tiff"):
            pw.score(given, refused)


def test_a_prediction_is_no_image_to_measure(quiet, balls, tmp_path):
    image = tmp_path / "case.tiff"
    pw.write_labels(image, pw.Volume(balls, SPACING_NM, "nm"))
    record = CaseRecord({"/images/case.tiff": "1 a"}, {image.name: fingerprint(image)})
    manifest = Manifest(MadeFrom({"command": "mito predict"}, {}), "model.pth", {"case": record})
    write_manifest(tmp_path / MANIFEST, manifest)
    with pytest.raises(PlanewiseError, match=r"case.tiff: is a result .* give what was segmented, /images/case.tiff"):
        pw.measure(balls, image)
    with pytest.raises(PlanewiseError, match=r"case.tiff: is a result .* give what was segmented, /images/case.tiff"):
        pw.measure_classes(balls, image, classes={1: "a"})


def test_objects_are_measured_as_the_command_does(balls, tmp_path, monkeypatch):
    image = (balls * 7 % 11).astype(np.uint8)
    for name, voxels in (("labels", balls.astype(np.uint16)), ("images", image)):
        pw.write_volume(tmp_path / name / "case.tiff", pw.Volume(voxels, SPACING_NM, "nm"))
    command = ["mito", "measure", str(tmp_path / "labels"), "--image", str(tmp_path / "images")]
    assert run([*command, "--reference", f"self={tmp_path / 'labels'}", "--output", str(tmp_path / "m")]) == 0
    monkeypatch.delenv(ON_TERMINAL)
    labels = pw.open(balls, spacing=SPACING_NM, unit="nm")
    measures = pw.measure(labels, image, references={"self": balls})
    assert repr(measures) == f"Measures({measures.case}, {len(measures.to_frame())} objects; to_frame() has them)"
    for frame, name in ((measures.to_frame(), "objects"), (measures.volume(), "volumes")):
        written = rows_of(tmp_path / "m" / f"{name}.csv")
        assert list(frame.columns) == list(written[0])
        for row, line in zip(frame.to_dict("records"), written, strict=True):
            for key, text in line.items():
                if key != "case" and text:
                    assert float(row[key]) == pytest.approx(float(text), rel=1e-4)
    assert len(measures.contacts()) == 0
    assert "volume_um3" in set(measures.distributions()["measure"])
    assert pw.measure(balls, pw.open(image, spacing=SPACING_NM, unit="nm")).measured.physical


@pytest.mark.parametrize(("unit", "side"), [("nm", 8.0), ("um", 0.008)])
def test_labels_whose_sidecar_states_no_unit_are_measured_in_that_of_the_image(quiet, balls, tmp_path, unit, side):
    """As by the command: nanometres, which are assumed, do not fit an image in micrometres of the same numbers."""
    pw.write_volume(tmp_path / "labels" / "case.tiff", pw.Volume(balls.astype(np.uint16)))
    (tmp_path / "labels" / "case.json").write_text(json.dumps({"spacing": [side] * 3}))
    image = pw.Volume(balls.astype(np.uint8), (side,) * 3, unit)
    pw.write_volume(tmp_path / "images" / "case.tiff", image)
    labels = tmp_path / "labels" / "case.tiff"
    measures = pw.measure(labels, image)
    assert measures.measured.spacing == pytest.approx((0.008,) * 3)
    words = ["mito", "measure", str(labels), "--image", str(tmp_path / "images" / "case.tiff")]
    assert run([*words, "--output", str(tmp_path / "m")]) == 0
    (first, *_) = rows_of(tmp_path / "m" / "objects.csv")
    assert measures.to_frame()["volume_um3"][0] == pytest.approx(float(first["volume_um3"]), rel=1e-4)


def test_classes_in_the_lungs_are_measured_as_the_command_does(tmp_path, monkeypatch):
    ct, labels, lungs = chest_boxes()
    for name, volume in (("imagesTs/case_0000", ct), ("labelsTs/case", labels), ("lungs/case", lungs)):
        pw.write_volume(tmp_path / f"{name}.nii.gz", volume)
    names = {1: "ground_glass", 2: "reticulation", 3: "honeycombing"}
    given = [f"{name}={value}" for value, name in names.items()]
    command = ["ild", "measure", str(tmp_path / "labelsTs"), "--lungs", str(tmp_path / "lungs"), "--classes", *given]
    assert run([*command, "--output", str(tmp_path / "m")]) == 0
    monkeypatch.delenv(ON_TERMINAL)
    (written,) = rows_of(tmp_path / "m" / "measures.csv")
    frame = pw.measure_classes(labels, ct, classes=names, lungs=lungs).to_frame()
    compared = [key for key in frame.columns if key in written and key != "case"]
    assert len(compared) > 30
    for key in compared:
        if written[key]:
            assert frame[key][0] == pytest.approx(float(written[key]), rel=1e-3)
    with pytest.raises(PlanewiseError, match="which classes= does not name"):
        pw.measure_classes(labels, ct, classes={1: "a"}, lungs=lungs)
    with pytest.raises(PlanewiseError, match="states no spacing"):
        pw.measure_classes(np.asarray(labels), np.asarray(ct), classes=names)


def test_what_is_no_table_of_methods_or_of_cases_is_named(balls, tmp_path):
    with pytest.raises(PlanewiseError, match=r"methods: is ndarray; give \{name: labels\}, or of one method planewise"):
        pw.compare(balls, balls)
    with pytest.raises(PlanewiseError, match=r"dataset: case a is ndarray; give \{case: \(image, labels\)\}"):
        pw.finetune({"a": balls}, "MitoNet_small", tmp_path)


def test_errors_name_arguments_as_python_has_them():
    assert as_arguments("--intensity LOW HIGH sets black") == "intensity=(LOW, HIGH) sets black"
    assert as_arguments("--invert inverts it; --class NAME chooses") == "invert=True inverts it; class=NAME chooses"
    assert as_arguments("--min_size -1: must be more; see --axes") == "min_size=-1: must be more; see axes"


def test_a_truth_with_a_value_that_dataset_json_does_not_name_is_not_scored(quiet, balls, tmp_path):
    truth = (balls > 0).astype(np.uint8)
    predicted = truth.copy()
    folder = dataset(tmp_path / "D", truth, {"m": predicted}, "labelsTs")
    marked = truth.copy()
    marked[-3:] = 255
    pw.write_labels(folder / "labelsTs" / "other.tiff", pw.Volume(marked, SPACING_NM, "nm"))
    pw.write_labels(folder / "imagesTs_m" / "other.tiff", pw.Volume(predicted, SPACING_NM, "nm"))
    with pytest.raises(PlanewiseError, match=r"other.tiff: holds 255 .* no label of dataset.json names"):
        pw.score(folder / "imagesTs_m" / "other.tiff", folder / "labelsTs" / "other.tiff")
    frame = pw.compare({"m": folder / "imagesTs_m"}, folder / "labelsTs").to_frame().set_index("case")
    assert frame.loc["case", "dsc"] == 1
    assert math.isnan(frame.loc["other", "dsc"])
    assert "holds 255" in frame.loc["other", "status"]
    result = pw.score(folder / "imagesTs_m" / "other.tiff", folder / "labelsTs" / "other.tiff", ignore=255)
    assert result["dsc"] == 1
    assert pw.score(predicted, marked, classes={1: "mito"}, ignore=255)["dsc"] == 1


@pytest.mark.parametrize("name", ["truth", "instancesTs", "instances_gt"])
def test_what_is_ignored_among_objects_is_so_in_folders_as_in_volumes(quiet, tmp_path, name):
    """Where labels lie beside the instances, the value is theirs."""
    truth = np.array([[[5, 5, 5, 5, 0, 8, 8, 255, 255, 255]]], np.uint8)
    predicted = np.array([[[4, 4, 4, 0, 0, 6, 6, 0, 7, 7]]], np.uint8)
    for folder, labels in ((name, truth), ("mine", predicted)):
        pw.write_labels(tmp_path / folder / "case.tiff", pw.Volume(labels, SPACING_NM, "nm"))

    def scored(mine, true, ignore):
        scores = pw.score(mine, true, ignore=ignore).rows[0].scores
        return scores["n_truth"], scores["n_pred"], scores["voxel_recall"]

    folders = (tmp_path / "mine", tmp_path / name)
    for given in (folders, tuple(folder / "case.tiff" for folder in folders), (predicted, truth)):
        assert scored(*given, None) == (3, 3, pytest.approx(7 / 9))
        assert scored(*given, 255) == (2, 2, pytest.approx(5 / 6))
    (tmp_path / "dataset.json").write_text(json.dumps({"labels": {"mito": 1, "ignore": 255}}))
    if name != "truth":  # else dataset.json says that they are classes
        assert scored(*folders, None) == (
            3,
            3,
            pytest.approx(7 / 9),
        )  # the label is one of labelsTs, which is not there
        assert scored(*folders, 255) == (2, 2, pytest.approx(5 / 6))
        beside = np.array([[[1, 1, 1, 1, 0, 9, 9, 1, 1, 1]]], np.uint8)
        folder = tmp_path / name.replace("instances", "labels")
        pw.write_labels(folder / "case.tiff", pw.Volume(beside, SPACING_NM, "nm"))
        assert scored(*folders, 9) == (2, 2, pytest.approx(5 / 7))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"ignore": "9"}, "ignore: is '9'; labels are whole numbers from 1"),
        ({"ignore": 0}, "ignore: is 0; labels are whole numbers from 1, and 0 is background"),
        ({"ignore": -1}, "ignore: is -1; "),
        ({"classes": {"1": "mito"}}, "classes: is '1'; labels are whole numbers"),
        ({"classes": {1: "mito", 2: "er"}, "ignore": 2}, "ignore: is 2, which classes names too"),
    ],
)
def test_classes_and_ignore_that_no_labels_can_have_are_refused(balls, given, what):
    with pytest.raises(PlanewiseError, match=what):
        pw.score(balls, balls.copy(), **given)


def test_an_ignore_label_that_lies_beside_an_instance_file_is_not_taken_for_an_object(balls, tmp_path):
    folder = dataset(tmp_path / "D", balls, {"m": balls}, "instancesTs")
    labels = '{"labels": {"background": 0, "mito": 1, "ignore": 2}, "file_ending": ".tiff"}'
    (folder / "dataset.json").write_text(labels)
    for given in ({}, {"ignore": 2}):
        with pytest.raises(PlanewiseError, match="ignore label, which lies beside it: compare folders"):
            pw.score(folder / "imagesTs_m" / "case.tiff", folder / "instancesTs" / "case.tiff", **given)


def test_classes_of_a_dataset_json_that_only_lies_above_are_a_guess(balls, tmp_path, capsys):
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "mito": 1}, "file_ending": ".tiff"}')
    truth = tmp_path / "mine" / "case.tiff"
    pw.write_labels(truth, pw.Volume((balls > 0).astype(np.uint8), SPACING_NM, "nm"))
    assert pw.score(balls, truth)["dsc"] == 1
    assert "lies below it, but in no labelsTr or labelsTs" in capsys.readouterr().err


def test_colours_are_no_labels_and_no_option_is_named_that_score_lacks(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 32, 32, 3), np.uint8), photometric="rgb")
    with pytest.raises(PlanewiseError, match="not a colour: save the labels themselves"):
        pw.score(np.ones((4, 32, 32), np.uint8), tmp_path / "a.tif")
