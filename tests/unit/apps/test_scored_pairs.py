"""Which files are scored against each other, as a user gives them, and what is refused before anything is written."""

import csv
import json
import shutil

import numpy as np
import pytest

from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.report import class_tables
from planewise.report.tables import RESULTS
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

IDS = np.zeros((4, 8, 8), np.uint8)
IDS[:, :4, :4], IDS[:, 5:, 5:] = 1, 2


def write(path, voxels=IDS):
    write_labels(path, Volume(voxels, unit="mm"))


@pytest.fixture
def dataset(tmp_path):
    """Two cases with instances and classes, and right predictions of both."""
    for case in ("c", "d"):
        write(tmp_path / "instancesTs" / f"{case}.nii.gz")
        write(tmp_path / "labelsTs" / f"{case}.nii.gz", IDS > 0)
        write(tmp_path / "imagesTs_p" / f"{case}.nii.gz")
        write(tmp_path / "segs" / f"{case}.nii.gz", IDS > 0)
    describe(tmp_path, {"background": 0, "mito": 1})
    return tmp_path


def describe(folder, labels):
    (folder / "dataset.json").write_text(json.dumps({"labels": labels}))


COMMANDS = pytest.mark.parametrize(
    ("command", "predictions"),
    [
        (("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), "imagesTs_p"),
        (("ild", "evaluate", "{}/segs", "{}/labelsTs"), "segs"),
        (("compare", "{}"), "imagesTs_p"),
    ],
    ids=["mito", "ild", "compare"],
)


def scored(command, dataset):
    return run([*(part.format(dataset) for part in command), "--output", str(dataset / "scores")])


@COMMANDS
@pytest.mark.parametrize("names", [("e", "f"), ()])
def test_where_no_name_fits_nothing_is_replaced_by_zeros(dataset, capsys, command, predictions, names):
    assert scored(command, dataset) == 0
    before = {path: path.read_bytes() for path in (dataset / "scores").iterdir()}
    folder = dataset / predictions
    (folder / "c.nii.gz").unlink()
    (folder / "d.nii.gz").unlink()
    for name in names:
        write(folder / f"{name}.nii.gz")
    capsys.readouterr()
    assert scored(command, dataset) == 2
    said = capsys.readouterr().err
    assert str(folder) in said
    if names:
        assert f"{folder}: no prediction has the name of a truth: it holds e.nii.gz, f.nii.gz; {dataset}/" in said
        assert "holds c.nii.gz, d.nii.gz. Nothing of it is scored: give the folder with the predictions" in said
    assert {path: path.read_bytes() for path in (dataset / "scores").iterdir()} == before


def test_a_folder_beside_others_that_fits_nothing_is_refused_too(dataset, capsys):
    (dataset / "other").mkdir()
    folders = [str(dataset / "segs"), str(dataset / "labelsTs"), "--beside", str(dataset / "other")]
    assert run(["ild", "evaluate", *folders]) == 2
    assert f"{dataset}/other: no prediction has the name of a truth: it holds no label" in capsys.readouterr().err
    assert not (dataset / "segs" / "evaluation").exists()


@pytest.mark.parametrize("names", [("e", "f"), ()])
def test_compare_leaves_out_a_method_that_fits_nothing_and_compares_the_others(dataset, capsys, names):
    """Wrong names are no score of zero."""
    other = dataset / "imagesTs_other"
    other.mkdir()
    for name in names:
        write(other / f"{name}.nii.gz")
    assert scored(("compare", "{}"), dataset) == 1
    held = "e.nii.gz, f.nii.gz" if names else "no label volumes"
    printed = capsys.readouterr()
    assert f"no prediction has the name of a truth: it holds {held}; " in " ".join(printed.out.split())
    with (dataset / "scores" / "results.csv").open(newline="") as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"p"}
    assert str(other) in printed.out
    assert run(["compare", str(dataset), "--method", "q=imagesTs_other", "--output", str(dataset / "scores")]) == 1
    assert "--method" not in capsys.readouterr().err  # there is such a folder


@pytest.mark.parametrize(
    ("command", "refused"),
    [
        (("compare", "{}", "{}/imagesTs_p/.."), "{}/imagesTs_p/.. is named twice, and each of its cases would count"),
        (("compare", "{}", "--method", "q=segs", "q=labelsTs"), "q is named twice; give each folder another name"),
        (("compare", "{}", "--method", "p=segs"), "--method p=segs: {}/imagesTs_p is the method p; give another name"),
        (("ild", "evaluate", "{}/segs", "{}/labelsTs", "--beside", "{}/imagesTs_p/../segs"), "are given twice"),
    ],
    ids=["dataset", "two methods", "a method there is", "beside"],
)
def test_nothing_is_scored_twice(dataset, capsys, command, refused):
    try:
        code = scored(command, dataset)
    except SystemExit as caught:
        code = caught.code
    assert code == 2
    assert refused.format(dataset) in " ".join(capsys.readouterr().err.split())
    assert not (dataset / "scores").exists()


def test_a_method_in_a_folder_that_is_missing_is_not_the_dataset_s_own_of_that_name(dataset, capsys):
    assert scored(("compare", "{}", "--method", "p=typo"), dataset) == 2
    assert "--method p=typo: no dataset has a folder of that name" in capsys.readouterr().err
    assert not (dataset / "scores").exists()


def test_datasets_of_one_name_are_told_apart_by_the_folders_around_them(dataset, tmp_path_factory):
    """Cases of one name would be taken for one patient's."""
    above = tmp_path_factory.mktemp("above")
    for where in ("a/x/D", "b/x/D", "c/E"):
        shutil.copytree(dataset, above / where)
    (above / "c" / "E" / "imagesTs_p" / "d.nii.gz").unlink()
    folders = [str(above / where) for where in ("a/x/D", "b/x/D", "c/E")]
    assert run(["compare", *folders, "--output", str(above / "r")]) == 1
    with (above / "r" / "results.csv").open(newline="") as file:
        assert {row["dataset"] for row in csv.DictReader(file)} == {"a/x/D", "b/x/D", "E"}


def test_a_truth_of_several_files_is_not_scored(dataset, capsys):
    write(dataset / "instancesTs" / "d_consensus.nii.gz")
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"{dataset}/instancesTs/d.nii.gz several files for one case, d: d.nii.gz, d_consensus.nii.gz" in said
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        assert {row["case"]: row["voxel_iou"] for row in csv.DictReader(file)} == {"c": "1.000000", "d": ""}


@pytest.mark.parametrize("spelling", ["{}/instancesTs", "{}/instancesTs/", "{}/imagesTs_p/../instancesTs", "{}/link"])
def test_the_truth_is_not_scored_against_itself(dataset, capsys, spelling):
    (dataset / "link").symlink_to(dataset / "instancesTs")
    for command in (("mito", "evaluate", spelling, "{}/instancesTs"), ("ild", "evaluate", spelling, "{}/instancesTs")):
        assert scored(command, dataset) == 2
        assert "is the truth itself" in capsys.readouterr().err
    assert not (dataset / "scores").exists()
    assert scored(("compare", "{}", "--method", f"truth={spelling.format(dataset)}"), dataset) == 1
    assert "is the truth itself" in " ".join(capsys.readouterr().out.split())
    with (dataset / "scores" / "results.csv").open(newline="") as file:
        assert {row["method"] for row in csv.DictReader(file)} == {"p"}


def test_neither_is_a_file_nor_a_folder_of_links_to_it(dataset, capsys):
    (dataset / "links").mkdir()
    for case in "cd":
        (dataset / "links" / f"{case}_pred.nii.gz").symlink_to(dataset / "instancesTs" / f"{case}.nii.gz")
    for given in ("{}/links", "{}/instancesTs"):
        files = (f"{given}/c_pred.nii.gz" if "links" in given else f"{given}/c.nii.gz", "{}/instancesTs/c.nii.gz")
        for command in (("mito", "evaluate", given, "{}/instancesTs"), ("mito", "evaluate", *files)):
            assert scored(command, dataset) == 2
            assert "is the truth itself" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), ("compare", "{}")])
