"""mito train --corrections: only what is known is truth; it starts from the result's model, and says where to go on."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from planewise.cli import run
from planewise.correction.corrected import corrected_volumes
from planewise.correction.worklist import read_worklist
from planewise.data.manifest import MANIFEST
from planewise.data.phantom import write_phantom_dataset
from planewise.data.run import Run
from planewise.volumes.files import open_volume
from planewise.volumes.labels import read_labels, write_labels
from untrained import write_untrained

CASES = ("phantom_train1", "phantom_train2")


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """A dataset that every test gets a copy of."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_phantom_dataset(folder, 0, (24, 48, 48), (16, 32, 32), 2, bodies=6)
    return folder


@pytest.fixture
def result(tmp_path, phantoms):
    """What M.yaml could have predicted of two phantoms: their truth."""
    shutil.copytree(phantoms, tmp_path / "data")
    write_untrained(tmp_path)
    folder = tmp_path / "result"
    made = Run.begin(folder / MANIFEST, "mito predict", {}, tmp_path / "M.pth", CASES, overwrite=False)
    for case in CASES:
        image = tmp_path / "data" / "imagesTr" / f"{case}_0000.tiff"
        with made.making(case, [image], [folder / f"{case}.tiff"]):
            write_labels(folder / f"{case}.tiff", read_labels(tmp_path / "data" / "instancesTr" / f"{case}.tiff"))
    return folder


def correct(result, *rows):
    path = result.parent / "actions.csv"
    path.write_text("case,action,arguments\n" + "".join(f"{row}\n" for row in rows))
    assert run(["correct", str(result), "--actions", str(path)]) == 0


def train(result, *more):
    options = "--model_name N --iterations 1 --patch_size 32 --batch_size 2 --num_workers 0 --device cpu"
    folders = [str(result.parent / "known"), str(result.parent / "models"), "--corrections", str(result)]
    return run(["mito", "train", *folders, *options.split(), "--train_planes", "xy", *more])


def test_it_trains_on_what_is_known_alone(result, capsys):
    truth = read_labels(result / "phantom_train1.tiff").voxels
    ids = np.unique(truth)[1:].tolist()
    confirmed = f"phantom_train1,confirm,{' '.join(map(str, ids[:-1]))}"
    correct(result, confirmed, f"phantom_train1,delete,{ids[-1]}", "phantom_train2,delete,1")
    capsys.readouterr()
    assert train(result, "--margin", "2") == 0
    text = capsys.readouterr().err
    assert f"The training starts from {result.parent / 'M.yaml'}" in text
    assert f"phantom_train1: {len(ids) - 1} objects are known" in text
    assert "phantom_train2.tiff: no object was confirmed or corrected: nothing can be learned; it is left out" in text
    assert "On the held-out part" in text
    known = result.parent / "known"
    assert [path.name for path in (known / "instancesTr").iterdir()] == ["phantom_train1.tiff"]  # the other: nothing
    np.testing.assert_array_equal(
        open_volume(known / "instancesTr" / "phantom_train1.tiff").read(), np.where(truth == ids[-1], 0, truth)
    )
    semantic = open_volume(known / "labelsTr" / "phantom_train1.tiff").read()
    assert set(np.unique(semantic)) == {0, 1, 2}
    assert (semantic[truth == ids[-1]] == 0).all()
    assert (semantic[np.isin(truth, ids[:-1])] == 1).all()
    [mask] = (result.parent / "known_2d" / "train" / "masks").glob("phantom_train1_xy_00000.tiff")
    assert (open_volume(mask).read() == -1).any()
    items = read_worklist(result.parent / "models" / "N_worklist.csv")
    assert not {label for item in items for label in item.labels} & set(ids)  # all that are left were confirmed
    assert json.loads((known / "corrections.json").read_text())["margin"] == 2


