"""What a model's card says of the SAM2 that it was trained on: only what the content or a name that is taken says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from planewise.apps.ild.options import IldTrain
from planewise.apps.ild.starting_weights import base_and_licence
from planewise.models import zoo
from planewise.models.model_file import RANDOM, Trained
from planewise.models.sam2_files import Sam2Weights

BEFORE = Trained(
    dataset="D", date="2026-01-01", step=1, validated_on="V", score=None, loss=1.0, base="sam2_hiera_tiny",
    base_licence="Apache-2.0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "trained", "expected"),
    [
        ({"from_scratch": True}, None, (RANDOM, None)),
        ({"base": Path("MedSAM2")}, None, ("MedSAM2", zoo.of_hub_id("wanglab/MedSAM2").licence)),
        ({"base": Path("facebook/sam2.1-hiera-small")}, None, ("sam2.1_hiera_small", "Apache-2.0")),
        ({"base": Path("mine/medsam_model_best.pth")}, BEFORE, ("medsam_model_best.pth", "Apache-2.0")),
        ({"base": Path("theirs.pth")}, None, ("theirs.pth", None)),
    ],
)
def test_a_base_by_its_file_or_its_name(options, trained, expected):
    weights = Sam2Weights(None, trained=trained)
    assert base_and_licence(IldTrain(work_dir=Path("w"), **options), weights) == expected


def test_a_renamed_file_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"large, in truth")
    sha256 = hashlib.sha256(b"large, in truth").hexdigest()
    large = replace(zoo.of_name("sam2_hiera_large", "SAM2"), sha256=sha256)
    monkeypatch.setattr(zoo, "PUBLISHED", (large,))
    monkeypatch.chdir(tmp_path)
    options = IldTrain(work_dir=tmp_path, base=Path("sam2_hiera_tiny.pt"))
    assert base_and_licence(options, Sam2Weights(None)) == ("sam2_hiera_large", "Apache-2.0")
    (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"another")
    assert base_and_licence(options, Sam2Weights(None)) == ("sam2_hiera_tiny.pt", None)
