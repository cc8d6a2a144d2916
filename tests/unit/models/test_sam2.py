import ast
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from planewise.errors import PlanewiseError
from planewise.models.model_file import find_model_file, read_model_file
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.models.sam2_files import PREFIX, Sam2Weights, load_sam2, recognise, save_hub_folder, save_published
from planewise.models.sam2_names import meta_names, to_transformers
from planewise.models.sam2_optimiser import place_in_decoder, published_optimizer
from planewise.training.optimiser import moments_by_name, parameter_groups
from reference.formulas import SAM2_BOXES, SAM2_SIDES, faint, waves, weights
from reference.published import published
from untrained import write_untrained


def formula_weights(reference):
    shapes = {key: ast.literal_eval(shape) for key, shape in names_and_shapes(reference)}
    return {key: torch.from_numpy(value) for key, value in weights(shapes, gain=1).items()}


def names_and_shapes(reference):
    return [line.split("\t") for line in str(reference["keys"]).splitlines()]


@pytest.fixture(scope="module", params=SAM2_SIDES)
def original(request, tmp_path_factory):
    """Weights of a version's shapes, what the original gives with them, ours read from their file, its embeddings."""
    version, side = request.param, SAM2_SIDES[request.param]
    expected = published("sam2", version)
    state = formula_weights(expected)
    path = tmp_path_factory.mktemp("original") / "w.pt"
    torch.save({"model": state}, path)
    ours = load_sam2(path, side)
    path.unlink()  # 160 MB
    assert ours.version == version
    with torch.inference_mode():
        embeddings = ours.network.get_image_embeddings(torch.from_numpy(waves(3, side, side)))
    return expected, state, ours, embeddings, side // 128  # only every so many outputs are stored


def test_the_published_outputs_are_reproduced_and_weights_come_out_as_they_went_in(tmp_path, original):
    expected, state, ours, embeddings, step = original
    with torch.inference_mode():
        masks, scores = BoxSegmenter(ours.network).decode(embeddings, torch.tensor(SAM2_BOXES)[None])
    assert np.abs(embeddings[-1][0, ::8, ::step, ::step].numpy() - expected["embedding"]).max() < 1e-4
    assert np.abs(masks[0, :, ::step, ::step].numpy() - expected["masks"]).max() < 1e-4
    assert np.abs(scores[0].numpy() - expected["present"]).max() < 1e-4

    save_published(tmp_path / "out.pth", ours, 7)
    written = torch.load(tmp_path / "out.pth", weights_only=True)
    assert written["epoch"] == 7
    assert set(written["model"]) == {PREFIX + key for key in state}
    assert all(torch.equal(written["model"][PREFIX + key], value) for key, value in state.items())


@pytest.mark.parametrize("version", SAM2_SIDES)
def test_the_optimiser_is_in_the_order_of_the_original_model(version):
    """As the original script reads it: AdamW over the encoder's and then the decoder's parameters, by number."""
    rows = names_and_shapes(published("sam2", version))
    original = [row for part in ("image_encoder.", "sam_mask_decoder.") for row in rows if row[0].startswith(part)]
    network = build_sam2("tiny", 64)
    names, parameters = meta_names(network), dict(network.named_parameters())
    numbers = {meta: i for i, (meta, _) in enumerate(original)}
    moments = {
        ours: {"exp_avg": torch.full(parameters[ours].shape, float(numbers[meta]))}
        for ours, meta in names.items()
        if meta in numbers
    }
    state = published_optimizer(network, moments, 1e-5, 0.01)
    assert state["param_groups"][0]["params"] == list(range(len(original)))
    kept = [state["state"][i]["exp_avg"] for i in range(len(original))]
    assert [value.flatten()[0].item() for value in kept] == list(range(len(original)))
    assert [str(tuple(value.shape)) for value in kept] == [shape for _, shape in original]


def test_another_program_goes_on_from_our_optimiser(tmp_path, mini):
    """Written, read and stepped, it moves every parameter just as ours does."""
    network = mini.network
    adam = torch.optim.AdamW(parameter_groups(network, 0.01), lr=0.1)
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    adam.step()
    moments = moments_by_name(network, adam.state_dict())
    save_published(tmp_path / "m.pth", mini, 3, published_optimizer(network, moments, 0.1, 0.01))
    stored = torch.load(tmp_path / "m.pth", weights_only=True)
    assert stored["optimizer"].keys() == {"state", "param_groups"}
    assert len(stored["optimizer"]["param_groups"]) == 1
    order = {meta: ours for ours, meta in meta_names(network).items()}
    named = [meta for meta in order if meta.startswith("image_encoder.")]
    named += sorted((meta for meta in order if meta.startswith("sam_mask_decoder.")), key=place_in_decoder)
    theirs = {meta: torch.nn.Parameter(stored["model"][PREFIX + meta].clone()) for meta in named}
    again = torch.optim.AdamW(theirs.values(), lr=0.1, weight_decay=0.01)
    again.load_state_dict(stored["optimizer"])
    ours = dict(network.named_parameters())
    for meta, parameter in theirs.items():
        parameter.grad = ours[order[meta]].grad.clone()
    adam.step()
    again.step()
    moved = {meta: parameter for meta, parameter in theirs.items() if parameter.ndim > 1}  # with the same weight decay
    assert all(torch.allclose(parameter, ours[order[meta]]) for meta, parameter in moved.items())


