import math

import numpy as np
import pytest

from planewise.apps.ild.lungs import LEFT, RIGHT
from planewise.apps.ild.summary import Certainties, certainties_of, extents, write_summary
from planewise.data.prepared import Patient
from planewise.inference.automatic import SliceFindings
from planewise.measurement.extent import count_voxels, extent_measures
from planewise.measurement.lungs import LungRegions
from planewise.models.platt import Platt
from planewise.models.reliability import ClassReliability
from planewise.volumes.volume import Volume

SPACING = (10.0, 2.0, 2.0)  # 0.04 ml a voxel
NAMES = {1: "ground glass", 3: "reticulation"}


def chest():
    """Lungs of 8 x 8 pixels in slices 2 to 10, of which the right one lacks the lowest three."""
    lungs = np.zeros((12, 20, 40), np.uint8)
    lungs[2:11, 6:14, 24:32] = LEFT
    lungs[5:11, 6:14, 8:16] = RIGHT
    return lungs


def test_extents_by_hand():
    labels = np.zeros((12, 20, 40), np.uint8)
    labels[2:5, 6:14, 24:28] = 1  # half of the left lung's lower third
    labels[9, 6:14, 8:16] = 3  # a slice of the right lung's upper third
    labels[9, 0, 0:5] = 3  # and five voxels elsewhere
    glass, net, all_together = extents(labels, chest(), SPACING, NAMES)
    assert glass.name == "ground glass"
    assert glass.ml == pytest.approx(3 * 32 * 0.04)
    assert glass.outside_ml == 0
    assert glass.slices == 3
    assert glass.share == pytest.approx(96 / (15 * 64))
    assert glass.shares["left", "lower"] == pytest.approx(0.5)
    assert glass.shares["left", "all"] == pytest.approx(1 / 6)
    assert glass.shares["left", "upper"] == glass.shares["left", "middle"] == glass.shares["right", "all"] == 0
    assert math.isnan(glass.shares["right", "lower"])  # there is no lung
    assert net.ml == pytest.approx(69 * 0.04)
    assert net.outside_ml == pytest.approx(5 * 0.04)
    assert net.shares["right", "upper"] == pytest.approx(1 / 3)
    assert net.share == pytest.approx(64 / (15 * 64))
    assert all_together.ml == pytest.approx(glass.ml + net.ml)
    assert all_together.slices == 4


def test_it_says_what_measure_says():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, chest().shape).astype(np.uint8)
    regions = LungRegions.of(chest(), SPACING, "height", 20.0)
    measured = extent_measures(count_voxels(labels, regions), {"glass": (1,), "net": (3,)})
    for extent, name in zip(extents(labels, chest(), SPACING, NAMES), ("glass", "net")):
        assert 100 * extent.share == pytest.approx(measured[f"{name}_percent"])
        assert extent.ml == pytest.approx(measured[f"{name}_ml"] + measured[f"{name}_outside_lungs_ml"])
        for (side, zone), share in extent.shares.items():
            region = side if zone == "all" else f"{side}_{zone}"
            assert 100 * share == pytest.approx(measured[f"{name}_{region}_percent"], nan_ok=True)


def patient(labels):
    shape = labels.shape
    return Patient("CT_1<b>", np.full(shape, 90, np.uint8), None, np.arange(12), Volume(labels, SPACING, "mm"), chest())


def page(tmp_path, labels, names=NAMES, warnings=()):
    printed = Certainties(np.full((12, len(names)), 0.04), np.full((12, len(names)), np.nan))
    printed.probabilities[3, 0] = 0.881
    printed.probabilities[:, 1] = np.nan
    printed.dices[2:5, 0] = 0.5, 0.75, 0.25
    printed.dices[8, 0] = 1  # of a slice that shows nothing of it
    write_summary(tmp_path / "p.html", patient(labels), chest(), labels, printed, names, "model.pth", list(warnings))
    return (tmp_path / "p.html").read_text()


def test_the_page_says_what_it_is_and_holds_all_it_needs(tmp_path):
    labels = np.zeros((12, 20, 40), np.uint8)
    labels[2:5, 6:14, 24:28] = 1
    text = page(tmp_path, labels)
    assert "Research software, not a diagnosis" in text
    assert "CT_1&lt;b&gt;" in text
    assert "model.pth" in text
    assert '<td class="number">88.1</td><td class="number">0.50</td>' in text  # the surest slice; a mean of three
    assert text.count('<td class="number">-</td><td class="number">-</td>') == 1  # of the class that says nothing
    assert text.count('class="warning"') == 1
    assert "5 mm outside" in text
    assert text.count('<img src="data:image/png') == 6  # three slices, plain and outlined, each by itself
    assert "50.0" in text
    assert "data:image/png" in text
    assert "http" not in text
    assert "end of the scan" not in text


def test_a_healthy_patient_has_a_page(tmp_path):
    text = page(tmp_path, np.zeros((12, 20, 40), np.uint8))
    assert "Nothing was segmented" in text
    assert "middle of the lungs" in text


def test_lungs_that_are_cut_off_are_told(tmp_path):
    lungs = chest()
    lungs[0] = lungs[2]
    labels = np.zeros_like(lungs)
    printed = Certainties(np.full((12, 2), 0.3), np.full((12, 2), 0.5))
    write_summary(tmp_path / "p.html", patient(labels), lungs, labels, printed, NAMES, "m", [])
    assert "reach the bottom of the scan" in (tmp_path / "p.html").read_text()


def test_warnings_stand_on_the_page(tmp_path):
    text = page(tmp_path, np.zeros((12, 20, 40), np.uint8), warnings=["343.0 of the 390.0 ml <lay> outside"])
    assert "343.0 of the 390.0 ml &lt;lay&gt; outside." in text
    assert text.count('class="warning"') == 2


def test_what_is_said_of_slices_is_calibrated_where_that_is_known():
    scores, ious = np.array([[2.0, 1], [-np.inf, -np.inf]]), np.array([[0.5, 0.5], [np.nan, np.nan]])
    findings = SliceFindings(np.zeros((2, 4, 4), np.uint8), scores, scores, ious, 0, 0)
    known = ClassReliability(
        presence=Platt(slope=2, offset=-3), dice=Platt(slope=4, offset=-2), with_class=5, without=5
    )
    printed = certainties_of(findings, {1: known}, [1, 3])
    np.testing.assert_allclose(printed.probabilities, [[1 / (1 + math.exp(-1)), np.nan], [0, np.nan]])
    np.testing.assert_allclose(printed.dices, [[0.5, np.nan], [np.nan, np.nan]])
