from pathlib import Path

import numpy as np
import pytest

from planewise.apps.ild.lungs import LEFT, RIGHT, find_lungs, lungs_of, near_lungs, take_sides
from planewise.cli import run
from planewise.data.prepared import Patient
from planewise.errors import PlanewiseError
from planewise.volumes.files import write_volume
from planewise.volumes.geometry import to_canonical
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

SPACING = (4.0, 3.0, 3.0)


def ellipsoid(shape, centre, radii):
    grid = np.ogrid[tuple(slice(side) for side in shape)]
    return sum(((g - c) / r) ** 2 for g, c, r in zip(grid, centre, radii)) <= 1


def chest(shape=(50, 90, 110)):
    """A CT in HU, the true lungs (dense disease included), and the disease: a dense patch at the left lung's rim,
    24 mm wide."""
    rng = np.random.default_rng(0)
    hu = np.full(shape, -1000.0)
    hu[:, ellipsoid(shape[1:], (45, 55), (40, 50))] = 40
    lungs = np.zeros(shape, np.uint8)
    lungs[ellipsoid(shape, (30, 45, 80), (20, 28, 17))] = LEFT
    lungs[ellipsoid(shape, (30, 45, 30), (20, 28, 17))] = RIGHT
    hu[lungs > 0] = -850
    disease = (lungs == LEFT) & ellipsoid(shape, (28, 56, 95), (3, 4, 5))
    hu[disease] = 20
    hu[(lungs > 0) & ellipsoid(shape, (30, 40, 30), (2, 20, 2))] = 0  # a vessel
    hu[28:, ellipsoid(shape[1:], (45, 55), (3, 3))] = -1000  # the trachea
    hu[ellipsoid(shape, (4, 40, 50), (3, 14, 14))] = -1000  # gas in the bowel
    hu[:, 86:88] = 100  # the table
    return (hu + rng.normal(0, 15, shape)).astype(np.int16), lungs, disease


def dice(a, b):
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def test_both_lungs_with_the_disease_at_their_rim_and_nothing_else():
    hu, lungs, disease = chest()
    segmented = find_lungs(hu, SPACING)
    for side in (LEFT, RIGHT):
        assert dice(segmented == side, lungs == side) > 0.97
    assert (segmented[disease] == LEFT).mean() > 0.7  # none of it is dark enough by itself
    assert not segmented[:8].any()  # gas is no lung
    assert not segmented[30:, 43:48, 53:58].any()  # nor is the trachea


def test_a_fine_grid_is_searched_on_a_coarse_one():
    hu, lungs, _ = chest()
    fine = np.repeat(np.repeat(hu, 3, axis=1), 3, axis=2)
    segmented = find_lungs(fine, (4.0, 1.0, 1.0))
    assert segmented.shape == fine.shape
    assert dice(segmented > 0, np.repeat(np.repeat(lungs, 3, axis=1), 3, axis=2) > 0) > 0.97


def test_lungs_that_touch_are_taken_apart():
    hu, lungs, _ = chest()
    hu[28:32, 40:50, 46:64] = -850  # a bridge before the heart
    segmented = find_lungs(hu, SPACING)
    for side in (LEFT, RIGHT):
        assert dice(segmented == side, lungs == side) > 0.95


def test_one_lung_alone():
    hu, lungs, _ = chest()
    hu[lungs == LEFT] = 30
    segmented = find_lungs(hu, SPACING)
    assert not (segmented == LEFT).any()
    assert dice(segmented == RIGHT, lungs == RIGHT) > 0.97


@pytest.mark.parametrize("numbers", [(1, 1), (5, 3), (2, 1)])
def test_a_mask_of_another_tool_is_taken_whatever_its_numbers(numbers):
    hu, lungs, _ = chest()
    theirs = np.where(lungs == LEFT, numbers[0], np.where(lungs == RIGHT, numbers[1], 0)).astype(np.uint8)
    assert np.array_equal(take_sides(theirs, hu, SPACING), lungs)


def test_masks_are_found_by_case_and_must_fit(tmp_path):
    hu, lungs, _ = chest()
    write_labels(tmp_path / "masks" / "a.nii.gz", Volume(lungs * 7, SPACING, "mm"))
    write_labels(tmp_path / "masks" / "b.nii.gz", Volume(lungs[1:] * 7, SPACING, "mm"))
    write_labels(tmp_path / "masks" / "c.nii.gz", Volume(lungs * 0, SPACING, "mm"))
    write_labels(tmp_path / "masks" / "e.nii.gz", Volume(lungs * 7, SPACING, "mm", (0.0, 50.0, 0.0)))

    def of(case, masks=tmp_path / "masks", ignore_geometry=False):
        patient = Patient(case, hu, None, np.arange(len(hu)), Volume(hu, SPACING, "mm"))
        return lungs_of(patient, hu, Path(f"{case}_0000.nii.gz"), masks, ignore_geometry)

    assert np.array_equal(of("a"), lungs)
    assert np.array_equal(of("any", tmp_path / "masks" / "a.nii.gz"), lungs)
    message = {"b": "shape", "c": "is empty", "d": r"d\.\*: is missing", "e": "origin.*--ignore_geometry"}
    for case, what in message.items():
        with pytest.raises(PlanewiseError, match=what):
            of(case)
    assert np.array_equal(of("e", ignore_geometry=True), lungs)