@pytest.fixture
def mini():
    torch.manual_seed(0)
    return Sam2Weights(build_sam2("mini", 64))


def same(a, b):
    return all(torch.equal(value, b.state_dict()[key]) for key, value in a.state_dict().items())


def test_our_files_load_again_at_their_own_size(tmp_path, mini):
    save_published(tmp_path / "m.pth", mini, 1)
    save_hub_folder(tmp_path / "hub", mini)
    for source in (tmp_path / "m.pth", tmp_path / "hub"):
        again = load_sam2(source, None)
        assert same(mini.network, again.network)
        assert BoxSegmenter(again.network).image_size == 64
    assert BoxSegmenter(load_sam2(tmp_path / "m.pth", 128).network).image_size == 128


def test_class_tokens_lie_beside_the_published_tensors_and_come_back(tmp_path, mini):
    from transformers import Sam2Model

    save_published(tmp_path / "without.pth", mini, 1)
    mini.tokens = ClassTokens({2: "ground glass", 5: "reticulation"}, 64)
    save_published(tmp_path / "with.pth", mini, 1)
    save_hub_folder(tmp_path / "hub", mini)
    plain, ours = (torch.load(tmp_path / name, weights_only=True) for name in ("without.pth", "with.pth"))
    assert plain["model"].keys() == ours["model"].keys()  # so that others' programs load them as ever
    assert all(torch.equal(ours["model"][key], value) for key, value in plain["model"].items())
    for source in (tmp_path / "with.pth", tmp_path / "hub"):
        tokens = load_sam2(source, None).tokens
        assert tokens.names == {2: "ground glass", 5: "reticulation"}
        assert torch.equal(tokens.weight, mini.tokens.weight)
    assert load_sam2(tmp_path / "without.pth", None).tokens is None
    assert same(mini.network, Sam2Model.from_pretrained(tmp_path / "hub"))
    (tmp_path / "hub" / "class_tokens.safetensors").write_bytes(b"torn")
    with pytest.raises(PlanewiseError, match=r"class_tokens\.safetensors: cannot be read"):
        load_sam2(tmp_path / "hub", None)


def test_a_token_tells_the_decoder_what_is_asked_for_and_leaves_boxes_alone_as_they_were(mini):
    initialise(mini.network)
    alone, known = BoxSegmenter(mini.network), BoxSegmenter(mini.network, ClassTokens({1: "a", 7: "b"}, 64))
    assert known.classes == {1: 0, 7: 1}
    assert alone.classes == {}
    boxes = torch.tensor([[[0.1, 0.2, 0.6, 0.9]] * 2])
    with torch.inference_mode():
        embeddings = alone.eval().encode(torch.rand(1, 50, 40))
        expected, _ = alone.decode(embeddings, boxes)
        assert torch.equal(known.eval().decode(embeddings, boxes)[0], expected)
        asked, scores = known.decode(embeddings, boxes, torch.tensor([[0, 1]]))
    assert asked.shape == expected.shape
    assert not torch.allclose(asked[0, 0], asked[0, 1])
    assert scores[0, 0] != scores[0, 1]


def test_masks_that_are_not_stable_are_replaced_as_published(original):
    """With weights of which only the mask decoder's are others: the embeddings are the same."""
    expected, state, ours, embeddings, step = original
    network, boxes = copy.deepcopy(ours.network), torch.tensor(SAM2_BOXES)[None]
    network.load_state_dict(to_transformers(faint(state))[0])
    with torch.inference_mode():
        first, chosen = (
            BoxSegmenter(network, fallback=on).decode(embeddings, boxes)[0][0, :, ::step, ::step].numpy()
            for on in (False, True)
        )
    assert np.abs(first - expected["masks"] / 64).max() < 1e-5
    assert np.abs(chosen - expected["stable_masks"]).max() < 1e-5
    assert ((first > 0) != (chosen > 0)).mean(axis=(1, 2)).min() > 0.1


