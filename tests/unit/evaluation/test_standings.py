import math

import pytest

from planewise.evaluation.pairs import MISSING, OK
from planewise.evaluation.result import Comparison, Result
from planewise.evaluation.standings import differences, standings
from planewise.evaluation.tolerance import Tolerance


def comparison(scores, patients):
    """Two methods, ``scores`` (first, second) by case; NaN: not delivered, which counts as 0."""
    results = []
    for place, method in enumerate(("first", "second")):
        for case, pair in scores.items():
            missing = math.isnan(pair[place])
            dsc = {"dsc": 0.0 if missing else pair[place]}
            patient = patients.get(case, case)
            results.append(Result("d", method, case, patient, "lesion", MISSING if missing else OK, dsc))
    return Comparison([], Tolerance(), results, [])


def test_a_patient_with_many_scans_weighs_as_much_as_one_with_a_single_scan():
    scores = {"a1": (0.9, 0.5), "a2": (0.7, 0.5), "a3": (math.nan, 0.5), "b": (0.2, 0.1)}
    made = comparison(scores, {"a1": "a", "a2": "a", "a3": "a"})
    first, second = standings(made)
    assert (first.method, first.n_patients, first.n_cases, first.n_delivered) == ("first", 2, 4, 3)
    counted, left_out = first.counted["dsc"], first.left_out["dsc"]
    assert (counted.n, counted.n_cases) == (2, 4)
    assert counted.mean == pytest.approx(((0.9 + 0.7 + 0.0) / 3 + 0.2) / 2)
    assert (left_out.n, left_out.n_cases) == (2, 3)
    assert left_out.mean == pytest.approx(((0.9 + 0.7) / 2 + 0.2) / 2)
    assert second.counted["dsc"].mean == pytest.approx((0.5 + 0.1) / 2)
    (result,) = differences(made, ["dsc"])
    assert (result.difference.n, result.difference.n_cases) == (2, 4)
    assert result.difference.mean == pytest.approx(((0.4 + 0.2 - 0.5) / 3 + 0.1) / 2)


def test_scans_do_not_make_an_interval_or_a_test():
    """Five patients are too few, however many scans they have; the sixth makes the first significant difference."""
    scans = {f"{patient}{scan}": (0.8 + scan / 100, 0.5) for patient in "abcde" for scan in range(4)}
    patients = {case: case[0] for case in scans}
    made = comparison(scans, patients)
    assert math.isnan(standings(made)[0].counted["dsc"].low)
    assert math.isnan(differences(made, ["dsc"])[0].difference.p)
    assert not math.isnan(standings(comparison(scans, {}))[0].counted["dsc"].low)
    made = comparison(scans | {"f": (0.9, 0.8)}, patients)
    assert standings(made)[0].counted["dsc"].low < standings(made)[0].counted["dsc"].high
    assert differences(made, ["dsc"])[0].difference.p == pytest.approx(2 / 64)
