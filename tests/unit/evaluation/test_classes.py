import math

import numpy as np
import pytest
import torch

from planewise.data.classes import LabelDefinition
from planewise.evaluation.classes import class_names, score_classes
from planewise.evaluation.open_pairs import OpenPair
from planewise.evaluation.pairs import MISSING, OK, Pair
from planewise.evaluation.scale import Scale
from planewise.evaluation.surfaces import surface_distances
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from scored import evaluate_classes

SPACING = (5.0, 1.0, 2.0)


def box(*corner, shape=(8, 20, 20), size=(3, 6, 6)):
    mask = np.zeros(shape, bool)
    mask[tuple(slice(a, a + s) for a, s in zip(corner, size))] = True
    return mask


def test_surface_distances_by_hand():
    distances = surface_distances(box(1, 4, 4), box(1, 4, 5), SPACING)  # one voxel along x: 2 mm
    assert distances.hd95 == pytest.approx(2)
    assert distances.surface_dice(2.0) == 1
    assert 0 < distances.surface_dice(1.9) < 1
    up = surface_distances(box(1, 4, 4), box(2, 4, 4), SPACING)  # one slice: 5 mm
    assert max(up.truth_to_prediction.max(), up.prediction_to_truth.max()) == pytest.approx(5)


def test_empty_masks():
    empty = np.zeros((8, 20, 20), bool)
    both = surface_distances(empty, empty, SPACING)
    assert math.isnan(both.hd95)
    assert math.isnan(both.surface_dice(1))
    one = surface_distances(box(1, 4, 4), empty, SPACING)
    assert math.isnan(one.hd95)
    assert one.surface_dice(1) == 0


@pytest.mark.filterwarnings("ignore:monai:FutureWarning")
@pytest.mark.parametrize("seed", range(4))
def test_as_monai_measures_with_anisotropic_spacing(seed):
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance, compute_surface_dice

    rng = np.random.default_rng(seed)
    from scipy import ndimage

    # Kept off the border: MONAI takes voxels at the border of its crop for surface or not by their neighbours.
    a, b = (np.pad(ndimage.gaussian_filter(rng.standard_normal((10, 24, 24)), 2) > 0.02, 2) for _ in range(2))
    distances = surface_distances(a, b, SPACING)
    tensors = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (b, a)]
    hd95 = compute_hausdorff_distance(*tensors, include_background=True, percentile=95, spacing=list(SPACING))
    nsd = compute_surface_dice(*tensors, [2.0], include_background=True, spacing=list(SPACING))
    assd = compute_average_surface_distance(*tensors, symmetric=True, include_background=True, spacing=list(SPACING))
    assert distances.hd95 == pytest.approx(float(hd95), rel=1e-5)
    assert distances.mean == pytest.approx(float(assd), rel=1e-5)
    assert distances.surface_dice(2.0) == pytest.approx(float(nsd), abs=1e-5)


def class_scores(truth, predicted):
    volumes = [Volume(mask.astype(np.uint8), SPACING, "mm") for mask in (truth, predicted)]
    return score_classes(OpenPair(*volumes, OK), [1], Scale("mm", SPACING), {1: 2.0}).scores[1]


def test_scores_by_hand():
    scores = class_scores(box(1, 4, 4), box(1, 4, 7))
    assert scores["dsc"] == pytest.approx(0.5)
    assert scores["iou"] == pytest.approx(1 / 3)
    assert scores["dsc_slices"] == pytest.approx(0.5)
    assert scores["n_slices"] == 3
    assert scores["truth_ml"] == scores["predicted_ml"] == pytest.approx(108 * 10 / 1000)
    assert math.isnan(scores["false_positive_ml"])


def test_published_rules_for_nothing():
    empty = np.zeros((8, 20, 20), bool)
    nothing = class_scores(empty, empty)
    assert math.isnan(nothing["dsc"])
    assert nothing["n_slices"] == 0
    invented = class_scores(empty, box(1, 4, 4))
    assert invented["dsc"] == 0
    assert invented["false_positive_ml"] == pytest.approx(1.08)
    assert invented["hd95_mm"] == pytest.approx(math.dist((0, 0, 0), (8 * 5, 20, 20 * 2)))
    assert invented["nsd"] == 0
    assert class_scores(box(1, 4, 4), empty)["dsc"] == 0


def test_it_is_the_written_prediction_that_is_scored(tmp_path):
    truth = (box(1, 4, 4) + 2 * box(5, 12, 12, size=(2, 3, 3))).astype(np.uint8)
    write_labels(tmp_path / "truth.nii.gz", Volume(truth, SPACING, "mm"))
    write_labels(tmp_path / "copy.nii.gz", Volume(truth, SPACING, "mm"))
    write_labels(tmp_path / "zero.nii.gz", Volume(np.zeros_like(truth), SPACING, "mm"))
    write_labels(tmp_path / "flat.nii.gz", Volume(truth[:4], SPACING, "mm"))
    names = [("copy", "copy"), ("zero", "zero"), ("gone", None), ("flat", "flat")]
    pairs = [
        Pair(case, tmp_path / f"{file}.nii.gz" if file else None, tmp_path / "truth.nii.gz") for case, file in names
    ]
    results = evaluate_classes(pairs, {1: "a", 2: "b"})
    dsc = {(result.case, result.class_name): result.scores["dsc"] for result in results}
    assert dsc["copy", "a"] == dsc["copy", "b"] == 1
    assert dsc["zero", "a"] == dsc["zero", "b"] == dsc["gone", "a"] == 0
    assert [result.status for result in results if result.case == "gone"] == [MISSING] * 2
    assert "(4, 20, 20)" in next(result.status for result in results if result.case == "flat")


def test_class_names(tmp_path):
    write_labels(tmp_path / "t.nii.gz", Volume(np.array([[[0, 3, 5]]], np.uint8)))
    assert class_names(LabelDefinition({1: "a", 2: "b"}), []) == {1: "a", 2: "b"}
    assert class_names(LabelDefinition(), [tmp_path / "t.nii.gz"]) == {3: "class 3", 5: "class 5"}