@pytest.mark.parametrize(("score", "gained"), [(0.2, True), (0.9, False)])
def test_where_to_go_on_is_said_by_the_model_that_is_kept(result, monkeypatch, capsys, score, gained):
    """Where nothing was gained it is the one before; a training that was stopped after its end says the same."""
    monkeypatch.setattr("planewise.apps.mito.train.score_before", lambda *_: {"score": score, "loss": 1.0})
    monkeypatch.setattr("planewise.training.panoptic.PanopticTask.validate", lambda *_: {"score": 0.5, "loss": 1.0})
    ids = np.unique(read_labels(result / "phantom_train1.tiff").voxels)[1:].tolist()
    correct(result, f"phantom_train1,confirm,{ids[0]}", f"phantom_train1,delete,{ids[-1]}")
    models = result.parent / "models"
    kept = models / "N.yaml" if gained else result.parent / "M.yaml"
    capsys.readouterr()
    for more in ((), ("--resume",)):
        assert train(result, *more) == 0
        printed = capsys.readouterr().err
        assert (f"no gain: keep the previous model, {kept}, and correct more" in printed) is not gained
        made = json.loads((models / "N_predictions" / MANIFEST).read_text())
        assert made["model"] == str(kept.with_suffix(".pth"))
        items = read_worklist(models / "N_worklist.csv")
        assert not {label for item in items for label in item.labels} & {ids[0], ids[-1]}
        assert ("holds what was known when this training began" in printed) is bool(more)
        count = f"{len(items)} item{'s' * (len(items) != 1)}"
        assert f"The next work list has {count}, by {kept}: planewise correct {result} --worklist" in printed
        assert ("phantom_train1: done already, by the same model" in printed) is bool(more)  # not predicted again
    assert {item.labels[0] for item in items if item.labels} == set(ids[1:-1])  # an untrained model sees none of them


def test_a_finished_training_is_not_replaced_and_is_resumed_from_what_it_began_with(result, capsys):
    """What is refused leaves the dataset of the training that is there."""
    ids = np.unique(read_labels(result / "phantom_train1.tiff").voxels)[1:].tolist()
    correct(result, f"phantom_train1,confirm,{' '.join(map(str, ids))}")
    assert train(result, "--margin", "2") == 0
    labels = result.parent / "known" / "labelsTr" / "phantom_train1.tiff"
    before = labels.read_bytes()
    capsys.readouterr()
    assert train(result) == 2
    assert "holds a finished model called N" in capsys.readouterr().err
    assert train(result, "--resume", "--margin", "5") == 2
    assert "--margin 5: the resumed training began with 2 (" in capsys.readouterr().err
    assert labels.read_bytes() == before
    assert train(result, "--resume", "--margin", "2") == 0
    capsys.readouterr()
    other = result.rename(result.with_name("other"))
    assert train(other, "--resume") == 2
    refused = f"--corrections {other}: the resumed training began with those of {result / 'phantom_train1.tiff'} ("
    assert refused in capsys.readouterr().err


def test_what_cannot_be_trained_on_is_refused(result, capsys):
    assert train(result) == 2
    assert "nothing in it was corrected" in capsys.readouterr().err
    label = int(np.unique(read_labels(result / "phantom_train1.tiff").voxels)[1])
    correct(result, f"phantom_train1,delete,{label}")
    assert train(result) == 2
    assert "no object was confirmed or corrected" in capsys.readouterr().err
    assert run(["correct", str(result / "phantom_train1.tiff"), "--undo", "1"]) == 0
    assert train(result) == 2
    assert f"all of its corrections were undone ({result / 'phantom_train1.tiff'})" in capsys.readouterr().err
    correct(result, f"phantom_train1,delete,{label}")
    (result.parent / "known").mkdir()
    assert train(result) == 2
    assert "is not a dataset made from corrections" in capsys.readouterr().err
    (result / MANIFEST).unlink()
    assert train(result) == 2
    assert "no planewise.json beside it records its model" in capsys.readouterr().err


def test_the_model_that_a_training_starts_from_is_not_replaced(result, capsys):
    correct(result, "phantom_train1,confirm,1")
    before = (result.parent / "M.yaml").read_bytes()
    folders = [str(result.parent / "known"), str(result.parent)]
    assert run(["mito", "train", *folders, "--corrections", str(result), "--model_name", "M", "--overwrite"]) == 2
    assert "the model that it starts from and is compared with; give another name" in capsys.readouterr().err
    assert (result.parent / "M.yaml").read_bytes() == before


