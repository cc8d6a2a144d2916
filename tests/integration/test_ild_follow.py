"""One patient's scans of several dates, as a user has them compared."""

import csv
import json
import shutil

import numpy as np
import pytest
import SimpleITK
import torch

from dicom import write_dicom
from planewise.apps.ild import followed_retakes
from planewise.cli import run
from planewise.data.own_results import unreviewed_prediction
from planewise.data.phantom import CHEST_SPACING_MM, breathing_field, chest_phantom, warped, write_chest_patient
from planewise.errors import PlanewiseError
from planewise.models.sam2 import ClassTokens, build_sam2, initialise
from planewise.models.sam2_files import Sam2Weights, save_published
from planewise.serial.retakes import retake
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import read_labels

SHAPE = (22, 64, 64)  # fewer slices would cut the phantom's lungs off
NAMES = {1: "ground_glass", 2: "reticulation", 3: "honeycombing"}


def untrained(path, presence):
    """Write a model that nobody trained; ``presence``: a logit that is added to that of every class to be there."""
    torch.manual_seed(0)
    network = build_sam2("mini", 64)
    initialise(network)
    with torch.no_grad():
        network.mask_decoder.pred_obj_score_head.proj_out.bias += presence
    tokens = ClassTokens(NAMES, network.config.prompt_encoder_config.hidden_size)
    save_published(path, Sam2Weights(network, tokens=tokens, window=(-600.0, 1500.0)), 0)
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """It says of every class that it is there: what it draws matters little here."""
    return untrained(tmp_path_factory.mktemp("model") / "medsam_model_best.pth", 100)


def follow(patient, output, model, *more):
    return run(["ild", "follow", str(patient), "--output", str(output), "--trained_model", str(model), "--retakes", "4",
                "--device", "cpu", "--precision", "32", *more])  # fmt: skip


@pytest.fixture(scope="module")
def job(model, tmp_path_factory):
    """Scans of three dates: the second is like the first, the third has a contrast agent; a soft series beside."""
    folder = tmp_path_factory.mktemp("follow")
    hu, _ = chest_phantom(SHAPE, 5)
    later = np.rint(warped(hu.astype(np.float32), breathing_field(SHAPE, 1, 0.02))).astype(np.int16)
    scans = {"1.1": ("20230110", "B70f", hu, ""), "1.2": ("20230110", "B30f", hu, ""),
             "1.3": ("20240112", "B70f", later, ""), "1.4": ("20250113", "B70f", hu, "Iomeron")}  # fmt: skip
    for number, (uid, (date, kernel, voxels, agent)) in enumerate(scans.items()):
        write_dicom(
            folder / "P1" / uid, voxels, uid=uid, StudyDate=date, StudyInstanceUID=f"2.{date}", SeriesNumber=number,
            spacing=CHEST_SPACING_MM, ConvolutionKernel=kernel, ContrastBolusAgent=agent,
        )  # fmt: skip
    assert follow(folder / "P1", folder / "out", model) == 1
    return folder


def test_every_date_is_segmented_and_compared_with_the_first(job):
    out = job / "out"
    for day in ("2023-01-10", "2024-01-12", "2025-01-13"):
        labels = read_labels(out / f"{day}.nii.gz")
        assert labels.shape == SHAPE
        assert labels.read().any()
    content = json.loads((out / "changes.json").read_text())
    first, second = content["pairs"]
    assert first["first"]["kernel"] == "B70f"  # not the soft series of that day
    assert (first["second"]["name"], first["reasons_against"]) == ("2024-01-12", [])
    assert first["dice_of_lungs"] > 0.9
    assert "not a diagnosis" in content["note"]
    assert "has a contrast agent (Iomeron)" in second["reasons_against"][0]
    assert second["changes"] == []
    assert any("cannot be compared" in problem["what"] for problem in content["problems"])
    for scan in (first["first"], first["second"]):
        (warning,) = scan["warnings"]
        assert "outside the lungs, and were removed" in warning


