import numpy as np
import pytest
import torch

from planewise.training.losses import class_dice_loss, cross_entropy, dice_loss, presence_loss


def test_what_is_drawn_where_a_class_is_not_lowers_its_dice():
    drawn, empty = torch.zeros(2, 4, 4), torch.zeros(4, 4)
    drawn[0, :2, :2] = drawn[1, 2:, 2:] = 1
    logits = torch.where(torch.stack([drawn[0], drawn[1], drawn[0]]) > 0, 50.0, -50.0)
    masks, classes = torch.stack([drawn[0], empty, empty]), torch.tensor([0, 0, 2])
    counted = torch.ones(3, 4, 4, dtype=torch.bool)
    # Class 0: 4 pixels are drawn rightly in one slice, 4 wrongly in another; of class 2 there is nothing to find.
    assert float(class_dice_loss(logits, masks, counted, classes, 3)) == pytest.approx(1 - 2 * 4 / (8 + 4), rel=1e-4)
    counted[1] = False  # what is ignored does not
    assert float(class_dice_loss(logits, masks, counted, classes, 3)) == pytest.approx(0, abs=1e-4)
    assert float(class_dice_loss(logits[2:], masks[2:], counted[2:], classes[2:], 3)) == 0
    assert float(class_dice_loss(logits[:0], masks[:0], counted[:0], classes[:0], 3)) == 0


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
def test_the_dice_loss_is_that_of_monai():
    """As in the published fine-tuning: of squares, the mean over masks, an empty one among them."""
    from monai.losses import DiceLoss

    rng = np.random.default_rng(0)
    logits = torch.from_numpy(rng.normal(0, 3, (4, 16, 20)).astype(np.float32))
    masks = torch.from_numpy((rng.random((4, 16, 20)) < 0.3).astype(np.float32))
    masks[2] = 0
    expected = DiceLoss(sigmoid=True, squared_pred=True)(logits[:, None], masks[:, None])
    assert float(dice_loss(logits, masks, torch.ones_like(masks))) == pytest.approx(float(expected), rel=1e-6)


def test_cross_entropy_is_the_mean_over_the_pixels_that_count():
    logits, masks = torch.tensor([[[2.0, -1.0, 9.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    counted = torch.tensor([[[True, True, False]]])
    by_hand = (np.log1p(np.exp(-2)) + np.log1p(np.exp(1))) / 2
    assert float(cross_entropy(logits, masks, counted)) == pytest.approx(by_hand, rel=1e-6)
    assert float(cross_entropy(logits, masks, torch.zeros_like(counted))) == 0


def test_of_an_empty_mask_with_ignored_pixels_no_presence_is_learned():
    masks, counted = torch.zeros(3, 1, 2), torch.ones(3, 1, 2, dtype=torch.bool)
    masks[0, 0, 0] = 1
    counted[0, 0, 1] = counted[2, 0, 1] = False  # what is seen is there, whatever lies beside it
    by_hand = (np.log1p(np.exp(-3)) + np.log1p(np.exp(-1))) / 2
    assert float(presence_loss(torch.tensor([3.0, -1.0, 8.0]), masks, counted)) == pytest.approx(by_hand, rel=1e-6)
    assert float(presence_loss(torch.tensor([8.0]), masks[2:], counted[2:])) == 0
