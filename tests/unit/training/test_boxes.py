import csv

import numpy as np
import pytest
import torch
from drawn_slices import ORGAN, ignore_below, write_slice

from planewise.errors import PlanewiseError
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.training.boxes import BoxTask, on_grid
from planewise.training.loop import train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS
from planewise.training.prompted_slices import BoxTraining


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


def test_a_folder_without_labelled_slices_is_refused(folder):
    with pytest.raises(PlanewiseError, match="ild prepare"):
        BoxTask(BoxSegmenter(build_sam2("mini", 64)), folder / "none", folder, BoxTraining())


def test_the_three_other_masks_learn_what_the_first_one_learns(folder):
    """One of them is what the published inference takes where the first is not stable."""
    segmenter = BoxSegmenter(build_sam2("mini", 64))
    task = BoxTask(segmenter, folder / "train", folder / "valid", BoxTraining(bbox_shift=0))
    task.train_mode()
    batch = task.collate([task.sample(0)])
    task.loss(segmenter, batch)["others"].backward()
    first, *others = segmenter.network.mask_decoder.output_hypernetworks_mlps
    assert all(p.grad.any() for mlp in others for p in mlp.parameters())
    assert not any(p.grad.any() for p in first.parameters())


def test_smaller_logits_are_brought_to_the_grid():
    assert on_grid(torch.zeros(1, 2, 4, 128, 128)).shape == (1, 2, 4, 256, 256)


def asking(folder, prompts=("truth", "organ"), **options):
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    segmenter = BoxSegmenter(network, ClassTokens({1: "a", 2: "b", 9: "never seen"}, 64))
    return BoxTask(segmenter, folder / "train", folder / "valid", BoxTraining(prompts=prompts, **options))


def by_name(task):
    return {path.stem: task.shown.read(path, None) for path in task.slices}


def test_tokens_and_the_object_score_learn_and_padding_does_not_count(organs):
    task = asking(organs)
    task.train_mode()
    batch = task.collate([task.shown.read(path, None) for path in task.slices])
    terms = task.loss(task.network, batch)
    assert set(terms) == {"total", "dice", "ce", "others", "object", "class_dice", "class_ce", "presence"}
    values = {name: term.item() for name, term in terms.items()}
    assert 2 * values["total"] == pytest.approx(sum(values.values()), rel=1e-5)
    terms["presence"].backward(retain_graph=True)
    head = task.network.network.mask_decoder.pred_obj_score_head
    assert all(p.grad is not None and p.grad.any() for p in head.parameters())
    assert task.network.tokens.weight.grad.any(dim=1).all()
    padding = ~batch["organ_valid"]
    assert padding.any()
    batch["asked_masks"][padding] = 1
    batch["asked_boxes"][padding] = 0.5
    with torch.no_grad():
        again = task.loss(task.network.eval(), batch)["total"]
        batch["asked_masks"][padding] = 0
        assert float(task.loss(task.network, batch)["total"]) == pytest.approx(float(again), rel=1e-5)


def test_the_three_other_masks_take_nothing_from_what_makes_the_first(organs):
    task = asking(organs)
    task.train_mode()
    task.loss(task.network, task.collate([task.shown.read(path, None) for path in task.slices]))["others"].backward()
    learning = {name for name, p in task.network.named_parameters() if p.grad is not None and p.grad.any()}
    assert {name.split("output_hypernetworks_mlps.")[-1][0] for name in learning} == {"1", "2", "3"}
    assert all("output_hypernetworks_mlps" in name for name in learning)


def test_presence_is_cross_entropy_of_the_object_score(organs):
    class Fixed(torch.nn.Module):
        def forward(self, image, boxes, asked_boxes, asked_classes):
            scores = torch.full(asked_boxes.shape[:2], 2.0)
            return None, (torch.zeros(*scores.shape, 1, 16, 16), scores)

    task = asking(organs, prompts=("organ",))
    batch = task.collate([task.shown.read(path, None) for path in task.slices if path.stem == "a-000"])
    loss = task.loss(Fixed(), batch)["presence"]  # two classes are there, one is not
    assert float(loss) == pytest.approx((2 * np.log1p(np.exp(-2)) + np.log1p(np.exp(2))) / 3, rel=1e-5)


def test_a_batch_without_any_prompt_of_a_kind(organs):
    task = asking(organs)
    one = {path.stem: task.collate([task.shown.read(path, None)]) for path in task.slices}
    for name in ("a-001", "c-000"):
        assert torch.isfinite(task.loss(task.network, one[name])["total"])


