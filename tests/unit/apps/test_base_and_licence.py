"""What a model's card says of the model that it was trained on: only what the content or a name that is taken says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from planewise.apps.ild import train as ild
from planewise.apps.ild.options import IldTrain
from planewise.apps.mito_export import base_and_licence
from planewise.apps.mito_options import MitoTrain
from planewise.errors import PlanewiseError
from planewise.models import zoo
from planewise.models.model_file import RANDOM, ModelFile, Trained, find_model_file, read_model_file
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
def test_of_a_sam2(options, trained, expected):
    weights = Sam2Weights(None, trained=trained)
    assert ild._base_and_licence(IldTrain(work_dir=Path("w"), **options), weights) == expected


def test_of_a_sam2_in_a_renamed_file_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"large, in truth")
    sha256 = hashlib.sha256(b"large, in truth").hexdigest()
    large = replace(zoo.of_name("sam2_hiera_large", "SAM2"), sha256=sha256)
    monkeypatch.setattr(zoo, "PUBLISHED", (large,))
    monkeypatch.chdir(tmp_path)
    options = IldTrain(work_dir=tmp_path, base=Path("sam2_hiera_tiny.pt"))
    assert ild._base_and_licence(options, Sam2Weights(None)) == ("sam2_hiera_large", "Apache-2.0")
    (tmp_path / "sam2_hiera_tiny.pt").write_bytes(b"another")
    assert ild._base_and_licence(options, Sam2Weights(None)) == ("sam2_hiera_tiny.pt", None)


def test_of_a_mitonet():
    def of(model, **options):
        return base_and_licence(MitoTrain(dataset_path=Path("d"), model_dir=Path("m"), **options), model)

    published = read_model_file(find_model_file("MitoNet_v1"))
    assert of(published) == ("MitoNet_v1", "that of zenodo.org/records/6861565")
    assert of(published, from_scratch=True) == (RANDOM, None)
    mine = ModelFile(model="mine.pth", norms={"mean": 0.5, "std": 0.1}, trained=BEFORE)
    assert of(mine, base_model="here/mine.yaml") == ("mine", "Apache-2.0")
    assert of(mine.model_copy(update={"trained": None}), base_model="mine.empanada") == ("mine", None)


def test_of_a_mitonet_whose_encoder_starts_from_a_folder(tmp_path):
    model = ModelFile(norms={"mean": 0.5, "std": 0.1})
    options = MitoTrain(dataset_path=Path("d"), model_dir=Path("m"), backbone=tmp_path / "vits")
    (tmp_path / "vits").mkdir()
    assert base_and_licence(options, model) == ("vits", None)
    card = tmp_path / "vits" / "README.md"
    for metadata, licence in (
        ("license: apache-2.0", "apache-2.0"),
        ("license: other\nlicense_name: theirs\nlicense_link: https://of.them", "theirs (https://of.them)"),
        ("tags: [a]", None),
        ("[", None),
    ):
        card.write_text(f"---\n{metadata}\n---\n# A model\n")
        assert base_and_licence(options, model) == ("vits", licence)


def test_a_start_is_said_once(tmp_path):
    with pytest.raises(PlanewiseError, match="so does --from_scratch: give one of the two"):
        MitoTrain(dataset_path=Path("d"), model_dir=Path("m"), from_scratch=True, backbone=tmp_path)