def test_the_fallback_is_that_of_transformers(mini):
    """Whose image model has it too, by its configuration."""
    initialise(mini.network)
    decoder = mini.network.mask_decoder
    theirs = copy.deepcopy(mini.network).eval()
    theirs.mask_decoder.dynamic_multimask_via_stability = True
    boxes = torch.tensor([[[0.1, 0.2, 0.6, 0.9], [0.0, 0.0, 1.0, 1.0], [0.5, 0.5, 0.6, 0.6]]])
    with torch.inference_mode():
        embeddings = BoxSegmenter(mini.network).eval().encode(torch.rand(1, 64, 64))
        kept, replaced = (BoxSegmenter(mini.network, fallback=on).decode(embeddings, boxes)[0] for on in (False, True))
        expected = theirs(image_embeddings=embeddings, input_boxes=boxes * 64, multimask_output=False).pred_masks[
            :, :, 0
        ]
    assert torch.equal(replaced, expected)
    assert not torch.equal(kept, replaced)
    assert decoder.config.dynamic_multimask_via_stability is False  # which a hub folder says: it gives our masks


def test_the_masks_that_are_trained_are_those_that_are_predicted(mini):
    initialise(mini.network)
    segmenter = BoxSegmenter(mini.network).eval()
    slices, boxes = torch.rand(2, 64, 64), torch.rand(2, 3, 2).repeat(1, 1, 2) * 0.5 + torch.tensor([0, 0, 0.4, 0.4])
    (trained, _), _ = segmenter(slices, boxes)
    with torch.no_grad():
        (predicted, _), _ = segmenter(slices, boxes)
    assert trained.shape == (2, 3, 4, 16, 16)
    torch.testing.assert_close(trained.detach(), predicted)


def test_slices_are_encoded_as_the_network_itself_does_it(mini):
    segmenter = BoxSegmenter(mini.network.eval())
    slices, boxes = torch.rand(2, 50, 40), torch.tensor([[[0.1, 0.2, 0.6, 0.9]], [[0.0, 0.0, 1.0, 1.0]]])
    with torch.inference_mode():
        (masks, scores), _ = segmenter(slices, boxes)
        alone = [segmenter(slices[i : i + 1], boxes[i : i + 1])[0][0] for i in range(2)]
    assert masks.shape == (2, 1, 4, 16, 16)
    assert scores.shape == (2, 1)
    assert torch.allclose(masks, torch.cat(alone), atol=1e-5)


def test_checkpointing_gives_the_same_gradients(mini):
    slices, boxes = torch.rand(1, 64, 64), torch.tensor([[[0.1, 0.2, 0.6, 0.9]]])
    gradients = []
    for checkpointing in (False, True):
        segmenter = BoxSegmenter(mini.network, checkpointing=checkpointing)
        segmenter.zero_grad()
        segmenter(slices, boxes)[0][0].square().mean().backward()
        gradients.append([p.grad.clone() for p in mini.network.vision_encoder.parameters() if p.grad is not None])
    assert len(gradients[0]) > 20
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_weights_that_do_not_fit_are_listed(tmp_path, mini):
    save_published(tmp_path / "m.pth", mini, 1)
    content = torch.load(tmp_path / "m.pth", weights_only=True)
    del content["model"][PREFIX + "no_mem_embed"]
    torch.save(content, tmp_path / "m.pth")
    with pytest.raises(PlanewiseError, match=r"m\.pth: 1 tensors(.|\n)*missing no_memory_embedding"):
        load_sam2(tmp_path / "m.pth", None)


@pytest.mark.parametrize(
    ("name", "parameters"),  # in millions; the video model has 7.5 more, which makes Meta's 38.9, 46, 80.8 and 224.4
    [("tiny", 31.4), ("small", 38.5), ("base_plus", 73.3), ("large", 216.9), ("mini", 0.9)],
)
def test_every_size_is_recognised_by_its_tensors(name, parameters):
    with torch.device("meta"):
        network = build_sam2(name, 1024)
    assert recognise(network.state_dict(), Path("w.pt")) == name
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(parameters, abs=0.06)


def test_tensors_of_no_size_are_held_against_the_nearest():
    with torch.device("meta"):
        state = build_sam2("large", 1024).state_dict()
    del state["vision_encoder.backbone.blocks.40.mlp.proj_in.weight"]
    with pytest.raises(PlanewiseError, match=r"w\.pt: 1 tensors do not fit SAM2 hiera large(.|\n)*blocks\.40"):
        recognise(state, Path("w.pt"))


