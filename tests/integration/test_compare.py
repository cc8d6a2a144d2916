"""compare as a user runs it: on folders of predictions, with what goes wrong, and the page in a browser."""

import csv
import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tifffile

from planewise.cli import run
from planewise.data.phantom import write_chest_dataset
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def make_dataset(folder, labels, cases=("one", "two")):
    """A dataset with a good method and one that calls everything one object."""
    rng = np.random.default_rng(0)
    image = (rng.normal(120, 20, labels.shape) + 60 * (labels > 0)).clip(0, 255).astype(np.uint8)
    for i, case in enumerate(cases):
        write_volume(folder / "imagesTs" / f"{case}_0000.tiff", Volume(image))
        (folder / "imagesTs" / f"{case}.json").write_text('{"spacing": [10, 5, 5]}')
        write_labels(folder / "instancesTs" / f"{case}.tiff", Volume(labels))
        write_labels(folder / "imagesTs_good" / f"{case}.tiff", Volume(np.roll(labels, i + 1, axis=2)))
        write_labels(folder / "imagesTs_one_object" / f"{case}.tiff", Volume(np.ones_like(labels)))
    return folder


@pytest.fixture
def dataset(tmp_path, balls):
    return make_dataset(tmp_path / "Dataset001_Balls", balls)


def results(folder):
    with (folder / "results.csv").open(newline="") as file:
        return {tuple(row.values())[:5]: row["value"] for row in csv.DictReader(file)}


def test_every_method_of_every_dataset_is_in_every_file(dataset, tmp_path, capsys):
    write_chest_dataset(tmp_path / "Dataset002_Chest", 0, (6, 32, 32), train_cases=1)
    chest = tmp_path / "Dataset002_Chest"
    shutil.copytree(chest / "labelsTs", chest / "imagesTs_copy")
    out = tmp_path / "report"
    assert run(["compare", str(dataset), str(chest), "--output", str(out)]) == 0
    found = results(out)
    assert found["Dataset001_Balls", "good", "one", "objects", "f1_50"] == "1.000000"
    assert found["Dataset001_Balls", "one_object", "one", "objects", "f1_50"] == "0.000000"
    assert found["Dataset001_Balls", "one_object", "one", "objects", "merges"] == "1.000000"
    assert found["Dataset001_Balls", "good", "two", "objects", "hd95_nm"] == "10.000000"  # 2 voxels of the sidecar
    assert found["Dataset002_Chest", "copy", "CT_phantomtest", "honeycombing", "dsc"] == "1.000000"
    content = json.loads((out / "results.json").read_text())
    assert {result["method"] for result in content["results"]} == {"good", "one_object", "copy"}
    merge = next(r for r in content["results"] if r["method"] == "one_object")["mistakes"][0]
    assert merge["kind"] == "merge"
    assert sorted(merge["truth"]) == [1, 2, 3, 4, 5]
    page = (out / "report.html").read_text()
    assert len(page) < 20e6
    assert not re.search(r"(src|href)=\"(?!#|data:)", re.sub(r"<script type.*?</script>", "", page, flags=re.DOTALL))
    assert "too few cases" in page
    assert "one is predicted as one object; of a semantic map only the voxel scores mean something" in page
    table = capsys.readouterr().out
    assert re.search(r"good\s+2 of 2\s+1.000", table)


