"""The counting frame counts every ball once, and weights give back what the border hides."""

import numpy as np
import pytest

from planewise.measurement.objects import ObjectCounter
from planewise.measurement.volume_summary import counted, distribution, frame_voxels, weights


def objects_in(labels):
    counter = ObjectCounter(labels.shape)
    counter.add(np.ascontiguousarray(labels), 0)
    return counter.objects()


def scattered(shape, count, seed, radii=(2, 6)):
    rng = np.random.default_rng(seed)
    labels, radius_of, grid = np.zeros(shape, np.uint32), {}, np.ogrid[tuple(slice(side) for side in shape)]
    for label in range(1, count + 1):
        radius, centre = rng.uniform(*radii), rng.uniform(0, shape)
        mask = sum((g - c) ** 2 for g, c in zip(grid, centre)) <= radius**2
        if mask.any() and not labels[mask].any():
            labels[mask], radius_of[label] = label, radius
    return labels, radius_of


def test_frames_side_by_side_count_every_ball_once():
    labels, _ = scattered((40, 50, 50), 200, 0)
    times = dict.fromkeys(np.unique(labels[labels > 0]).tolist(), 0)
    edges = [range(0, 39, 13), range(0, 48, 16), range(0, 48, 16)]
    for z in edges[0]:
        for y in edges[1]:
            for x in edges[2]:  # each frame begins one voxel within its volume, and ends where the next begins
                part = objects_in(labels[z : z + 14, y : y + 18, x : x + 18])
                for label in part.labels[counted(part)].tolist():
                    times[label] += 1
    inside = objects_in(labels)
    tips = inside.tips
    within = (tips[:, 0] >= 1) & (tips[:, 0] < 40) & (tips[:, 1:] >= 1).all(axis=1) & (tips[:, 1:] < 49).all(axis=1)
    assert within.sum() > 50
    assert [times[label] for label in inside.labels[within].tolist()] == [1] * int(within.sum())
    assert sum(times.values()) == within.sum()


def test_the_frame_of_a_volume():
    assert frame_voxels((10, 12, 14)) == 9 * 10 * 12
    assert frame_voxels((1, 12, 14)) == 10 * 12
    assert frame_voxels((1, 2, 14)) == 0


def test_the_density_of_many_volumes_is_unbiased():
    counts = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = np.zeros((30, 30, 30), np.uint32)
        grid = np.ogrid[:30, :30, :30]
        for number, centre in enumerate(rng.uniform(-8, 38, (97, 3)), 1):  # 97 in 46^3
            labels[sum((g - c) ** 2 for g, c in zip(grid, centre)) <= 9] = number
        objects = objects_in(labels)
        counts.append(counted(objects).sum() / frame_voxels(objects.shape))
    assert np.mean(counts) == pytest.approx(97 / 46**3, rel=0.06)


def test_weights_give_back_the_mean_size():
    sizes, weight, truth = [], [], []
    for seed in range(60):
        labels, radius_of = scattered((50, 50, 50), 25, seed, (2, 9))
        cut = objects_in(labels[10:40, 10:40, 10:40])
        sizes += [radius_of[label] for label in cut.labels.tolist()]
        weight += weights(cut).tolist()
        whole = objects_in(labels)
        central = ((whole.centroids >= 10) & (whole.centroids < 40)).all(axis=1)
        truth += [radius_of[label] for label in whole.labels[central].tolist()]
    plain = distribution(np.array(sizes), (np.array(weight) > 0) * 1.0)
    weighted = distribution(np.array(sizes), np.array(weight))
    assert plain.mean < 0.93 * np.mean(truth)
    assert weighted.mean == pytest.approx(np.mean(truth), rel=0.03)


def test_the_weight_of_a_box_by_hand():
    labels = np.zeros((10, 10, 10), np.uint32)
    labels[2:5, 3:4, 4:6] = 1
    labels[0, 0, 0] = 2
    assert weights(objects_in(labels)) == pytest.approx([8 / 6 * 8 / 8 * 8 / 7, 0])


def test_a_distribution_by_hand():
    summary = distribution(np.array([1.0, 3.0, 100.0, np.nan]), np.array([1.0, 3.0, 0.0, 1.0]))
    assert (summary.n, summary.mean) == (2, 2.5)
    assert summary.sd == pytest.approx(np.sqrt(0.75))
    assert distribution(np.zeros(0), np.zeros(0)).n == 0
