"""Classes without objects, in EM and in CT: trained slice by slice, predicted in three planes, scored by class."""

import csv
import json

import numpy as np
import pytest

import planewise
from planewise.cli import run
from planewise.data.phantom import write_chest_dataset, write_phantom_dataset
from planewise.report.class_tables import RESULTS as CLASS_RESULTS
from planewise.report.tables import RESULTS
from planewise.volumes.files import open_volume

SMALL = ["--model_config", "MitoNet_small", "--from_scratch", "--model_name", "M", "--batch_size", "2", "--patch_size",
         "32", "--num_workers", "0", "--device", "cpu", "--things", "none"]  # fmt: skip


@pytest.fixture(scope="module")
def em(tmp_path_factory):
    """A dataset of three classes, with instances of two of them, and a model of the classes that has seen little."""
    folder = tmp_path_factory.mktemp("dense")
    write_phantom_dataset(folder / "Dataset001_Cells", 0, (32, 64, 72), (24, 40, 56), 2, bodies=8, organelles=True)
    assert run(["mito", "train", str(folder / "Dataset001_Cells"), str(folder / "m"), "--iterations", "3", *SMALL]) == 0
    return folder


def predict(folder, images, *more):
    words = ["--trained_model", folder / "m" / "M.yaml", "--input", images, "--device", "cpu", *more]
    return run(["mito", "predict", *map(str, words)])


def test_three_planes_make_one_volume_of_classes_and_nothing_beside_it(em, capsys):
    images, output = em / "Dataset001_Cells" / "imagesTs", em / "predicted"
    assert predict(em, images, "--output", output, "--axes", "xy", "xz", "yz") == 0
    assert sorted(path.name for path in output.iterdir()) == ["dataset.json", "phantom_test1.tiff", "planewise.json"]
    labels = open_volume(output / "phantom_test1.tiff")
    assert labels.shape == (24, 40, 56)
    assert labels.spacing == (8, 8, 8)
    assert set(np.unique(labels.read())) <= {0, 1, 2, 3}
    names = json.loads((output / "dataset.json").read_text())["labels"]
    assert names == json.loads((em / "Dataset001_Cells" / "dataset.json").read_text())["labels"]
    assert predict(em, images, "--output", output, "--axes", "xy", "xz", "yz") == 0
    assert "done already" in capsys.readouterr().err


def test_every_class_is_scored_by_its_voxels(em):
    """After training, by mito evaluate, and by what scores the classes of CT."""
    dataset = em / "Dataset001_Cells"
    again = ["--iterations", "3", "--resume", "--test_after_training", *SMALL]
    assert run(["mito", "train", str(dataset), str(em / "m"), *again]) == 0
    output = dataset / "imagesTs_mitoNet_FT"
    words = [str(output), str(dataset / "labelsTs"), "--things", "none", "--output", str(em / "scores")]
    assert run(["mito", "evaluate", *words]) == 0
    assert run(["ild", "evaluate", str(output), str(dataset / "labelsTs"), "--output", str(em / "by_ild")]) == 0
    by_ild = {row["name"]: row["dsc"] for row in read(em / "by_ild" / CLASS_RESULTS)}
    after_training, by_evaluate = (read(folder / RESULTS) for folder in (output / "evaluation", em / "scores"))
    assert after_training == by_evaluate
    assert by_ild.keys() == {"mitochondria", "nucleus", "er"}
    for row in after_training:
        assert row["scored"] == "voxels"
        assert float(row["voxel_dice"]) == pytest.approx(float(by_ild[row["class"]]), abs=1e-3)


def read(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_cannot_be_averaged_says_what_to_do(em, capsys):
    image = em / "Dataset001_Cells" / "imagesTs" / "phantom_test1_0000.tiff"
    assert predict(em, image, "--output", em / "out", "--memory", "100KB") == 1
    assert "probabilities" in capsys.readouterr().out
    assert not (em / "out" / "phantom_test1.tiff").exists()
    assert predict(em, image, "--output", em / "s.ome.zarr", "--fuse", "probabilities") == 2
    assert "works in memory, so it cannot write into" in capsys.readouterr().err


def test_from_python_the_classes_are_what_is_returned(em):
    image = em / "Dataset001_Cells" / "imagesTs" / "phantom_test1_0000.tiff"
    assert predict(em, image, "--output", em / "file", "--axes", "xy", "yz") == 0
    labels = planewise.segment(image, em / "m" / "M.yaml", axes=("xy", "yz"), device="cpu")
    assert np.array_equal(labels.read(), open_volume(em / "file" / "phantom_test1.tiff").read())


def test_votes_are_had_too(em):
    images = em / "Dataset001_Cells" / "imagesTs"
    assert predict(em, images, "--output", em / "voted", "--fuse", "votes") == 0
    voted = open_volume(em / "voted" / "classes" / "phantom_test1.tiff").read()
    assert voted.shape == (24, 40, 56)


def test_probabilities_of_objects_are_refused(em, capsys):
    written = (em / "m" / "M.yaml").read_text()
    (em / "m" / "Things.yaml").write_text(written.replace("thing_list: []", "thing_list: [1]", 1))
    words = ["--trained_model", em / "m" / "Things.yaml", "--input", em / "Dataset001_Cells" / "imagesTs", "--output"]
    assert run(["mito", "predict", *map(str, words), str(em / "no"), "--fuse", "probabilities"]) == 2
    assert "is for several classes without things" in capsys.readouterr().err


def test_a_chest_ct_in_nifti(tmp_path):
    write_chest_dataset(tmp_path / "Dataset002_Chest", 0, (16, 64, 64), train_cases=2)
    train = ["mito", "train", str(tmp_path / "Dataset002_Chest"), str(tmp_path / "m"), "--iterations", "2", *SMALL]
    assert run([*train, "--train_planes", "xy", "--intensity", "-1000", "400"]) == 0
    images = tmp_path / "Dataset002_Chest" / "imagesTs"
    window = ["--intensity", "-1000", "400", "--axes", "xy", "xz", "yz"]
    assert predict(tmp_path, images, "--output", tmp_path / "p", *window) == 0
    image = min(images.glob("*.nii.gz"))
    result = open_volume(tmp_path / "p" / image.name.replace("_0000", ""))
    truth = open_volume(image)
    assert (result.shape, result.spacing, result.unit) == (truth.shape, truth.spacing, "mm")
