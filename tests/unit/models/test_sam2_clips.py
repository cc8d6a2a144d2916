from dataclasses import replace
from pathlib import Path

import pytest
import torch

from planewise.models.sam2 import SIZES, BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.models.sam2_clips import Clips, ClipSegmenter
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_memory import MemorySegmenter, has_memory, new_memory
from planewise.models.sam2_names import to_meta, to_transformers
from video_sam2 import HIDDEN, SIDE, video_model

BOXES = torch.tensor([[[0.1, 0.1, 0.6, 0.7], [0.3, 0.2, 0.9, 0.5]]])
LENGTH = 5


def weights_of(version, tokens=None):
    """Weights whose memory was not trained but says much, sure that objects are there."""
    torch.manual_seed(2)
    if version == "new":
        network = build_sam2("mini", SIDE)
        initialise(network)
        weights = Sam2Weights(network, "mini", tokens=tokens)
        weights.rest = new_memory(weights)
    else:
        ours, rest = to_transformers(to_meta(video_model(version).state_dict()))
        network = build_sam2("mini", SIDE)
        network.load_state_dict(ours)
        weights = Sam2Weights(network, "mini", version, rest, tokens)
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.proj_out.bias += 4
        weights.rest["maskmem_tpos_enc"].normal_()
        for layer in (0, 1):
            if (name := f"memory_encoder.fuser.layers.{layer}.gamma") in weights.rest:
                weights.rest[name].fill_(0.5)
    return weights


@pytest.fixture(params=["2.0", "2.1", "new"])
def version(request, monkeypatch):
    if request.param != "new":
        monkeypatch.setitem(SIZES, "mini", replace(SIZES["mini"], hidden=HIDDEN))
    return request.param


def clips_of(images, place=-1):
    """Two clips in one batch of two slices: of all images, and of the second alone with the first two of the rest."""
    return Clips(
        torch.cat([images[1:], images[2:4]]),
        torch.tensor([0, 1]),
        torch.tensor([len(images), 3]),
        BOXES.repeat(2, 1, 1),
        torch.full((2, 2), place),
        torch.tensor([[True, True], [True, False]]),
    )


@torch.no_grad()
def predicted(weights, images, box, place=None):
    """What prediction sees of an object in ``images``, one after the other."""
    boxes = BoxSegmenter(weights.network, weights.tokens)
    memory = MemorySegmenter(weights, Path("w.pt")).frozen()
    logits, score, start = memory.start(boxes.encode(images[:1]), 0, 30, box, place)
    seen, remembered = [(logits, score)], start.towards(1)
    for z in range(1, len(images)):
        seen.append(memory.follow(boxes.encode(images[z : z + 1]), z, remembered))
    return seen


