"""What trainings from corrections share: which model is behind results."""

import json

import pytest

from planewise.correction.corrected import model_behind, refuse_other_corrections
from planewise.data.manifest import Manifest, named_weights
from planewise.data.preparation import MadeFrom
from planewise.errors import PlanewiseError


@pytest.fixture
def made_by(tmp_path):
    """Return the manifest of a result of a model, by its file's name and what it holds."""

    def make(name, content):
        (tmp_path / name).write_text(content)
        return Manifest(MadeFrom({"model": named_weights(tmp_path / name)}, {}), str(tmp_path / name), {})

    return make


def test_copies_of_one_model_are_one_model(made_by):
    manifests = {"a": made_by("A.pth", "weights"), "b": made_by("copy.pth", "weights")}
    assert model_behind(manifests, "--base") == manifests["a"]


def test_several_models_are_refused_by_their_names(made_by):
    with pytest.raises(PlanewiseError, match=r"a by A.pth \(sha256 \w+\); b by B.pth .* Say with --base"):
        model_behind({"a": made_by("A.pth", "weights"), "b": made_by("B.pth", "others")}, "--base")


@pytest.mark.parametrize("margin", ["wide", [5], {"z": 5}])
def test_a_damaged_margin_is_refused_by_its_file(tmp_path, margin):
    made_from = tmp_path / "corrections.json"
    content = {"corrections of": {"a": str(tmp_path / "result")}, "correction_margin": 5}
    made_from.write_text(json.dumps(content))
    refuse_other_corrections(made_from, tmp_path / "result", "correction_margin", 5.0)
    made_from.write_text(json.dumps(content | {"correction_margin": margin}))
    with pytest.raises(PlanewiseError, match=r"corrections\.json: does not state its corrections"):
        refuse_other_corrections(made_from, tmp_path / "result", "correction_margin", 5.0)
