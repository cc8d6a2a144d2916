"""Which scans are not compared, each with its reason."""

from dataclasses import replace

import pytest

from planewise.serial.comparability import Scan, differences, doubts, reasons_against

FIRST = Scan("2023-01-10", "P1", "B70f", True, "", True, 1.25, (1.0, 0.7, 0.7), 4000, ())


def test_a_scan_like_the_first_is_compared():
    assert reasons_against(FIRST, replace(FIRST, name="2024", kernel="B60f", thickness_mm=1.5, lungs_ml=3500)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"patient": "P2"}, "of two patients by their PatientID, P1 and P2"),
        ({"cut_off": ("top", "bottom")}, "reach the top and the bottom of the scan 2024"),
        ({"kernel": "B30f", "lung_kernel": False}, "kernels B70f and B30f are too different"),
        ({"contrast": "Iomeron"}, "2024 has a contrast agent (Iomeron), 2023-01-10 has none"),
        ({"thickness_mm": 2.0}, "slices of 1.25 and 2 mm"),
        ({"lungs_ml": 3100}, "4000 and 3100 ml, a factor of 1.29"),
        ({"lungs_ml": 0}, "a factor of inf"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_compared_says_why(change, words):
    second = replace(FIRST, name="2024", **change)
    (reason,) = reasons_against(FIRST, second)
    assert words in reason
    assert len(reasons_against(second, FIRST)) == 1


def test_what_is_not_said_is_no_reason_but_is_told():
    unknown = replace(
        FIRST, name="2024", patient="", kernel="", lung_kernel=False, says_contrast=False, thickness_mm=None
    )
    assert reasons_against(replace(FIRST, contrast="Iomeron"), unknown) == []
    printed = {name: second for name, _, second in differences(FIRST, unknown)}
    assert printed["kernel"] == printed["contrast agent"] == printed["patient (PatientID)"] == "not stated"
    assert printed["noise in soft tissue"] == "not measured"
    assert printed["slice thickness"] == "not stated; slices lie 1 mm apart"


def test_a_patient_that_no_header_says_is_doubtful():
    second = replace(FIRST, name="2024")
    assert doubts([FIRST], second) == []
    assert "whose scan 2024 is (PatientID)" in doubts([FIRST], replace(second, patient=""))[0]
    unknown = replace(FIRST, patient="")
    (doubt,) = doubts([unknown], replace(second, patient=""))
    assert "no header states whose scans these are (PatientID): " in doubt


def test_one_scan_under_two_dates_is_doubtful():
    first, second = replace(FIRST, voxels="a"), replace(FIRST, name="2024", voxels="b")
    assert doubts([first], second) == []
    (doubt,) = doubts([first, second], replace(FIRST, name="2025", voxels="b"))
    assert "2024 and 2025 hold the same voxels" in doubt


def test_noise_is_told_as_it_was_measured():
    quiet, loud = replace(FIRST, noise_hu=9.6), replace(FIRST, noise_hu=21.2)
    assert ("noise in soft tissue", "10 HU", "21 HU") in differences(quiet, loud)
