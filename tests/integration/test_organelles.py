"""Several organelles as a user runs them: trained, predicted in memory and in stores, scored and measured by class."""

import csv
import json

import numpy as np
import pytest

from planewise.apps.mito.classes import trained_target
from planewise.apps.mito.train_options import MitoTrain
from planewise.cli import run
from planewise.data.nnunet import open_dataset
from planewise.data.phantom import write_phantom_dataset
from planewise.models.model_file import find_model_file, read_model_file
from planewise.report.tables import RESULTS
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

SMALL = ["--model_config", "MitoNet_small.yaml", "--from_scratch", "--patch_size", "32", "--batch_size", "2",
         "--num_workers", "0", "--device", "cpu", "--iterations", "2", "--model_name", "M"]  # fmt: skip
THINGS = ["--things", "mitochondria", "nucleus"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("organelles") / "Dataset000_Organelles"
    write_phantom_dataset(folder, 0, (32, 48, 48), (32, 64, 64), 1, bodies=6, organelles=True)
    return folder


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_a_model_of_three_classes_is_trained_and_used(dataset, tmp_path, capsys):
    assert run(["mito", "train", str(dataset), str(tmp_path / "m"), *SMALL, *THINGS, "--test_after_training"]) == 0
    printed = " ".join("".join(capsys.readouterr()).split())
    assert "things, with separate objects: mitochondria (1), nucleus (2); stuff: er (3)" in printed
    model = read_model_file(tmp_path / "m" / "M.yaml")
    assert model.class_names == {1: "mitochondria", 2: "nucleus", 3: "er"}
    assert (model.thing_list, model.outputs, model.calibration) == ([1, 2], 4, None)
    results = dataset / "imagesTs_mitoNet_FT"
    scored = rows(results / "evaluation" / RESULTS)
    assert [(row["class"], row["scored"]) for row in scored] == [
        ("mitochondria", "objects"),
        ("nucleus", "objects"),
        ("er", "voxels"),
    ]
    names = {row["class"] for row in rows(results / "evaluation" / "results.csv")}
    assert names == {"mitochondria", "nucleus", "er"}
    assert (results / "evaluation" / "report.html").stat().st_size > 10_000
    about = json.loads((results / "classes" / "dataset.json").read_text())
    assert about["labels"] == {"background": 0, "mitochondria": 1, "nucleus": 2, "er": 3}

    def predict(output, *options):
        image = str(dataset / "imagesTs" / "phantom_test1_0000.tiff")
        words = ["--trained_model", str(tmp_path / "m" / "M.yaml"), "--input", image, "--output", str(output)]
        # so low a confidence that whoever has learned nothing finds something
        less = [
            "--confidence_thr",
            "0.01",
            "--center_confidence_thr",
            "0.0001",
            "--min_size",
            "20",
            "--min_extent",
            "1",
        ]
        return run(["mito", "predict", *words, *less, *options])

    assert predict(tmp_path / "memory") == 0
    assert predict(tmp_path / "stores" / "phantom_test1.ome.zarr") == 0
    for place in ("phantom_test1", "phantom_test1_xy", "classes/phantom_test1"):
        stored = open_volume(tmp_path / "stores" / f"{place}.ome.zarr").read()
        assert np.array_equal(open_volume(tmp_path / "memory" / f"{place}.tiff").read(), stored), place
    assert stored.any()
    tables = [(tmp_path / name / "phantom_test1_objects.csv").read_text() for name in ("memory", "stores")]
    assert tables[0] == tables[1]
    assert tables[0].splitlines()[0].endswith(",class")
    names = tmp_path / "stores" / "classes" / "dataset.json"
    names.write_text(names.read_text().replace("nucleus", "vacuole"))
    assert predict(tmp_path / "stores" / "again.ome.zarr") == 2
    assert "names the classes of other results" in " ".join("".join(capsys.readouterr()).split())
    assert not list((tmp_path / "stores").glob("again*"))  # refused before any work
    assert predict(tmp_path / "other", "--pixel_vote_thr", "1") == 1
    assert "more than half of 3 planes must agree" in " ".join("".join(capsys.readouterr()).split())


def test_results_of_several_classes_are_scored_and_measured_class_by_class(dataset, tmp_path, capsys):
    ids, classes = (read_labels(dataset / f"{kind}Ts" / "phantom_test1.tiff") for kind in ("instances", "labels"))
    write_labels(tmp_path / "phantom_test1.tiff", ids.with_voxels(ids.voxels * (classes.voxels == 1)))
    (tmp_path / "classes").mkdir()
    result = classes.with_voxels(classes.voxels * (classes.voxels != 2))
    write_labels(tmp_path / "classes" / "phantom_test1.tiff", result)
    assert run(["mito", "evaluate", str(tmp_path), str(dataset / "instancesTs"), *THINGS]) == 0
    scored = {row["class"]: row for row in rows(tmp_path / "evaluation" / RESULTS)}
    assert [scored[name]["f1_50"] for name in ("mitochondria", "nucleus")] == ["1.000000", "0.000000"]
    assert scored["nucleus"]["n_pred"] == "0"
    assert (scored["er"]["voxel_iou"], scored["er"]["f1_50"]) == ("1.000000", "")

    (tmp_path / "classes" / "dataset.json").write_text((dataset / "dataset.json").read_text())
    assert run(["mito", "measure", str(tmp_path), "--classes", str(tmp_path / "classes")]) == 0
    contacts = rows(tmp_path / "measures" / "class_contacts.csv")
    assert [(row["first_class"], row["second_class"]) for row in contacts] == [("mitochondria", "er")]
    objects = rows(tmp_path / "measures" / "objects.csv")
    assert {row["class"] for row in objects} == {"mitochondria"}
    area = "er_contact_area_voxels2" if "er_contact_area_voxels2" in objects[0] else "er_contact_area_um2"
    total = float(contacts[0][area.removeprefix("er_")])
    assert sum(float(row[area]) for row in objects) == pytest.approx(total, rel=0.02)
    assert int(contacts[0]["first_objects"]) == sum(row["er_contacts"] == "1" for row in objects) > 0
    assert contacts[0]["second_objects"] == ""  # ER has no objects
    assert all(row["mitochondria_contacts"] == "" for row in objects)


@pytest.fixture
def corrected(tmp_path):
    """A result as good as the truth, two mitochondria, a nucleus and ER; actions.csv merges the nucleus with a
    mitochondrion and draws an object on ER."""
    ids, classes = np.zeros((2, 16, 16, 16), np.uint8)
    ids[:, :4, :4], ids[:, 8:12, :4], ids[:, :8, 8:] = 1, 2, 3
    classes[:, :4, :4], classes[:, 8:12, :4], classes[:, :8, 8:], classes[:, 12:, 8:] = 1, 1, 2, 3
    labels = {"labels": {"background": 0, "mito": 1, "nucleus": 2, "er": 3}}
    (tmp_path / "dataset.json").write_text(json.dumps(labels))
    for place, voxels in (("instancesTs", ids), ("labelsTs", classes), ("result", ids), ("result/classes", classes)):
        write_labels(tmp_path / place / "a.tiff", Volume(voxels, (5.0, 5.0, 5.0), "nm"))
    (tmp_path / "result" / "classes" / "dataset.json").write_text(json.dumps(labels | {"things": ["mito", "nucleus"]}))
    actions = tmp_path / "actions.csv"
    actions.write_text("case,action,arguments,item\na,merge,3 1,\na,new,box 4 8 13 15 10 14,\n")
    return tmp_path


def test_after_corrections_an_object_is_of_one_class_as_a_whole_and_what_is_doubtful_is_named(corrected, capsys):
    behind = "was corrected with planewise correct, but"
    assert run(["correct", str(corrected / "result"), "--actions", str(corrected / "actions.csv")]) == 0
    assert behind in " ".join(capsys.readouterr().err.split())
    words = ["mito", "evaluate", str(corrected / "result"), str(corrected / "instancesTs")]
    assert run([*words, "--things", "mito", "nucleus"]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert behind in printed
    assert "object 3 (256 voxels of mito, 1,024 voxels of nucleus)" in printed
    assert "in no class of things: object 4 (32 voxels of er)" in printed
    scored = {row["class"]: row for row in rows(corrected / "result" / "evaluation" / RESULTS)}
    # of mito: 2, and 4, which lies in no class; of nucleus: 3, with the mitochondrion's voxels, and 4
    assert [scored[name]["n_pred"] for name in ("mito", "nucleus")] == ["2", "2"]
    assert float(scored["mito"]["f1_50"]) == 0.5
    assert float(scored["nucleus"]["f1_75"]) == pytest.approx(2 / 3, abs=1e-5)  # its IoU is 1024 / 1280

    compared = ["compare", str(corrected), "--method", f"m={corrected / 'result'}"]
    assert run([*compared, "--output", str(corrected / "out")]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "which are scored here as one class; planewise mito evaluate --things" in said

    words = ["mito", "measure", str(corrected / "result"), "--classes", str(corrected / "result" / "classes")]
    assert run(words) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert behind in printed
    assert "in no class of things: object 4 (32 voxels of er); they are measured as without a class" in printed
    objects = rows(corrected / "result" / "measures" / "objects.csv")
    assert [(row["label"], row["class"]) for row in objects] == [("2", "mito"), ("3", "nucleus"), ("4", "")]


def test_without_names_of_classes_the_file_that_was_looked_for_is_named(corrected, capsys):
    (corrected / "dataset.json").unlink()
    words = ["mito", "evaluate", str(corrected / "result"), str(corrected / "instancesTs"), *THINGS]
    assert run(words) == 2
    assert f"there is no {(corrected / 'dataset.json').resolve()}" in " ".join(capsys.readouterr().err.split())


def test_objects_of_all_classes_are_trained_as_one_without_things_which_is_said(dataset, capsys):
    opened = open_dataset(dataset, need_test=False)
    options = MitoTrain(dataset_path=dataset, model_dir=dataset.parent / "m")
    assert trained_target(opened, options, read_model_file(find_model_file("MitoNet_small.yaml"))) is None
    printed = " ".join(capsys.readouterr().err.split())
    assert "objects of mitochondria, nucleus, er are trained as one class" in printed
    assert "--things" in printed


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--things", "golgi"], "--things: golgi: no such class"),
        ([*THINGS, "--class", "er"], "--class er: is for one class"),
        ([*THINGS, "--self_training", "1"], "--self_training 1: is for one class"),
    ],
)
def test_what_several_classes_cannot_be_is_refused_before_any_work(dataset, tmp_path, options, words, capsys):
    assert run(["mito", "train", str(dataset), str(tmp_path / "m"), *SMALL, *options]) == 2
    assert words in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "m").exists()
