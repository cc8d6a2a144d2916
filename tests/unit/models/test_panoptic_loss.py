import math

import numpy as np
import pytest
import torch

from planewise.models.model_file import CriterionParams
from planewise.models.panoptic_loss import collate_targets, panoptic_loss, panoptic_targets
from reference.formulas import loss_inputs
from reference.published import published


def test_the_published_targets_and_loss_are_reproduced():
    expected, (labels, outputs) = published("mitonet_loss", "slice"), loss_inputs()
    heatmap, offsets = panoptic_targets(labels)
    assert np.allclose(heatmap, expected["ctr_hmp"], atol=1e-6)
    assert np.allclose(offsets, expected["offsets"], atol=1e-5)
    tensors = {name: torch.from_numpy(value) for name, value in outputs.items()}
    terms = panoptic_loss(tensors, collate_targets([labels]), CriterionParams())
    assert {f"term_{name}" for name in terms} == expected.keys() - {"ctr_hmp", "offsets"}
    for name, value in terms.items():
        assert float(value) == pytest.approx(float(expected[f"term_{name}"]), rel=1e-6), name


def test_targets_by_hand():
    labels = np.zeros((5, 6), np.uint16)
    labels[1:4, 2] = 40000  # centroid (2, 2)
    heatmap, offsets = panoptic_targets(labels)
    assert offsets[0, 1:4, 2].tolist() == [1, 0, -1]
    assert offsets[1, 1:4, 2].tolist() == [0, 0, 0]
    assert (offsets[:, labels == 0] == 0).all()
    assert heatmap[0, 2, 2] == heatmap.max() == 1
    assert heatmap[0, 2, 3] == pytest.approx(math.exp(-1 / 72), rel=1e-5)


def test_an_empty_slice_has_empty_targets():
    heatmap, offsets = panoptic_targets(np.zeros((8, 8), np.int32))
    assert not heatmap.any()
    assert not offsets.any()


def test_loss_by_hand():
    foreground = torch.tensor([[[[1.0, 0, 0, 0, 0]]]])
    outputs = {
        "sem_logits": torch.tensor([[[[-3.0, -9, -9, -9, -9]]]]),  # the top 20 % is the one wrong pixel
        "ctr_hmp": torch.full((1, 1, 1, 5), 0.5),
        "offsets": torch.tensor([[[[2.0, 7, 7, 7, 7]], [[-1.0, 7, 7, 7, 7]]]]),  # counted inside the foreground only
    }
    targets = {"foreground": foreground, "ctr_hmp": torch.zeros(1, 1, 1, 5), "offsets": torch.zeros(1, 2, 1, 5)}
    targets["counted"] = torch.ones(1, 1, 1, 5, dtype=torch.bool)
    terms = panoptic_loss(outputs, targets, CriterionParams())
    assert terms["ce"].item() == pytest.approx(math.log(1 + math.exp(3)), rel=1e-5)
    assert terms["mse"].item() == pytest.approx(0.25)
    assert terms["l1"].item() == pytest.approx(3)
    assert terms["total"].item() == pytest.approx(terms["ce"].item() + 200 * 0.25 + 0.01 * 3, rel=1e-5)


def test_no_foreground_gives_a_finite_loss():
    zeros = torch.zeros(1, 1, 4, 4)
    outputs = {"sem_logits": zeros, "ctr_hmp": zeros, "offsets": torch.ones(1, 2, 4, 4)}
    targets = {"foreground": zeros, "ctr_hmp": zeros, "offsets": torch.zeros(1, 2, 4, 4), "counted": zeros == 0}
    assert panoptic_loss(outputs, targets, CriterionParams())["l1"] == 0


def random_outputs(rng, shape):
    outputs = {name: rng.normal(size=(1, 1, *shape)) for name in ("sem_logits", "ctr_hmp")}
    outputs |= {"offsets": rng.normal(size=(1, 2, *shape)), "sem_points": rng.normal(size=(1, 1, 3))}
    outputs["point_coords"] = np.array([[[0.2, 0.3], [0.4, 0.9], [0.9, 0.5]]])  # (x, y): the last is on the right
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in outputs.items()}


def test_ignored_pixels_take_no_part_in_any_term():
    """The loss of a slice whose right half is ignored is that of its left half, whatever is predicted on the right."""
    rng = np.random.default_rng(0)
    labels = np.zeros((6, 8), np.int32)
    labels[1:4, 1:3] = 4
    whole = labels.copy()
    whole[:, 4:] = -1
    outputs, half = random_outputs(rng, (6, 8)), collate_targets([labels[:, :4]])
    targets = collate_targets([whole])
    half["ctr_hmp"] = targets["ctr_hmp"][..., :4]  # which is smoothed beyond the border
    assert torch.equal(targets["counted"][..., :4], half["counted"])
    left = {name: values[..., :4] for name, values in outputs.items()}
    left["sem_points"] = outputs["sem_points"][..., :2]
    left["point_coords"] = outputs["point_coords"][:, :2] * torch.tensor([2.0, 1.0])
    expected = panoptic_loss(left, half, CriterionParams())
    result = panoptic_loss(outputs, targets, CriterionParams())
    for name, value in expected.items():
        assert float(result[name]) == pytest.approx(float(value), rel=1e-6), name
    for name in ("sem_logits", "ctr_hmp", "offsets"):
        outputs[name][..., 4:] = 100
    outputs["sem_points"][..., 2] = 100
    assert panoptic_loss(outputs, targets, CriterionParams()) == result


def test_a_slice_that_is_ignored_whole_has_no_loss():
    outputs = random_outputs(np.random.default_rng(1), (6, 8))
    terms = panoptic_loss(outputs, collate_targets([np.full((6, 8), -1)]), CriterionParams())
    assert all(value == 0 for value in terms.values())


def test_instance_outputs_on_a_coarser_grid_are_compared_with_every_nth_pixel():
    foreground = torch.zeros(1, 1, 8, 8)
    foreground[..., 4:, 4:] = 1
    heatmap, offsets = torch.zeros(1, 1, 8, 8), torch.zeros(1, 2, 8, 8)
    heatmap[0, 0, 4, 4], offsets[0, :, 4, 4] = 1.0, torch.tensor([2.0, -3.0])
    heatmap[0, 0, 5, 5], offsets[0, :, 5, 5] = 9.0, torch.tensor([99.0, 99.0])  # between the grid's points
    targets = {"foreground": foreground, "ctr_hmp": heatmap, "offsets": offsets, "counted": foreground >= 0}
    outputs = {"sem_logits": foreground, "ctr_hmp": torch.zeros(1, 1, 2, 2), "offsets": torch.zeros(1, 2, 2, 2)}
    terms = panoptic_loss(outputs, targets, CriterionParams())
    assert terms["mse"].item() == pytest.approx(1 / 4)
    assert terms["l1"].item() == pytest.approx(5)
