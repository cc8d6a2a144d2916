import numpy as np
import pytest
from drawn_slices import ignore_below

from planewise.errors import PlanewiseError
from planewise.training.prompted_slices import BoxTraining, PromptedSlices, classes_in, prepared_slices
from planewise.training.sampling import sample_generator

BOTH = ("truth", "organ")
PLACES = {1: 0, 2: 1, 9: 2}  # of the tokens; class 9 is never seen


def slices_of(prompts=("truth",), **options):
    return PromptedSlices(BoxTraining(prompts=prompts, **options), 64, PLACES)


def moved(slices, folder, count):
    """The usable slices of a folder as they are shown, in turn, until there are ``count``."""
    paths = slices.usable_in(folder)
    return [slices.read(paths[n % len(paths)], sample_generator(0, n)) for n in range(count)]


def by_name(slices, folder):
    return {path.stem: slices.read(path, None) for path in slices.usable_in(folder)}


def test_slices_without_labels_are_named(folder):
    (folder / "train" / "gts" / "a-001.npy").unlink()
    with pytest.raises(PlanewiseError, match=r"1 slice without gts: a-001\.npy"):
        prepared_slices(folder / "train")


def test_boxes_are_tight_and_move_outward_only(folder):
    tight = by_name(slices_of(), folder / "train")["a-001"]["boxes"][0]
    assert np.allclose(tight * 256, [60, 60, 120, 75])
    for sample in moved(slices_of(bbox_shift=5), folder / "train", 40):
        for box, mask in zip(sample["boxes"] * 256, sample["masks"]):
            rows, columns = np.nonzero(mask)
            assert columns.min() - 5 <= box[0] <= columns.min()
            assert rows.max() + 1 <= box[3] <= rows.max() + 6


def test_magnified_slices_keep_their_boxes_on_their_masks(folder):
    areas = set()
    for sample in moved(slices_of(bbox_shift=0, scale_range=(0.8, 1.2)), folder / "train", 30):
        assert len(sample["boxes"]) >= 1
        for box, mask in zip(sample["boxes"] * 256, sample["masks"]):
            rows, columns = np.nonzero(mask)
            assert np.allclose(box, [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=0.01)
            areas.add(int(mask.sum()))
    assert len(areas) > 10


def test_every_class_is_asked_for_within_the_organ_there_or_not(organs):
    by_slice = by_name(slices_of(BOTH), organs / "train")
    assert set(by_slice) == {"a-000", "a-001", "a-002", "c-000"}  # slices without an object too
    sample = by_slice["a-000"]  # holds 1, 2 and 4, of which 4 has no token
    assert len(sample["boxes"]) == 3
    assert sample["asked_classes"].tolist() == [0, 1, 2, 0, 1]  # every class within the organ, then the boxes by name
    assert np.allclose(sample["asked_boxes"][:3] * 256, [40, 10, 200, 200])
    assert np.allclose(sample["asked_boxes"][3:], sample["boxes"][:2])
    areas = sample["asked_masks"].sum((1, 2)).tolist()
    assert areas == [15 * 60, 15 * 60, 0, 15 * 60, 15 * 60]
    assert by_slice["c-000"]["asked_masks"].sum() == 0
    assert len(by_slice["c-000"]["asked_boxes"]) == 3
    assert len(by_slice["c-000"]["boxes"]) == 0
    assert len(by_slice["a-001"]["asked_boxes"]) == 0  # no organ, and class 3 has no token


def test_the_organ_alone(organs):
    by_slice = by_name(slices_of(("organ",)), organs / "train")
    assert "a-001" not in by_slice
    assert len(by_slice["a-000"]["boxes"]) == 0
    assert by_slice["a-000"]["asked_classes"].tolist() == [0, 1, 2]


def test_magnified_slices_keep_organ_and_labels_together(organs):
    seen = 0
    for sample in moved(slices_of(BOTH, bbox_shift=0, scale_range=(0.8, 1.2)), organs / "train", 40):
        for box, mask in list(zip(sample["asked_boxes"] * 256, sample["asked_masks"]))[:2]:
            rows, columns = np.nonzero(mask)
            if len(rows):
                seen += 1
                assert box[0] <= columns.min() + 1  # every object lies in the organ
                assert columns.max() <= box[2]
                assert box[1] <= rows.min() + 1
                assert rows.max() <= box[3]
    assert seen > 10


def test_slices_prepared_without_the_organ_are_refused(folder):
    with pytest.raises(PlanewiseError, match="organs/"):
        slices_of(BOTH).usable_in(folder / "train")


def test_no_box_comes_from_ignored_pixels(folder):
    ignore_below(folder, "train", 50)  # a-000 holds 1 above, 2 and 4 below; a-001 nothing but 3, below
    samples = by_name(slices_of(), folder / "train")
    assert list(samples) == ["a-000"]
    sample = samples["a-000"]
    assert len(sample["boxes"]) == 2
    assert sample["counted"][:50].all()
    assert not sample["counted"][50:].any()
    assert np.allclose(sample["boxes"][1] * 256, [60, 40, 120, 50])  # of class 2 what is known
    assert classes_in(folder / "train") == [1, 2]
