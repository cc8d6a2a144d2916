"""A model on an encoder of transformers, as a user trains, uses and shares it."""

from pathlib import Path

import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file

from planewise.cli import run
from planewise.data.phantom import write_phantom_dataset
from planewise.models.architectures.transformers_backbone import BACKBONES
from planewise.models.model_file import SHIPPED
from planewise.volumes.files import open_volume

NAME = "convnextv2_atto"


@pytest.fixture(scope="module")
def job(tmp_path_factory) -> Path:
    """A dataset, the folder of an encoder as it is published, and a model that was trained on it with that frozen."""
    folder = tmp_path_factory.mktemp("backbone")
    write_phantom_dataset(folder / "Dataset001_Phantom", 0, (32, 64, 72), (24, 40, 56), 1, bodies=8)
    torch.manual_seed(0)
    transformers.ConvNextV2Model(BACKBONES[NAME].config()).save_pretrained(folder / "atto")
    (folder / "atto" / "README.md").write_text("---\nlicense: apache-2.0\n---\n# ConvNeXt V2\n")
    content = yaml.safe_load((SHIPPED / "DINOv3_small.yaml").read_text())
    (folder / "Mine.yaml").write_text(yaml.safe_dump(content | {"architecture": NAME, "padding_factor": 32}))
    assert train(folder, "--base", folder / "atto", "--finetune_layer", "none") == 0
    return folder


def train(folder, *more):
    words = ["--model_config", folder / "Mine.yaml", "--model_name", "M", "--iterations", 2, "--patch_size", 32,
             "--batch_size", 2, "--train_planes", "xy", "--num_workers", 0, "--device", "cpu", *more]  # fmt: skip
    return run(["mito", "train", *map(str, (folder / "Dataset001_Phantom", folder / "models", *words))])


def test_the_encoder_is_the_folders_and_its_licence_goes_with_the_model(job):
    model = yaml.safe_load((job / "models" / "M.yaml").read_text())
    assert model["architecture"] == NAME
    assert (model["trained"]["base"], model["trained"]["base_licence"]) == ("atto", "apache-2.0")
    published, ours = load_file(job / "atto" / "model.safetensors"), torch.load(job / "models" / "M.pth")
    of_encoder = [name for name in published if not name.startswith("layernorm.")]
    assert len(of_encoder) > 100
    assert all(torch.equal(published[name], ours[f"encoder.backbone.{name}"]) for name in of_encoder)
    before = [f"encoder.backbone.{name}" for name in of_encoder]
    assert {name.split(".")[0] for name in ours.keys() - set(before)} >= {"levels", "fuse", "semantic_head", "encoder"}


def test_it_segments_in_three_planes(job):
    images = job / "Dataset001_Phantom" / "imagesTs"
    words = ["--input", images, "--output", job / "predicted", "--axes", "xy", "xz", "yz", "--device", "cpu"]
    assert run(["mito", "predict", "--trained_model", str(job / "models" / "M.yaml"), *map(str, words)]) == 0
    assert open_volume(job / "predicted" / "phantom_test1.tiff").shape == (24, 40, 56)
    assert len(list((job / "predicted").glob("phantom_test1_[xy][yz].tiff"))) == 3


@pytest.mark.parametrize("name", ["M.empanada", "M.zip"])
def test_what_others_would_need_torchscript_for_is_refused(job, name, capsys):
    assert run(["models", "export", str(job / "models" / "M.yaml"), str(job / name)]) == 2
    assert "PanopticBackbone: cannot be written as TorchScript" in capsys.readouterr().err
    assert not (job / name).exists()


def test_without_weights_it_is_said_what_to_give(job, capsys):
    assert train(job, "--overwrite") == 2
    assert "names no weights (model:); train it with planewise mito train --from_scratch, or with --base" in (
        capsys.readouterr().err
    )
    assert (job / "models" / "M.yaml").exists()
