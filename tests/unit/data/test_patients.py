import json

import pytest

from planewise.data.patients import patients_of
from planewise.errors import PlanewiseError


def groups(*names):
    """Return the cases of each patient, as sets."""
    by_patient = {}
    for case, patient in patients_of(names).items():
        by_patient.setdefault(patient, set()).add(case)
    return sorted(sorted(cases) for cases in by_patient.values())


ONE_PATIENT = [
    ("P00_scan1", "P00_scan2"),
    ("CT_LUNG1upper", "CT_LUNG1lower"),
    ("P00", "P00_followup"),
    ("P00-baseline", "p00_fu1", "P00_fu_2"),
    ("P00_20230517", "P00_2024-01-30"),
    ("P00_visit_1", "P00_visit_B", "P00Scan3"),
    ("P00_insp_1mm", "P00_exp_thick"),
    ("sub-01_ses-1_acq-a", "sub-01_ses-2_acq-b"),
    ("patient_7_a", "patient_7_b"),
    ("P00_upperLeft", "P00_upperright2"),
]
SEVERAL = [
    ("ILD2023_anna", "ILD2023_bob"),
    ("LUNG_001", "LUNG_002"),
    ("CT_phantom1", "CT_phantom2", "CT_phantom5", "CT_phantomtest", "CT_phantomhealthy"),
    ("phantom_train1", "phantom_train2", "phantom_test1"),
    ("P00_scan1", "P01_scan1"),
    ("ILD2023_P01_scan1", "ILD2023_P02_scan1"),
    ("001", "002", "017"),
    ("BraTS2021_00000", "BraTS2021_00002"),
    ("anna", "bob"),
    (
        "1.3.6.1.4.1.14519.5.2.1.6279.6001.100225287222365663678666836860",
        "1.3.6.1.4.1.14519.5.2.1.6279.6001.100332161840553388986847034053",
    ),
    ("s0011", "s0012"),
    ("siteA_patient1_x", "siteA_patient2_x", "siteB_patient1_x"),
    ("CT_LUNG1", "CT_TOTAL1"),
]
IN_DOUBT = [
    ("P00_a", "P00_b", "P01_a"),
    ("P00_1", "P00_2"),
    ("P00a", "P00b"),
    ("P00_s1", "P00_s2"),
    ("P00", "P00_2"),
    ("LUNG1-001", "LUNG1-002"),
    ("siteA_001", "siteA_002", "siteB_001"),
    ("scan1", "scan2"),
    ("CT_scan1", "CT_scan2"),
    ("CT_20110304", "CT_20120507"),
    ("20110304", "20120507"),
]


@pytest.mark.parametrize("names", ONE_PATIENT, ids=lambda names: names[0])
def test_examinations_of_one_patient(names):
    assert groups(*names) == [sorted(names)]


@pytest.mark.parametrize("names", SEVERAL, ids=lambda names: names[0])
def test_names_of_several_patients(names):
    assert groups(*names) == sorted([name] for name in names)


@pytest.mark.parametrize("names", IN_DOUBT, ids=lambda names: names[0])
def test_what_names_do_not_settle_is_refused_naming_the_cases_and_the_options(names):
    with pytest.raises(PlanewiseError, match=names[0]) as refusal:
        patients_of(names)
    assert "--patient_pattern" in str(refusal.value)
    assert "--patients FILE" in str(refusal.value)


def test_only_the_cases_in_doubt_are_named():
    with pytest.raises(PlanewiseError) as refusal:
        patients_of(["P00_a", "P00_b", "P01_a"])
    assert "P00_a, P00_b: P00 may be a patient" in str(refusal.value)
    assert "P01_a" not in str(refusal.value)


def test_a_pattern_settles_it_and_its_first_group_names_the_patient(capsys):
    names = ["P00_a", "P00_b", "P01_a", "other"]
    assert patients_of(names, r"^(P\d+)_") == {"P00_a": "P00", "P00_b": "P00", "P01_a": "P01", "other": "other"}
    assert "does not match other: each is a separate patient" in capsys.readouterr().err
    assert patients_of(names, r"(?:.*)") == {name: name for name in names}


@pytest.mark.parametrize("pattern", ["(", "[", "^()"])
def test_a_bad_pattern_is_refused_by_name(pattern):
    with pytest.raises(PlanewiseError, match="--patient_pattern"):
        patients_of(["P00_a"], pattern)


def test_a_file_settles_it(tmp_path):
    table = tmp_path / "patients.csv"
    table.write_text("\ufeffcase, patient, age\nP00_1,anna,40\nP00_2, anna,40\nelsewhere,bob,50\n", "utf-8")
    assert patients_of(["P00_1", "P00_2"], file=table) == {"P00_1": "anna", "P00_2": "anna"}
    table.write_bytes("\ufeffCase;Patient\r\nP00_1;anna\r\nP00_2;anna\r\n;\r\n".encode())
    assert patients_of(["P00_1", "P00_2"], file=table) == {"P00_1": "anna", "P00_2": "anna"}
    named = tmp_path / "patients.json"
    named.write_text(json.dumps({"P00_1": "anna", "P00_2": "bob"}))
    assert patients_of(["P00_2", "P00_1"], file=named) == {"P00_2": "bob", "P00_1": "anna"}
    with pytest.raises(PlanewiseError, match="give only one"):
        patients_of(["P00_1"], "(.*)", table)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.csv", "case,patient\nP00_1,anna\n", "no patient for P00_2"),
        ("p.csv", "case,patient\nP00_1,anna\nP00_2,\n", "no patient for P00_2"),
        ("p.csv", "case,patient\nP00_1,anna\nP00_1,bob\nP00_2,b\n", "both anna and bob"),
        ("p.csv", "name,who\nP00_1,anna\n", "name,who"),
        ("p.csv", "", "empty"),
        ("p.csv", "case,patient\nP00_1," + "x" * 200_000, "field larger"),
        ("p.json", '{"P00_1": 5}', "must be"),
        ("p.json", '["P00_1"]', "must be"),
        ("p.json", "[" * 100_000, "nested too deeply"),
        ("p.json", "{", "is not a JSON file"),
    ],
)
def test_a_bad_file_is_refused_by_name(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(PlanewiseError, match=words) as refusal:
        patients_of(["P00_1", "P00_2"], file=tmp_path / name)
    assert str(refusal.value).startswith(f"--patients {tmp_path / name}")


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanewiseError, match="--patients"):
        patients_of(["a"], file=tmp_path / "none.csv")
