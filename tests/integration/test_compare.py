"""compare as a user runs it: on folders of predictions, with what goes wrong, and the page in a browser."""

import csv
import json
import math
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
from planewise.volumes.labels import open_labels, write_labels
from planewise.volumes.volume import Volume

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def make_dataset(folder, labels, cases=("one", "two")):
    """A dataset with a good method and one that calls everything one object."""
    rng = np.random.default_rng(0)
    image = (rng.normal(120, 20, labels.shape) + 60 * (labels > 0)).clip(0, 255).astype(np.uint8)
    for i, case in enumerate(cases):
        write_volume(folder / "imagesTs" / f"{case}_0000.tiff", Volume(image))
        (folder / "imagesTs" / f"{case}.json").write_text('{"spacing": [10, 5, 5], "spacing_unit": "nm"}')
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
    written = results(out)
    assert written["Dataset001_Balls", "good", "one", "objects", "f1_50"] == "1.000000"
    assert written["Dataset001_Balls", "one_object", "one", "objects", "f1_50"] == "0.000000"
    assert written["Dataset001_Balls", "one_object", "one", "objects", "merges"] == "1.000000"
    assert written["Dataset001_Balls", "good", "two", "objects", "hd95_nm"] == "10.000000"  # 2 voxels of the sidecar
    assert written["Dataset002_Chest", "copy", "CT_phantomtest", "honeycombing", "dsc"] == "1.000000"
    content = json.loads((out / "results.json").read_text())
    assert {result["method"] for result in content["results"]} == {"good", "one_object", "copy"}
    with (out / "objects.csv").open(newline="") as file:
        objects = [row for row in csv.DictReader(file) if (row["method"], row["case"]) == ("one_object", "one")]
    assert [row["true_id"] for row in objects] == ["1", "2", "3", "4", "5"]
    assert {(row["what"], row["predicted_id"]) for row in objects} == {("merge", "1")}
    merge = next(r for r in content["results"] if r["method"] == "one_object")["mistakes"][0]
    assert merge["kind"] == "merge"
    assert sorted(merge["truth"]) == [1, 2, 3, 4, 5]
    page = (out / "report.html").read_text()
    assert len(page) < 15e6
    assert not re.search(r"(src|href)=\"(?!#|data:)", re.sub(r"<script type.*?</script>", "", page, flags=re.DOTALL))
    assert "too few cases" in page
    assert "one is predicted as one object; for a semantic map only the voxel scores are meaningful" in page
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
                  "imagesTs_empty", "no prediction has the name of a truth: it holds no label volumes",
                  "instancesTs nor labelsTs"):  # fmt: skip
        assert words in printed.out
    assert "Traceback" not in printed.err
    assert results(out)["Dataset001_Balls", "good", "one", "objects", "delivered"] == "0"
    assert results(out)["Dataset001_Balls", "one_object", "one", "objects", "delivered"] == "1"
    assert {method for _, method, *_ in results(out)} == {"good", "one_object"}
    page = (out / "report.html").read_text()
    assert "several files" in page


def test_a_damaged_image_costs_its_pictures_only(dataset, tmp_path, capsys):
    image = dataset / "imagesTs" / "one_0000.tiff"
    content = bytearray(image.read_bytes())
    content[20_000:20_500] = bytes(500)
    image.write_bytes(content)
    out = tmp_path / "report"
    assert run(["compare", str(dataset), "--output", str(out)]) == 1
    assert "one_0000.tiff" in capsys.readouterr().out
    assert results(out)["Dataset001_Balls", "good", "one", "objects", "f1_50"] == "1.000000"
    assert "one_0000.tiff: a page cannot be decoded" in (out / "report.html").read_text()


