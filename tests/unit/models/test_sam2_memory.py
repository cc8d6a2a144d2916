from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

from planewise.errors import PlanewiseError
from planewise.models.sam2 import MEAN, SIZES, STD, BoxSegmenter, ClassTokens, build_sam2
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.sam2_memory import MemorySegmenter, require_memory
from planewise.models.sam2_names import to_meta
from video_sam2 import HIDDEN, SIDE, video_model

BOX = torch.tensor([10.0, 10, 40, 50])
COUNT, START = 9, 3


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setitem(SIZES, "mini", replace(SIZES["mini"], hidden=HIDDEN))


def seen(model, tmp_path):
    """Return the two segmenters of a model by way of its file."""
    torch.save({"model": to_meta(model.state_dict())}, tmp_path / "w.pt")
    weights = load_sam2(tmp_path / "w.pt", SIDE)
    return BoxSegmenter(weights.network), MemorySegmenter(weights, tmp_path / "w.pt")


def video(version, sure):
    """A video model that is ``sure`` that objects are there, and hides none of what it thinks."""
    model = video_model(version)
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias += sure
        model.memory_temporal_positional_encoding.normal_()
        model.no_memory_embedding.normal_()
        model.no_object_pointer.normal_()
        for layer in model.memory_encoder.memory_fuser.layers:
            layer.scale.fill_(0.5)
    return model