def test_validation_judges_masks_and_absence(organs):
    scores = asking(organs).validate(torch.device("cpu"))
    assert set(scores) == {"score", "loss", "dice", "class_dice", "absence"}
    judged = [scores[name] for name in ("dice", "class_dice", "absence")]
    assert scores["score"] == pytest.approx(sum(judged) / 3)


@pytest.mark.slow
def test_two_processes_with_half_the_batch_have_the_losses_of_one(tmp_path):
    """SAM2 has no batch norm, so sharing a batch changes nothing where every slice has as many prompts."""
    for i in range(8):
        write_slice(tmp_path / "train", f"a-{i:03d}", (1 + i % 3,))
        (tmp_path / "train" / "organs").mkdir(exist_ok=True)
        np.save(tmp_path / "train" / "organs" / f"a-{i:03d}.npy", ORGAN)
    losses = []
    for devices in (1, 2):
        torch.manual_seed(0)
        network = build_sam2("mini", 64)
        initialise(network)
        segmenter = BoxSegmenter(network, ClassTokens({1: "a", 2: "b", 3: "c"}, 64))
        task = BoxTask(segmenter, tmp_path / "train", tmp_path / "none", BoxTraining(prompts=("truth", "organ")))
        options = LoopOptions(
            iterations=3, batch_size=4, learning_rate=1e-3, seed=0, checkpoint_interval=3, accelerator="cpu",
            devices=devices, precision="32", num_workers=0, identity={}, weight_decay=0.01, clip_norm=1.0,
        )  # fmt: skip
        train(task, options, tmp_path / str(devices), resume=False)
        with (tmp_path / str(devices) / METRICS).open(newline="") as file:
            losses.append([float(row["total"]) for row in csv.DictReader(file)])
    assert len(losses[0]) == 3
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_training_without_any_object_is_refused_whatever_is_asked(organs):
    for part in ("train", "valid"):
        ignore_below(organs, part, 0)
    for prompts in (("truth",), ("organ",)):
        with pytest.raises(PlanewiseError, match="no labelled slices"):
            asking(organs, prompts=prompts)


class Fixed(torch.nn.Module):
    """Answers with given logits (256, 256) and scores, the same to every prompt."""

    def __init__(self, logits, score):
        super().__init__()
        self.logits, self.score = torch.as_tensor(logits, dtype=torch.float32), score

    def forward(self, image, boxes, asked_boxes, asked_classes):
        return [
            None
            if given is None
            else (self.logits.expand(*given.shape[:2], 4, -1, -1), torch.full(given.shape[:2], self.score))
            for given in (boxes, asked_boxes)
        ]


def test_ignored_pixels_take_no_part_in_the_losses_by_hand(organs):
    ignore_below(organs, "train", 50)
    task = asking(organs, bbox_shift=0)
    batch = task.collate([task.shown.read(path, None) for path in task.slices if path.stem == "a-000"])
    logits = np.full((256, 256), -20.0)
    logits[20:35, 60:120] = 20.0  # class 1 as it is
    first = task.loss(Fixed(logits, 2.0), batch)
    logits[50:] = 20.0  # whatever is said of what nobody knows
    second = task.loss(Fixed(logits, 2.0), batch)
    assert {name: float(value) for name, value in first.items()} == {name: float(v) for name, v in second.items()}
    # Boxes: class 1 is right in all pixels, and class 2, of which 10 rows are known, is missed: 0 and 20 each.
    assert float(first["dice"]) == pytest.approx((0 + 1) / 2, abs=1e-4)
    assert float(first["ce"]) == pytest.approx(20 * (15 + 10) * 60 / (2 * 50 * 256), rel=1e-4)
    # Presence: 1 and 2 are seen, also by their boxes; of 9 nobody knows where pixels are ignored.
    assert float(first["presence"]) == pytest.approx(np.log1p(np.exp(-2)), rel=1e-5)


def test_validation_leaves_ignored_pixels_out(organs):
    ignore_below(organs, "valid", 50)
    task = asking(organs)
    logits = np.full((256, 256), 20.0)
    logits[:50] = -20.0
    logits[20:35, 60:120] = 20.0
    task.network.forward = Fixed(logits, 2.0).forward
    scores = task.validate(torch.device("cpu"))
    assert scores["dice"] == scores["class_dice"] == 1
    assert "absence" not in scores  # of no class is it known to be absent