def test_a_missing_case(dataset, tmp_path, capsys):
    (dataset / "imagesTs_good" / "two.tiff").unlink()
    out = tmp_path / "report"
    assert run(["compare", str(dataset), "--output", str(out)]) == 1
    assert "has no prediction" in capsys.readouterr().out
    assert results(out)["Dataset001_Balls", "good", "two", "objects", "f1_50"] == "0.000000"
    page = (out / "report.html").read_text()
    assert "prediction missing: counted as an empty prediction" in page
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
            ("P00_scan1", "P00"),
            ("P00_scan2", "P00"),
            ("P01", "P01"),
        }
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
def browser():
    """Headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def page_of(tmp_path_factory, browser):
    """Open the report of a dataset; with it come what it logged and asked the network for."""
    from conftest import ball

    folder = tmp_path_factory.mktemp("page")
    labels = np.zeros((40, 48, 56), np.uint16)
    for i, centre in enumerate([(12, 12, 12), (28, 12, 40), (14, 34, 14), (26, 34, 42)]):
        labels[ball(labels.shape, centre, 8)] = i + 1
    make_dataset(folder / "Dataset001_Balls", labels)
    (folder / "Dataset001_Balls" / "imagesTs_good" / "two.tiff").unlink()
    assert run(["compare", str(folder / "Dataset001_Balls"), "--output", str(folder / "report")]) == 1
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
    page.close()


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


def wrong_voxels(case):
    return sum(map(int, re.findall(r"(?:good|one_object) (\d+)", case.locator(".viewer figcaption").inner_text())))


def test_every_slice_the_planes_and_the_outlines(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    caption, paths, slider = case.locator(".viewer figcaption"), case.locator(".picture path"), case.locator(".slider")
    worst = wrong_voxels(case)  # it begins with the worst slice
    assert "of 40)" in caption.inner_text()
    assert "all slices of all planes" in case.locator(".keys").inner_text()
    assert case.locator(".picture image").count() == 1
    assert paths.count() == 2  # truth and the good method; all one object has no edge
    first = caption.inner_text()
    slider.locator("button", has_text="next worst").click()
    assert caption.inner_text() != first
    assert 0 < wrong_voxels(case) <= worst
    slider.locator("input").press("Home")
    assert caption.inner_text().startswith("xy, z = 0 (1 of 40)")
    slider.locator("input").press("ArrowRight")
    slider.locator("button", has_text="▶").click()
    assert caption.inner_text().startswith("xy, z = 2 (3 of 40)")
    assert slider.locator(".now").get_attribute("x") == "2"
    case.locator("input[value=xz]").check()
    assert caption.inner_text().startswith("xz, y = ")
    shape = case.locator(".picture svg").get_attribute("viewBox").split()
    assert float(shape[2]) / float(shape[3]) == pytest.approx(56 * 5 / (40 * 10), rel=1e-6)
    case.locator("input[value=truth]").uncheck()
    assert paths.count() == 1
    case.locator("input[value=truth]").check()
    case.locator("input[value=xy]").check()
    assert page_of.complaints == []


def view(case):
    return [float(number) for number in case.locator(".picture svg").get_attribute("viewBox").split()]


def middle_of(picture):
    box = picture.bounding_box()
    return box["x"] + 0.45 * box["width"], box["y"] + 0.4 * box["height"]


def place_under(case, spot):
    """Where in the slice, in its pixels, a place of the screen is."""
    return case.locator(".picture svg").evaluate(
        """(svg, [clientX, clientY]) => {
            const { x, y } = new DOMPoint(clientX, clientY).matrixTransform(svg.getScreenCTM().inverse());
            return [x, y];
        }""",
        list(spot),
    )


def test_zoom_and_pan_by_keys_and_mouse(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    picture = case.locator(".picture")
    case.locator("input[value=xy]").check()
    whole = view(case)
    assert whole == [0, 0, 56, 48]
    picture.press("+")
    assert view(case)[2] == pytest.approx(56 / 1.5)
    picture.press("ArrowRight")
    assert view(case)[0] > (56 - 56 / 1.5) / 2
    picture.press(".")
    assert view(case)[2] == pytest.approx(56 / 1.5)  # the next slice, as near
    picture.press("0")
    assert view(case) == whole

    page_of.evaluate("document.activeElement.blur()")
    picture.scroll_into_view_if_needed()
    page_of.mouse.move(*middle_of(picture))
    page_of.mouse.wheel(0, -100)  # scrolls the page: the picture was not asked for
    page_of.wait_for_timeout(100)
    assert view(case) == whole
    picture.scroll_into_view_if_needed()
    spot = middle_of(picture)
    page_of.mouse.click(*spot)
    before = place_under(case, spot)
    page_of.mouse.wheel(0, -300)
    case.locator(".picture.zoomed").wait_for()
    assert view(case)[2] == pytest.approx(56 / math.e, rel=0.01)
    assert place_under(case, spot) == pytest.approx(before, abs=0.05)  # what is under the mouse stays there
    page_of.mouse.down()
    page_of.mouse.move(spot[0] - 40, spot[1] + 20)
    page_of.mouse.up()
    assert place_under(case, (spot[0] - 40, spot[1] + 20)) == pytest.approx(before, abs=0.05)
    case.locator("button", has_text="all").click()
    assert view(case) == whole
    picture.dblclick(position={"x": 200, "y": 100})
    assert view(case)[2] == 28
    case.locator("button", has_text="all").click()
    assert page_of.complaints == []


def test_an_error_links_to_its_slice(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    row = case.locator(".mistakes tbody tr", has_text="merge")
    place = row.locator("td").nth(4).inner_text()
    row.locator("button.show").click()
    assert case.locator(".viewer figcaption").inner_text().startswith(f"xy, z = {place.split(',')[0]} ")
    assert case.locator(".picture ellipse").count() == 1
    assert page_of.complaints == []


def test_an_object_links_to_its_slice_and_has_pictures(page_of):
    case = page_of.locator(".case", has_text="Balls: one")
    table = case.locator(".objects table")
    assert table.locator("tbody tr").count() == 8  # four true objects of two methods
    first = table.locator("tbody tr", has_text="good").first
    assert first.locator("img").count() == 2
    table.locator("thead button", has_text="IoU").click()
    shares = [float(text) for text in table.locator("tbody td:nth-child(9)").all_inner_texts()]
    assert shares == sorted(shares)
    row = table.locator("tbody tr", has_text="good").first
    z, y, x = map(int, row.locator("td").nth(8).inner_text().split(", "))
    row.locator("button.show").click()
    assert case.locator(".viewer figcaption").inner_text().startswith(f"xy, z = {z} ")
    mark = case.locator(".picture rect.mark")
    left, top, wide, high = (float(mark.get_attribute(name)) for name in ("x", "y", "width", "height"))
    assert left < x < left + wide
    assert top < y < top + high
    assert case.locator(".solids img").count() == 3  # the truth and two methods
    case.locator("button", has_text="all").click()
    assert page_of.complaints == []


def downloaded(page, button):
    with page.expect_download() as download:
        button.click()
    return download.value.suggested_filename, download.value.path().read_text("utf-8")


def test_tables_and_plots_are_downloads(page_of):
    name, text = downloaded(page_of, page_of.locator("#ranking button.export").first)
    rows = list(csv.reader(text.splitlines()))
    assert name == "Ranking_Instances.csv"
    assert rows[0][0] == "method"
    assert {row[0] for row in rows[1:]} == {"good", "one_object"}
    assert "★" not in text
    name, text = downloaded(page_of, page_of.locator("#plots button.export").first)
    assert name.endswith(".svg")
    assert text.startswith("<svg")
    case = page_of.locator(".case", has_text="Balls: one")
    name, text = downloaded(page_of, case.locator("button", has_text="SVG").first)
    assert "data:image/jpeg" in text
    assert "rgb(230, 159, 0)" in text  # the truth's orange, without the page's style sheet
    name, text = downloaded(page_of, case.locator(".objects + button.export"))
    assert text.splitlines()[0] == 'method,what,true id,voxels,predicted id,voxels,IoU,"z, y, x"'
    assert page_of.complaints == []


@pytest.mark.parametrize(("width", "scheme"), [(1400, "dark"), (390, "light")])
def test_it_fits_a_screen_and_a_phone(page_of, width, scheme):
    page_of.set_viewport_size({"width": width, "height": 800})
    page_of.emulate_media(color_scheme=scheme)
    try:
        assert page_of.evaluate("document.documentElement.scrollWidth") == width
        figures = page_of.locator(".plots figure").all()
        left, right = (figure.bounding_box()["x"] for figure in figures[:2])
        assert (left < right) is (width == 1400)  # on a phone one picture is in a row
        if width == 1400:
            wide = "[...document.querySelectorAll('.wide')].filter((region) => region.scrollWidth > region.clientWidth)"
            assert page_of.evaluate(f"{wide}.map((region) => region.ariaLabel)") == []
            assert page_of.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(23, 24, 28)"
    finally:
        page_of.set_viewport_size({"width": 1366, "height": 800})
        page_of.emulate_media(color_scheme="light")


def test_a_case_that_was_not_delivered_is_told(page_of):
    missing = page_of.locator("#ranking", has_text="Missing predictions")
    assert "prediction missing: counted as an empty prediction" in missing.inner_text()
    assert "1 of 2" in missing.inner_text()
    texts = page_of.locator(".plots svg").first
    assert texts.get_attribute("role") == "img"
    assert "of each case" in texts.get_attribute("aria-label")


def test_classes_keep_their_colours_and_one_case_has_no_rows_of_too_few(tmp_path, browser):
    chest = tmp_path / "Dataset002_Chest"
    write_chest_dataset(chest, 0, (12, 48, 48), train_cases=1)
    (chest / "labelsTs" / "CT_phantomhealthy.nii.gz").unlink(missing_ok=True)
    for method, by in (("near", 1), ("far", 3)):
        for path in (chest / "labelsTs").iterdir():
            volume = open_labels(path)
            moved = np.roll(volume.read(), by, axis=2)
            write_labels(chest / f"imagesTs_{method}" / path.name, volume.with_voxels(moved))
    out = tmp_path / "report"
    assert run(["compare", str(chest), "--output", str(out)]) == 0
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((out / "report.html").as_uri())
    assert "too few" not in page.locator("main").inner_text()
    assert "No two methods have more than one case in common" in page.locator("#statistics").inner_text()
    case = page.locator(".case")
    colours = {
        box.get_attribute("value"): box.get_attribute("data-colour") for box in case.locator(".classes input").all()
    }
    assert colours["reticulation"] != colours["honeycombing"]
    case.locator(".picture path.layer-truth").first.wait_for()
    drawn = {path.evaluate("path => path.style.getPropertyValue('--layer')")
             for path in case.locator(".picture path.layer-truth").all()}  # fmt: skip
    assert drawn <= set(colours.values())
    count = case.locator(".picture path").count()
    case.locator("input[value=method]").check()
    assert case.locator(".picture path").count() == count
    assert case.locator(".picture path.layer-truth").first.evaluate("p => getComputedStyle(p).stroke") == (
        "rgb(230, 159, 0)"
    )
    for box in case.locator(".classes input").all():
        box.uncheck()
    assert case.locator(".picture path").count() == 0
    page.close()