def test_what_is_wrong_is_named_and_the_rest_is_written(dataset, balls, tmp_path, capsys):
    make_dataset(dataset, balls, ("one", "two", "three", "four", "five"))
    good = dataset / "imagesTs_good"
    (good / "one.tiff").write_bytes((good / "one.tiff").read_bytes()[:500])
    write_labels(good / "two.tiff", Volume(balls[1:]))
    tifffile.imwrite(good / "three.tiff", balls + np.float32(0.5))
    tifffile.imwrite(good / "four.tiff", np.zeros((*balls.shape[1:], 3), np.uint8), photometric="rgb")
    shutil.copy(good / "five.tiff", good / "five.tif")
    write_labels(good / "stranger.tiff", Volume(balls))
    (dataset / "imagesTs_empty").mkdir()
    (tmp_path / "nothing").mkdir()
    out = tmp_path / "report"
    assert run(["compare", str(dataset), str(tmp_path / "nothing"), "--output", str(out)]) == 1
    printed = capsys.readouterr()
    for words in ("one.tiff", "(39, 48, 56)", "fractions", "3 channels", "several files", "no truth",
                  "has no prediction of any of the 5 cases: counted as found nothing",
                  "instancesTs nor labelsTs"):  # fmt: skip
        assert words in printed.out
    assert "Traceback" not in printed.err
    assert results(out)["Dataset001_Balls", "good", "one", "objects", "delivered"] == "0"
    assert results(out)["Dataset001_Balls", "one_object", "one", "objects", "delivered"] == "1"
    assert results(out)["Dataset001_Balls", "empty", "one", "objects", "f1_50"] == "0.000000"
    assert re.search(r"empty\s+0 of 5\s+0.000", printed.out)
    page = (out / "report.html").read_text()
    assert "several files" in page
    assert "0 of 5" in page


def test_a_damaged_image_costs_its_pictures_only(dataset, tmp_path, capsys):
    image = dataset / "imagesTs" / "one_0000.tiff"
    content = bytearray(image.read_bytes())
    content[20_000:20_500] = bytes(500)
    image.write_bytes(content)
    out = tmp_path / "report"
    assert run(["compare", str(dataset), "--output", str(out)]) == 1
    assert "one_0000.tiff" in capsys.readouterr().out
    assert results(out)["Dataset001_Balls", "good", "one", "objects", "f1_50"] == "1.000000"
    assert "one_0000.tiff: cannot be read" in (out / "report.html").read_text()


def test_a_missing_case(dataset, tmp_path, capsys):
    (dataset / "imagesTs_good" / "two.tiff").unlink()
    out = tmp_path / "report"
    assert run(["compare", str(dataset), "--output", str(out)]) == 1
    assert "has no prediction" in capsys.readouterr().out
    assert results(out)["Dataset001_Balls", "good", "two", "objects", "f1_50"] == "0.000000"
    page = (out / "report.html").read_text()
    assert "prediction missing: counted as found nothing" in page
    assert "1 of 2" in page
    standing = next(s for s in json.loads((out / "results.json").read_text())["standings"] if s["method"] == "good")
    assert (standing["counted"]["f1_50"]["mean"], standing["left_out"]["f1_50"]["mean"]) == (0.5, 1.0)