def of_transformers(model, slices, reverse):
    """Return the masks and scores of every slice that transformers' own session comes to, by slice."""
    side = (SIDE, SIDE)
    frames = F.interpolate(slices[:, None], size=side, mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    session = Sam2VideoInferenceSession(
        video=(frames - mean) / std, video_height=SIDE, video_width=SIDE, dtype=torch.float32
    )
    points = {"point_coords": BOX.view(1, 1, 2, 2), "point_labels": torch.tensor([[[2, 3]]])}
    session.add_point_inputs(session.obj_id_to_idx(1), START, points)
    session.obj_with_new_inputs.append(1)
    with torch.inference_mode():
        model(session, frame_idx=START)
        outputs = list(model.propagate_in_video_iterator(session, start_frame_idx=START, reverse=reverse))
    return {out.frame_idx: (out.pred_masks[0, 0], out.object_score_logits.flatten()[0]) for out in outputs}


@torch.inference_mode()
def of_ours(boxes, memory, slices, direction):
    logits, score, start = memory.start(boxes.encode(slices[START, None]), START, len(slices), BOX / SIDE, None)
    result = {START: (logits, score)}
    remembered = start.towards(direction)
    for z in range(START + 1, len(slices)) if direction > 0 else range(START - 1, -1, -1):
        result[z] = memory.follow(boxes.encode(slices[z, None]), z, remembered)
    return result, start, remembered


@pytest.mark.parametrize("version", ["2.0", "2.1"])
@pytest.mark.parametrize("direction", [1, -1])
@pytest.mark.parametrize("sure", [3.0, 0.0])
def test_slices_show_what_they_show_transformers(version, direction, sure, tmp_path):
    model = video(version, sure)
    slices = torch.rand(COUNT, 48, 48)
    expected = of_transformers(model, slices, direction < 0)
    result, _, _ = of_ours(*seen(model, tmp_path), slices, direction)
    assert result.keys() == expected.keys()
    assert len(expected) == (COUNT - START if direction > 0 else START + 1)
    for z, (masks, score) in expected.items():
        assert torch.allclose(result[z][0], masks, atol=1e-4)
        assert torch.allclose(result[z][1], score, atol=1e-4)
    masks = torch.stack([mask for mask, _ in expected.values()])
    if sure:
        assert masks.std(0).max() > 0.01  # slices differ
        assert (masks > -1000).all()


def test_making_ready_to_predict_changes_nothing(tmp_path):
    model, slices = video("2.1", 3.0), torch.rand(COUNT, 48, 48)
    plain, _, _ = of_ours(*seen(model, tmp_path), slices, 1)
    boxes, memory = seen(model, tmp_path)
    ready, _, _ = of_ours(boxes.frozen(), memory.frozen(), slices, 1)
    assert all(torch.allclose(mask, ready[z][0], atol=1e-4) for z, (mask, _) in plain.items())


def test_what_was_seen_before_decides_what_is_seen(tmp_path):
    boxes, memory = seen(video("2.1", 3.0), tmp_path)
    slices = torch.rand(COUNT, 48, 48)
    first, _, _ = of_ours(boxes, memory, slices, 1)
    slices[START] = torch.rand(48, 48)
    second, _, _ = of_ours(boxes, memory, slices, 1)
    assert not torch.allclose(first[COUNT - 1][0], second[COUNT - 1][0], atol=1e-3)


def test_memory_is_bounded_and_embeddings_are_released(tmp_path):
    boxes, memory = seen(video("2.1", 3.0), tmp_path)
    _, start, remembered = of_ours(boxes, memory, torch.rand(40, 48, 48), 1)
    assert not start.slices
    whole = [z for z, kept in remembered.slices.items() if "maskmem_features" in kept]
    assert whole == [38, 39]  # of num_maskmem 3, the third is the start
    assert sorted(remembered.slices) == list(range(25, 40))  # vectors of max_object_pointers_in_encoder - 1
    assert list(remembered.start) == [START]
    for session in (start.session, remembered.session):
        assert not session.cache._vision_features
    positions = {kept["maskmem_pos_enc"].data_ptr() for kept in remembered.slices.values()}
    assert len(positions) == 1


def test_directions_know_nothing_of_each_other(tmp_path):
    boxes, memory = seen(video("2.1", 3.0), tmp_path)
    slices = torch.rand(COUNT, 48, 48)
    alone, _, _ = of_ours(boxes, memory, slices, -1)
    with torch.inference_mode():
        _, _, start = memory.start(boxes.encode(slices[START, None]), START, COUNT, BOX / SIDE, None)
        up, down = start.towards(1), start.towards(-1)
        memory.follow(boxes.encode(slices[START + 1, None]), START + 1, up)
        after, _ = memory.follow(boxes.encode(slices[START - 1, None]), START - 1, down)
    assert torch.equal(after, alone[START - 1][0])
    assert (list(up.slices), list(down.slices)) == ([START + 1], [START - 1])


def test_a_box_starts_as_without_memory_and_the_token_of_its_class_stands_beside_it(tmp_path):
    model = video("2.1", 3.0)
    torch.save({"model": to_meta(model.state_dict())}, tmp_path / "w.pt")
    weights = load_sam2(tmp_path / "w.pt", SIDE)
    weights.tokens = ClassTokens({1: "a", 2: "b"}, HIDDEN)
    memory, boxes = MemorySegmenter(weights, tmp_path), BoxSegmenter(weights.network, weights.tokens)
    slices = torch.rand(1, 48, 48)
    masks = []
    with torch.inference_mode():
        for place in (None, 0, 1):
            logits, score, _ = memory.start(boxes.encode(slices), 0, 1, BOX / SIDE, place)
            classes = None if place is None else torch.tensor([[place]])
            expected, scores = boxes.decode(boxes.encode(slices), BOX[None, None] / SIDE, classes)
            assert torch.allclose(logits, expected[0, 0], atol=1e-4)
            assert torch.allclose(score, scores[0, 0], atol=1e-4)
            masks.append(logits)
    assert not torch.allclose(masks[0], masks[1], atol=1e-3)
    assert not torch.allclose(masks[1], masks[2], atol=1e-3)


def test_a_model_without_memory_is_refused():
    with pytest.raises(PlanewiseError, match=r"memory: w.pt has no tensors .* --propagation boxes"):
        require_memory(Sam2Weights(build_sam2("mini", SIDE)), Path("w.pt"))


def test_a_model_that_lacks_a_part_of_its_memory_is_refused(tmp_path):
    state = to_meta(video("2.1", 0.0).state_dict())
    del state["memory_encoder.out_proj.weight"]
    state["obj_ptr_proj.layers.0.bias"] = torch.zeros(5)
    torch.save({"model": state}, tmp_path / "w.pt")
    with pytest.raises(PlanewiseError, match=r"2 tensors of .*w.pt do not fit SAM2's video model") as caught:
        require_memory(load_sam2(tmp_path / "w.pt", SIDE), tmp_path / "w.pt")
    assert "missing memory_encoder.projection.weight" in str(caught.value)
