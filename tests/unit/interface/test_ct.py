"""CT from Python: finetune and segment give what the command line does."""

import csv
import json

import numpy as np
import pytest
import torch

import planewise as pw
from planewise.cli import run
from planewise.data.phantom import em_phantom, write_chest_dataset
from planewise.errors import PlanewiseError
from planewise.progress import ON_TERMINAL

SMALL = {"image_size": 64, "epochs": 1, "batch_size": 4, "device": "cpu", "min_voxels": 0,
         "min_pixels": 0, "train_prompts": "mixed", "precision": "32"}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset of phantoms, and a model trained on it from Python that says every class is in every slice."""
    folder = tmp_path_factory.mktemp("ct")
    write_chest_dataset(folder / "data", 0, (10, 64, 64), train_cases=2)
    model = pw.finetune(folder / "data", "SAM2", folder / "work", from_scratch=True, **SMALL)
    assert (model.kind, list(model.classes.values())) == ("SAM2", ["ground_glass", "reticulation", "honeycombing"])
    content = torch.load(model.path, weights_only=True)
    content["model"]["sam2_model.sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 100
    torch.save(content, folder / "eager.pth")
    return folder


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.delenv(ON_TERMINAL)


def image(folder):
    return folder / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz"


def predicted(folder, output, *words):
    """Return what the command line writes of the test case."""
    command = ["ild", "predict", str(image(folder)), str(output), "--trained_model", str(folder / "eager.pth")]
    assert run([*command, "--device", "cpu", "--precision", "32", *words]) == 0
    return pw.read_labels(output / "CT_phantomtest.nii.gz")


CPU = {"device": "cpu", "precision": "32"}


def same(labels, written):
    assert np.asarray(written).any()
    assert np.array_equal(np.asarray(labels), np.asarray(written))
    assert (labels.spacing, labels.unit, labels.origin, labels.direction) == (
        written.spacing,
        written.unit,
        written.origin,
        written.direction,
    )


def test_finetune_trains_as_the_commands_do(trained, tmp_path):
    words = [word for key, value in SMALL.items() for word in (f"--{key}", str(value))]
    prepare, train = ("min_voxels", "min_pixels"), ("image_size", "epochs", "batch_size", "train_prompts", "precision")
    given = dict(zip(words[::2], words[1::2]))
    work = str(tmp_path / "work")
    common = ["--num_workers", "0"]
    assert run(["ild", "prepare", str(trained / "data"), work, *common,
                *(w for k in prepare for w in (f"--{k}", given[f"--{k}"]))]) == 0  # fmt: skip
    assert run(["ild", "train", work, "--from_scratch", "--device", "cpu", *common,
                *(w for k in train for w in (f"--{k}", given[f"--{k}"]))]) == 0  # fmt: skip
    models = [torch.load(folder / "work" / "MedSAM2-Tiny-ILD" / "medsam_model_best.pth", weights_only=True)["model"]
              for folder in (trained, tmp_path)]  # fmt: skip
    assert models[0].keys() == models[1].keys()
    assert all(torch.equal(models[0][key], models[1][key]) for key in models[0])


def test_classes_are_found_without_a_box_as_the_command_line_finds_them(trained, tmp_path, monkeypatch, capfd):
    written = predicted(trained, tmp_path, "--prompts", "auto")
    monkeypatch.delenv(ON_TERMINAL)
    capfd.readouterr()
    seen = []
    same(pw.segment(image(trained), trained / "eager.pth", progress=seen.append, **CPU), written)
    assert seen[-1].done == seen[-1].total == max(state.done for state in seen)
    ct = pw.open(image(trained))
    same(pw.segment(ct.with_voxels(ct.read()), pw.load_model(trained / "eager.pth"), prompts="auto", **CPU), written)
    assert capfd.readouterr() == ("", "")


def test_boxes_are_a_table_a_file_or_taken_from_the_truth(trained, tmp_path, monkeypatch):
    truth = trained / "data" / "labelsTs" / "CT_phantomtest.nii.gz"
    row = {"class": "reticulation", "slice": 4, "x0": 20, "y0": 20, "x1": 40, "y1": 44}
    with (tmp_path / "boxes.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["case", *row])
        writer.writeheader()
        writer.writerow({"case": "CT_phantomtest"} | row | {"class": 2})
    by_file = predicted(trained, tmp_path / "a", "--prompts", str(tmp_path / "boxes.csv"))
    by_truth = predicted(trained, tmp_path / "b", "--prompts", "truth", "--truth", str(truth.parent))
    monkeypatch.delenv(ON_TERMINAL)
    model = pw.load_model(trained / "eager.pth")
    import pandas as pd

    for prompts in ([row], pd.DataFrame([row]), [row | {"class": 2}]):
        same(pw.segment(image(trained), model, prompts=prompts, **CPU), by_file)
    same(pw.segment(image(trained), model, truth=truth, **CPU), by_truth)
    same(pw.segment(image(trained), model, truth=pw.open(truth), **CPU), by_truth)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"prompts": [{"class": 1, "slice": 99, "x0": 1, "y0": 1, "x1": 2, "y1": 2}]}, "slice 99 is outside"),
        ({"prompts": [{"class": 1}]}, "row 1: has no slice"),
        ({"prompts": []}, "no row"),
        ({"prompts": "truth"}, "truth="),
        ({"output": "x.ome.zarr"}, "write_volume"),
        ({"window": "nonesuch"}, "window=nonesuch"),
        ({"min_size": 3}, "min_size: is no option here"),
        ({"series": "2"}, "series: is no option here"),
    ],
)
def test_what_cannot_be_used_is_named(trained, quiet, options, words):
    with pytest.raises(PlanewiseError, match=words):
        pw.segment(image(trained), trained / "eager.pth", **options)


def test_an_array_without_a_spacing_is_no_ct_to_find_lungs_in(trained, quiet):
    with pytest.raises(PlanewiseError, match="spacing"):
        pw.segment(np.asarray(pw.open(image(trained))), trained / "eager.pth")


def test_arrays_are_written_as_a_dataset_and_trained_on(quiet, tmp_path):
    (image, labels), (other, others) = (em_phantom((24, 48, 48), 6, seed) for seed in (0, 1))
    cases = {"a": (pw.open(image, spacing=(8, 8, 8), unit="nm"), labels), "b": (other, others)}
    small = {"from_scratch": True, "iterations": 1, "batch_size": 2, "patch_size": 32, "num_workers": 0}
    model = pw.finetune(
        cases, "MitoNet_small", tmp_path, model_name="Mine", train_planes=("xy",), device="cpu", **small
    )
    assert (model.kind, model.path.name) == ("MitoNet", "Mine.yaml")
    assert json.loads((tmp_path / "dataset" / "imagesTr" / "a.json").read_text()) == {"spacing": [8.0, 8.0, 8.0]}
    written = pw.read_labels(tmp_path / "dataset" / "instancesTr" / "a.tiff")
    assert np.array_equal(np.asarray(written), labels)
    assert pw.segment(image, model, axes=("xy",)).shape == image.shape
    with pytest.raises(PlanewiseError, match="overwrite"):
        pw.finetune(cases, "MitoNet_small", tmp_path, model_name="Mine", train_planes=("xy",), **small)


@pytest.mark.parametrize(
    ("dataset", "base", "words"),
    [
        ({}, "MitoNet_small", "no cases"),
        ({"a": (np.zeros((2, 8, 8)), np.zeros((2, 8, 9), int))}, "MitoNet_small", "case a: its image has shape"),
        ({"../a": (np.zeros((2, 8, 8)), np.zeros((2, 8, 8), int))}, "MitoNet_small", "cannot be the name of a file"),
        ("nonesuch", "MitoNet_small", "nonesuch"),
        ("nonesuch", "nonesuch.pth", "nonesuch"),
    ],
)
def test_what_cannot_be_trained_on(quiet, tmp_path, dataset, base, words):
    with pytest.raises(PlanewiseError, match=words):
        pw.finetune(dataset, base, tmp_path / "out")


def test_a_dataset_of_somebody_else_s_is_not_replaced(quiet, tmp_path):
    write_chest_dataset(tmp_path / "dataset", 0, (4, 16, 16), train_cases=1)
    for _ in range(2):
        with pytest.raises(PlanewiseError, match="was not written by planewise"):
            pw.finetune({"a": (np.zeros((2, 8, 8)), np.zeros((2, 8, 8), int))}, "MitoNet_small", tmp_path)
        (tmp_path / "dataset" / "dataset.json").write_text("[1, 2]")  # JSON, and no dataset
