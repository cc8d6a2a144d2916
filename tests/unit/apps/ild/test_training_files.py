import json

import pytest

from planewise.apps.ild import training_files
from planewise.models.reliability import RAW, ClassReliability, Gain
from planewise.models.sam2 import ClassTokens
from planewise.models.sam2_files import Sam2Weights


@pytest.mark.parametrize(("patients", "calibrated"), [("AB", False), ("ABC", True), ("ABA", False)])
def test_scores_are_calibrated_by_three_patients_held_out_and_what_is_not_is_said(
    tmp_path, monkeypatch, capsys, patients, calibrated
):
    folder = tmp_path / "npz_valid" / "CT_ILD"
    folder.mkdir(parents=True)
    listed = {f"scan{number}": patient for number, patient in enumerate(patients)}
    for name in listed:
        (folder / f"{name}.npz").touch()
    (tmp_path / "patients.json").write_text(json.dumps(listed))
    worse = Gain(mean=-0.0012, se=0.002)
    known = {1: ClassReliability(presence=RAW, dice=RAW, with_class=5, without=5, gain=worse)}
    monkeypatch.setattr(training_files, "seen_in", lambda *_: None)
    monkeypatch.setattr(
        training_files, "reliability_on", lambda segmenter, held_out, margin: known if len(held_out) else {}
    )
    weights = Sam2Weights(None, tokens=ClassTokens({1: "a", 2: "b"}, 4))
    training_files._know(weights, None, tmp_path, 5)
    printed = " ".join(capsys.readouterr().err.split())
    assert weights.reliability == (known if calibrated else {})
    assert "unlike the training cannot be recognised" in printed
    assert ("Scores of b are not calibrated" in printed) == calibrated
    assert ("Scores are not calibrated: 2 patients held out" in printed) != calibrated
    assert ("Presence of a has no curve, the raw score is used" in printed) == calibrated
    assert ("fitted to the others is -0.0012; a curve" in printed) == calibrated
    assert ("more than its standard error, 0.0020" in printed) == calibrated
    assert "Presence of b" not in printed


def test_scans_of_which_nothing_tells_whose_they_are_count_as_of_one_patient(tmp_path, capsys):
    scans = [tmp_path / name for name in ("P1_x.npz", "P1_y.npz", "P2.npz")]
    assert training_files._patients_held_out(scans, tmp_path) == dict.fromkeys(scans, "unknown")
    assert "nor the names tell whose scans the held-out P1_x, P1_y, P2 are" in capsys.readouterr().err
    scans = [tmp_path / name for name in ("P1_scan1.npz", "P1_scan2.npz", "P2.npz")]
    assert training_files._patients_held_out(scans, tmp_path) == dict(zip(scans, ("P1", "P1", "P2")))


@pytest.mark.parametrize(
    ("content", "said", "patients"),
    [
        ('{"P1_scan1": "a", "P2": "b"}', "has no patient for P1_scan2, P3", ("a", "a", "b", "P3")),
        ("{", "patients.json", ("P1", "P1", "P2", "P3")),
    ],
)
def test_the_names_tell_what_a_faulty_list_of_patients_does_not(tmp_path, capsys, content, said, patients):
    (tmp_path / "patients.json").write_text(content)
    scans = [tmp_path / f"{name}.npz" for name in ("P1_scan1", "P1_scan2", "P2", "P3")]
    assert training_files._patients_held_out(scans, tmp_path) == dict(zip(scans, patients))
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed
    assert "; the names are asked instead" in printed
    assert "Neither" not in printed
