"""What a dataset's truth holds besides what is trained is said before any work, under its file's name."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import tifffile

from planewise.cli import run
from planewise.data.check import check_training_truths
from planewise.data.nnunet import open_dataset
from planewise.data.phantom import write_phantom_dataset
from planewise.volumes.files import open_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


@pytest.fixture
def dataset(tmp_path):
    write_phantom_dataset(tmp_path / "data", 0, (24, 48, 48), (16, 32, 32), 3, bodies=6)
    return tmp_path / "data"


def train(dataset, *more):
    small = "--model_config MitoNet_small.yaml --from_scratch --iterations 1 --patch_size 32 --batch_size 2"
    on_cpu = "--num_workers 0 --device cpu"
    return run(["mito", "train", str(dataset), str(dataset.parent / "m"), *small.split(), *on_cpu.split(), *more])


@pytest.mark.parametrize(("spoil", "words"), [(-1, "negative values"), (0.5, "fractions")])
def test_a_truth_that_holds_no_labels_is_left_out_at_the_start(dataset, capsys, spoil, words):
    path = sorted((dataset / "instancesTr").glob("*.tiff"))[0]
    labels = np.asarray(open_volume(path).read())
    labels = labels.astype(np.float32 if spoil == 0.5 else np.int16)
    labels[0, 0, 0] = spoil
    tifffile.imwrite(path, labels)
    assert train(dataset, "--train_planes", "xy") == 1
    printed = capsys.readouterr()
    rows = [line for line in printed.out.splitlines() if path.name in line]
    assert len(rows) == 1
    assert f"{path}" in rows[0]
    assert words in rows[0]
    assert rows[0].count(path.name) == 1
    lines = [line for line in printed.err.splitlines() if line.startswith("phantom_train")]
    assert lines
    assert len(lines) == len(set(lines))


def test_without_any_labels_there_is_no_training(dataset, capsys):
    for path in (dataset / "instancesTr").glob("*.tiff"):
        tifffile.imwrite(path, np.full(open_volume(path).shape, -1, np.int16))
    assert train(dataset) == 2
    assert capsys.readouterr().err.count("negative values") == 3
    assert sorted(item.name for item in dataset.parent.iterdir()) == ["data"]


def test_a_case_with_values_without_a_name_is_not_trained_on(dataset, capsys):
    """They would be background, whatever they show: objects with ids, or what nobody has labelled."""
    shutil.rmtree(dataset / "instancesTr")
    cases = sorted((dataset / "labelsTr").glob("*.tiff"))
    labels = np.asarray(open_volume(cases[0]).read()).astype(np.uint8)
    labels[0, 0, :4], labels[0, 1, 0] = 255, 7
    write_labels(cases[0], Volume(labels))
    assert train(dataset, "--train_planes", "xy", "--ignore_geometry") == 1
    told = capsys.readouterr()
    row = next(line for line in told.out.splitlines() if cases[0].name in line)
    assert "holds 7, 255 (5 voxels), which no label of dataset.json names; those are" in row
    assert "belongs in instancesTr" in row
    assert '"ignore": 255' in row
    for path in cases[1:]:
        write_labels(path, Volume(labels))
    assert train(dataset, "--train_planes", "xy", "--ignore_geometry", "--overwrite") == 2
    assert "has no training case with usable labels" in capsys.readouterr().err


def test_a_mask_given_as_instances_is_said(dataset):
    path = sorted((dataset / "instancesTr").glob("*.tiff"))[0]
    tifffile.imwrite(path, (open_volume(path).read() > 0).astype(np.uint8), photometric="minisblack")
    opened = open_dataset(dataset)
    usable, problems, notes = check_training_truths(opened.train, opened.labels, lambda name: None)
    assert (len(usable), problems, len(notes)) == (3, [], 1)
    assert notes[0].startswith(f"{path} has one id for ")


def test_instances_beside_a_truth_with_values_without_a_name(dataset):
    """Where that truth is read, for the ignore label or the classes, the case is not trained on."""
    path = sorted((dataset / "labelsTr").glob("*.tiff"))[0]
    labels = np.asarray(open_volume(path).read()).astype(np.uint8)
    labels[0] = 9
    write_labels(path, Volume(labels))
    opened = open_dataset(dataset)

    def checked(labels, **how):
        usable, problems, notes = check_training_truths(opened.train, labels, lambda name: None, **how)
        return len(usable), [problem.where for problem in problems], [note.partition(": ")[0] for note in notes]

    assert checked(opened.labels) == (3, [], [str(path)])
    assert checked(opened.labels, several=True) == (2, [str(path)], [])
    assert checked(replace(opened.labels, ignore=2)) == (2, [str(path)], [])
    assert checked(replace(opened.labels, ignore=9)) == (3, [], [])


def test_objects_are_no_classes(dataset, capsys):
    meta = json.loads((dataset / "dataset.json").read_text())
    assert meta["labels"]
    assert run(["ild", "prepare", str(dataset), str(dataset.parent / "w"), "--num_workers", "0"]) == 2
    message = capsys.readouterr().err
    assert "holds objects with ids (instancesTr), but classes are learned here" in message
    assert "WARNING" not in message
    assert not (dataset.parent / "w").exists()
