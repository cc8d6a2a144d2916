import hashlib

import pytest
import torch
import yaml
from torch import nn

from planewise.errors import PlanewiseError
from planewise.models.architectures import architectures
from planewise.models.folding import fold_batch_norms
from planewise.models.model_file import ModelFile, find_model_file, read_model_file, write_model_file
from planewise.models.panoptic_deeplab import build
from planewise.models.torchscript import is_torchscript
from planewise.models.weights import export_torchscript, load_network, locate_weights, write_weights

NORMS = {"mean": 0.5, "std": 0.1}


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("mitonet_small").eval()


def same_outputs(a, b):
    x = torch.randn(1, 1, 48, 64)
    with torch.inference_mode():
        first, second = a(x), b(x)
    return all(torch.allclose(first[key], second[key], rtol=1e-4, atol=1e-5) for key in first)


@pytest.mark.parametrize("architecture", [None, "mitonet_small"])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state},
        lambda state: {"network": {f"module.{key}": value for key, value in state.items()}},
    ],
    ids=["state_dict", "checkpoint", "model", "DistributedDataParallel"],
)
def test_plain_weights_load(tmp_path, network, wrap, architecture):
    torch.save(wrap(network.state_dict()), tmp_path / "w.pth")
    assert same_outputs(network, load_network(tmp_path / "w.pth", architecture))


@pytest.mark.parametrize(
    "name", ["mitonet_small_unet32", "mitonet_small", pytest.param("mitonet_v1_mini", marks=pytest.mark.slow)]
)
def test_export_loads_as_published_and_again_here(tmp_path, name):
    torch.manual_seed(0)
    network = build(name).eval()
    export_torchscript(network, tmp_path / "w.pth")
    scripted = torch.jit.load(tmp_path / "w.pth")
    schema = str(scripted.forward.schema)
    assert "Tensor x, int render_steps=2, bool interpolate_ins=True" in schema
    x = torch.randn(1, 1, 128, 128)
    with torch.inference_mode():
        expected, result = network(x, 3, False), scripted(x, 3, False)
    for key in ("sem_logits", "ctr_hmp", "offsets"):
        assert torch.allclose(expected[key], result[key], rtol=1e-3, atol=1e-4)
    loaded = load_network(tmp_path / "w.pth")
    assert set(loaded.state_dict()) == set(scripted.state_dict())
    export_torchscript(loaded, tmp_path / "again.pth")  # a folded network is exported as it is
    again = load_network(tmp_path / "again.pth").state_dict()
    assert all(torch.equal(value, again[key]) for key, value in loaded.state_dict().items())


def test_weights_that_do_not_fit_are_listed(tmp_path, network):
    state = dict(network.state_dict())
    state["encoder.conv1.weight"] = torch.zeros(16, 3, 7, 7)
    state["extra.weight"] = torch.zeros(2)
    del state["semantic_head.head.1.bias"]
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(PlanewiseError) as caught:
        load_network(tmp_path / "w.pth")
    for words in ("w.pth: 3 tensors do not fit mitonet_small", "encoder.conv1.weight has shape (16, 3, 7, 7)",
                  "unexpected extra.weight", "missing semantic_head.head.1.bias"):  # fmt: skip
        assert words in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not weights",
        None,
        {"a": 1},
        nn.ReLU(),
        {"a": torch.zeros(2).to_sparse()},
        {"a": torch.zeros(2, device="meta")},
        {"a": torch.zeros(2, dtype=torch.complex64)},
    ],
    ids=["empty", "text", "missing", "no tensors", "a module", "sparse", "meta", "complex"],
)
def test_what_is_not_weights_is_named(tmp_path, content):
    path = tmp_path / "w.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(PlanewiseError, match=r"w\.pth: [^\n]*$"):
        load_network(path)


@pytest.mark.parametrize("page", [b"error 404", b"hello"])
def test_a_page_that_was_downloaded_in_their_place(tmp_path, page):
    (tmp_path / "w.pth").write_bytes(page)
    with pytest.raises(PlanewiseError, match="is not a file of PyTorch, or its download is incomplete"):
        load_network(tmp_path / "w.pth")


