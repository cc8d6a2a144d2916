import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pooch
import pytest
import torch

from planewise.cli import run
from planewise.errors import PlanewiseError
from planewise.models import zoo
from planewise.models.downloads import cached
from planewise.models.model_file import SHIPPED
from planewise.models.panoptic_deeplab import build
from planewise.models.sam2 import build_sam2
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_published
from planewise.models.zoo import PUBLISHED, is_hub_id, located
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume

SIZES = ("tiny", "small", "base_plus", "large")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache, and URLs at which nothing listens."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")
    offline = tuple(replace(model, url=f"http://127.0.0.1:9/{model.kind}/{model.file}") for model in PUBLISHED)
    monkeypatch.setattr(zoo, "PUBLISHED", offline)
    return {model.name: model for model in offline}


def put_by_hand(model, content):
    path = cached(model.url)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


def test_every_model_is_called_by_one_name_and_lies_in_a_place_of_its_own():
    names = [name for model in PUBLISHED for name in {model.name, model.file, *model.also}]
    assert len(set(names)) == len(names)
    assert len({cached(model.url) for model in PUBLISHED}) == len(PUBLISHED) == 11
    assert len({model.sha256 for model in PUBLISHED if model.kind == "SAM2"}) == 9
    for model in PUBLISHED:
        assert model.url.startswith("https://")
        assert model.licence
        assert model.citation
        if model.kind == "SAM2":
            assert len(bytes.fromhex(model.sha256)) == 32
        else:
            assert (SHIPPED / f"{model.name}.yaml").is_file()
            assert model.norms == "0.57571, 0.12765"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("sam2.1_hiera_small", "sam2.1_hiera_small.pt"),
        ("sam2_hiera_base_plus.pt", "sam2_hiera_base_plus.pt"),
        ("MedSAM2", "MedSAM2_latest.pt"),
        ("MedSAM2_latest.pt", "MedSAM2_latest.pt"),
        ("wanglab/MedSAM2", "MedSAM2_latest.pt"),
    ],
)
def test_without_a_network_the_url_the_file_and_its_place_are_told(cache, name, file):
    with pytest.raises(PlanewiseError) as caught:
        located(Path(name))
    model = next(model for model in cache.values() if model.file == file)
    assert f"{model.url}: cannot be downloaded" in str(caught.value)
    assert f"put it at {cached(model.url)} (sha256 {model.sha256})" in str(caught.value)
    assert cached(model.url).name == file


