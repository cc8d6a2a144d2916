import numpy as np
import pytest
import torch

from planewise.errors import PlanewiseError
from planewise.models.sam2 import BoxSegmenter, build_sam2
from planewise.training.boxes import BoxTask, BoxTraining, on_grid, prepared_slices


def write_slice(folder, name, classes, shape=(40, 50)):
    for kind in ("imgs", "gts"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    labels = np.zeros((256, 256), np.uint8)
    for value in classes:
        labels[20 * value : 20 * value + 15, 60:120] = value
    np.save(folder / "imgs" / f"{name}.npy", np.full((*shape, 3), 100, np.uint8))
    np.save(folder / "gts" / f"{name}.npy", labels)


@pytest.fixture
def folder(tmp_path):
    write_slice(tmp_path / "train", "a-000", (1, 2, 4))
    write_slice(tmp_path / "train", "a-001", (3,), (60, 30))
    write_slice(tmp_path / "train", "a-002", ())  # nothing left of it after resizing: passed over, not fatal
    write_slice(tmp_path / "valid", "b-000", (1,))
    return tmp_path


def make(folder, parts=("encoder", "decoder"), one_class=False, shift=5, scale_range=None):
    torch.manual_seed(0)
    segmenter = BoxSegmenter(build_sam2("mini", 64))
    options = BoxTraining(parts, ("truth",), shift, one_class, scale_range)
    return BoxTask(segmenter, folder / "train", folder / "valid", options)


def test_all_classes_of_a_slice_are_trained_at_once(folder):
    task = make(folder)
    samples = sorted((task.sample(n) for n in range(2)), key=lambda sample: len(sample["boxes"]))
    assert [len(sample["boxes"]) for sample in samples] == [1, 3]
    batch = task.collate(samples)
    assert batch["image"].shape == (2, 64, 64)
    assert batch["boxes"].shape == (2, 3, 4)
    assert batch["truth_valid"].tolist() == [[True, False, False], [True, True, True]]
    assert len(make(folder, one_class=True).sample(0)["boxes"]) == 1


def test_every_slice_is_shown_once_an_epoch(folder):
    task = make(folder)
    assert task.steps_per_epoch(16) == 1
    for epoch in range(3):
        counts = sorted(len(task.sample(2 * epoch + i)["boxes"]) for i in range(2))
        assert counts == [1, 3]


def test_boxes_are_tight_and_move_outward_only(folder):
    exact = make(folder, shift=0)
    tight = sorted(exact.sample(n)["boxes"].tolist() for n in range(2))[1][0]
    assert np.allclose(np.array(tight) * 256, [60, 60, 120, 75])
    jittered = make(folder)
    for n in range(40):
        sample = jittered.sample(n)
        for box, mask in zip(sample["boxes"] * 256, sample["masks"]):
            rows, columns = np.nonzero(mask)
            assert columns.min() - 5 <= box[0] <= columns.min()
            assert rows.max() + 1 <= box[3] <= rows.max() + 6


@pytest.mark.parametrize("parts", [("encoder", "decoder"), ("decoder",), ("encoder",)], ids="+".join)
def test_what_is_frozen_neither_moves_nor_has_gradients(folder, parts):
    task = make(folder, parts)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    task.train_mode()
    optimizer = torch.optim.SGD([p for p in task.network.parameters() if p.requires_grad], lr=0.1)
    task.loss(task.network, task.collate([task.sample(n) for n in range(2)]))["total"].backward()
    optimizer.step()
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    trained = {"encoder": "network.vision_encoder.", "decoder": "network.mask_decoder."}
    for part, prefix in trained.items():
        assert any(name.startswith(prefix) for name in moved) == (part in parts)
    assert not any("prompt_encoder" in name or "shared_image_embedding" in name for name in moved)
    assert all(p.grad is None for name, p in task.network.named_parameters() if "prompt_encoder" in name)


def test_magnified_slices_keep_their_boxes_on_their_masks(folder):
    task = make(folder, shift=0, scale_range=(0.8, 1.2))
    areas = set()
    for n in range(30):
        sample = task.sample(n)
        assert len(sample["boxes"]) >= 1
        for box, mask in zip(sample["boxes"] * 256, sample["masks"]):
            rows, columns = np.nonzero(mask)
            assert np.allclose(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=0.01)
            areas.add(int(mask.sum()))
    assert len(areas) > 10


def test_padding_prompts_do_not_count(folder):
    task = make(folder)
    batch = task.collate([task.sample(n) for n in range(2)])
    task.network.eval()
    with torch.no_grad():
        before = task.loss(task.network, batch)["total"]
        batch["masks"][~batch["truth_valid"]] = 1
        batch["boxes"][~batch["truth_valid"]] = 0.5
        assert task.loss(task.network, batch)["total"] == pytest.approx(float(before), rel=1e-5)


def test_validation_leaves_what_the_loop_puts_back(folder):
    task = make(folder)
    task.train_mode()
    scores = task.validate(torch.device("cpu"))
    assert 0 <= scores["dice"] == scores["score"] <= 1
    task.train_mode()
    assert task.network.network.mask_decoder.training
    assert not task.network.network.prompt_encoder.training


def test_slices_without_labels_are_named(folder):
    (folder / "train" / "gts" / "a-001.npy").unlink()
    with pytest.raises(PlanewiseError, match=r"1 slices have no gts: a-001\.npy"):
        prepared_slices(folder / "train")
    with pytest.raises(PlanewiseError, match="ild prepare"):
        BoxTask(BoxSegmenter(build_sam2("mini", 64)), folder / "none", folder, BoxTraining())


def test_smaller_logits_are_brought_to_the_grid():
    assert on_grid(torch.zeros(1, 2, 128, 128)).shape == (1, 2, 256, 256)
