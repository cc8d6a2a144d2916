"""Encoders of transformers under MitoNet's heads: tiny ones, with random weights, as transformers saves them."""

import copy
import json
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from safetensors.torch import load_file, save_file

from planewise.data.intensity import IntensityRange
from planewise.errors import PlanewiseError
from planewise.inference.planes import NetworkPredictor, SliceOptions
from planewise.models.architectures import architectures
from planewise.models.architectures.transformers_backbone import BACKBONES, Backbone, PanopticBackbone
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.weights import load_network, write_weights
from planewise.training.panoptic import freeze

VIT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 2,
       "num_register_tokens": 4}  # fmt: skip
CONVNEXT = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 24, 32]}
TINY = {
    "dinov3_vit": (Backbone("dinov3_vit", VIT), "DINOv3ViTModel"),
    "dinov3_convnext": (
        Backbone("dinov3_convnext", CONVNEXT, unused=BACKBONES["dinov3_convnext_tiny"].unused),
        "DINOv3ConvNextModel",
    ),
    "convnextv2": (
        Backbone("convnextv2", CONVNEXT, unused=BACKBONES["convnextv2_atto"].unused, new=("hidden_states_norms.",)),
        "ConvNextV2ForImageClassification",
    ),
}
EACH = pytest.mark.parametrize("kind", TINY)
MEAN, STD = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)


def save(folder, kind):
    """Save a model as it is published: with what is not of an encoder, and a preprocessor_config.json; return it."""
    backbone, published = TINY[kind]
    torch.manual_seed(1)
    model = getattr(transformers, published)(backbone.config()).eval()
    for parameter in model.parameters():  # norms too, so that they matter
        torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps({"image_mean": MEAN, "image_std": STD}))
    return model


def loaded(folder, kind):
    torch.manual_seed(2)
    network = PanopticBackbone(TINY[kind][0]).eval()
    network.load_base(folder)
    return network


@EACH
def test_features_are_those_of_transformers_on_normalised_images(tmp_path, kind):
    model = save(tmp_path, kind)
    network = loaded(tmp_path, kind)
    grey = torch.rand(2, 1, 64, 96)
    colour = (grey.repeat(1, 3, 1, 1) - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    with torch.inference_mode():
        detail, *features = network.encoder(grey)
        states = model(colour, output_hidden_states=True).hidden_states[1:]
        original = type(network.encoder.backbone)(TINY[kind][0].config()).eval()
        original.load_state_dict(network.encoder.backbone.state_dict())
        for feature, expected in zip(features, original(colour).feature_maps, strict=True):
            assert torch.allclose(feature, expected, rtol=1e-5, atol=1e-6)
        if kind == "dinov3_vit":  # (N, 1 class token + 4 registers + patches, channels), normalised at the end
            states = [model.norm(state)[:, 5:].transpose(1, 2).reshape(2, 32, 4, 6) for state in states]
        if kind == "convnextv2":  # an encoder's norms are new: plain ones, over channels
            states = [F.layer_norm(s.movedim(1, -1), s.shape[1:2], eps=1e-6).movedim(-1, 1) for s in states]
    assert detail.shape == (2, 128, 16, 24)
    assert len(features) == len(states) == 4
    for feature, state in zip(features, states):
        assert feature.shape == state.shape
        assert torch.allclose(feature, state, rtol=1e-4, atol=1e-5)
        assert feature.std() > 0.01


@EACH
def test_outputs_are_those_of_mitonet_and_all_of_it_is_trained(kind):
    network = PanopticBackbone(TINY[kind][0])
    outputs = network(torch.rand(2, 1, 64, 96), interpolate_ins=False)
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        "sem_logits": (2, 1, 64, 96),
        "ctr_hmp": (2, 1, 16, 24),
        "offsets": (2, 2, 16, 24),
        "sem_points": (2, 1, 1024),
        "point_coords": (2, 1024, 2),
    }
    sum(value.square().mean() for name, value in outputs.items() if name != "point_coords").backward()
    assert [name for name, parameter in network.named_parameters() if parameter.grad is None] == []
    with torch.inference_mode():
        assert network.eval()(torch.rand(1, 1, 32, 64), 3, False)["sem_logits"].shape == (1, 1, 64, 128)


@EACH
def test_freezing_takes_the_encoder_part_by_part_and_nothing_else(kind):
    network = PanopticBackbone(TINY[kind][0])
    of_parts = [{id(p) for p in part.parameters()} for part in network.parts()]
    assert sum(map(len, of_parts)) == len(set().union(*of_parts))  # none is in two
    assert set().union(*of_parts) == {id(p) for p in network.encoder.backbone.parameters()}
    for layer, frozen in (("none", 5), ("stage4", 4), ("stage1", 1), ("all", 0)):
        freeze(network, layer)
        still = {id(p) for p in network.parameters() if not p.requires_grad}
        assert still == set().union(*of_parts[:frozen])