def test_a_file_put_there_by_hand_is_used_if_it_is_the_published_one(cache, monkeypatch, capsys):
    content = b"weights"
    right = replace(cache["sam2.1_hiera_small"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(zoo, "PUBLISHED", (right,))
    path = put_by_hand(right, content)
    assert located(Path("sam2.1_hiera_small")) == path
    err = capsys.readouterr().err
    assert right.sha256 in err
    assert "its licence is Apache-2.0; cite Ravi et al. 2024" in err
    path.write_bytes(b"other")
    with pytest.raises(PlanewiseError, match=rf"^{path}: its sha256 is .*, not {right.sha256}.*Delete it"):
        located(Path("sam2.1_hiera_small"))
    assert path.read_bytes() == b"other"


def test_a_file_or_folder_that_is_there_goes_before_a_name(cache, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("sam2_hiera_tiny.pt").touch()
    Path("MedSAM2").mkdir()
    assert located(Path("sam2_hiera_tiny.pt")) == Path("sam2_hiera_tiny.pt")
    assert located(Path("MedSAM2")) == Path("MedSAM2")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.pt", "none.pt: no such file; give"),
        ("checkpoints/sam2_hiera_tiny.pt", "no such file; the published one is sam2_hiera_tiny, which is downloaded"),
        ("MitoNet_v1", "MitoNet_v1: is a MitoNet, but a SAM2 is needed; see planewise mito"),
    ],
)
def test_what_is_not_known_is_answered_with_what_is(cache, name, words):
    with pytest.raises(PlanewiseError) as caught:
        located(Path(name))
    assert words in str(caught.value)


@pytest.mark.parametrize("name", ["facebook/sam2-hiera-tiny", "facebook/sam2.1-hiera-tiny"])
def test_hub_ids_are_left_to_the_hub(cache, name):
    assert is_hub_id(Path(name))
    assert located(Path(name)) == Path(name)


@pytest.mark.parametrize("name", ["a/w.pt", "./w", "../w", "/tmp/w", "w", "a/b/c", "a/w.safetensors"])
def test_paths_are_no_hub_ids(name):
    assert not is_hub_id(Path(name))


def test_sam2_is_loaded_by_name(cache, tmp_path, monkeypatch):
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    save_published(tmp_path / "w.pt", Sam2Weights(network), 0)
    content = (tmp_path / "w.pt").read_bytes()
    model = replace(cache["MedSAM2"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(zoo, "PUBLISHED", (model,))
    put_by_hand(model, content)
    loaded = load_sam2(Path("MedSAM2"), None).network.state_dict()
    assert all(torch.equal(value, loaded[key]) for key, value in network.state_dict().items())


class WritesAFile:
    """Unpickled as Python does it, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_nothing_of_what_was_downloaded_is_run(cache, tmp_path, monkeypatch):
    torch.save({"model": {"a": torch.zeros(1)}, "more": WritesAFile(tmp_path / "run")}, tmp_path / "w.pt")
    content = (tmp_path / "w.pt").read_bytes()
    model = replace(cache["sam2_hiera_tiny"], sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setattr(zoo, "PUBLISHED", (model,))
    path = put_by_hand(model, content)
    with pytest.raises(PlanewiseError, match=rf"^{path}: cannot be read .*it holds more than tensors"):
        load_sam2(Path("sam2_hiera_tiny"), None)
    assert not (tmp_path / "run").exists()
    torch.load(tmp_path / "w.pt", weights_only=False)
    assert (tmp_path / "run").exists()


@pytest.mark.parametrize("command", [["run", "{d}/data", "{d}/work"], ["train", "{d}"]])
def test_ild_without_a_network_is_refused_before_any_work(cache, tmp_path, command, capsys):
    words = [word.format(d=tmp_path) for word in command]
    assert run(["ild", *words, "--base", "sam2.1_hiera_base_plus", "--device", "cpu"]) == 2
    model = cache["sam2.1_hiera_base_plus"]
    assert f"put it at {cached(model.url)} (sha256 {model.sha256})" in capsys.readouterr().err
    assert not (tmp_path / "work").exists()


def test_the_list_says_what_each_is_and_whether_it_is_here(cache, monkeypatch, capsys):
    monkeypatch.setattr("planewise.apps.models.PUBLISHED", tuple(cache.values()))
    put_by_hand(cache["sam2_hiera_large"], b"weights")
    assert run(["models"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert all(len(line) <= 120 for line in lines)
    rows = {line.split()[0]: line for line in lines if line}
    for model in cache.values():
        row = rows[model.name]
        assert model.kind in row
        assert f"{model.megabytes} MB" in row
        large = model.name == "sam2_hiera_large"
        assert ("not cached" in row, "damaged" in row) == (not large, large)
        assert row.endswith(model.licence)
    for path in SHIPPED.glob("*.yaml"):
        assert ("none" in rows[path.stem]) == (path.stem in ("MitoNet_small", "DINOv3_small"))


def test_the_list_keeps_its_columns_on_a_terminal_of_80(cache, monkeypatch, capsys):
    monkeypatch.setattr("planewise.apps.models.PUBLISHED", tuple(cache.values()))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["models"]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert max(map(len, out.splitlines())) <= 80
    for model in cache.values():
        assert f" {model.name} " in out
        assert f"{model.megabytes} MB  not cached" in out
    assert set(cache["MedSAM2"].licence.split()) <= set(out.split())


@pytest.mark.parametrize("name", ["sam2_hiera_large", "MedSAM2", "wanglab/MedSAM2", "MitoNet_v1", "MitoNet_v1.pth"])
def test_of_one_model_all_is_told_whatever_name_of_it_is_given(cache, monkeypatch, capsys, name):
    monkeypatch.setattr("planewise.apps.models.PUBLISHED", tuple(cache.values()))
    model = cache[name.removeprefix("wanglab/").removesuffix(".pth")]
    put_by_hand(model, b"weights")
    assert run(["models", name]) == 0
    told, *lines = capsys.readouterr().out.splitlines()
    facts = dict(re.split("  +", line.strip(), maxsplit=1) for line in lines)
    assert told == model.name
    assert facts["weights"] == ("cached, not used yet" if model.sha256 is None else "damaged, or another file")
    assert (facts["licence"], facts["cite"], facts["from"]) == (model.licence, model.citation, model.url)
    assert facts["sha256"] == (
        model.sha256 or "not published; that of the first download is stored and required from then on"
    )
    assert facts["file"] == str(cached(model.url))


def test_of_a_model_without_weights_it_is_told_how_it_is_trained_and_an_unknown_one_is_refused(capsys):
    assert run(["models", "DINOv3_small"]) == 0
    out = capsys.readouterr().out
    assert "DINOv3 License" in out
    assert "--model_config DINOv3_small --from_scratch" in out
    assert run(["models", "MitoNet"]) == 2
    printed = capsys.readouterr().err
    meant = "did you mean MitoNet_v1, MitoNet_v1_mini or MitoNet_small? Also known are sam2_hiera_tiny, "
    assert f"MitoNet: no model has this name; {meant}" in printed
    assert run(["models", "sam2.1-hiera-SMALL"]) == 2
    assert "did you mean sam2.1_hiera_small?" in capsys.readouterr().err
    assert run(["models", "nnU-Net"]) == 2
    assert "nnU-Net: no model has this name; known are MitoNet_v1, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sam2", [*(f"sam2{of}_hiera_{size}" for of in ("", ".1") for size in SIZES), "MedSAM2"]),
        ("SAM2.1", [f"sam2.1_hiera_{size}" for size in SIZES]),
        ("hiera large", ["sam2_hiera_large", "sam2.1_hiera_large"]),
        ("sam2.1_hiera_tinny", ["sam2.1_hiera_tiny"]),  # only similar
    ],
)
def test_names_with_what_was_typed_come_before_those_merely_similar(typed, meant, capsys):
    assert run(["models", typed]) == 2
    listed = re.search(r"did you mean (.*)\? Also known are (.*)", capsys.readouterr().err)
    assert listed is not None
    assert listed[1].replace(" or ", ", ").split(", ") == meant
    assert not set(meant) & set(listed[2].split(", "))


def test_the_list_tells_what_was_used_from_what_was_not_yet(cache, monkeypatch):
    mini = cache["MitoNet_v1_mini"]
    path = put_by_hand(mini, b"weights")
    assert mini.state() == "cached, not used yet"
    path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(b"weights").hexdigest())
    assert mini.state() == "cached"
    path.write_bytes(b"cut")
    assert mini.state() == "damaged, or another file"


def test_weights_are_recognised_by_their_content(cache, tmp_path, monkeypatch):
    (tmp_path / "renamed.pt").write_bytes(b"weights")
    assert zoo.of_file(tmp_path / "renamed.pt") is None
    right = replace(cache["MedSAM2"], sha256=hashlib.sha256(b"weights").hexdigest())
    monkeypatch.setattr(zoo, "PUBLISHED", (right,))
    assert zoo.of_file(tmp_path / "renamed.pt") == right
    assert zoo.of_hub_id("wanglab/MedSAM2") == right


def predict(folder, *more):
    return run(["mito", "predict", "--trained_model", "MitoNet_v1_mini", "--input", str(folder / "in.tiff"), "--output",
                str(folder / "out"), "--device", "cpu", "--axes", "xy", *more])  # fmt: skip


@pytest.fixture
def volume(tmp_path):
    voxels = torch.randint(0, 255, (2, 64, 64), dtype=torch.uint8).numpy()
    write_volume(tmp_path / "in.tiff", Volume(voxels, (1.0, 1.0, 1.0), "pixel"))
    return tmp_path


def test_mito_predict_takes_a_published_model_by_name(volume, monkeypatch, capsys):
    """With no network the error says what to put where; put there, it segments, with no training."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: volume / "cache")
    model = next(model for model in PUBLISHED if model.name == "MitoNet_v1_mini")
    path = cached(model.url)

    def offline(*arguments, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", offline)
    assert predict(volume) == 2
    err = capsys.readouterr().err
    assert f"{model.url}: cannot be downloaded" in err
    assert f"put it at {path}, or" in err
    torch.manual_seed(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(build("mitonet_v1_mini").state_dict(), path)
    assert predict(volume) == 0
    err = capsys.readouterr().err
    assert "MitoNet_v1_mini: its licence is that of zenodo.org/records/6861565; cite Conrad and Narayan 2023" in err
    assert f"Its sha256 is {hashlib.sha256(path.read_bytes()).hexdigest()}" in err
    assert (volume / "out" / "in.tiff").is_file()
    assert predict(volume) == 0
    assert "done already" in capsys.readouterr().err
    path.write_bytes(path.read_bytes() + b"changed")
    assert predict(volume, "--overwrite") == 2
    assert "Delete it to download it again" in capsys.readouterr().err