def test_an_image_size_that_does_not_divide_is_refused():
    with pytest.raises(PlanewiseError, match="multiple of 32"):
        build_sam2("mini", 100)


def test_what_is_no_hub_folder_is_named(tmp_path):
    with pytest.raises(PlanewiseError, match="hub folder"):
        load_sam2(tmp_path, None)


TOKENS = {"names": {1: "a", 2: "b"}, "weight": torch.zeros(2, 64)}


@pytest.mark.parametrize(
    ("beside", "words"),
    [
        ({"class_tokens": {"weight": torch.zeros(2, 64)}}, "class_tokens.names: field required"),
        ({"class_tokens": [1]}, "class_tokens: "),
        ({"class_tokens": "ab"}, "class_tokens: "),
        ({"class_tokens": {**TOKENS, "names": ["a", "b"]}}, "class_tokens.names: "),
        ({"class_tokens": {**TOKENS, "weight": torch.zeros(3, 64)}}, "class tokens have shape (3, 64); 2 classes"),
        ({"class_tokens": {**TOKENS, "weight": torch.zeros(2)}}, "class tokens have shape (2,); 2 classes"),
        ({"class_tokens": {**TOKENS, "weight": torch.zeros(2, 64, dtype=torch.long)}}, "must be plain numbers"),
        ({"image_size": "abc"}, "image_size: "),
        ({"image_size": 10**6}, "image_size: "),
        ({"image_size": 100}, "image_size: "),
        ({"window": "lung"}, "window: "),
        ({"window": (1.0,)}, "window.1: field required"),
        ({"window": (float("nan"), 1.0)}, "window.0: "),
        ({"window": (0.0, 0.0)}, "window.1: "),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value)[:40],
)
def test_what_stands_beside_the_weights_and_does_not_fit_is_named(tmp_path, mini, beside, words):
    save_published(tmp_path / "m.pth", mini, 1)
    torch.save(torch.load(tmp_path / "m.pth", weights_only=True) | beside, tmp_path / "m.pth")
    with pytest.raises(PlanewiseError) as caught:
        load_sam2(tmp_path / "m.pth", None)
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"{tmp_path / 'm.pth'}: ")
    assert "\n" not in str(caught.value)


def put(name, content):
    def change(folder):
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())

    return change


def change_config(**values):
    def change(folder):
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | values))

    return change


def remove(name):
    return lambda folder: (folder / name).unlink()


def only_a_pickle(folder):
    (folder / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(2)}, folder / "pytorch_model.bin")


def without_a_tensor(folder):
    state = load_file(folder / "model.safetensors")
    save_file({name: value for name, value in state.items() if name != "no_memory_embedding"},
              folder / "model.safetensors", {"format": "pt"})  # fmt: skip


@pytest.mark.parametrize(
    "change",
    [
        put("config.json", "{}"),
        put("config.json", ""),
        put("config.json", "[" * 100_000),
        remove("config.json"),
        change_config(vision_config=[1, 2]),
        only_a_pickle,
        without_a_tensor,
        put("model.safetensors", b""),
        put("model.safetensors", b"\xff" * 20),
        put("class_tokens.safetensors", b"\xff" * 20),
    ],
    ids=["config {}", "config empty", "config deep", "no config", "vision_config list", "a pickle", "a tensor missing",
         "safetensors empty", "safetensors damaged", "tokens damaged"],
)  # fmt: skip
def test_what_is_wrong_with_a_hub_folder_is_told_in_one_line(tmp_path, mini, change, capfd):
    save_hub_folder(tmp_path / "hub", mini)
    change(tmp_path / "hub")
    with pytest.raises(PlanewiseError, match=r"^[^\n]*hub[^\n]*$") as caught:
        load_sam2(tmp_path / "hub", None)
    assert "Traceback" not in str(caught.value)
    assert capfd.readouterr().err == ""


def test_the_wrong_kind_of_model_is_named_with_what_takes_it(tmp_path, mini):
    save_published(tmp_path / "ct.pth", mini, 1)
    with pytest.raises(PlanewiseError, match=r"ct\.pth: holds the weights of a SAM2, .* see planewise ild"):
        read_model_file(find_model_file(tmp_path / "ct.pth"))
    with pytest.raises(PlanewiseError, match="MedSAM2: is a SAM2, and a MitoNet is needed; see planewise ild"):
        find_model_file("MedSAM2")
    em = write_untrained(tmp_path)
    for source in (em, em.with_suffix(".pth"), Path("MitoNet_v1")):
        with pytest.raises(PlanewiseError, match="is a MitoNet, but a SAM2 is needed; see planewise mito"):
            load_sam2(source, None)
