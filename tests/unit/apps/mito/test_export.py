"""What a MitoNet's card says of its base: only what the content or a name that is taken says."""

from pathlib import Path

import pytest

from planewise.apps.mito.export import base_and_licence
from planewise.apps.mito.train_options import MitoTrain
from planewise.errors import PlanewiseError
from planewise.models.model_file import RANDOM, ModelFile, Trained, find_model_file, read_model_file

BEFORE = Trained(
    dataset="D", date="2026-01-01", step=1, validated_on="V", score=None, loss=1.0, base="MitoNet_v1",
    base_licence="Apache-2.0",
)  # fmt: skip


def test_a_base_by_its_file_or_its_name():
    def of(model, **options):
        return base_and_licence(MitoTrain(dataset_path=Path("d"), model_dir=Path("m"), **options), model)

    published = read_model_file(find_model_file("MitoNet_v1"))
    assert of(published) == ("MitoNet_v1", "that of zenodo.org/records/6861565")
    assert of(published, from_scratch=True) == (RANDOM, None)
    mine = ModelFile(model="mine.pth", norms={"mean": 0.5, "std": 0.1}, trained=BEFORE)
    assert of(mine, base_model="here/mine.yaml") == ("mine", "Apache-2.0")
    assert of(mine.model_copy(update={"trained": None}), base_model="mine.empanada") == ("mine", None)


def test_an_encoder_that_starts_from_a_folder(tmp_path):
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
