import csv
import os
import signal

import numpy as np
import pytest
import torch

from planewise.data.prepared import IGNORED, Patient, save_patient, save_slices
from planewise.errors import PlanewiseError
from planewise.models.sam2 import BoxSegmenter, ClassTokens, build_sam2, initialise
from planewise.models.sam2_clips import ClipSegmenter, Tracked
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_memory import new_memory
from planewise.processes import Terminated
from planewise.training.boxes import BoxTask
from planewise.training.checkpoint import load_checkpoint
from planewise.training.clips import ClipTask
from planewise.training.loop import BEST, LAST, train
from planewise.training.loop_options import LoopOptions
from planewise.training.metrics_file import METRICS
from planewise.training.prompted_slices import BoxTraining
from planewise.volumes.volume import Volume

BOTH = ("truth", "organ")
ALL_PARTS = ("encoder", "decoder", "memory")


def write_patient(work, part, case, kept, first=0, classes=(1, 2)):
    """A patient whose objects move to the right from slice to slice; ``first``: the z from which there are any."""
    images, labels = np.full((len(kept), 64, 64), 40, np.uint8), np.zeros((len(kept), 64, 64), np.uint8)
    for place, z in enumerate(kept):
        for value in classes:
            if z >= first:
                left = 4 + 3 * z
                labels[place, 16 * value - 8 : 16 * value + 4, left : left + 16] = value
    images[labels > 0] = 120 + 30 * labels[labels > 0]
    organ = np.ones_like(labels)
    geometry = Volume(np.zeros((40, 64, 64), np.uint8), (5.0, 1.0, 1.0), "mm")
    patient = Patient(case, images, labels, np.array(kept), geometry, organ)
    (work / f"npz_{part}").mkdir(parents=True, exist_ok=True)
    save_patient(work / f"npz_{part}" / f"{case}.npz", patient)
    save_slices(work / part, patient)


def write_work(folder):
    write_patient(folder, "train", "a", [2, 3, 4, 5, 9, 10])  # the slices 6 to 8 are missing
    write_patient(folder, "train", "b-1", [0, 1, 5])
    write_patient(folder, "valid", "v", [1, 2, 3, 4])
    return folder


@pytest.fixture
def work(tmp_path):
    return write_work(tmp_path)


def new_weights(tokens=None):
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    weights = Sam2Weights(network, "mini", tokens=tokens)
    weights.rest = new_memory(weights)
    return weights


def make(work, length=3, prompts=("truth",), parts=ALL_PARTS, kind=ClipTask, **options):
    torch.manual_seed(7)
    weights = new_weights(ClassTokens({1: "a", 2: "b"}, 64) if "organ" in prompts else None)
    training = BoxTraining(parts, prompts, **options)
    patients = work / "npz_train", work / "npz_valid"
    return kind(ClipSegmenter(weights, work), work / "train", work / "valid", training, length, patients)


def names_of(clip):
    return [path.stem for path in clip]


def by_name(task):
    return {path.stem: path for path in task.slices}


def test_clips_end_where_a_slice_is_missing_and_with_the_patient(work):
    task = make(work, length=4)
    slices = by_name(task)
    assert names_of(task._clip(slices["a-000"], 1)) == ["a-000", "a-001", "a-002", "a-003"]
    assert names_of(task._clip(slices["a-002"], 1)) == ["a-002", "a-003"]  # z 5, after which 6 to 8 are missing
    assert names_of(task._clip(slices["a-002"], -1)) == ["a-002", "a-001", "a-000"]
    assert names_of(task._clip(slices["a-004"], -1)) == ["a-004"]
    assert names_of(task._clip(slices["a-005"], 1)) == ["a-005"]
    assert names_of(task._clip(slices["b-1-000"], 1)) == ["b-1-000", "b-1-001"]
    assert names_of(task._clip(slices["b-1-001"], 1)) == ["b-1-001"]
    assert {path.stem for path in task.beginning} == {*slices} - {"b-1-002"}