def test_an_ignore_label_that_no_labels_place_is_said_once(dataset, capsys, command):
    describe(dataset, {"background": 0, "mito": 1, "ignore": 2})
    shutil.rmtree(dataset / "labelsTs")
    assert scored(command, dataset) == 0
    said = capsys.readouterr().err
    sentence = "Instances are scored whole, and nothing is ignored: no folder of labels (labelsTs) beside"
    assert said.count(f"{sentence} {dataset}/instancesTs says where the ignore label 2 is") == 1


@pytest.mark.parametrize("things", [(), ("--things", "mito")])
def test_a_case_that_the_labels_beside_instances_lack_is_not_scored(dataset, capsys, things):
    describe(dataset, {"background": 0, "mito": 1, "er": 2, "ignore": 3})
    for case in ("c", "d"):
        write(dataset / "imagesTs_p" / "classes" / f"{case}.nii.gz", IDS > 0)
    (dataset / "labelsTs" / "d.nii.gz").unlink()
    command = ("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs", *things)
    assert scored(command, dataset) == 1
    said = "".join(capsys.readouterr().out.split())
    assert f"{dataset}/instancesTs/d.nii.gz" in said
    assert f"{dataset}/labelsTs/d.*:ismissing;onelabelvolumebesideitsinstances" in said
    assert f"{dataset}/imagesTs_p/d.nii.gz" not in said  # the prediction is not to blame
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    of_mito = {row["case"]: row["voxel_iou"] for row in rows if row.get("class", "mito") == "mito"}
    assert of_mito == {"c": "1.000000", "d": ""}
    assert "labelsTs/d.*: is missing" in rows[-1]["status"]


