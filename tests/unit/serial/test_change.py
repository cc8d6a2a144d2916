"""Changes of classes and regions, each beside the smallest detectable one, against values by hand."""

import math

import pytest

from planewise.serial.change import REGIONS, UNITS, changes


def measures(value, **others):
    """Return one class with ``value`` everywhere, but ``others`` by region, "" as ``both``."""
    regions = {("" if name == "both" else name): number for name, number in others.items()}
    return {("honeycombing", region, unit): regions.get(region, value) for region in REGIONS for unit in UNITS}


def by_place(rows):
    return {(row.region, row.unit): row for row in rows}


def test_a_change_is_called_beyond_what_retakes_differ_by():
    """SD of 1, 2, 3 is 1: t of 4 degrees of freedom is 2.776, and 2.776 √2 is 3.93."""
    retakes = [measures(value) for value in (1.0, 2.0, 3.0)]
    rows = changes(measures(10.0), measures(14.0), measures(14.0), retakes, retakes, lambda _: 1000.0)
    assert len(rows) == len(REGIONS) * len(UNITS)
    for row in rows:
        assert (row.first, row.second, row.change) == (10, 14, 4)
        assert row.detectable == pytest.approx(3.926, abs=1e-3)
        assert row.category == "more"
    (less, *_) = changes(measures(10.0), measures(6.1), measures(6.1), retakes, retakes, lambda _: 1000.0)
    assert less.category == "not detectable"


def test_regions_are_those_carried_and_bear_the_error_of_the_registration():
    """Both lungs are 14 by themselves and 13 when carried: regions may be 1 off by that."""
    retakes = [measures(value) for value in (1.0, 2.0, 3.0)]
    carried = measures(14.5, both=13.0)
    rows = by_place(changes(measures(10.0), measures(14.0), carried, retakes, retakes, lambda _: 1000.0))
    assert rows["", "ml"].second == 14
    assert rows["", "ml"].detectable == pytest.approx(3.926, abs=1e-3)
    assert rows["left", "ml"].second == 14.5
    assert rows["left", "ml"].detectable == pytest.approx(4.926, abs=1e-3)
    assert (rows["", "ml"].category, rows["left", "ml"].category) == ("more", "not detectable")


def test_a_lung_bears_its_own_error_of_the_registration_if_that_is_larger():
    """Both lungs agree when they are carried; the left is 3 too large, the right 3 too small."""
    retakes = [measures(value) for value in (1.0, 2.0, 3.0)]
    second, carried = measures(14.0), measures(14.0, left=17.0, right=11.0)
    rows = by_place(changes(measures(10.0), second, carried, retakes, retakes, lambda _: 1000.0))
    for side in ("left", "right"):
        assert rows[side, "ml"].detectable == pytest.approx(6.926, abs=1e-3)
    assert rows["upper", "ml"].detectable == pytest.approx(3.926, abs=1e-3)
    assert rows["left", "ml"].category == "more"  # by 7
    carried = measures(14.0, both=18.0, left=14.5)  # of both lungs it is larger
    rows = by_place(changes(measures(10.0), second, carried, retakes, retakes, lambda _: 1000.0))
    assert rows["left", "ml"].detectable == pytest.approx(7.926, abs=1e-3)


def test_a_steady_measure_has_the_least_that_is_called():
    """1 ml, and 2 % of a region of 50 ml."""
    retakes = [measures(5.0)] * 3
    rows = by_place(changes(measures(5.0), measures(5.0), measures(5.0), retakes, retakes, lambda _: 50.0))
    assert rows["upper", "ml"].detectable == 1
    assert rows["upper", "percent"].detectable == 2


def test_what_is_not_defined_is_none():
    retakes = [measures(5.0, upper=math.nan)] * 3
    nowhere = measures(5.0, upper=math.nan)
    rows = by_place(changes(nowhere, nowhere, nowhere, retakes, retakes, lambda _: 0.0))
    upper = rows["upper", "percent"]
    assert (upper.first, upper.second, upper.change, upper.detectable) == (None, None, None, None)
    assert upper.category == "not detectable"


def test_what_is_seen_in_no_scan_and_no_retake_has_no_smallest_detectable_change():
    """Seen in a single retake it has one: SD of 0, 0, 3 is 1.732, with t of 2 degrees of freedom, 4.303, 7.45."""
    none, once = [measures(0.0)] * 3, [measures(0.0), measures(0.0), measures(3.0)]
    rows = changes(measures(0.0), measures(0.0), measures(0.0), none, none, lambda _: 1000.0)
    assert {(row.first, row.second, row.change, row.detectable, row.category) for row in rows} == {
        (0, 0, 0, None, "none seen")
    }
    rows = changes(measures(0.0), measures(0.0), measures(0.0), once, none, lambda _: 1000.0)
    assert rows[0].detectable == pytest.approx(7.453, abs=1e-3)
    assert {row.category for row in rows} == {"not detectable"}
    rows = changes(measures(0.0), measures(9.0), measures(9.0), none, none, lambda _: 1000.0)
    assert {(row.detectable, row.category) for row in rows if row.unit == "ml"} == {(1, "more")}


def test_a_class_that_is_seen_elsewhere_alone_is_none_seen_in_a_region():
    here = measures(0.0, both=5.0, lower=5.0)
    rows = by_place(changes(here, here, here, [here] * 3, [here] * 3, lambda _: 1000.0))
    assert (rows["upper", "ml"].detectable, rows["upper", "ml"].category) == (None, "none seen")
    assert (rows["lower", "ml"].detectable, rows["lower", "ml"].category) == (1, "not detectable")
