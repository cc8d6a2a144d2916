"""MitoNet with several classes: its head, its loss, its files."""

import math

import numpy as np
import pytest
import torch

from planewise.cli import run
from planewise.data.panoptic import DIVISOR, PanopticClasses
from planewise.errors import PlanewiseError
from planewise.models.model_file import CriterionParams, ModelFile, read_model_file, write_model_file
from planewise.models.panoptic_deeplab import build
from planewise.models.panoptic_loss import collate_targets, panoptic_loss
from planewise.models.point_rend import uncertainty
from planewise.models.weights import (
    export_torchscript,
    load_network,
    network_for_classes,
    outputs_of,
    refuse_other_classes,
)
from untrained import write_untrained

NORMS = {"mean": 0.5, "std": 0.2}
THREE = PanopticClasses({1: "mito", 2: "nucleus", 3: "er"}, (1, 2))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build("mitonet_small_unet32", 4).eval()


def test_the_semantic_head_has_a_channel_for_background_and_each_class(network):
    x = torch.randn(2, 1, 32, 48)
    with torch.inference_mode():
        outputs = network(x, 3)
    assert outputs["sem_logits"].shape == (2, 4, 64, 96)
    assert outputs["ctr_hmp"].shape == (2, 1, 32, 48)
    trained = network.train()(x)
    assert trained["sem_points"].shape == (2, 4, 1024)


def test_points_are_uncertain_where_the_best_two_are_near():
    logits = torch.tensor([[[5.0, 1, 0], [4.0, -9, 0], [-9.0, -9, -9]]])
    assert uncertainty(logits).tolist() == [[-1.0, -10.0, 0.0]]
    assert uncertainty(torch.tensor([[[-2.0, 0.5]]])).tolist() == [[-2.0, -0.5]]


def test_the_published_form_loads_here_and_runs_alone(tmp_path, network):
    export_torchscript(network, tmp_path / "w.pth")
    x = torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected, scripted = network(x), torch.jit.load(tmp_path / "w.pth")(x)
        loaded = load_network(tmp_path / "w.pth")(x)
    for network_again in (scripted, loaded):
        assert torch.allclose(network_again["sem_logits"], expected["sem_logits"], rtol=1e-3, atol=1e-4)


def test_another_number_of_classes_gets_a_new_head_and_keeps_the_rest(tmp_path, capsys):
    torch.manual_seed(0)
    one = build("mitonet_small_unet32")
    torch.save(one.state_dict(), tmp_path / "w.pth")
    several = network_for_classes(tmp_path / "w.pth", 4)
    assert outputs_of(several.state_dict()) == 4
    assert torch.equal(several.encoder.conv1.weight, one.encoder.conv1.weight)
    assert torch.equal(several.ins_xy.head[1].weight, one.ins_xy.head[1].weight)
    assert "has 1 semantic outputs, but 4 are needed" in capsys.readouterr().err
    same = network_for_classes(tmp_path / "w.pth", 1)
    assert torch.equal(same.semantic_head.head[1].weight, one.semantic_head.head[1].weight)


def test_loss_by_hand():
    labels = np.array([[2 * DIVISOR + 1, 2 * DIVISOR + 1, 3 * DIVISOR, 0, -1]], np.int32)
    targets = collate_targets([labels], (1, 2))
    assert targets["classes"].tolist() == [[[2, 2, 3, 0, 0]]]
    assert targets["foreground"].tolist() == [[[[1, 1, 0, 0, 0]]]]  # offsets are those of things alone
    assert targets["counted"].tolist() == [[[[True, True, True, True, False]]]]
    assert targets["ctr_hmp"].max() == 1
    assert targets["offsets"][0, 1, 0].tolist() == [0.5, -0.5, 0, 0, 0]
    logits = torch.full((1, 4, 1, 5), -20.0)
    for column, value in enumerate((2, 2, 3, 0, 1)):
        logits[0, value, 0, column] = 20
    logits[0, :, 0, 2] = torch.tensor([0.0, 0, 0, 0])  # the one uncertain pixel: ln 4
    outputs = {"sem_logits": logits, "ctr_hmp": targets["ctr_hmp"], "offsets": targets["offsets"]}
    terms = panoptic_loss(outputs, targets, CriterionParams(top_k_percent=0.25))
    assert terms["ce"].item() == pytest.approx(math.log(4), rel=1e-5)
    assert terms["mse"].item() == terms["l1"].item() == 0


def test_a_model_says_its_classes_as_empanada_does(tmp_path):
    model = ModelFile(norms=NORMS).with_classes(THREE)
    write_model_file(tmp_path / "m.yaml", model)
    again = read_model_file(tmp_path / "m.yaml")
    assert again.several == THREE
    assert again.outputs == 4
    assert (again.labels, again.thing_list) == ([1, 2, 3], [1, 2])
    assert again.FINETUNE.engine_params.thing_list == [1, 2]
    assert again.FINETUNE.dataset_class == "PanopticDataset"
    assert again.FINETUNE.dataset_params.model_dump()["label_divisor"] == DIVISOR
    assert ModelFile(norms=NORMS).several is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"labels": [1, 3], "class_names": {1: "a", 3: "b"}},
        {"labels": [1, 2], "class_names": {1: "a"}},
        {"labels": [1, 2], "class_names": {1: "a", 2: "b"}, "thing_list": [4]},
        {"labels": [1, 2], "class_names": {1: "a", 2: "b"}, "thing_list": [1, 1]},
        {"labels": [1, 2], "class_names": {1: "a", 2: "a"}},
        {"labels": [1, 2], "class_names": {1: "background", 2: "a"}},
    ],
)
def test_classes_that_do_not_agree_are_refused(tmp_path, wrong):
    (tmp_path / "m.yaml").write_text(f"norms: {NORMS}\n" + "".join(f"{k}: {v}\n" for k, v in wrong.items()))
    with pytest.raises(PlanewiseError, match=r"does not fit the schema of a model's YAML"):
        read_model_file(tmp_path / "m.yaml")


def test_weights_of_other_classes_than_the_yaml_says_are_refused(tmp_path):
    model = read_model_file(write_untrained(tmp_path)).with_classes(THREE)
    with pytest.raises(
        PlanewiseError, match=r"names 3 classes .*mito, nucleus, er.* 4 semantic outputs, but .* have 1"
    ):
        refuse_other_classes(load_network(tmp_path / "M.pth"), model, tmp_path / "M.yaml")


def test_an_archive_keeps_the_classes(tmp_path, network):
    export_torchscript(network, tmp_path / "m.pth")
    write_model_file(tmp_path / "m.yaml", ModelFile(model="m.pth", norms=NORMS).with_classes(THREE))
    assert run(["models", "export", str(tmp_path / "m.yaml"), str(tmp_path / "m.empanada")]) == 0
    import zipfile

    with zipfile.ZipFile(tmp_path / "m.empanada") as archive:
        (tmp_path / "again.yaml").write_bytes(archive.read("m.yaml"))
        assert "things, with separate objects: mito (1), nucleus (2)" in archive.read("README.md").decode()
    assert read_model_file(tmp_path / "again.yaml").several == THREE