def test_every_nth_sample_begins_a_clip_and_all_are_shown_as_they_are_alone(work):
    task = make(work, length=3, scale_range=(0.8, 1.3))
    alone = make(work, length=1, scale_range=(0.8, 1.3))
    clips = 0
    for index in range(36):
        sample, single = task.sample(index), alone.sample(index)
        assert not any(name.startswith("clip_") for name in single)
        for name, value in single.items():
            assert np.array_equal(sample[name], value)
        clips += "clip_images" in sample
        assert index % 3 == 0 or "clip_images" not in sample
    assert 8 <= clips <= 12  # a clip that would begin with the slice that stands alone is none


@pytest.mark.parametrize("length", [2, 4, 8])
def test_a_batch_holds_no_more_slices_in_clips_than_alone_however_long_they_are(work, length):
    write_patient(work, "train", "long", list(range(12)))
    task = make(work, length)
    shown = 0
    for step in range(4):
        batch = task.collate([task.sample(8 * step + place) for place in range(8)])
        shown += len(batch["clip_images"]) if "clip_images" in batch else 0
        assert shown <= 8 * (step + 1)
        assert len(batch.get("clip_true", ())) <= 3 * 8
    assert shown


def test_objects_are_followed_as_they_are(work):
    task = make(work, bbox_shift=0)
    slices = by_name(task)
    clip = task._clip(slices["a-000"], 1)
    sample = task._read_clip(clip, None, None)
    assert sample["clip_images"].shape == (2, 64, 64)
    assert sample["clip_masks"].shape == (2, 3, 256, 256)
    assert sample["clip_places"].tolist() == [-1, -1]
    assert np.allclose(sample["clip_boxes"][0] * 64, [10, 8, 26, 20])
    for t, path in enumerate(clip):
        labels = np.load(path.parent.parent / "gts" / path.name)
        for place, value in enumerate((1, 2)):
            assert np.array_equal(sample["clip_masks"][place, t], labels == value)
    assert make(work, prompts=BOTH)._read_clip(clip, None, None)["clip_places"].tolist() == [0, 1]


def test_all_slices_of_a_clip_are_moved_alike(work):
    """Objects move by 3 pixels of 64 a slice to the right, whatever the view: as far as they are large there."""
    task = make(work, length=3, scale_range=(0.7, 0.9), upright=True)
    seen = 0
    for index in range(0, 120, 3):
        sample = task.sample(index)
        if "clip_masks" not in sample or sample["clip_masks"].shape[1] < 3:
            continue
        rows, columns = (
            [np.argwhere(mask).mean(0)[axis] for mask in sample["clip_masks"][0] if mask.any()] for axis in (0, 1)
        )
        if len(columns) == 3:
            seen += 1
            step = np.hypot(*(np.diff(values) for values in (rows, columns)))
            assert step[0] == pytest.approx(step[1], abs=4.1)  # a pixel of the input is 4 of the grid
            assert 0.7 * 12 - 4 < step[0] < 0.9 * 12 + 4
    assert seen > 5


def test_no_more_objects_than_three_are_followed_but_all_are_validated(work):
    write_patient(work, "valid", "w", [0, 1], classes=(1, 2, 3))
    write_patient(work, "train", "w", [0, 1], classes=(1, 2, 3))
    for part in ("train", "valid"):
        for path in (work / part / "gts").glob("w-*.npy"):
            labels = np.load(path)
            labels[240:250, 100:120] = 4
            np.save(path, labels)
    task = make(work)
    clip = task._clip(by_name(task)["w-000"], 1)
    chosen = set()
    for seed in range(12):
        masks = task._read_clip(clip, None, np.random.default_rng(seed))["clip_masks"]
        assert len(masks) == 3
        chosen |= {int(np.load(work / "train" / "gts" / "w-000.npy")[mask[0] > 0][0]) for mask in masks}
    assert chosen == {1, 2, 3, 4}
    assert len(task._read_clip(clip, None, None)["clip_masks"]) == 4
    assert len(make(work, one_class=True)._read_clip(clip, None, np.random.default_rng(0))["clip_masks"]) == 1


