"""A model as one file: archives of empanada-napari, packages of bioimage.io, and the card in them."""

import gc
import shutil
import warnings
import zipfile
from contextlib import contextmanager

import numpy as np
import pooch
import pytest
import torch
import yaml

from planewise.cli import run
from planewise.errors import PlanewiseError
from planewise.models import mitonet_files
from planewise.models.model_file import Trained, find_model_file, read_model_file
from planewise.models.weights import load_network, locate_weights
from untrained import write_untrained

TRAINED = Trained(
    dataset="Dataset001_Mine", date="2026-01-02", step=700, validated_on="a, b", score=0.81236, loss=0.5,
    base="MitoNet_v1", base_licence="that of its record", planewise="0.1.0",
)  # fmt: skip
STATED = {
    "trained": TRAINED,
    "planes": ("xy", "yz"),
    "pixel_nm": (8.0, 16.0),
    "description": "Of mine.",
    "architecture": "mitonet_small",
    "intensities": {"low": 0.25, "high": 0.75, "polarity": "dark"},
}
CARD = """
Of mine.
| planes | xy, yz |
| sides of pixels, nm | 8 to 16 |
| intensities, of 0 to 1 | 0.25 to 0.75 |
| contrast | thin lines dark, broad lines dark; objects unclear |
| data | Dataset001_Mine |
| finished | 2026-01-02 |
| step | 700 |
| base model | MitoNet_v1 |
| licence of the base model | that of its record |
| planewise | 0.1.0 |
| on | a, b |
| score | 0.8124 |
""".strip().splitlines()


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model's YAML, in a folder beside its weights; the cache is empty."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    (tmp_path / "model").mkdir()
    return write_untrained(tmp_path / "model", **STATED)


def export(model, path, *more):
    return run(["models", "export", str(model), str(path), *more])


def state(path):
    yaml_path = find_model_file(path)
    return load_network(locate_weights(read_model_file(yaml_path), yaml_path), "mitonet_small").state_dict()


def same(a, b):
    return a.keys() == b.keys() and all(torch.equal(value, b[key]) for key, value in a.items())


def test_an_archive_is_what_empanada_napari_exports(model, tmp_path):
    """It takes NAME.yaml and NAME.pth, copies the weights, and writes where it put them; keys it reads are there."""
    assert export(model, tmp_path / "Mine.empanada") == 0
    with zipfile.ZipFile(tmp_path / "Mine.empanada") as archive:
        assert sorted(archive.namelist()) == ["Mine.pth", "Mine.yaml", "README.md"]
        content = yaml.safe_load(archive.read("Mine.yaml"))
        archive.extract("Mine.pth", tmp_path)
        card = archive.read("README.md").decode()
    assert content["model"] == "Mine.pth"
    assert content["model_quantized"] is None
    assert {"class_names", "labels", "thing_list", "padding_factor", "norms", "FINETUNE"} <= content.keys()
    with torch.inference_mode():
        outputs = torch.jit.load(tmp_path / "Mine.pth")(torch.zeros(1, 1, 64, 64), 2, False)
    assert outputs["sem_logits"].shape == (1, 1, 64, 64)
    assert card.startswith("# Mine\n")
    assert [line for line in CARD if line not in card.splitlines()] == []


def test_an_archive_is_taken_as_a_model_wherever_it_lies(model, tmp_path, capsys):
    archive = tmp_path / "Mine.empanada"
    assert export(model, archive) == 0
    expected = state(model)
    shutil.rmtree(model.parent)
    moved = archive.rename(tmp_path / "renamed.empanada")
    capsys.readouterr()
    first = find_model_file(moved)
    assert f"{moved}: is unpacked in {first.parent}" in capsys.readouterr().err
    assert find_model_file(moved) == first
    assert capsys.readouterr().err == ""
    assert read_model_file(first).trained == TRAINED
    assert same(state(moved), expected)
    (first.parent / "Mine.pth").write_bytes(b"damaged in the cache")
    assert same(state(moved), expected)
    assert export(moved, tmp_path / "again.empanada") == 0
    assert same(state(tmp_path / "again.empanada"), expected)


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.pth": "w"}, "holds 0 YAML files"),
        ({"a.yaml": "", "b.yml": ""}, "holds 2 YAML files"),
        ({"a.yaml": "", "../a.pth": ""}, r"holds \.\./a\.pth; an archive of a model has no folders"),
        (None, "is not an archive of a model, or is damaged"),
    ],
)
def test_what_is_not_one_model_is_refused(model, tmp_path, files, words):
    path = tmp_path / "bad.empanada"
    path.write_bytes(b"PK no zip") if files is None else zipped(path, files)
    with pytest.raises(PlanewiseError, match=words):
        find_model_file(path)
    assert not (tmp_path / "cache").exists()


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_members_of_one_name_are_refused(model, tmp_path):
    with zipfile.ZipFile(tmp_path / "bad.empanada", "w") as archive:
        for name in ("a.yaml", "a.pth", "a.pth"):
            archive.writestr(name, name)
    with pytest.raises(PlanewiseError, match="holds two files of one name"):
        find_model_file(tmp_path / "bad.empanada")


