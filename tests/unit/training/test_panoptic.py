import numpy as np
import pytest
import tifffile
import torch
from test_slice_folder import make_case, make_labelled

from planewise.data.classes import Target
from planewise.errors import PlanewiseError
from planewise.models.folding import fold_batch_norms
from planewise.models.model_file import ModelFile, find_model_file, read_model_file
from planewise.models.panoptic_deeplab import build
from planewise.training import slice_folder
from planewise.training.panoptic import PanopticTask, freeze
from planewise.training.slice_folder import write_slice_folder
from planewise.volumes.files import open_volume

ENCODER = {"stem": 3_136 + 128, "layer1": 215_808, "layer2": 1_219_584, "layer3": 7_098_368, "layer4": 14_964_736}


@pytest.mark.parametrize(
    ("layer", "frozen"),
    [
        ("none", ["stem", "layer1", "layer2", "layer3", "layer4"]),
        ("stage4", ["stem", "layer1", "layer2", "layer3"]),
        ("stage3", ["stem", "layer1", "layer2"]),
        ("stage2", ["stem", "layer1"]),
        ("stage1", ["stem"]),
        ("all", []),
    ],
)
def test_the_number_of_trained_parameters(layer, frozen):
    network = build("mitonet_v1")
    freeze(network, layer)
    trained = sum(p.numel() for p in network.parameters() if p.requires_grad)
    assert trained == 55_158_486 - sum(ENCODER[part] for part in frozen)


@pytest.mark.parametrize("name", ["mitonet_small", "mitonet_small_unet32"])
def test_a_folded_network_freezes_too(name):
    network = fold_batch_norms(build(name))
    freeze(network, "none")
    assert not any(p.requires_grad for p in network.encoder.parameters())
    assert all(p.requires_grad for name, p in network.named_parameters() if not name.startswith("encoder."))


@pytest.fixture
def task(tmp_path):
    write_slice_folder([make_case(tmp_path, "a", (12, 48, 56))], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    torch.manual_seed(0)
    model = ModelFile(norms={"mean": 0.5, "std": 0.1})
    return PanopticTask(build("mitonet_small"), model, tmp_path / "2d", 32, "stage2", 5)


def test_frozen_parts_do_not_move_in_a_step_and_the_others_do(task):
    before = {name: value.clone() for name, value in task.network.state_dict().items()}
    task.train_mode()
    batch = task.collate([task.sample(n) for n in range(4)])
    optimizer = torch.optim.AdamW([p for p in task.network.parameters() if p.requires_grad], lr=0.01)
    task.loss(task.network, batch)["total"].backward()
    optimizer.step()
    moved = {name for name, value in task.network.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith(("encoder.conv1", "encoder.bn1", "encoder.layer1")) for name in moved)
    assert "encoder.layer2.0.conv1.weight" in moved
    assert "encoder.layer2.0.bn1.running_mean" in moved
    assert "semantic_head.head.1.weight" in moved


def test_samples_repeat_and_differ(task):
    first, again, other = task.sample(3), task.sample(3), task.sample(4)
    assert all((a == b).all() for a, b in zip(first, again))
    assert not (first[0] == other[0]).all()


def test_validation_scores(tmp_path):
    labels = np.zeros((20, 32, 40), np.uint8)
    labels[:, 5:9, 5:39] = 1
    write_slice_folder([make_labelled(tmp_path, labels)], tmp_path / "2d", ("xy",), lambda name: None)
    model = ModelFile(norms={"mean": 0.5, "std": 0.1})
    task = PanopticTask(build("mitonet_small"), model, tmp_path / "2d", 32, "all", 5)
    assert task.validated_on == ["a slab of a"]
    scores = task.validate(torch.device("cpu"))
    assert 0 <= scores["score"] == scores["pq"] <= 1
    assert 0 <= scores["iou"] <= 1
    assert scores["loss"] > 0


def test_slices_of_the_validation_are_read_from_the_disk_once(tmp_path, monkeypatch):
    write_slice_folder([make_case(tmp_path, "a", (12, 48, 56))], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    opened = []
    monkeypatch.setattr(slice_folder, "open_volume", lambda path: opened.append(path) or open_volume(path))
    model = ModelFile(norms={"mean": 0.5, "std": 0.1})
    task = PanopticTask(build("mitonet_small"), model, tmp_path / "2d", 32, "all", 5)
    assert task.volumes
    assert any("val" in path.parts for path in opened)
    assert len(opened) == len(set(opened))


def test_where_there_is_nothing_to_find_there_is_no_score(task):
    assert task.validate(torch.device("cpu")).keys() == {"loss"}  # all objects lie where it is trained


def test_slices_without_any_object_are_refused(tmp_path):
    write_slice_folder([make_case(tmp_path, "a", (8, 9, 40))], tmp_path / "2d", ("xy",), lambda name: None)
    for path in (tmp_path / "2d" / "train" / "masks").iterdir():
        tifffile.imwrite(path, np.full((6, 40), -1, np.int32), photometric="minisblack")
    with pytest.raises(PlanewiseError, match="no training slice shows an object"):
        PanopticTask(build("mitonet_small"), ModelFile(norms={"mean": 0.5, "std": 0.1}), tmp_path / "2d", 32, "all", 0)


def test_garbage_in_ignored_voxels_changes_no_loss(tmp_path):
    """Instances drawn at random where the labels beside them say ignore, or none drawn there: the same losses."""
    losses = []
    labels = np.zeros((16, 64, 64), np.uint8)
    labels[:, 40:] = 2
    for name, seed in (("clean", None), ("garbage", 1)):
        instances = np.zeros(labels.shape, np.uint16)
        instances[:, 8:24, 8:24] = 5
        if seed is not None:
            instances[:, 40:] = np.random.default_rng(seed).integers(0, 9, (16, 24, 64))
        case = make_labelled(tmp_path / name, labels, instances)
        target = Target("instances", (), 2)
        write_slice_folder([case], tmp_path / name / "2d", ("xy",), lambda name: None, target)
        torch.manual_seed(0)
        model = ModelFile(norms={"mean": 0.5, "std": 0.1})
        task = PanopticTask(build("mitonet_small"), model, tmp_path / name / "2d", 32, "all", 5)
        task.train_mode()
        batch = task.collate([task.sample(n) for n in range(4)])
        assert not batch["counted"].all()
        terms = {term: value.item() for term, value in task.loss(task.network, batch).items()}
        losses.append((terms, task.validate(torch.device("cpu"))))
    assert losses[0] == losses[1]


def test_the_recipe_for_little_data_trains_the_small_network(tmp_path):
    write_slice_folder([make_case(tmp_path, "a", (12, 48, 56))], tmp_path / "2d", ("xy", "yz"), lambda name: None)
    model = read_model_file(find_model_file("MitoNet_small"))
    torch.manual_seed(0)
    task = PanopticTask(build(model.architecture), model, tmp_path / "2d", 64, "all", 5)
    task.train_mode()
    batch = task.collate([task.sample(n) for n in range(4)])
    losses = []
    optimizer = torch.optim.AdamW(task.network.parameters(), lr=0.003)
    for _ in range(4):
        terms = task.loss(task.network, batch)
        optimizer.zero_grad()
        terms["total"].backward()
        optimizer.step()
        losses.append(terms["total"].item())
    assert losses[-1] < losses[0]
    assert all(parameter.grad is not None for parameter in task.network.parameters())