def test_a_clip_of_one_slice_is_the_step_of_boxes(work):
    """The same loss, and the same gradient; and with longer clips what boxes alone are trained on stays the same."""
    boxes = BoxTask(
        BoxSegmenter(new_weights(ClassTokens({1: "a", 2: "b"}, 64)).network, ClassTokens({1: "a", 2: "b"}, 64)),
        work / "train", work / "valid", BoxTraining(("encoder", "decoder"), BOTH),
    )  # fmt: skip
    one, three = make(work, 1, BOTH), make(work, 3, BOTH)
    boxes.network.tokens.load_state_dict(one.network.tokens.state_dict())
    result = []
    for task in (boxes, one, three):
        task.network.eval()
        terms = task.loss(task.network, task.collate([task.sample(index) for index in range(4)]))
        terms["total"].backward()
        result.append((task, {name: term.item() for name, term in terms.items()}))
    alone, single, clip = (terms for _, terms in result)
    assert {name: single[name] for name in alone} == alone | {"total": pytest.approx(alone["total"], rel=1e-6)}
    assert {name: single[name] for name in single.keys() - alone.keys()} == dict.fromkeys(
        ("clip_dice", "clip_ce", "clip_presence", "clip_iou"), 0.0
    )
    of_boxes = dict(boxes.network.named_parameters())
    for name, parameter in one.network.named_parameters():
        if name in of_boxes and of_boxes[name].grad is not None:
            assert torch.allclose(parameter.grad, of_boxes[name].grad, rtol=1e-5, atol=1e-7)
        elif name.startswith("memory."):
            assert parameter.grad is None or not parameter.grad.any()
    for name in alone.keys() - {"total"}:
        assert clip[name] == pytest.approx(alone[name], rel=1e-5)
    assert clip["clip_dice"] > 0
    assert clip["total"] == pytest.approx(sum(value for name, value in clip.items() if name != "total"), rel=1e-5)


@pytest.mark.parametrize("parts", [("memory",), ("decoder", "memory"), ("encoder",), ALL_PARTS], ids="+".join)
def test_parts_are_trained_as_they_are_asked_for(work, parts):
    task = make(work, parts=parts)
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    task.train_mode()
    optimizer = torch.optim.SGD([p for p in task.network.parameters() if p.requires_grad], lr=0.1)
    batch = task.collate([task._read_clip(task._clip(by_name(task)["a-000"], 1), None, None)])
    task.loss(task.network, batch)["total"].backward()
    optimizer.step()
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    trained = {
        "encoder": ["network.vision_encoder."], "decoder": ["network.mask_decoder."],
        "memory": ["memory.network.memory_attention.", "memory.network.memory_encoder."],
    }  # fmt: skip
    for part, prefixes in trained.items():
        for prefix in prefixes:
            assert any(name.startswith(prefix) for name in moved) == (part in parts)
    assert not any("prompt_encoder" in name for name in moved)
    # Processes that share batches wait for every gradient, of batches with clips and of those without.
    for grads in (task, make(work, parts=parts)):
        if grads is not task:
            grads.train_mode()
            grads.loss(grads.network, grads.collate([grads.shown.read(grads.slices[0], None)]))["total"].backward()
        idle = [name for name, p in grads.network.named_parameters() if p.requires_grad and p.grad is None]
        assert idle == []


def tracked_as(true, score=6.0, sure=12.0):
    """What a network sees that knows the masks (K + F, 256, 256) of one object."""
    logits = torch.where(true > 0, sure, -sure)
    scores = torch.where(true.flatten(1).any(1), score, -score)
    ious = torch.tensor([0.2, 0.9, 0.4]).expand(len(true) - 1, 3)
    return Tracked(logits[:1, None], scores[:1], logits[1:, None].expand(-1, 3, -1, -1), ious, scores[1:])


def clip_batch(task, name="a-000", way=1):
    return task.collate([task._read_clip(task._clip(by_name(task)[name], way), None, None)])