def test_changes_stand_beside_the_smallest_detectable_one(job):
    with (job / "out" / "changes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    groups = {"ground_glass", "reticulation", "honeycombing", "total_fibrosis", "total_extent"}
    assert len(rows) == len(groups) * 6 * 2
    assert {row["group"] for row in rows} == groups
    assert {row["second_date"] for row in rows} == {"2024-01-12"}
    for row in rows:
        change = float(row["change"])
        assert change == pytest.approx(float(row["second"]) - float(row["first"]), abs=1e-4)
        assert (row["category"] == "none seen") == (not row["detectable"])
        if row["detectable"]:
            assert float(row["detectable"]) > 0
            assert (row["category"] == "not detectable") == (abs(change) <= float(row["detectable"]))
    assert any(row["detectable"] for row in rows)


def test_the_numbers_are_those_of_the_labels(job):
    labels = read_labels(job / "out" / "2023-01-10.nii.gz").read()
    content = json.loads((job / "out" / "changes.json").read_text())["pairs"][0]["changes"]
    (whole,) = [row for row in content if (row["group"], row["region"], row["unit"]) == ("total_extent", "", "ml")]
    assert whole["first"] <= (labels > 0).sum() * 0.03125 + 1e-6  # ml in a voxel; what is outside the lungs is in none
    retakes = json.loads((job / "out" / "2023-01-10_retakes.json").read_text())
    assert len(retakes["retakes"]) == 4
    assert retakes["variation"]["noise_hu"] >= 5


def overlay(page, z):
    """Return what is drawn over slice ``z`` of the second scan."""
    page.fill("#slice0", str(z))
    page.dispatch_event("#slice0", "input")
    return page.get_attribute("#second0over", "src")


def test_the_page_opens_with_both_scans_side_by_side(job):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with playwright.sync_playwright() as browsers:
        try:
            browser = browsers.chromium.launch(executable_path=shutil.which("chromium"))
        except playwright.Error as error:
            pytest.skip(f"no browser to open the page: {str(error).splitlines()[0]}")
        page = browser.new_page()
        errors = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto((job / "out" / "follow.html").as_uri())
        assert errors == []
        assert "not a diagnosis" in page.inner_text("header")
        assert "cannot be compared" in page.inner_text("section:nth-of-type(2)")
        heads = page.locator("section:nth-of-type(1) table").nth(0).locator("thead th")
        assert [heads.nth(i).inner_text() for i in (1, 2)] == ["2023-01-10 ⚠ 1 warning", "2024-01-12 ⚠ 1 warning"]
        beside = page.locator("section:nth-of-type(1) figcaption abbr").nth(1)
        assert "outside the lungs, and were removed" in beside.get_attribute("title")
        assert (
            "outside the lungs, and were removed"
            in page.locator("section:nth-of-type(1) .warnings").nth(1).inner_text()
        )
        assert page.locator("th.number abbr").count() == 4  # before and after, in percent and ml
        before = [page.get_attribute(f"#{name}0", "src") for name in ("first", "second")]
        page.fill("#slice0", "1")
        page.dispatch_event("#slice0", "input")
        after = [page.get_attribute(f"#{name}0", "src") for name in ("first", "second")]
        assert all(old != new for old, new in zip(before, after))  # both move together
        shown = {}
        for layer in ("change", "classes"):
            page.check(f"input[value={layer}]")
            shown[layer] = [overlay(page, z) for z in range(0, int(page.get_attribute("#slice0", "max")) + 1, 4)]
        assert shown["change"] != shown["classes"]
        browser.close()


def test_what_is_done_is_not_predicted_again(job, model, capsys):
    before = (job / "out" / "2023-01-10_retakes.json").read_bytes()
    assert follow(job / "P1", job / "out", model) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert "2023-01-10: segmented already" in printed
    assert "WARNING: 2023-01-10:" in printed  # what was printed of the scan is printed again
    assert "outside the lungs, and were removed" in printed
    assert (job / "out" / "2023-01-10_retakes.json").read_bytes() == before
    assert follow(job / "P1", job / "out", model, "--fibrosis", "reticulation") == 2
    assert "made differently" in capsys.readouterr().err


def test_a_scan_whose_retakes_fail_is_a_row_and_the_page_is_written(job, model, monkeypatch, capsys):
    shutil.copytree(job / "out", job / "again")
    (job / "again" / "2024-01-12_retakes.json").unlink()

    def no_lungs(*_):
        raise PlanewiseError("shows no lungs")

    monkeypatch.setattr(followed_retakes, "retake", no_lungs)
    assert follow(job / "P1", job / "again", model) == 1
    assert "shows no lungs" in " ".join(capsys.readouterr().out.split())
    first, _ = json.loads((job / "again" / "changes.json").read_text())["pairs"]
    assert first["reasons_against"] == ["the retakes of 2024-01-12 failed: shows no lungs"]
    assert "the retakes of 2024-01-12 failed" in (job / "again" / "follow.html").read_text()


def test_retakes_whose_lungs_are_found_otherwise_do_not_count(job, model, tmp_path, monkeypatch, capsys):
    shutil.copytree(job / "out", tmp_path / "again")
    (tmp_path / "again" / "2024-01-12_retakes.json").unlink()
    pieces = iter([(0.0, 20.0), (0.0, 20.0), (0.0, 0.0), (0.0, 0.0)])
    monkeypatch.setattr(followed_retakes, "missing_pieces_ml", lambda *_: next(pieces))
    assert follow(job / "P1", tmp_path / "again", model) == 1
    printed = " ".join(capsys.readouterr().out.split())
    assert "the lungs of 2024-01-12 are missing or differ in 2 of 4 retakes; at least 3 retakes are needed" in printed


def test_a_retake_without_lungs_is_left_out_with_a_warning(job, model, tmp_path, monkeypatch, capsys):
    """Of four retakes of a scan the first shows no lungs; three are enough."""
    shutil.copytree(job / "out", tmp_path / "out")
    (tmp_path / "out" / "2023-01-10_retakes.json").unlink()
    made = {"count": 0}

    def without_lungs(hu, *rest):
        made["count"] += 1
        return np.full_like(hu, 40) if made["count"] == 1 else retake(hu, *rest)

    monkeypatch.setattr(followed_retakes, "retake", without_lungs)
    assert follow(job / "P1", tmp_path / "out", model) == 1
    printed = " ".join(capsys.readouterr().err.split())
    assert "WARNING: 2023-01-10: 1 of 4 retakes is left out: the lungs are missing or differ" in printed
    kept = json.loads((tmp_path / "out" / "2023-01-10_retakes.json").read_text())
    assert (kept["left_out"], len(kept["retakes"])) == (1, 3)


def test_volumes_in_folders_of_dates_whose_lungs_are_cut_off(model, tmp_path, capsys):
    write_chest_patient(tmp_path / "P", 3, SHAPE, dates=("2023-01-10", "20240112"))
    (tmp_path / "P" / "notes").mkdir()
    (first,) = (tmp_path / "P" / "20240112").iterdir()
    image = SimpleITK.ReadImage(str(first))
    SimpleITK.WriteImage(image[:, :, 3:], str(first))
    assert follow(tmp_path / "P", tmp_path / "out", model) == 1
    printed = capsys.readouterr()
    assert "notes: skipped" in " ".join(printed.err.split())
    assert "the lungs reach the bottom of the scan 2024-01-12" in " ".join(printed.out.split())
    assert "cannot be compared" in (tmp_path / "out" / "follow.html").read_text()


def test_one_volume_under_two_dates_of_nobody_is_compared_with_warnings_until_one_changes(model, tmp_path, capsys):
    write_chest_patient(tmp_path / "P", 3, SHAPE, dates=("2023-01-10",))
    shutil.copytree(tmp_path / "P" / "2023-01-10", tmp_path / "P" / "2024-01-12")
    assert follow(tmp_path / "P", tmp_path / "out", model) == 0
    printed = " ".join(capsys.readouterr().err.split())
    page = (tmp_path / "out" / "follow.html").read_text()
    (pair,) = json.loads((tmp_path / "out" / "changes.json").read_text())["pairs"]
    same = "both hold the same voxels: this is one scan under two dates"
    whose = "no header states whose scans these are (PatientID)"
    for words in (same, whose):
        assert f"WARNING: 2023-01-10 and 2024-01-12: {words}" in printed
        assert words in page
        assert any(words in doubt for doubt in pair["doubts"])
    path = tmp_path / "P" / "2024-01-12" / "ct.nii.gz"
    volume = open_volume(path)
    write_volume(path, volume.with_voxels(volume.read() + 1))
    assert follow(tmp_path / "P", tmp_path / "out", model) == 2
    said = capsys.readouterr().err
    assert f"{path} has changed since its results in {tmp_path / 'out'} were made" in said
    assert "(comparison)" not in said


@pytest.mark.slow
def test_a_model_that_finds_nothing_says_nothing_about_a_change(tmp_path, capsys):
    write_chest_patient(tmp_path / "P", 3, SHAPE, dates=("2023-01-10", "2024-01-12"))
    blind = untrained(tmp_path / "blind.pth", -100)
    assert follow(tmp_path / "P", tmp_path / "out", blind) == 0
    said = capsys.readouterr()
    assert "nothing was segmented in either scan or in any of their retakes" in " ".join(said.err.split())
    assert "none seen" in said.out
    page = " ".join((tmp_path / "out" / "follow.html").read_text().split())
    assert (
        "nothing was segmented in either scan or in any of their retakes.</strong> This says nothing about a change"
        in page
    )
    assert "no detectable change" not in page
    (pair,) = json.loads((tmp_path / "out" / "changes.json").read_text())["pairs"]
    assert {(row["detectable"], row["category"]) for row in pair["changes"]} == {(None, "none seen")}


def test_what_cannot_be_followed_is_refused(job, model, tmp_path, capsys):
    write_chest_patient(tmp_path / "one", 3, SHAPE, dates=("2023-01-10",))
    assert follow(tmp_path / "one", tmp_path / "out", model) == 2
    assert "holds one scan that can be used (2023-01-10), but two dates are needed" in " ".join(
        capsys.readouterr().err.split()
    )
    assert follow(tmp_path / "none", tmp_path / "out", model) == 2
    assert "is not a folder" in capsys.readouterr().err
    shutil.copytree(tmp_path / "one" / "2023-01-10", tmp_path / "one" / "20230110")
    (tmp_path / "one" / "2025-01-01").mkdir()
    assert follow(tmp_path / "one", tmp_path / "out", model) == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "is a second folder of 2023-01-10;" in printed
    assert "holds no volume; one CT is needed for each date" in printed
    assert not (tmp_path / "out").exists()
    for file in sorted((job / "P1" / "1.3").iterdir())[4:5]:
        moved = file.rename(tmp_path / file.name)
        try:
            assert follow(job / "P1", tmp_path / "gap", model) == 1
        finally:
            moved.rename(file)
    printed = " ".join(capsys.readouterr().out.split())
    assert "1 slice of 5 mm missing" in printed
    assert "has a contrast agent (Iomeron)" in printed  # the others are compared


def test_followed_labels_are_predictions_until_somebody_reviews_them(job, tmp_path):
    shutil.copytree(job / "out", tmp_path / "out")
    labels = tmp_path / "out" / "2023-01-10.nii.gz"
    assert unreviewed_prediction(labels).command == "ild follow"
    table = tmp_path / "actions.csv"
    table.write_text("case,action,arguments,item\n2023-01-10,confirm,1,\n")
    assert run(["correct", str(tmp_path / "out"), "--actions", str(table)]) == 0
    assert unreviewed_prediction(labels) is None