def test_more_methods_by_name(dataset, balls, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    for case in ("one", "two", "of_another_dataset"):
        write_labels(elsewhere / f"{case}.tiff", Volume(balls))
    (dataset / "predictions").mkdir()
    shutil.copy(elsewhere / "one.tiff", dataset / "predictions")
    shutil.copy(elsewhere / "two.tiff", dataset / "predictions")
    options = ["--method", f"theirs={elsewhere}", "inside=predictions", "--tolerance_nm", "7", "objects=12"]
    assert run(["compare", str(dataset), "--output", str(tmp_path / "r"), *options]) == 0
    assert {key[1] for key in results(tmp_path / "r")} == {"good", "one_object", "theirs", "inside"}
    assert results(tmp_path / "r")["Dataset001_Balls", "good", "two", "objects", "nsd"] == "1.000000"


def scans(folder, balls):
    """Two patients of one and of two scans; the good method misses the second scan of P00."""
    make_dataset(folder, balls, ("P00_scan1", "P00_scan2", "P01"))
    write_labels(folder / "imagesTs_good" / "P00_scan2.tiff", Volume(np.zeros_like(balls)))
    return str(folder)


def test_scans_of_one_patient_are_averaged_first(balls, tmp_path, capsys):
    dataset, out = scans(tmp_path / "d", balls), tmp_path / "r"
    assert run(["compare", dataset, "--output", str(out)]) == 0
    printed = capsys.readouterr()
    assert "The 3 cases are of 2 patients" in printed.err
    assert "means over patients" in printed.out
    assert re.search(r"good\s+2 patients \(3 of 3 cases\)\s+0.750", printed.out)
    standing = json.loads((out / "results.json").read_text())["standings"][0]
    assert (standing["method"], standing["n_patients"], standing["n_cases"]) == ("good", 2, 3)
    assert standing["counted"]["f1_50"]["mean"] == 0.75  # (1 + 0) / 2 of P00, 1 of P01
    assert [standing["counted"]["f1_50"][key] for key in ("n", "n_cases")] == [2, 3]
    with (out / "results.csv").open(newline="") as file:
        assert {(row["case"], row["patient"]) for row in csv.DictReader(file)} == {
            ("P00_scan1", "P00"), ("P00_scan2", "P00"), ("P01", "P01"),
        }  # fmt: skip
    page = (out / "report.html").read_text()
    for words in ("3 cases of 2 patients", "2 patients (3 of 3 cases)", "2 patients (3 cases)", "too few patients",
                  "patient by patient", "patient P00", "means over patients"):  # fmt: skip
        assert words in page


def test_names_that_do_not_settle_the_patients_are_said_and_a_file_or_a_pattern_settles_them(balls, tmp_path, capsys):
    dataset = str(make_dataset(tmp_path / "d", balls, ("P00_a", "P00_b", "P01_a")))

    def compared(*options):
        code = run(["compare", dataset, "--output", str(tmp_path / "r"), *options])
        return code, capsys.readouterr()

    code, printed = compared()
    assert code == 0
    assert "WARNING: The names do not settle" in printed.err
    assert "--patients" in printed.err
    assert re.search(r"good\s+3 of 3", printed.out)
    table = tmp_path / "patients.csv"
    table.write_text("case,patient\nP00_a,anna\nP00_b,anna\nP01_a,bob\n")
    code, printed = compared("--patients", str(table))
    assert code == 0
    assert "do not settle" not in printed.err
    assert "2 patients (3 of 3 cases)" in printed.out
    assert "2 patients (3 of 3 cases)" in compared("--patient_pattern", r"^(P\d+)")[1].out
    table.write_text("case,patient\nP00_a,anna\n")
    shutil.rmtree(tmp_path / "r")
    code, printed = compared("--patients", str(table))
    assert code == 2
    assert "no patient for P00_b, P01_a" in printed.err
    assert not (tmp_path / "r").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "nothing"], "NAME=FOLDER"),
        (["--patient_pattern", "("], "--patient_pattern ("),
        (["--method", "a=no/such"], "--method a=no/such"),
        (["--tolerance_nm", "-1"], "positive"),
        (["--tolerance_nm", "lung=3"], "no such class; there are objects"),
    ],
)
def test_options_that_cannot_be_used(dataset, tmp_path, options, words, capsys):
    try:
        code = run(["compare", str(dataset), "--output", str(tmp_path / "r"), *options])
    except SystemExit as caught:
        code = caught.code
    assert code == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_no_dataset_can_be_used(tmp_path, capsys):
    assert run(["compare", str(tmp_path / "gone"), "--output", str(tmp_path / "r")]) == 2
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.slow
def test_memory_does_not_grow_with_the_volume(tmp_path):
    """A pair of 1 GiB, stored as it is, takes only slabs of it more memory than a tiny pair."""

    def peak(name, shape):
        folder = tmp_path / name
        for kind in ("instancesTs", "imagesTs_m"):
            (folder / kind).mkdir(parents=True)
            voxels = tifffile.memmap(folder / kind / "v.tiff", shape=shape, dtype=np.uint32)
            voxels[2:20, 10:60, 10:60] = 7
            voxels[-20:-4, -90:-40, -70:-30] = 2**31 - 1
            voxels.flush()
            del voxels
        code = (
            "import re; from pathlib import Path; from planewise.cli import run; "
            f"code = run(['compare', {str(folder)!r}, '--output', {str(folder / 'r')!r}]); "
            # Not getrusage's figure, which begins with the peak of the process that started this one.
            "print(code, re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1])"
        )
        result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        code, kilobytes = result.stdout.split()[-2:]
        assert code == "0", result.stderr
        return int(kilobytes) / 2**20

    small, large = peak("small", (32, 96, 96)), peak("large", (128, 1024, 1024))
    assert large - small < 0.6  # GiB; a slab of each volume