def test_the_loss_of_a_clip_by_hand(work):
    task = make(work, one_class=True)
    batch = task.collate([task._read_clip(task._clip(by_name(task)["a-000"], 1), None, np.random.default_rng(1))])
    true = batch["clip_true"]
    assert true.shape == (3, 256, 256)
    terms = {name: float(value) for name, value in task._clip_terms(tracked_as(true), batch).items()}
    assert terms["clip_dice"] == pytest.approx(0, abs=1e-4)
    assert terms["clip_ce"] == pytest.approx(np.log1p(np.exp(-12)), rel=0.1)
    assert terms["clip_presence"] == pytest.approx(np.log1p(np.exp(-6)), rel=1e-3)
    assert terms["clip_iou"] == pytest.approx((0.8 + 0.1 + 0.6) / 3, rel=1e-4)  # all three masks are right
    seen = tracked_as(true)._replace(followed=torch.full((2, 3, 256, 256), -12.0))  # nothing after the start
    terms = {name: float(value) for name, value in task._clip_terms(seen, batch).items()}
    assert terms["clip_dice"] == pytest.approx(6 / 7, abs=1e-3)  # of the start's mask and three in each of two slices
    assert terms["clip_iou"] == pytest.approx((0.2 + 0.9 + 0.4) / 3, rel=1e-4)


def set_labels(work, part, name, change):
    path = work / part / "gts" / f"{name}.npy"
    labels = np.load(path)
    change(labels)
    np.save(path, labels)


def test_what_is_ignored_carries_no_loss(work):
    """The whole second slice, and half of the third: whatever is shown there."""
    set_labels(work, "train", "a-001", lambda labels: labels.fill(IGNORED))
    set_labels(work, "train", "a-002", lambda labels: labels[:, 60:].fill(IGNORED))
    task = make(work)
    batch = clip_batch(task)
    counted = batch["clip_counted"]
    assert counted.flatten(1).float().mean(1).tolist() == pytest.approx([1, 1, 0, 60 / 256, 0, 60 / 256])
    logits = torch.randn(4, 3, 256, 256)
    other = torch.where(counted[2:, None], logits, 50 * torch.randn(4, 3, 256, 256))
    ious, scores = torch.rand(4, 3), torch.tensor([1.0, 2, 3, 4])
    first, second = (
        task._clip_terms(Tracked(torch.zeros(2, 1, 256, 256), torch.zeros(2), seen, ious, given), batch)
        for seen, given in ((logits, scores), (other, scores + torch.tensor([9.0, 0, 9, 0])))
    )
    assert {name: float(value) for name, value in first.items()} == {name: float(v) for name, v in second.items()}
    assert "a-001" not in by_name(task)  # no object to prompt


def test_an_object_that_has_ended_is_learned_to_be_absent(work):
    set_labels(work, "train", "a-002", lambda labels: labels.fill(0))
    task = make(work)
    batch = clip_batch(task)
    shown = Tracked(
        torch.zeros(2, 1, 256, 256), torch.zeros(2), torch.zeros(4, 3, 256, 256), torch.zeros(4, 3),
        torch.tensor([5.0, 5, 5, 5]),
    )  # fmt: skip
    entropies = [np.log(2)] * 2 + [np.log1p(np.exp(-5)), np.log1p(np.exp(5))] * 2
    assert float(task._clip_terms(shown, batch)["clip_presence"]) == pytest.approx(np.mean(entropies), rel=1e-5)


def test_validation_measures_what_is_followed(work):
    task = make(work, length=4)
    assert len(task.validation_clips) == 4
    scores = task.validate(torch.device("cpu"))
    assert set(scores) == {"score", "loss", "dice", "clip_dice"}
    assert scores["score"] == pytest.approx((scores["dice"] + scores["clip_dice"]) / 2)
    batch = task.collate([task._read_clip(task._clip(task.validation_clips[0], 1), None, None)])
    true, count = batch["clip_true"], 2
    right = torch.where(true[count:] > 0, 5.0, -5.0)[:, None].expand(-1, 3, -1, -1).clone()
    right[:, 0] = right[:, 2] = 5.0  # the masks that are not taken
    ious, there = torch.tensor([0.1, 0.8, 0.3]).expand(6, 3), torch.ones(6)
    seen = Tracked(torch.zeros(2, 1, 256, 256), torch.zeros(2), right, ious, there)
    assert task._volume_dices(seen, batch) == [1, 1]
    gone = seen._replace(scores=torch.tensor([1.0, -1, 1, 1, 1, 1]))  # a third of the first object is said to be none
    assert task._volume_dices(gone, batch) == pytest.approx([2 * 2 / (2 + 3), 1])