@EACH
def test_a_copy_and_what_another_process_gets_give_the_same(kind):
    network = PanopticBackbone(TINY[kind][0]).eval()
    x = torch.rand(1, 1, 32, 64)
    with torch.inference_mode():
        expected = network(x)
        for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
            assert all(torch.equal(value, expected[name]) for name, value in other(x).items())


def test_slices_of_any_size_are_padded_to_patches():
    model = read_model_file(find_model_file("DINOv3_small"))
    network = PanopticBackbone(TINY["dinov3_vit"][0]).eval()
    options = SliceOptions(IntensityRange(0, 255), model.norms.mean, model.norms.std, model.padding_factor)
    slices = np.random.default_rng(0).integers(0, 255, (2, 50, 70), np.uint8)
    ((first, _),) = NetworkPredictor(network, half=False).predict([slices], options)
    assert first.logits.shape == (64, 80)
    assert first.heatmap.shape == (16, 20)


def test_the_shipped_model_is_built_by_its_name():
    model = read_model_file(find_model_file("DINOv3_small"))
    with torch.device("meta"):
        network = architectures()[model.architecture]()
    assert model.padding_factor % network.encoder.backbone.config.patch_size == 0
    assert sum(p.numel() for p in network.encoder.backbone.parameters()) == 21_596_544 - 384  # less the mask's token
    assert model.model is None  # there are no weights of the whole


def test_weights_are_read_again_by_the_name(tmp_path):
    torch.manual_seed(0)
    network = architectures()["convnextv2_atto"]().eval()
    write_weights(network, tmp_path / "w.pth")
    again = load_network(tmp_path / "w.pth", "convnextv2_atto")
    x = torch.rand(1, 1, 64, 64)
    with torch.inference_mode():
        for name, value in network(x).items():
            assert torch.equal(value, again(x)[name])


def change_tensors(folder, change):
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda state: state.pop("norm.bias"), r"1 tensors of model\.safetensors are .* the first: missing norm\.bias"),
        (lambda state: state.update(extra=torch.zeros(1)), ".*the first: unexpected extra$"),
        (
            lambda state: state.update({"norm.bias": torch.zeros(31)}),
            r".* norm\.bias has shape \(31,\), \(32,\) is needed$",
        ),
    ],
)
def test_every_tensor_is_checked(tmp_path, change, words):
    save(tmp_path, "dinov3_vit")
    change_tensors(tmp_path, change)
    with pytest.raises(PlanewiseError, match=rf"^--base {tmp_path}: {words}"):
        loaded(tmp_path, "dinov3_vit")


def change_config(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_a_network_of_the_same_shapes_is_not_taken_for_this_one(tmp_path):
    save(tmp_path, "dinov3_vit")
    change_config(tmp_path, num_attention_heads=4)
    with pytest.raises(
        PlanewiseError, match=r"config\.json gives num_attention_heads 4, not 2, .* it is of no known si"
    ):
        loaded(tmp_path, "dinov3_vit")


def test_another_size_says_what_to_set(tmp_path):
    BACKBONES["dinov3_vitb16"].config().save_pretrained(tmp_path)
    with torch.device("meta"):
        network = architectures()["dinov3_vits16"]()
    with pytest.raises(PlanewiseError, match=r"hidden_size 768, not 384; .*set architecture: dinov3_vitb16$"):
        network.load_base(tmp_path)


def test_what_is_no_folder_of_such_an_encoder_is_one_line(tmp_path, monkeypatch):
    save(tmp_path / "other", "convnextv2")
    (tmp_path / "empty").mkdir()
    save(tmp_path / "cut", "dinov3_vit")
    weights = tmp_path / "cut" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])

    def offline(name, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    for source, words in (
        ("other", "is a convnextv2, but the base model's encoder is a dinov3_vit$"),
        ("empty", r"is not a hub folder of a dinov3_vit with config\.json and model\.safetensors"),
        ("cut", "is not a hub folder of a dinov3_vit"),
        (
            "facebook/dinov3",
            r"cannot be downloaded from .*facebook/dinov3 \(no network\)\. Download",
        ),
    ):
        with pytest.raises(PlanewiseError, match=words) as caught:
            loaded(tmp_path / source if "/" not in source else type(tmp_path)(source), "dinov3_vit")
        assert "\n" not in str(caught.value)