# ---- the page in a browser


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """Open the report of two datasets in headless Chromium; with it come what it logged and asked the network for."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    from conftest import ball

    folder = tmp_path_factory.mktemp("page")
    labels = np.zeros((40, 48, 56), np.uint16)
    for i, centre in enumerate([(12, 12, 12), (28, 12, 40), (14, 34, 14), (26, 34, 42)]):
        labels[ball(labels.shape, centre, 8)] = i + 1
    make_dataset(folder / "Dataset001_Balls", labels)
    (folder / "Dataset001_Balls" / "imagesTs_good" / "two.tiff").unlink()
    assert run(["compare", str(folder / "Dataset001_Balls"), "--output", str(folder / "report")]) == 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1366, "height": 800})
        page.complaints = []
        page.on("console", lambda message: page.complaints.append(message.text))
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on(
            "request",
            lambda request: request.url.startswith(("file:", "data:")) or page.complaints.append(request.url),
        )
        page.goto((folder / "report" / "report.html").as_uri())
        yield page
        browser.close()


def test_the_ranking_is_on_the_first_screen_and_sorts(page_of):
    table = page_of.locator("#ranking table.ranking")
    assert table.bounding_box()["y"] + table.bounding_box()["height"] < 800
    names = table.locator("tbody th")
    assert names.all_inner_texts() == ["good", "one_object"]
    heading = table.locator("thead th", has_text="missing counted")
    heading.locator("button").click()
    assert heading.get_attribute("aria-sort") == "ascending"
    assert names.all_inner_texts() == ["one_object", "good"]
    heading.locator("button").press("Enter")
    assert heading.get_attribute("aria-sort") == "descending"
    assert names.all_inner_texts() == ["good", "one_object"]
    assert table.locator("tbody tr").first.locator(".best").count() > 3
    assert page_of.complaints == []


def test_the_slider_the_planes_and_the_outlines(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    caption, paths = case.locator("figcaption"), case.locator(".picture path")
    first = caption.inner_text()
    assert "1 of" in first
    assert case.locator(".picture image").count() == 1
    assert paths.count() == 2  # truth and the good method; all one object has no edge
    case.locator("input[type=range]").press("ArrowRight")
    assert "2 of" in caption.inner_text()
    assert caption.inner_text() != first
    case.locator("input[value=truth]").uncheck()
    assert paths.count() == 1
    case.locator("input[value=truth]").check()
    case.locator("input[value=xz]").check()
    assert caption.inner_text().startswith("xz, y = ")
    shape = case.locator(".picture svg").get_attribute("viewBox").split()
    assert float(shape[2]) / float(shape[3]) == pytest.approx(56 * 5 / (40 * 10), rel=1e-6)
    assert page_of.complaints == []


def test_an_error_links_to_its_slice(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    row = case.locator(".mistakes tbody tr", has_text="merge")
    place = row.locator("td").nth(4).inner_text()
    row.locator("button.show").click()
    assert case.locator("figcaption").inner_text().startswith(f"xy, z = {place.split(',')[0]} ")
    assert case.locator(".picture ellipse").count() == 1
    assert page_of.complaints == []


def test_a_case_that_was_not_delivered_is_told(page_of):
    told = page_of.locator("#ranking", has_text="Not delivered")
    assert "prediction missing: counted as found nothing" in told.inner_text()
    assert "1 of 2" in told.inner_text()
    texts = page_of.locator(".plots svg").first
    assert texts.get_attribute("role") == "img"
    assert "every case" in texts.get_attribute("aria-label")
