"""Every label volume is read once, whatever is written about it: tables, pages and pictures."""

import json
from collections import Counter

import numpy as np
import pytest

from planewise.cli import run
from planewise.evaluation import open_pairs
from planewise.volumes import labels as label_volumes
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


@pytest.fixture
def reads(monkeypatch):
    """How often every voxel of a label file was read, on average, by the file's folder and name."""
    voxels = Counter()
    read_voxels = label_volumes.read_voxels

    def counting(volume, path, index=...):
        result = read_voxels(volume, path, index)
        voxels[f"{path.parent.name}/{path.name}"] += result.size / np.prod(volume.shape)
        return result

    monkeypatch.setattr(label_volumes, "read_voxels", counting)
    return voxels


@pytest.fixture
def dataset(tmp_path, balls):
    folder = tmp_path / "Dataset001_Balls"
    for case in ("one", "two"):
        write_volume(folder / "imagesTs" / f"{case}_0000.nii.gz", Volume((balls * 20).astype(np.uint8), unit="mm"))
        write_labels(folder / "instancesTs" / f"{case}.nii.gz", Volume(balls, unit="mm"))
        write_labels(folder / "labelsTs" / f"{case}.nii.gz", Volume((balls > 0) + (balls > 3) * np.uint8(1), unit="mm"))
        for method in ("m", "n"):
            predicted = np.roll(balls, 1, 2)
            classes = (predicted > 0) + (predicted > 3) * np.uint8(1)
            write_labels(folder / f"imagesTs_{method}" / f"{case}.nii.gz", Volume(predicted, unit="mm"))
            write_labels(folder / f"classes_{method}" / f"{case}.nii.gz", Volume(classes, unit="mm"))
    (folder / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "a": 1, "b": 2}}))
    return folder


def expected(*folders):
    return {f"{folder}/{case}.nii.gz": 1 for folder in folders for case in ("one", "two")}


def test_compare(dataset, reads):
    assert run(["compare", str(dataset), "--output", str(dataset / "r")]) == 0
    assert reads == expected("instancesTs", "imagesTs_m", "imagesTs_n")


def test_ild_evaluate(dataset, reads):
    folders = [str(dataset / name) for name in ("classes_m", "labelsTs")]
    assert run(["ild", "evaluate", *folders, "--beside", str(dataset / "classes_n")]) == 0
    assert reads == expected("labelsTs", "classes_m", "classes_n")
    assert "data:image/jpeg" in (dataset / "classes_m" / "evaluation" / "report.html").read_text()


def test_mito_evaluate(dataset, reads):
    assert run(["mito", "evaluate", str(dataset / "imagesTs_m"), str(dataset / "instancesTs")]) == 0
    assert reads == expected("instancesTs", "imagesTs_m")


def test_of_several_classes_a_truth_is_counted_once(dataset, monkeypatch):
    counted, count_values = [], open_pairs.count_values
    monkeypatch.setattr(open_pairs, "count_values", lambda labels: counted.append(labels) or count_values(labels))
    folders = [str(dataset / name) for name in ("classes_m", "labelsTs")]
    assert run(["mito", "evaluate", *folders, "--things", "none"]) == 0
    assert len(counted) == 2  # cases, of two classes each
    results = (dataset / "classes_m" / "evaluation" / "evaluation_results.csv").read_text()
    assert [line.split(",")[:2] for line in results.splitlines()[1:]] == [
        ["one", "a"], ["two", "a"], ["one", "b"], ["two", "b"],
    ]  # fmt: skip


def test_the_test_after_a_training(dataset, reads, tmp_path):
    from planewise.apps.mito.test_cases import evaluate_test_cases
    from planewise.data.case import Case
    from planewise.data.classes import LabelDefinition
    from planewise.data.nnunet import Dataset

    cases = [
        Case(name, dataset / "imagesTs" / f"{name}_0000.nii.gz", dataset / "instancesTs" / f"{name}.nii.gz", True)
        for name in ("one", "two")
    ]
    problems = []
    evaluate_test_cases(
        Dataset(dataset, LabelDefinition(), [], cases), None, dataset / "imagesTs_m", tmp_path / "pictures", problems
    )
    assert problems == []
    assert reads == expected("instancesTs", "imagesTs_m")
    assert (tmp_path / "pictures" / "one.png").stat().st_size > 10_000
    assert "F1 at IoU 0.5" in (dataset / "imagesTs_m" / "evaluation" / "report.html").read_text()


def test_what_does_not_fit_is_read_slab_by_slab_with_the_same_scores(dataset, reads, monkeypatch):
    assert run(["compare", str(dataset), "--output", str(dataset / "kept")]) == 0
    monkeypatch.setattr(open_pairs, "KEPT_BYTES", 0)
    assert run(["compare", str(dataset), "--output", str(dataset / "slabs")]) == 0
    assert reads["instancesTs/one.nii.gz"] > 2
    for name in ("results.csv", "results.json", "report.html"):
        assert (dataset / "kept" / name).read_text() == (dataset / "slabs" / name).read_text()
