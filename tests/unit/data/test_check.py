"""What check says of a truth is what trainings and scores make of it."""

import json

import numpy as np
import pytest

from planewise.cli import run
from planewise.data.case import Case
from planewise.data.check import CheckedCase, check_truth
from planewise.data.classes import LabelDefinition, Target
from planewise.data.instances import read_instances
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

IDS = np.zeros((6, 20, 20), np.uint8)
IDS[:, 2:6, 2:6], IDS[:, 10:14, 10:14] = 1, 2


@pytest.fixture
def dataset(tmp_path):
    """A dataset of two classes: one case of instances, the classes beside them, and a method's prediction of both."""

    def written(part, labels, classes):
        image = np.random.default_rng(0).integers(0, 255, IDS.shape).astype(np.uint8)
        write_volume(tmp_path / f"images{part}" / "case_0000.tiff", Volume(image, (8.0,) * 3, "nm"))
        write_labels(tmp_path / f"instances{part}" / "case.tiff", Volume(IDS, (8.0,) * 3, "nm"))
        write_labels(tmp_path / f"labels{part}" / "case.tiff", Volume(classes, (8.0,) * 3, "nm"))
        for folder, voxels in (("imagesTs_m", IDS), ("imagesTs_m/classes", IDS)):
            write_labels(tmp_path / folder / "case.tiff", Volume(voxels, (8.0,) * 3, "nm"))
        meta = {"channel_names": {"0": "EM"}, "labels": {"background": 0, **labels}, "file_ending": ".tiff"}
        (tmp_path / "dataset.json").write_text(json.dumps(meta))
        return tmp_path

    return written


def test_values_without_a_name_beside_instances_are_a_problem_where_evaluate_refuses_them(dataset, capsys):
    classes = IDS.copy()
    classes[:, 16:, 16:] = 7
    folder = dataset("Ts", {"mito": 1, "er": 2}, classes)
    words = "holds7(96voxels),whichnolabelofdataset.jsonnames;thosearemito(1),er(2)."
    scored = ["mito", "evaluate", str(folder / "imagesTs_m"), str(folder / "instancesTs"), "--things", "mito", "er"]
    for command in (["check", str(folder)], scored):
        assert run(command) == 1
        assert words in "".join(capsys.readouterr().out.split())


def test_objects_that_are_all_ignored_cannot_be_learned(dataset, capsys):
    ignored = np.full_like(IDS, 3)
    folder = dataset("Tr", {"mito": 1, "ignore": 3}, ignored)
    labels = LabelDefinition({1: "mito"}, ignore=3)
    case = Case("case", folder / "imagesTr" / "case_0000.tiff", folder / "instancesTr" / "case.tiff", instances=True)
    entry = CheckedCase("case", "Tr")
    assert check_truth(case, labels, entry) == []
    assert (entry.classes["objects"].voxels, entry.classes["objects"].objects) == (0, 0)
    with pytest.raises(PlanewiseError, match=r"all that it has lies in voxels of the ignore label \(3\) in labelsTr"):
        read_instances(case, Target("instances", (), 3))
    assert run(["check", str(folder)]) == 1
    assert "no training case has objects: it cannot be learned" in capsys.readouterr().out
    ignored[:, 10:14, 10:14] = 0
    dataset("Tr", {"mito": 1, "ignore": 3}, ignored)
    check_truth(case, labels, entry)
    assert (entry.classes["objects"].voxels, entry.classes["objects"].objects) == (96, 1)
    assert run(["check", str(folder)]) == 0