def test_no_chest_and_no_hounsfield_units():
    hu, lungs, _ = chest()
    abdomen = np.where(lungs > 0, 40, hu)
    with pytest.raises(PlanewiseError, match="no lungs were found"):
        find_lungs(abdomen, SPACING)
    with pytest.raises(PlanewiseError, match="not HU"):
        find_lungs(hu + 1100, SPACING)
    with pytest.raises(PlanewiseError, match="no lungs were found"):
        find_lungs(np.full((1, 40, 40), -1000, np.int16), SPACING)


def test_a_case_that_fails_in_a_way_nobody_thought_of_does_not_stop_the_others(tmp_path, monkeypatch, capsys):
    hu, *_ = chest()
    for case in "ab":
        write_volume(tmp_path / "in" / f"{case}_0000.nii.gz", Volume(hu, SPACING, "mm"))

    def fails_first(*given, already=[]):  # noqa: B006
        already.append(given)
        if len(already) == 1:
            raise MemoryError("too large")
        return find_lungs(*given)

    monkeypatch.setattr("planewise.apps.ild.lungs.find_lungs", fails_first)
    assert run(["ild", "lungs", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert "too large" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "out").glob("*.nii.gz")] == ["b.nii.gz"]


def test_the_command_names_what_it_cannot_do_and_does_the_others(tmp_path, capsys):
    hu, lungs, _ = chest()
    flipped = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))  # z and y reversed
    write_volume(tmp_path / "in" / "a_0000.nii.gz", Volume(hu, SPACING, "mm"))
    stored = Volume(np.ascontiguousarray(hu[::-1, ::-1]), SPACING, "mm", direction=flipped)
    write_volume(tmp_path / "in" / "b_0000.nii.gz", stored)
    write_volume(tmp_path / "in" / "abdomen.nii.gz", Volume(np.where(lungs > 0, 40, hu), SPACING, "mm"))
    write_volume(tmp_path / "in" / "raw.nii.gz", Volume(hu + 1100, SPACING, "mm"))
    write_volume(tmp_path / "in" / "slice.nii.gz", Volume(hu[30:31], SPACING, "mm"))
    assert run(["ild", "lungs", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    printed = capsys.readouterr()
    assert "no lungs were found" in printed.out
    assert "not HU" in printed.out
    assert "Traceback" not in printed.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "a.nii.gz",
        "b.nii.gz",
        "planewise.json",
        "slice.nii.gz",
    ]
    a, b = (to_canonical(read_labels(tmp_path / "out" / f"{name}.nii.gz")).read() for name in "ab")
    assert np.array_equal(a, b)


@pytest.mark.slow
def test_real_lungs(real_data):
    from planewise.volumes.files import open_volume

    data = real_data / "Dataset002_ChestCT"
    shared = total = 0
    for case in ("LUNG1upper", "LUNG1lower"):
        volume = to_canonical(open_volume(data / "imagesTr" / f"CT_{case}_0000.nii.gz"))
        truth = to_canonical(read_labels(data / "labelsTr" / f"CT_{case}.nii.gz")).read()
        segmented, lungs = find_lungs(volume.read(), volume.spacing) > 0, (truth == 1) | (truth == 2)
        shared, total = shared + (segmented & lungs).sum(), total + segmented.sum() + lungs.sum()
    assert 2 * shared / total >= 0.97
    volume = to_canonical(open_volume(data / "imagesTs" / "CT_TOTAL1_0000.nii.gz"))
    truth = to_canonical(read_labels(data / "labelsTs" / "CT_TOTAL1.nii.gz")).read()
    segmented = find_lungs(volume.read(), volume.spacing)
    assert dice(segmented == LEFT, truth == 1) > 0.93
    assert dice(segmented == RIGHT, truth == 2) > 0.93


def test_disease_is_looked_for_within_five_mm_of_the_lungs_in_their_slice():
    lungs = np.zeros((3, 20, 20), np.uint8)
    lungs[1, 0, 10] = 2
    rows, columns = np.mgrid[:20, :20]
    expected = np.zeros(lungs.shape, bool)
    expected[1] = (2.5 * rows) ** 2 + (2 * (columns - 10)) ** 2 <= 25
    np.testing.assert_array_equal(near_lungs(lungs, (1.0, 2.5, 2.0)), expected)
    assert not near_lungs(lungs[:1], (1.0, 2.5, 2.0)).any()


def test_lungs_are_not_looked_for_among_voxels_that_are_no_numbers(tmp_path, capsys):
    hu = chest()[0].astype(np.float32)
    hu[3, 3:9, 3:9] = np.nan
    write_volume(tmp_path / "nan.nii.gz", Volume(hu, SPACING, "mm"))
    assert run(["ild", "lungs", str(tmp_path / "nan.nii.gz"), str(tmp_path / "out")]) == 1
    assert "36 voxels at z = 3 are NaN or infinite" in " ".join(capsys.readouterr().out.split())
