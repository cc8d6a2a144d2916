"""Propagation by SAM2's memory as a user runs it: predict, the whole job, Python, and models that have no memory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import planewise as pw
from planewise.cli import run
from planewise.data.manifest import MANIFEST
from planewise.data.phantom import write_chest_dataset
from planewise.models.sam2 import SIZES, build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_published
from planewise.models.sam2_memory import new_memory
from planewise.models.sam2_names import to_meta
from planewise.training.checkpoint import load_checkpoint
from planewise.training.loop import LAST
from planewise.volumes.labels import read_labels
from video_sam2 import HIDDEN, SIDE, video_model


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "mini", replace(SIZES["mini"], hidden=HIDDEN))


@pytest.fixture
def job(tmp_path):
    """A dataset, and the file of a model that is sure that objects are there; it is as published ones are."""
    write_chest_dataset(tmp_path / "data", 0, (8, 48, 48), train_cases=2)
    model = video_model("2.1")
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias += 5
    torch.save({"model": to_meta(model.state_dict())}, tmp_path / "base.pt")
    return tmp_path


def predict(job, name, *more, base="base.pt"):
    ct, truth = job / "data" / "imagesTs" / "CT_phantomtest_0000.nii.gz", job / "data" / "labelsTs"
    words = ("--base", str(job / base), "--truth", str(truth), "--image_size", str(SIDE), "--device", "cpu")
    wide = ("--bbox_shift", "256")  # boxes that hold whatever a network with random weights finds
    return run(["ild", "predict", str(ct), str(job / name), *words, *wide, "--precision", "32", *more])


def test_objects_go_on_by_memory_and_results_know_it(job, capsys):
    assert predict(job, "boxes") == predict(job, "memory", "--propagation", "memory") == 0
    boxes, memory = (read_labels(job / name / "CT_phantomtest.nii.gz").voxels for name in ("boxes", "memory"))
    assert memory.any()
    assert not np.array_equal(boxes, memory)
    options = [json.loads((job / name / MANIFEST).read_text())["options"] for name in ("boxes", "memory")]
    assert "propagation" not in options[0]  # as before there was a choice
    assert options[1]["propagation"] == "memory"
    capsys.readouterr()
    assert predict(job, "memory") == 2
    assert "made differently (--propagation memory -> boxes)" in " ".join(capsys.readouterr().err.split())
    assert predict(job, "half", "--propagation", "memory", "--precision", "bf16") == 0
    half = read_labels(job / "half" / "CT_phantomtest.nii.gz").voxels
    assert (half == memory).mean() > 0.8


def test_python_gives_what_the_command_gives(job):
    assert predict(job, "memory", "--propagation", "memory") == 0
    model = pw.load_model(job / "base.pt")
    ct, truth = (pw.open(job / "data" / name) for name in ("imagesTs/CT_phantomtest_0000.nii.gz",
                                                           "labelsTs/CT_phantomtest.nii.gz"))  # fmt: skip
    result = pw.segment(
        ct, model, truth=truth, propagation="memory", precision="32", image_size=SIDE, bbox_shift=256, device="cpu"
    )
    assert result.voxels.any()
    assert np.array_equal(result.voxels, read_labels(job / "memory" / "CT_phantomtest.nii.gz").voxels)


def test_a_trained_model_keeps_the_memory_of_its_base(job):
    code = run([
        "ild", "run", str(job / "data"), str(job / "work"), "--base", str(job / "base.pt"), "--propagation", "memory",
        "--image_size", str(SIDE), "--epochs", "1", "--batch_size", "4", "--num_workers", "0", "--device", "cpu",
        "--min_voxels", "0", "--min_pixels", "0", "--prompts", "truth",
    ])  # fmt: skip
    assert code == 0
    rest = [
        load_sam2(path, SIDE).rest for path in (job / "base.pt", job / "work/MedSAM2-Tiny-ILD/medsam_model_best.pth")
    ]
    assert rest[0].keys() == rest[1].keys()
    assert all(torch.equal(value, rest[1][key]) for key, value in rest[0].items())
    written = json.loads((job / "work/segs/MedSAM2-Tiny-ILD" / MANIFEST).read_text())
    assert written["options"]["propagation"] == "memory"


@pytest.mark.slow
def test_a_model_trained_on_clips_predicts_both_ways_and_says_so(job, capsys):
    words = [
        "--from_scratch", "--image_size", str(SIDE), "--epochs", "1", "--batch_size", "8", "--num_workers", "0",
        "--device", "cpu", "--min_voxels", "0", "--min_pixels", "0", "--slices", "all",
    ]  # fmt: skip
    code = run(["ild", "run", str(job / "data"), str(job / "work"), *words, "--propagation", "memory",
                "--train_clips", "3", "--prompts", "truth"])  # fmt: skip
    assert code == 0
    err = capsys.readouterr().err
    assert "One training slice in 3 begins a clip of up to 3 slices" in err
    model = job / "work" / "MedSAM2-Tiny-ILD"
    weights = load_sam2(model / "medsam_model_best.pth", None)
    assert weights.trained.train_clips == 3
    assert load_sam2(model / "hub", None).trained.train_clips == 3
    assert "| 3 slices (--train_clips) |" in (model / "hub" / "README.md").read_text()
    torch.manual_seed(0)
    start = Sam2Weights(build_sam2("mini", SIDE), "mini")
    initialise(start.network)
    torch.manual_seed(0)
    drawn = new_memory(start)
    assert drawn.keys() == weights.rest.keys()
    changed = {name for name, value in drawn.items() if not torch.equal(value, weights.rest[name])}
    assert {"memory_attention.layers.0.cross_attn_image.v_proj.weight", "memory_encoder.out_proj.weight"} <= changed
    for number, name in enumerate(("boxes", "memory")):
        model_words = ["--trained_model", str(model / "medsam_model_best.pth"), "--propagation", name]
        prepared = str(job / "work" / "npz_test" / "CT_ILD")
        assert run(["ild", "predict", prepared, str(job / f"o{number}"), *model_words, "--device", "cpu"]) == 0
    again = ["ild", "train", str(job / "work"), *words[:-6], "--resume"]
    capsys.readouterr()
    assert run([*again, "--train_clips", "2"]) == 2
    assert "train_clips: 3 -> 2" in capsys.readouterr().err
    assert run([*again, "--train_clips", "3"]) == 0


@pytest.mark.slow
def test_a_base_without_memory_gets_one_and_one_with_memory_keeps_what_is_not_trained(job, capsys):
    prepare = ["ild", "prepare", str(job / "data"), str(job / "work"), "--min_voxels", "0", "--min_pixels", "0"]
    assert run([*prepare, "--num_workers", "0"]) == 0
    save_published(job / "image.pth", Sam2Weights(build_sam2("mini", SIDE)), 0)
    train = ["ild", "train", str(job / "work"), "--image_size", str(SIDE), "--epochs", "1", "--batch_size", "8",
             "--num_workers", "0", "--device", "cpu", "--train_clips", "2"]  # fmt: skip
    capsys.readouterr()
    assert run([*train, "--base", str(job / "image.pth"), "--train_parts", "decoder"]) == 2
    assert "image.pth has no memory, which --train_clips needs" in capsys.readouterr().err
    assert run([*train, "--base", str(job / "base.pt"), "--train_clips", "1", "--train_parts", "memory"]) == 2
    assert "--train_parts memory: needs clips" in capsys.readouterr().err
    assert run([*train, "--base", str(job / "image.pth"), "--task_name", "new"]) == 0
    assert "image.pth has no memory: one is trained from random weights" in capsys.readouterr().err
    assert run([*train, "--base", str(job / "base.pt"), "--task_name", "old", "--train_parts", "decoder"]) == 0
    rest = [load_sam2(path, SIDE).rest for path in (job / "base.pt", job / "work" / "old" / "medsam_model_best.pth")]
    assert all(torch.equal(value, rest[1][key]) for key, value in rest[0].items())


@pytest.mark.slow
def test_a_training_from_before_there_were_clips_is_resumed(job):
    prepare = ["ild", "prepare", str(job / "data"), str(job / "work"), "--min_voxels", "0", "--min_pixels", "0"]
    assert run([*prepare, "--num_workers", "0"]) == 0
    train = ["ild", "train", str(job / "work"), "--base", str(job / "base.pt"), "--image_size", str(SIDE),
             "--batch_size", "8", "--num_workers", "0", "--device", "cpu"]  # fmt: skip
    assert run([*train, "--epochs", "1"]) == 0
    last = job / "work" / "MedSAM2-Tiny-ILD" / "training" / LAST
    state = load_checkpoint(last)
    assert state["options"]["identity"]["train_parts"] == ["encoder", "decoder"]
    del state["options"]["identity"]["train_clips"]
    torch.save(state, last)
    assert run([*train, "--epochs", "2", "--resume"]) == 0


def test_clips_are_not_made_of_corrections_nor_of_slices_that_nobody_knows_the_place_of(job, capsys):
    words = ["--from_scratch", "--train_clips", "2", "--image_size", str(SIDE), "--device", "cpu"]
    assert run(["ild", "train", str(job / "none"), *words, "--corrections", str(job)]) == 2
    assert "--train_clips: with --corrections" in capsys.readouterr().err
    for kind in ("imgs", "gts"):
        (job / "npy" / "train" / kind).mkdir(parents=True)
        np.save(job / "npy" / "train" / kind / "a-000.npy", np.ones((256, 256, 3)[: 3 - (kind == "gts")], np.uint8))
    assert run(["ild", "train", str(job), *words]) == 2
    assert "a.npz: no such file, and it is needed to know which slices are neighbours" in capsys.readouterr().err


def test_a_model_without_memory_is_refused_before_any_work(job, capsys):
    save_published(job / "image.pth", Sam2Weights(build_sam2("mini", SIDE)), 0)
    assert predict(job, "out", "--propagation", "memory", base="image.pth") == 2
    printed = " ".join(capsys.readouterr().err.split())
    assert "image.pth has no tensors of SAM2's video model" in printed
    assert "a model trained on one or with --train_clips" in printed
    assert not (job / "out").exists()
    for words in (["--from_scratch"], ["--base", str(job / "image.pth")]):
        assert run(["ild", "run", str(job / "data"), str(job / "work"), "--propagation", "memory", *words]) == 2
        assert "--propagation memory: " in capsys.readouterr().err
        assert not (job / "work").exists()