@pytest.mark.parametrize("with_token", [False, True])
def test_what_is_trained_is_what_predicts(version, with_token):
    channels = 64 if version == "new" else HIDDEN
    weights = weights_of(version, ClassTokens({3: "a", 5: "b"}, channels) if with_token else None)
    images = torch.rand(LENGTH, SIDE, SIDE)
    place = 1 if with_token else None
    expected = [predicted(weights, images, box, place) for box in BOXES[0]]
    second = predicted(weights, images[1:4], BOXES[0, 0], place)
    segmenter = ClipSegmenter(weights, Path("w.pt")).eval()
    with torch.no_grad():
        _, _, tracked = segmenter(images[:2], None, clips=clips_of(images, 1 if with_token else -1))
    assert tracked.starts.shape == (3, 1, SIDE // 4, SIDE // 4)
    assert tracked.followed.shape == (2 * (LENGTH - 1) + 2, 3, SIDE // 4, SIDE // 4)
    starts = [seen[0] for seen in (*expected, second)]
    after = [one for seen in (*expected, second) for one in seen[1:]]
    assert torch.allclose(tracked.starts[:, 0], torch.stack([logits for logits, _ in starts]), atol=1e-4)
    assert torch.allclose(tracked.start_scores, torch.stack([score for _, score in starts]), atol=1e-4)
    best = tracked.followed[torch.arange(len(after)), tracked.ious.argmax(1)]
    assert torch.allclose(best, torch.stack([logits for logits, _ in after]), atol=1e-3)
    assert torch.allclose(tracked.scores, torch.stack([score for _, score in after]), atol=1e-4)
    assert best.std(0).max() > 0.001  # slices differ


def test_the_start_is_what_the_box_shows_alone(version):
    weights, images = weights_of(version), torch.rand(LENGTH, SIDE, SIDE)
    segmenter = ClipSegmenter(weights, Path("w.pt")).train()
    with torch.no_grad():
        boxed, _, tracked = segmenter(images[:2], BOXES.repeat(2, 1, 1), clips=clips_of(images))
    alone, scores = boxed
    assert torch.allclose(tracked.starts[:2, 0], alone[0, :, 0], atol=1e-4)
    assert torch.allclose(tracked.starts[2, 0], alone[1, 0, 0], atol=1e-4)
    assert torch.allclose(tracked.start_scores, torch.cat([scores[0], scores[1, :1]]), atol=1e-4)


def test_without_clips_it_is_the_segmenter_of_boxes(version):
    weights, images = weights_of(version), torch.rand(2, SIDE, SIDE)
    plain = BoxSegmenter(weights.network)
    with torch.no_grad():
        expected = plain(images, BOXES.repeat(2, 1, 1))
        masks = ClipSegmenter(weights, Path("w.pt"))(images, BOXES.repeat(2, 1, 1))
    assert all(torch.equal(a, b) for a, b in zip(expected[0], masks[0]))
    assert masks[1:] == (None, None)


def test_gradients_reach_all_of_the_memory_from_the_slices_after_the_first(version):
    weights, images = weights_of(version), torch.rand(LENGTH, SIDE, SIDE)
    segmenter = ClipSegmenter(weights, Path("w.pt")).train()
    _, _, tracked = segmenter(images[:2], None, clips=clips_of(images))
    tracked.followed.square().mean().backward()
    video, memory = segmenter.memory.network, "memory.network."
    with_gradient = {name for name, p in segmenter.named_parameters() if p.grad is not None and p.grad.any()}
    parts = ("memory_attention", "memory_encoder", "object_pointer_proj")
    for part in parts:
        names = {f"{memory}{part}.{name}" for name, _ in getattr(video, part).named_parameters()}
        # Keys are compared: one number that is added to all changes nothing.
        assert {name for name in names - with_gradient if "k_proj.bias" not in name} == set()
    assert f"{memory}memory_temporal_positional_encoding" in with_gradient
    assert any(name.startswith("network.vision_encoder.backbone.") for name in with_gradient)
    assert any(name.startswith("network.mask_decoder.output_hypernetworks_mlps.") for name in with_gradient)


def test_the_memory_alone_is_counted_as_the_memory(version):
    weights = weights_of(version)
    before = set(weights.network.state_dict())
    segmenter = ClipSegmenter(weights, Path("w.pt"))
    names = set(segmenter.state_dict())
    assert {name.removeprefix("network.") for name in names if name.startswith("network.")} == before
    tensors = segmenter.memory_tensors()
    assert tensors.keys() == weights.rest.keys()
    assert all(torch.equal(tensor, weights.rest[name]) for name, tensor in tensors.items())
    assert set(segmenter.parts) == {"encoder", "decoder", "memory"}
    owners = [id(p) for p in segmenter.parts["memory"].parameters()]
    assert not set(owners) & {id(p) for p in segmenter.network.parameters()}


def test_a_new_memory_is_the_same_for_a_seed_and_has_the_published_size_for_a_published_model():
    network = build_sam2("mini", SIDE)
    drawn = []
    for _ in range(2):
        torch.manual_seed(5)
        weights = Sam2Weights(network, "mini")
        assert not has_memory(weights)
        weights.rest = new_memory(weights)
        assert has_memory(weights)
        drawn.append(weights.rest)
    assert all(torch.equal(value, drawn[1][name]) for name, value in drawn[0].items())
    assert drawn[0]["no_obj_ptr"].any()
    tiny = new_memory(Sam2Weights(build_sam2("tiny", SIDE), "tiny"))
    assert tiny["memory_attention.layers.3.linear1.weight"].shape == (2048, 256)
    assert tiny["memory_encoder.fuser.layers.1.gamma"].unique().tolist() == pytest.approx([1e-6])
    assert tiny["maskmem_tpos_enc"].shape == (7, 1, 1, 64)