def test_an_archive_that_cannot_be_unpacked_is_named_with_what_to_do(model, tmp_path):
    zipped(tmp_path / "a.empanada", {"a.yaml": "norms: {}", "a.pth": "weights"})
    (tmp_path / "cache").write_text("no folder")
    with pytest.raises(PlanewiseError, match=r"a\.empanada: cannot be unpacked: .*; or unzip it elsewhere, and"):
        find_model_file(tmp_path / "a.empanada")


@pytest.mark.parametrize("norms", ["{mean: .inf, std: 1}", "{mean: 0, std: .inf}", "{mean: .nan, std: 1}"])
def test_norms_that_are_no_numbers_are_refused(tmp_path, norms):
    (tmp_path / "a.yaml").write_text(f"norms: {norms}")
    with pytest.raises(PlanewiseError, match="finite number"):
        read_model_file(tmp_path / "a.yaml")


def test_an_archive_with_a_damaged_member_is_refused_and_nothing_of_it_is_kept(model, tmp_path):
    zipped(tmp_path / "bad.empanada", {"a.yaml": "norms: {}", "a.pth": "weights" * 99})
    content = (tmp_path / "bad.empanada").read_bytes()
    (tmp_path / "bad.empanada").write_bytes(content.replace(b"weightsw", b"weightsx", 1))
    with pytest.raises(PlanewiseError, match="is damaged"):
        find_model_file(tmp_path / "bad.empanada")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []


def test_another_zip_is_no_model(model, tmp_path):
    export(model, tmp_path / "Mine.empanada")
    zipped = (tmp_path / "Mine.empanada").rename(tmp_path / "Mine.zip")
    with pytest.raises(PlanewiseError, match="is a zip; a model is given by its YAML"):
        read_model_file(find_model_file(zipped))


def test_a_file_that_is_there_is_kept_and_another_format_is_refused(model, tmp_path, capsys):
    (tmp_path / "Mine.empanada").write_text("mine")
    assert export(model, tmp_path / "Mine.empanada") == 2
    assert (tmp_path / "Mine.empanada").read_text() == "mine"
    with pytest.raises(SystemExit):
        export(model, tmp_path / "Mine.onnx")
    assert "must end in .empanada or .zip" in capsys.readouterr().err
    assert export(model, tmp_path / "Mine.empanada", "--overwrite") == 0
    assert state(tmp_path / "Mine.empanada")


@contextmanager
def library():
    """bioimage.io's library, which leaves files to the garbage collector to close."""
    pytest.importorskip("bioimageio.core", reason="the extra bioimageio is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    folder = tmp_path_factory.mktemp("package")
    model = write_untrained(folder, **STATED)
    with library():
        assert export(model, folder / "Mine v1.2.zip") == 0
    return folder / "Mine v1.2.zip", model


@pytest.mark.slow
def test_bioimageio_runs_the_package_on_a_test_image(package):
    """Its own library reads the description, runs the weights on the image, at other sizes too, and compares."""
    with library():
        from bioimageio.core import test_model

        assert test_model(package[0]).status == "passed"
    with zipfile.ZipFile(package[0]) as archive:
        card = archive.read("README.md").decode()
    assert [line for line in CARD if line not in card.splitlines()] == []


@pytest.mark.slow
def test_the_library_predicts_what_the_model_does_on_another_image(package):
    path, model = package
    image = np.random.default_rng(0).integers(0, 255, (1, 1, 144, 160), np.uint8)
    with library():
        from bioimageio.core import load_model_description, predict

        result = predict(model=load_model_description(path), inputs={"image": image}).members
    norms = read_model_file(model).norms
    x = torch.from_numpy((image / np.float32(255) - norms.mean) / norms.std).float()
    with torch.inference_mode():
        expected = load_network(model.with_suffix(".pth"), "mitonet_small")(x)
    arrays = {str(key): value.data.data for key, value in result.items()}
    np.testing.assert_allclose(arrays["foreground"], expected["sem_logits"].sigmoid(), atol=1e-4)
    np.testing.assert_allclose(arrays["centres"], expected["ctr_hmp"], atol=1e-4)
    np.testing.assert_allclose(arrays["offsets"], expected["offsets"], atol=1e-3)


@pytest.mark.slow
def test_a_package_that_gives_something_else_is_not_kept(model, tmp_path, monkeypatch, capsys):
    def others(network, path):
        with torch.no_grad():
            network.network.ins_xy.head[1].bias += 1
        script(network, path)

    script = mitonet_files.save_scripted
    monkeypatch.setattr(mitonet_files, "save_scripted", others)
    with library():
        assert export(model, tmp_path / "Mine.zip") == 2
    assert "bioimageio.core gets other results from it than the model gives" in capsys.readouterr().err
    assert not (tmp_path / "Mine.zip").exists()
