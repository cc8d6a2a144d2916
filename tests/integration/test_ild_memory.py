"""Propagation by SAM2's memory as a user runs it: predict, the whole job, Python, and models that have no memory."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import planewise as pw
from planewise.cli import run
from planewise.data.phantom import write_chest_dataset
from planewise.data.run import MANIFEST
from planewise.models.sam2 import SIZES, build_sam2
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_published
from planewise.models.sam2_names import to_meta
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
    assert "propagation" in capsys.readouterr().err
    assert predict(job, "half", "--propagation", "memory", "--precision", "bf16") == 0
    half = read_labels(job / "half" / "CT_phantomtest.nii.gz").voxels
    assert (half == memory).mean() > 0.8


def test_python_gives_what_the_command_gives(job):
    assert predict(job, "memory", "--propagation", "memory") == 0
    model = pw.load_model(job / "base.pt")
    ct, truth = (pw.open(job / "data" / name) for name in ("imagesTs/CT_phantomtest_0000.nii.gz",
                                                           "labelsTs/CT_phantomtest.nii.gz"))  # fmt: skip
    found = pw.segment(
        ct, model, truth=truth, propagation="memory", precision="32", image_size=SIDE, bbox_shift=256, device="cpu"
    )
    assert found.voxels.any()
    assert np.array_equal(found.voxels, read_labels(job / "memory" / "CT_phantomtest.nii.gz").voxels)


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


def test_a_model_without_memory_is_refused_before_any_work(job, capsys):
    save_published(job / "image.pth", Sam2Weights(build_sam2("mini", SIDE)), 0)
    assert predict(job, "out", "--propagation", "memory", base="image.pth") == 2
    assert "image.pth has no tensors of SAM2's video model" in capsys.readouterr().err
    assert not (job / "out").exists()
    for words in (["--from_scratch"], ["--base", str(job / "image.pth")]):
        assert run(["ild", "run", str(job / "data"), str(job / "work"), "--propagation", "memory", *words]) == 2
        assert "--propagation memory: " in capsys.readouterr().err
        assert not (job / "work").exists()
