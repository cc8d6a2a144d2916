import torch

from planewise.models.sam2_masks import stable_masks


def test_a_mask_that_is_not_stable_is_replaced_by_the_best_of_the_others_by_hand():
    """Of 100 pixels above -0.05, 98 above 0.05 are enough, 97 are not; of a mask that is nowhere nothing depends."""
    masks = torch.full((1, 4, 4, 10, 20), -1.0)
    masks[..., 0, :] = torch.tensor([0.0, 1.0, 2.0, 3.0])[None, None, :, None]  # by which the others are told apart
    masks[0, :3, 0] = -1.0
    for prompt, certain in enumerate((98, 97)):
        first = masks[0, prompt, 0].view(-1)
        first[:certain], first[certain:100] = 1.0, 0.0
    masks[0, 3, 0, 0] = 0.0
    ious = torch.tensor([0.9, 0.1, 0.8, 0.3]).expand(1, 4, -1)
    chosen = stable_masks(masks, ious)
    expected = [0, 2, 0, 2]  # stable, not stable, nowhere, nothing above 0.05
    assert all(torch.equal(chosen[0, prompt], masks[0, prompt, mask]) for prompt, mask in enumerate(expected))