def test_what_another_app_made_is_refused(result, capsys):
    correct(result, "phantom_train1,confirm,1")
    assert run(["ild", "train", str(result.parent / "work"), "--corrections", str(result)]) == 2
    printed = capsys.readouterr().err
    assert "was made by planewise mito predict, with another kind of model; train on it with planewise mito" in printed


def test_planes_that_were_corrected_beside_their_case_are_no_cases(result):
    write_labels(result / "phantom_train1_xy.tiff", read_labels(result / "phantom_train1.tiff"))
    (result.parent / "plane.csv").write_text("case,action,arguments\nphantom_train1_xy,delete,1\n")
    plane = result / "phantom_train1_xy.tiff"
    assert run(["correct", str(plane), "--actions", str(result.parent / "plane.csv")]) == 0
    correct(result, "phantom_train1,confirm,2")
    assert list(corrected_volumes(result)) == ["phantom_train1"]


def test_what_was_corrected_is_not_predicted_over(result, capsys):
    label = int(np.unique(read_labels(result / "phantom_train1.tiff").voxels)[1])
    correct(result, f"phantom_train1,delete,{label}")
    before = (result / "phantom_train1.tiff").read_bytes()
    again = Run.begin(result / MANIFEST, "mito predict", {}, result.parent / "M.pth", CASES, overwrite=True)
    with pytest.raises(Exception, match="was corrected with planewise correct, 1 action ") as refused:
        again.start("phantom_train1", [], [result / "phantom_train1.tiff"])
    assert "kept; undo the corrections, move their folder away, or give another output" in str(refused.value)
    assert (result / "phantom_train1.tiff").read_bytes() == before


@pytest.mark.slow
def test_results_of_different_models_are_refused_until_one_is_chosen(result, capsys):
    other = result.parent / "other"
    (other / "weights").mkdir(parents=True)
    write_untrained(other / "weights")
    (other / "weights" / "M.pth").write_bytes((other / "weights" / "M.pth").read_bytes() + b"0")  # another file
    content = json.loads((result / MANIFEST).read_text())
    (result / MANIFEST).unlink()
    for case, folder in zip(CASES, (result.parent, other / "weights")):
        made = Run.begin(result / f"{case}.{MANIFEST}", "mito predict", {}, folder / "M.pth", [case], overwrite=False)
        labels = read_labels(result / f"{case}.tiff")
        (result / f"{case}.tiff").unlink()
        with made.making(case, [Path(next(iter(content["cases"][case]["inputs"])))], [result / f"{case}.tiff"]):
            write_labels(result / f"{case}.tiff", labels)
    correct(result, "phantom_train1,delete,1", "phantom_train1,confirm,2", "phantom_train2,confirm,2")
    capsys.readouterr()
    assert train(result) == 2
    text = " ".join(capsys.readouterr().err.split())
    assert "the results were made by different models: phantom_train1 by M.pth (sha256 " in text
    assert "; phantom_train2 by M.pth (sha256 " in text
    assert "Say with --model_config which one the training starts from" in text
    assert not (result.parent / "known").exists()
    assert train(result, "--model_config", str(result.parent / "M.yaml")) == 0


def test_an_image_that_is_not_there_any_more_is_given(result, tmp_path, capsys):
    correct(result, "phantom_train1,confirm,2")
    images = tmp_path / "data" / "imagesTr"
    images.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "phantom_train1_0000.tiff").rename(tmp_path / "elsewhere" / "phantom_train1.tiff")
    capsys.readouterr()
    assert train(result) == 2
    assert "which no longer exists; say with --image where it is now" in " ".join(capsys.readouterr().err.split())
    assert train(result, "--image", str(tmp_path / "elsewhere" / "phantom_train2_0000.tiff" / "none")) == 2
    folders = [str(tmp_path / "data"), str(tmp_path / "models"), "--image", str(tmp_path / "elsewhere")]
    assert run(["mito", "train", *folders]) == 2
    assert "needs --corrections" in " ".join(capsys.readouterr().err.split())
    assert train(result, "--image", str(tmp_path / "elsewhere")) == 0
    np.testing.assert_array_equal(
        open_volume(tmp_path / "known" / "imagesTr" / "phantom_train1_0000.tiff").read(),
        open_volume(tmp_path / "elsewhere" / "phantom_train1.tiff").read(),
    )