def test_compare_does_not_score_a_case_that_the_labels_beside_instances_lack(dataset, capsys):
    describe(dataset, {"background": 0, "mito": 1, "ignore": 2})
    (dataset / "labelsTs" / "d.nii.gz").unlink()
    assert scored(("compare", "{}"), dataset) == 1
    assert "labelsTs/d.*:ismissing" in "".join(capsys.readouterr().out.split())
    with (dataset / "scores" / "results.csv").open(newline="") as file:
        assert {row["case"] for row in csv.DictReader(file) if row["metric"] == "voxel_iou" and row["value"]} == {"c"}


@pytest.mark.parametrize("known_by", [None, "labelsTs", "imagesTs", "segs"])
def test_without_a_known_voxel_size_there_are_no_distances_in_mm(tmp_path, capsys, known_by):
    truth = (IDS > 0).astype(np.uint8)
    predicted = truth.copy()
    predicted[:, 0] = 0
    for folder, voxels in (("labelsTs", truth), ("segs", predicted), ("imagesTs", truth * 100)):
        size = {"spacing": (5.0, 2.0, 2.0), "unit": "mm"} if folder == known_by else {}
        for case in ("c", "d"):
            write_volume(tmp_path / folder / f"{case}.tiff", Volume(voxels, **size))
    describe(tmp_path, {"background": 0, "lesion": 1})
    command = ["ild", "evaluate", str(tmp_path / "segs"), str(tmp_path / "labelsTs"), "--tolerance_mm", "1"]
    assert run(command) == 0
    said = capsys.readouterr().err
    assert ("Tolerance of surface Dice: none, since no case has distances" in said) == (known_by is None)
    with (tmp_path / "segs" / "evaluation" / class_tables.RESULTS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(0.8 < float(row["dsc"]) < 1 for row in rows)
    in_mm = {(row["hd95_mm"], row["truth_ml"], row["nsd"] == "") for row in rows}
    assert in_mm == ({("", "", True)} if known_by is None else {("2.000000", "2.000000", False)})
    warning = f"WARNING: {tmp_path}/labelsTs/c.tiff: states no voxel size, nor does its prediction, or an image"
    assert (warning in said) == (known_by is None)
    assert run(command) == 0
    again = capsys.readouterr().err
    assert "done already" in again
    assert (warning in again) == (known_by is None)


def test_a_sidecar_without_a_unit_gives_no_distances_in_mm(tmp_path, capsys):
    truth = (IDS > 0).astype(np.uint8)
    for folder, voxels in (("labelsTs", truth), ("segs", np.roll(truth, 1, axis=1))):
        write_volume(tmp_path / folder / "c.tiff", Volume(voxels))
        (tmp_path / folder / "c.json").write_text('{"spacing": [5, 2, 2]}')
    describe(tmp_path, {"background": 0, "lesion": 1})
    command = ["ild", "evaluate", str(tmp_path / "segs"), str(tmp_path / "labelsTs")]
    assert run(command) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"{tmp_path}/labelsTs/c.json: gives a spacing without a unit" in said
    assert not (tmp_path / "segs" / "evaluation" / class_tables.RESULTS).exists()
    meta = json.loads((tmp_path / "dataset.json").read_text()) | {"spacing_unit": "mm"}
    (tmp_path / "dataset.json").write_text(json.dumps(meta))
    assert run(command) == 0
    with (tmp_path / "segs" / "evaluation" / class_tables.RESULTS).open(newline="") as file:
        assert [row["truth_ml"] for row in csv.DictReader(file)] == ["2.000000"]


@pytest.mark.parametrize(("of_image", "unit", "hausdorff"), [("mm", "mm", 6), (None, "voxel", 3)])
def test_of_a_sidecar_without_a_unit_distances_are_in_voxels_unless_the_image_states_one(
    tmp_path, capsys, of_image, unit, hausdorff
):
    moved = np.roll(IDS, 1, axis=1)
    size = {"spacing": (5.0, 2.0, 2.0), "unit": "mm"} if of_image else {}
    for case in ("c", "d"):
        write_volume(tmp_path / "imagesTs" / f"{case}_0000.tiff", Volume((IDS > 0) * np.uint8(100), **size))
        for folder, voxels in (("instancesTs", IDS), ("imagesTs_p", moved)):
            write_volume(tmp_path / folder / f"{case}.tiff", Volume(voxels))
            (tmp_path / folder / f"{case}.json").write_text('{"spacing": [5, 2, 2]}')
    describe(tmp_path, {"background": 0, "mito": 1})
    assert run(["compare", str(tmp_path), "--output", str(tmp_path / "report")]) == 0
    with (tmp_path / "report" / "results.csv").open(newline="") as file:
        written = {row["metric"]: row["value"] for row in csv.DictReader(file) if row["case"] == "c"}
    assert float(written[f"hd95_{unit}"]) == hausdorff
    assert len([metric for metric in written if metric.startswith("hd95_")]) == 1
    warning = f"WARNING: {tmp_path}/instancesTs/c.json: gives a spacing without a unit: distances are in multiples of"
    assert (warning in capsys.readouterr().err) == (of_image is None)


@pytest.mark.parametrize("command", [("ild", "evaluate", "{}/segs", "{}/labelsTs"), ("compare", "{}")])
def test_a_prediction_of_ids_is_not_one_of_classes(dataset, capsys, command):
    shutil.rmtree(dataset / "instancesTs")
    describe(dataset, {"background": 0, "ggo": 1, "honeycombing": 2, "ignore": 3})
    for folder in ("segs", "imagesTs_p"):
        write(dataset / folder / "c.nii.gz", np.where(IDS == 2, 7, IDS * np.uint8(4)))
    assert scored(command, dataset) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "holds 4, 7 (100 voxels), which no label of dataset.json names; those are ggo (1), honeycombing (2)" in said
    assert "if they are the ids of objects, planewise mito evaluate scores them" in said
    with (dataset / "scores" / "results.csv").open(newline="") as file:
        delivered = {row["case"]: row["value"] for row in csv.DictReader(file) if row["metric"] == "delivered"}
    assert delivered == {"c": "0", "d": "1"}


def test_one_more_class_than_is_named_is_background_and_said(dataset, capsys):
    """The named classes are scored: another program may segment more than this dataset names."""
    shutil.rmtree(dataset / "instancesTs")
    describe(dataset, {"background": 0, "ggo": 1, "honeycombing": 2})
    command = ["ild", "evaluate", str(dataset / "segs"), str(dataset / "labelsTs"), "--output", str(dataset / "scores")]
    for name in ("c", "d"):
        write(dataset / "segs" / f"{name}.nii.gz", IDS)
    assert run(command) == 0
    alone = (dataset / "scores" / "results.csv").read_text()
    with_trachea = IDS.copy()
    with_trachea[0, 0, 5:] = 9
    write(dataset / "segs" / "c.nii.gz", with_trachea)
    capsys.readouterr()
    assert run(command) == 0
    assert "holds 9 (3 voxels), which no label" in " ".join(capsys.readouterr().err.split())
    assert (dataset / "scores" / "results.csv").read_text() == alone


def test_where_nothing_names_the_classes_it_is_said_what_is_scored(dataset, capsys):
    (dataset / "dataset.json").unlink()
    assert run(["ild", "evaluate", str(dataset / "imagesTs_p"), str(dataset / "instancesTs")]) == 0
    assert "No dataset.json names the classes: each value in the truth is a class: 1, 2" in capsys.readouterr().err


def write_manifest_of(folder, command, *names):
    outputs = {name: fingerprint(folder / name) for name in names}
    cases = {"c": CaseRecord({"image": "1"}, outputs)}
    write_manifest(folder / MANIFEST, Manifest(MadeFrom({"command": command}, {}), "m.yaml", cases))


@pytest.mark.parametrize(
    ("command", "predict", "truth"),
    [
        (("mito", "evaluate", "{}/instancesTs", "{}/imagesTs_p"), "mito predict", "imagesTs_p"),
        (("mito", "evaluate", "{}/instancesTs/c.nii.gz", "{}/imagesTs_p/c.nii.gz"), "mito predict", "imagesTs_p"),
        (("ild", "evaluate", "{}/labelsTs", "{}/segs"), "ild predict", "segs"),
        (("compare", "{}"), "mito predict", "instancesTs"),
    ],
    ids=["mito", "file", "ild", "compare"],
)
def test_what_planewise_predicted_is_no_truth(dataset, capsys, command, predict, truth):
    write_manifest_of(dataset / truth, predict, "c.nii.gz", "d.nii.gz")
    assert scored(command, dataset) == 2
    said = capsys.readouterr().err
    assert f"{dataset}/{truth}" in said
    assert f"is given as the truth, and planewise {predict} wrote c.nii.gz" in said
    assert "Give the predictions first and the truth second" in said
    assert not (dataset / "scores").exists()


@pytest.mark.parametrize("way", ["links", "sidecars"])
def test_a_predicted_truth_is_none_by_a_link_nor_with_a_sidecar(dataset, capsys, way):
    write_manifest_of(dataset / "imagesTs_p", "mito predict", "c.nii.gz", "d.nii.gz")
    truth = dataset / "links" if way == "links" else dataset / "imagesTs_p"
    truth.mkdir(exist_ok=True)
    for case in "cd":
        if way == "links":
            (truth / f"{case}.nii.gz").symlink_to(dataset / "imagesTs_p" / f"{case}.nii.gz")
        else:
            (truth / f"{case}.json").write_text('{"spacing": [30, 4, 4]}')
    assert scored(("mito", "evaluate", "{}/instancesTs", str(truth)), dataset) == 2
    assert f"{truth}: is given as the truth, and planewise mito predict wrote c.nii.gz" in capsys.readouterr().err


def test_a_manifest_beside_the_truth_that_cannot_be_read_is_a_warning(dataset, capsys):
    (dataset / "instancesTs" / MANIFEST).write_text('{"cases": []}')
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 0
    warning = f"WARNING: {dataset}/instancesTs/planewise.json: is not a manifest of planewise"
    assert capsys.readouterr().err.count(warning) == 1


def test_a_prediction_that_was_corrected_may_be_a_truth(dataset, tmp_path):
    write_manifest_of(dataset / "instancesTs", "mito predict", "c.nii.gz", "d.nii.gz")
    table = tmp_path / "actions.csv"
    table.write_text("case,action,arguments,item\nc,confirm,1 2,\nd,confirm,1 2,\n")
    assert run(["correct", str(dataset / "instancesTs"), "--actions", str(table)]) == 0
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 0


def test_only_those_that_were_corrected_are_a_truth(dataset, tmp_path, capsys):
    """One corrected file says nothing of the others in its folder."""
    write_manifest_of(dataset / "instancesTs", "mito predict", "c.nii.gz", "d.nii.gz")
    table = tmp_path / "actions.csv"
    table.write_text("case,action,arguments,item\nc,confirm,1 2,\n")
    assert run(["correct", str(dataset / "instancesTs"), "--actions", str(table)]) == 0
    capsys.readouterr()
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert f"{dataset}/instancesTs/d.nii.gz its truth d.nii.gz is a prediction: planewise mito predict wrote it" in said
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        assert {row["case"]: row["voxel_iou"] for row in csv.DictReader(file)} == {"c": "1.000000", "d": ""}


def test_two_files_of_different_names_are_paired_and_it_is_said(dataset, capsys):
    (dataset / "imagesTs_p" / "c.nii.gz").rename(dataset / "c_other.nii.gz")
    files = (dataset / "c_other.nii.gz", dataset / "instancesTs" / "c.nii.gz")
    assert scored(("mito", "evaluate", *map(str, files)), dataset) == 0
    assert "c_other.nii.gz is scored against c.nii.gz, as each is the only file given" in capsys.readouterr().err


def test_results_of_single_planes_are_no_cases(dataset, capsys):
    for plane in ("xy", "xz"):
        write(dataset / "imagesTs_p" / f"c_{plane}.nii.gz")
        for z in range(4):
            write_labels(dataset / "imagesTs_p" / plane / f"z{z}.tif", Volume(IDS[z : z + 1]))
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 0
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["c", "d"]
    said = f"{dataset}/imagesTs_p: xy, xz: results of single planes, by name or manifest; they are not scored"
    assert said in capsys.readouterr().err


def test_a_truth_is_a_case_whatever_its_name(dataset, capsys):
    write(dataset / "instancesTs" / "c_xy.nii.gz")
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 1
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["c", "c_xy", "d"]


def test_planes_of_a_corrected_truth_are_no_cases_beside_those_of_a_prediction(dataset, tmp_path, capsys):
    for folder in ("imagesTs_p", "instancesTs"):
        write(dataset / folder / "c_xy.nii.gz")
    write_manifest_of(dataset / "instancesTs", "mito predict", "c.nii.gz", "c_xy.nii.gz")
    table = tmp_path / "actions.csv"
    table.write_text("case,action,arguments,item\nc,confirm,1 2,\n")
    assert run(["correct", str(dataset / "instancesTs" / "c.nii.gz"), "--actions", str(table)]) == 0
    assert scored(("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), dataset) == 0
    with (dataset / "scores" / RESULTS).open(newline="") as file:
        assert [row["case"] for row in csv.DictReader(file)] == ["c", "d"]
    assert "c_xy.nii.gz: results of single planes" in capsys.readouterr().err


def test_a_renamed_folder_of_predictions_is_not_said_to_have_files_that_cannot_be_used(dataset, capsys):
    command = ("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs")
    assert scored(command, dataset) == 0
    (dataset / "imagesTs_p").rename(dataset / "imagesTs_q")
    assert scored([part.replace("_p", "_q") for part in command], dataset) == 0
    said = capsys.readouterr().err
    assert f"the methods in {dataset.name}; the prediction of c, d, by another path" in said
    assert "cannot be used" not in said


@pytest.mark.parametrize("broken", ["nowhere", "d.nii.gz"], ids=["nowhere", "to itself"])
def test_a_link_that_leads_nowhere_is_a_file_that_cannot_be_read(dataset, capsys, broken):
    for folder in ("imagesTs_p", "instancesTs"):
        for name in ("d.nii.gz", "e.nii.gz"):  # of e there is no prediction, or no truth
            (dataset / folder / name).unlink(missing_ok=True)
    (dataset / "imagesTs_p" / "d.nii.gz").symlink_to(dataset / "imagesTs_p" / broken)
    (dataset / "instancesTs" / "e.nii.gz").symlink_to(dataset / "instancesTs" / broken.replace("d", "e"))
    for command in (("mito", "evaluate", "{}/imagesTs_p", "{}/instancesTs"), ("compare", "{}")):
        assert scored(command, dataset) == 1
        said = " ".join(capsys.readouterr().out.split())
        assert "no such file" in said
        assert f"{dataset}/imagesTs_p/d.nii.gz" in said
        assert f"{dataset}/instancesTs/e.nii.gz" in said
        shutil.rmtree(dataset / "scores")


def test_a_tolerance_in_a_unit_of_no_case_is_said_to_change_nothing(dataset, capsys):
    command = ("compare", "{}", "--tolerance_nm", "5", "--tolerance_mm", "3")
    for _ in range(2):  # also where it is done already
        assert scored(command, dataset) == 0
        said = capsys.readouterr().err
        assert "WARNING: --tolerance_nm changes nothing: no case has distances in nm" in said
        assert "--tolerance_mm changes" not in said