def test_a_network_that_learns_clips_gets_better_at_them(work):
    task = make(work, length=3, bbox_shift=0)
    task.train_mode()
    optimizer = torch.optim.AdamW([p for p in task.network.parameters() if p.requires_grad], lr=2e-3)
    batch = task.collate([task._read_clip(task._clip(by_name(task)["a-000"], 1), None, None)])
    values = []
    for step in range(14):
        torch.manual_seed(step)
        terms = task.loss(task.network, batch)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        values.append((terms["clip_dice"] + terms["clip_ce"] + terms["clip_presence"]).item())
    assert values[-1] < 0.75 * values[0]


class Stopped(ClipTask):
    """A training that is ended in its n-th step: by a signal, or killed, as after which nothing is saved."""

    ended_in, how = 0, signal.SIGTERM
    taken = 0

    def loss(self, network, batch):
        self.taken += 1
        if self.taken == self.ended_in:
            if self.how == signal.SIGKILL:
                raise ProcessLookupError("killed")
            os.kill(os.getpid(), self.how)
        return super().loss(network, batch)


LOOP = LoopOptions(
    iterations=5, batch_size=4, learning_rate=1e-3, seed=1, checkpoint_interval=2, accelerator="cpu", devices=1,
    precision="32", num_workers=0, identity={}, weight_decay=0.01, clip_norm=1.0,
)  # fmt: skip


def stoppable(work):
    return make(work, kind=Stopped, prompts=BOTH, scale_range=(0.8, 1.2))


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder of slices, and within it a training on them that nothing stopped."""
    folder = write_work(tmp_path_factory.mktemp("trained"))
    train(stoppable(folder), LOOP, folder / "whole", resume=False)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("how", "ended_in", "kept"), [(signal.SIGTERM, 3, 3), (signal.SIGKILL, 4, 2)])
def test_a_training_that_is_ended_goes_on_as_if_it_had_not_been(trained, tmp_path, how, ended_in, kept):
    task = stoppable(trained)
    task.ended_in, task.how = ended_in, how
    with pytest.raises(Terminated if how == signal.SIGTERM else ProcessLookupError):
        train(task, LOOP, tmp_path, resume=False)
    assert load_checkpoint(tmp_path / LAST)["step"] == kept
    train(stoppable(trained), LOOP, tmp_path, resume=True)
    whole, parts = (load_checkpoint(folder / LAST) for folder in (trained / "whole", tmp_path))
    assert all(torch.equal(value, parts["network"][name]) for name, value in whole["network"].items())
    assert any(name.startswith("memory.network.memory_attention") for name in whole["network"])
    assert load_checkpoint(trained / "whole" / BEST)["step"] == load_checkpoint(tmp_path / BEST)["step"]
    rows = []
    for folder in (trained / "whole", tmp_path):
        with (folder / METRICS).open(newline="") as file:
            rows.append([{k: v for k, v in row.items() if k != "images_per_second"} for row in csv.DictReader(file)])
    assert rows[0] == rows[1]
    assert {"clip_dice", "val_clip_dice"} <= rows[0][1].keys()


def test_a_folder_without_neighbours_is_refused(tmp_path):
    write_patient(tmp_path, "train", "a", [0, 2, 4])
    write_patient(tmp_path, "valid", "v", [0, 1])
    with pytest.raises(PlanewiseError, match="--slices all"):
        make(tmp_path)


def test_validation_without_neighbours_chooses_by_boxes(work, capsys):
    for path in (work / "valid").rglob("v-00[13].npy"):
        path.unlink()
    task = make(work)
    assert "chosen by boxes only" in capsys.readouterr().err
    assert "clip_dice" not in task.validate(torch.device("cpu"))


@pytest.mark.slow
def test_two_processes_share_batches_of_which_one_has_a_clip(work):
    for devices in (1, 2):
        loop = LoopOptions(
            iterations=3, batch_size=4, learning_rate=1e-3, seed=1, checkpoint_interval=3, accelerator="cpu",
            devices=devices, precision="32", num_workers=0, identity={}, weight_decay=0.01, clip_norm=1.0,
        )  # fmt: skip
        train(make(work, length=4, prompts=BOTH), loop, work / str(devices), resume=False)
        assert load_checkpoint(work / str(devices) / LAST)["step"] == 3