def test_weights_cut_short_are_said_to_be_so(tmp_path, network):
    export_torchscript(network, tmp_path / "a.pth")
    torch.save(network.state_dict(), tmp_path / "b.pth")
    for name in ("a.pth", "b.pth"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        with pytest.raises(PlanewiseError, match=rf"{name}: .*\(it is damaged or was cut short; copy or download"):
            load_network(path)


def test_weights_are_found_relative_to_the_yaml_and_beside_it_when_moved(tmp_path, monkeypatch, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "w.pth").touch()
    yaml_path = tmp_path / "models" / "m.yaml"
    for model, message in (
        ("w.pth", False),
        (str(tmp_path / "models" / "w.pth"), False),
        ("/was/here/before/w.pth", True),
    ):
        assert locate_weights(ModelFile(model=model, norms=NORMS), yaml_path) == tmp_path / "models" / "w.pth"
        assert (f"{yaml_path}: names weights {model}; those at" in capsys.readouterr().err) == message
    monkeypatch.chdir(tmp_path)
    other = ModelFile(model="models/w.pth", norms=NORMS)
    assert locate_weights(other, tmp_path / "elsewhere" / "m.yaml").resolve() == tmp_path / "models" / "w.pth"
    with pytest.raises(PlanewiseError, match=r"gone\.pth do not exist.*--from_scratch"):
        locate_weights(ModelFile(model="gone.pth", norms=NORMS), yaml_path)


def test_a_folder_that_was_copied_means_its_own_weights(tmp_path, capsys):
    """Older files name their weights by an absolute path, which still leads to the original's."""
    for name in ("original", "copy"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "w.pth").write_text(name)
    model = ModelFile(model=str(tmp_path / "original" / "w.pth"), norms=NORMS)
    assert locate_weights(model, tmp_path / "copy" / "m.yaml").read_text() == "copy"
    assert f"those at {tmp_path / 'copy' / 'w.pth'} are used" in capsys.readouterr().err
    (tmp_path / "copy" / "w.pth").unlink()
    assert locate_weights(model, tmp_path / "copy" / "m.yaml").read_text() == "original"


def test_a_network_without_a_published_form_is_written_as_plain_weights_and_exported_nowhere(tmp_path, monkeypatch):
    network = build("mitonet_small").eval()
    monkeypatch.setattr(type(network), "published_form", False)
    assert fold_batch_norms(network) is network
    write_weights(network, tmp_path / "w.pth")
    assert not is_torchscript(tmp_path / "w.pth")
    assert same_outputs(network, load_network(tmp_path / "w.pth", "mitonet_small"))
    with pytest.raises(PlanewiseError, match="PanopticDeepLab: cannot be written as TorchScript"):
        export_torchscript(network, tmp_path / "published.pth")
    assert not (tmp_path / "published.pth").exists()


def test_a_network_of_another_module_is_built_by_its_name_alone(tmp_path, monkeypatch):
    known = architectures() | {"another": lambda outputs: build("mitonet_small_unet32", outputs)}
    monkeypatch.setattr("planewise.models.weights.architectures", lambda: known)
    network = build("mitonet_small_unet32").eval()
    torch.save(network.state_dict(), tmp_path / "w.pth")
    assert same_outputs(network, load_network(tmp_path / "w.pth", "another"))
    with pytest.raises(PlanewiseError, match=r"unknown architecture nonesuch; known are mitonet_v1, .*another"):
        load_network(tmp_path / "w.pth", "nonesuch")


def test_weights_beside_a_yaml_are_those_that_it_says(tmp_path):
    (tmp_path / "w.pth").write_bytes(b"weights")
    right = hashlib.sha256(b"weights").hexdigest()
    model = ModelFile(model="w.pth", model_sha256=right, norms=NORMS)
    assert locate_weights(model, tmp_path / "m.yaml") == tmp_path / "w.pth"
    (tmp_path / "w.pth").write_bytes(b"others")
    with pytest.raises(PlanewiseError, match=rf"w\.pth: its sha256 is .*, not {right}, as .*m\.yaml states"):
        locate_weights(model, tmp_path / "m.yaml")


@pytest.mark.parametrize(
    "name", ["MitoNet_v1", "MitoNet_v1.yaml", "MitoNet_v1.yml", "configs/MitoNet_v1_mini.yaml", "MitoNet_small"]
)
def test_shipped_configs_are_found_by_name_and_valid(name, capsys):
    model = read_model_file(find_model_file(name))
    assert f"{name}: taken as the model of that name shipped with planewise" in capsys.readouterr().err
    assert model.norms.mean == 0.57571
    assert model.FINETUNE.criterion_params.mse_weight == 200


@pytest.mark.parametrize("name", ["nonesuch", "my/old/models/MitoNet_v1.yaml"])
def test_a_config_that_is_not_there_lists_the_shipped_ones(name):
    with pytest.raises(PlanewiseError, match=rf"^{name}: no such model config.*MitoNet_small, MitoNet_v1, "):
        find_model_file(name)


def test_a_model_file_survives_a_round_trip_with_keys_of_others(tmp_path):
    content = yaml.safe_load(find_model_file("MitoNet_v1").read_text()) | {"their_key": [1, 2]}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(content))
    write_model_file(tmp_path / "b.yaml", read_model_file(tmp_path / "a.yaml"))
    assert yaml.safe_load((tmp_path / "b.yaml").read_text()) == content | dict.fromkeys(
        (
            "calibration",
            "extend",
            "learning_rate",
            "little_data",
            "min_agreement",
            "model_sha256",
            "object_sizes",
            "pixel_nm",
            "planes",
            "repair",
            "trained",
        )
    )


@pytest.mark.parametrize(
    ("text", "words"), [("norms: {mean: a, std: 1}", "norms.mean"), ("- 1", "must map keys"), ("a: [", "YAML")]
)
def test_a_bad_model_file_is_named(tmp_path, text, words):
    (tmp_path / "m.yaml").write_text(text)
    with pytest.raises(PlanewiseError, match=rf"m\.yaml.*{words}"):
        read_model_file(tmp_path / "m.yaml")


def test_folding_is_recognised(tmp_path, network):
    torch.save(fold_batch_norms(network).state_dict(), tmp_path / "w.pth")
    assert same_outputs(network, load_network(tmp_path / "w.pth"))
