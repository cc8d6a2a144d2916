"""ild measure as a user runs it, on chests of boxes whose measures are known by hand."""

import csv
import json

import numpy as np
import pytest

from chest_boxes import SPACING_MM, chest_boxes
from dicom import write_dicom
from planewise.cli import run
from planewise.data.phantom import write_chest_dataset
from planewise.volumes import itk_snap
from planewise.volumes.files import write_volume
from planewise.volumes.label_names import LabelNames
from planewise.volumes.labels import read_labels, write_labels
from planewise.volumes.volume import Volume

NAMES = {"background": 0, "ground_glass": 1, "reticulation": 2, "honeycombing": 3}
STORED = {  # how the cases' files run: LPS, RAS, and with their axes in another order
    "P1": ((0, 1, 2), (1, 1, 1)),
    "P2": ((0, 1, 2), (1, -1, -1)),
    "P3": ((2, 0, 1), (-1, 1, -1)),
}


def write_case(folder, case, order=(0, 1, 2), signs=(1, 1, 1), change=lambda labels: labels):
    hu, labels, lungs = chest_boxes(order, signs)
    write_volume(folder / "imagesTs" / f"{case}_0000.nii.gz", hu)
    write_labels(folder / "labelsTs" / f"{case}.nii.gz", labels.with_voxels(change(labels.read())))
    write_labels(folder / "lungs" / f"{case}.nii.gz", lungs)


def write_meta(folder, labels=NAMES):
    (folder / "dataset.json").write_text(
        json.dumps({"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 0, "file_ending": ".nii.gz"})
    )


@pytest.fixture
def cohort(tmp_path):
    for case, stored in STORED.items():
        write_case(tmp_path / "d", case, *stored)
    write_meta(tmp_path / "d")
    return tmp_path / "d"


def measure(folder, output, *more, lungs=True):
    masks = ["--lungs", str(folder / "lungs")] if lungs else []
    return run(["ild", "measure", str(folder / "labelsTs"), "--output", str(output), *masks, *more])


def table(path):
    with path.open(newline="") as file:
        return {row["case"]: row for row in csv.DictReader(file)}


def test_a_cohort_whose_files_run_in_three_ways(cohort, tmp_path, capsys):
    assert measure(cohort, tmp_path / "out", "--periphery_mm", "10") == 0
    printed = capsys.readouterr().err
    assert "fibrosis is reticulation, honeycombing" in printed
    rows = table(tmp_path / "out" / "measures.csv")
    assert list(rows) == ["P1", "P2", "P3"]
    for row in rows.values():
        for column, value in {
            "lungs_ml": 648, "lungs_left_ml": 324, "ground_glass_ml": 54, "ground_glass_left_upper_percent": 50,
            "ground_glass_right_percent": 0, "reticulation_right_lower_percent": 50,
            "honeycombing_right_middle_ml": 54, "total_fibrosis_percent": 100 / 6, "total_extent_percent": 25,
            "ground_glass_outside_lungs_ml": 0.15, "lungs_central_ml": 235.2, "ground_glass_central_ml": 16.8,
            "lungs_mean_hu": -810, "lungs_haa_percent": 100 / 12, "lungs_laa_percent": 100 / 12,
        }.items():  # fmt: skip
            assert float(row[column]) == pytest.approx(value, abs=1e-5), column
    content = json.loads((tmp_path / "out" / "measures.json").read_text())
    assert [column["name"] for column in content["columns"]] == list(rows["P1"])[4:]
    assert content["cases"][2]["measures"]["ground_glass_ml"] == pytest.approx(54)
    assert content["groups"]["total_fibrosis"] == [2, 3]
    assert "not a diagnosis" in content["note"]


def test_the_pages_say_what_they_are_and_hold_all_they_need(cohort, tmp_path):
    assert measure(cohort, tmp_path / "out") == 0
    patient = (tmp_path / "out" / "patients" / "P3.html").read_text()
    everybody = (tmp_path / "out" / "measures.html").read_text()
    for page in (patient, everybody):
        assert "Research software, not a diagnosis" in page
        assert 'src="http' not in page
        assert "{class}_{region}_percent" in page
    assert "fibrosis: reticulation + honeycombing" in patient
    assert patient.index("Volume of each class") < patient.index('<div class="wide"')  # what scrolls does not cut it
    assert "data:image/png" in patient
    assert patient.count("<svg") == 2
    assert 'href="patients/P3.html"' in everybody
    assert "Two readers" not in everybody


def test_a_second_run_measures_nothing_again_and_writes_the_same(cohort, tmp_path, capsys):
    assert measure(cohort, tmp_path / "out") == 0
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("measures.*") if path.suffix != ".html"}
    capsys.readouterr()
    assert measure(cohort, tmp_path / "out") == 0
    assert capsys.readouterr().err.count("done already") == 3
    assert before == {path: path.read_bytes() for path in before}
    assert measure(cohort, tmp_path / "out", "--zones", "volume") == 2
    assert "made differently" in capsys.readouterr().err
    assert measure(cohort, tmp_path / "out", "--zones", "volume", "--overwrite") == 0


def test_what_somebody_else_wrote_is_kept(cohort, tmp_path, capsys):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "measures.csv").write_text("mine")
    assert measure(cohort, tmp_path / "out") == 1
    assert (tmp_path / "out" / "measures.csv").read_text() == "mine"
    assert "does not say that planewise made it" in "".join(capsys.readouterr().out)
    assert measure(cohort, cohort / "labelsTs") == 2
    assert "is the folder of the input" in capsys.readouterr().err


def test_results_are_named_by_what_was_written_beside_them(cohort, tmp_path, capsys):
    """As ild predict does of NIfTI, which has no place for names; so that fibrosis is counted."""
    (cohort / "dataset.json").rename(tmp_path / "away.json")
    path = cohort / "labelsTs" / itk_snap.FILE
    names = {value: name for name, value in NAMES.items() if value}
    itk_snap.write_label_description(path, LabelNames(names))
    assert measure(cohort, tmp_path / "out") == 0
    listed = "ground_glass (1), reticulation (2), honeycombing (3)"
    assert f"Classes, by {path}: {listed} are measured; fibrosis is retic" in capsys.readouterr().err
    assert float(table(tmp_path / "out" / "measures.csv")["P1"]["total_fibrosis_percent"]) == pytest.approx(100 / 6)
    write_meta(cohort, NAMES | {"ground_glass": 2, "reticulation": 1})  # which of the two is it?
    assert measure(cohort, tmp_path / "other") == 2
    assert (
        f"{path}: calls label 1 ground_glass, and {cohort / 'dataset.json'} reticulation; settle it with"
        in capsys.readouterr().err
    )
    assert measure(cohort, tmp_path / "other", "--dataset", str(tmp_path / "away.json")) == 0


def test_labels_that_name_their_classes_themselves(cohort, tmp_path, capsys):
    (cohort / "dataset.json").unlink()
    for path in sorted((cohort / "labelsTs").iterdir()):
        volume = read_labels(path)
        write_labels(
            path.with_name(path.name.replace(".nii.gz", ".seg.nrrd")), volume.as_labels({1: "a", 2: "b", 3: "c"})
        )
        path.unlink()
    assert measure(cohort, tmp_path / "out", "--fibrosis", "b") == 0
    first = cohort / "labelsTs" / "P1.seg.nrrd"
    assert f"Classes, by {first}: a (1), b (2), c (3) are measured; fibrosis is b" in capsys.readouterr().err


def test_lungs_that_are_not_given_are_found(tmp_path, capsys):
    write_chest_dataset(tmp_path / "d", 0, (16, 64, 64), train_cases=1)
    assert measure(tmp_path / "d", tmp_path / "out", lungs=False) == 0
    assert "segmented from HU, as by planewise ild lungs" in capsys.readouterr().err
    rows = table(tmp_path / "out" / "measures.csv")
    assert run(["ild", "lungs", str(tmp_path / "d" / "imagesTs"), str(tmp_path / "masks")]) == 0
    for case, row in rows.items():
        mask = read_labels(tmp_path / "masks" / f"{case}.nii.gz")
        voxel_ml = np.prod(mask.spacing) / 1000
        for side, number in (("left", 1), ("right", 2)):
            assert float(row[f"lungs_{side}_ml"]) == pytest.approx((mask.read() == number).sum() * voxel_ml, abs=1e-5)
    assert float(rows["CT_phantomhealthy"]["total_extent_percent"]) == 0
    labels = ["--lungs", str(tmp_path / "masks"), "--output", str(tmp_path / "again")]
    assert run(["ild", "measure", str(tmp_path / "d" / "labelsTs"), *labels]) == 0
    assert {case: row["total_extent_ml"] for case, row in table(tmp_path / "again" / "measures.csv").items()} == {
        case: row["total_extent_ml"] for case, row in rows.items()
    }


@pytest.mark.slow
def test_labels_in_a_store_give_the_same_numbers(cohort, tmp_path):
    assert measure(cohort, tmp_path / "files") == 0
    for case in STORED:
        labels = read_labels(cohort / "labelsTs" / f"{case}.nii.gz")
        write_labels(tmp_path / "stores" / f"{case}.ome.zarr", labels)
    more = ["--images", str(cohort / "imagesTs"), "--dataset", str(cohort / "dataset.json"), "--lungs",
            str(cohort / "lungs"), "--output", str(tmp_path / "out")]  # fmt: skip
    assert run(["ild", "measure", str(tmp_path / "stores"), *more]) == 0
    a, b = (table(tmp_path / name / "measures.csv") for name in ("files", "out"))
    for case in STORED:
        del a[case]["labels"], b[case]["labels"]
    assert a == b


def test_two_readers(cohort, tmp_path, capsys):
    """The second sees half of what the first sees, in P3 all of it."""
    for case in STORED:
        labels = read_labels(cohort / "labelsTs" / f"{case}.nii.gz")
        voxels = labels.read()
        if case != "P3":
            voxels = voxels * (np.arange(voxels.shape[1])[:, None] % 2).astype(np.uint8)  # every other row
        write_labels(tmp_path / "second" / f"{case}.nii.gz", labels.with_voxels(voxels))
    assert measure(cohort, tmp_path / "out", "--against", str(tmp_path / "second"), "--categories", "10", "20") == 0
    with (tmp_path / "out" / "agreement.csv").open(newline="") as file:
        rows = {row["measure"]: row for row in csv.DictReader(file)}
    total = rows["total_extent_percent"]
    assert total["n_patients"] == "3"
    assert float(total["mean_first"]) == pytest.approx(25)
    assert float(total["mean_second"]) == pytest.approx((12.5 + 12.5 + 25) / 3, abs=1e-5)
    assert float(total["difference"]) == pytest.approx(25 / 3, abs=1e-5)
    deviation = np.std([12.5, 12.5, 0], ddof=1)
    assert float(total["upper_limit"]) == pytest.approx(25 / 3 + 1.96 * deviation, abs=1e-4)
    assert rows["total_extent_ml"]["kappa"] == ""
    assert "lungs_ml" not in rows
    with (tmp_path / "out" / "measures.csv").open(newline="") as file:
        both = [(row["case"], float(row["total_extent_percent"])) for row in csv.DictReader(file)]
    assert both == [("P1", 25), ("P1", 12.5), ("P2", 25), ("P2", 12.5), ("P3", 25), ("P3", 25)]
    page = (tmp_path / "out" / "measures.html").read_text()
    assert "quadratic weights" in page
    assert "kappa with quadratic weights of categories bounded by 10, 20 %" in capsys.readouterr().err
    assert "10, 20 %" in page
    assert "By a second reader" in (tmp_path / "out" / "patients" / "P1.html").read_text()
    (tmp_path / "second" / "P2.nii.gz").rename(tmp_path / "second" / "P9.nii.gz")
    assert measure(cohort, tmp_path / "two", "--against", str(tmp_path / "second")) == 1
    printed = capsys.readouterr()
    assert "has no labels of case P2, so agreement lacks it" in printed.out
    assert "left out, since the first reader has no labels for them: P9" in printed.err


def test_readers_that_change_places_are_not_done_already(tmp_path, capsys):
    write_case(tmp_path / "d", "P1")
    labels = read_labels(tmp_path / "d" / "labelsTs" / "P1.nii.gz")
    write_labels(tmp_path / "half" / "P1.nii.gz", labels.with_voxels(labels.read() * (labels.read() < 3)))
    write_meta(tmp_path)
    more = ["--images", str(tmp_path / "d" / "imagesTs"), "--lungs", str(tmp_path / "d" / "lungs"), "--dataset",
            str(tmp_path / "dataset.json"), "--output", str(tmp_path / "out")]  # fmt: skip
    readers = [str(tmp_path / "d" / "labelsTs"), str(tmp_path / "half")]
    for first, second in (readers, readers[::-1]):
        words = ["ild", "measure", first, "--against", second, *more]
        assert run(words) == (0 if [first, second] == readers else 1)
        assert run([*words, "--overwrite"]) == 0
        with (tmp_path / "out" / "measures.csv").open(newline="") as file:
            row = next(csv.DictReader(file))
        assert float(row["honeycombing_ml"]) == (pytest.approx(54) if first == readers[0] else 0)
    assert "now they are given as" in " ".join(capsys.readouterr().out.split())


def test_what_is_wrong_with_a_case_is_a_row_and_the_others_are_measured(cohort, tmp_path, capsys):
    def other(labels):
        return np.where(labels == 3, 9, labels).astype(np.uint8)

    write_case(cohort, "values", change=other)
    hu, labels, lungs = chest_boxes()
    write_case(cohort, "empty")
    write_labels(cohort / "lungs" / "empty.nii.gz", lungs.with_voxels(np.zeros(lungs.shape, np.uint8)))
    write_case(cohort, "windowed")
    scaled = np.clip((hu.read() + 1350) / 1500 * 255, 0, 255).astype(np.uint8)
    write_volume(cohort / "imagesTs" / "windowed_0000.nii.gz", hu.with_voxels(scaled))
    write_case(cohort, "shifted")
    moved = Volume(labels.voxels, SPACING_MM, "mm", (0.0, 0.0, 0.0))
    write_labels(cohort / "labelsTs" / "shifted.nii.gz", moved)
    write_labels(cohort / "labelsTs" / "alone.nii.gz", labels)
    write_case(cohort, "torn")
    (cohort / "labelsTs" / "torn.nii.gz").write_bytes(b"torn")
    write_case(cohort, "flat")
    for name, volume in (("imagesTs/flat_0000", hu), ("labelsTs/flat", labels), ("lungs/flat", lungs)):
        one = Volume(volume.read()[:1], volume.spacing, "mm", volume.origin)
        write_volume(cohort / f"{name}.nii.gz", one)
    write_case(cohort, "body")
    write_labels(cohort / "lungs" / "body.nii.gz", lungs.with_voxels((hu.read() == 40).astype(np.uint8)))
    (cohort / "lungs" / "P3.nii.gz").rename(tmp_path / "P3.nii.gz")
    assert measure(cohort, tmp_path / "out") == 1
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    for words in (
        "holds 9, which no class has; there are 1, 2, 3",
        "--classes NAME chooses which are measured",
        "empty.nii.gz: the mask of the lungs is empty",
        "windowed_0000.nii.gz: values lie between",
        "does not lie in the space of",
        "has no CT: --images holds none of case alone",
        "cannot be read",
        "not in one slice",
        "body_0000.nii.gz: the median of the lungs is 40",
        "P3.*: is missing; one mask of the lungs is needed",
    ):
        assert words in out, words
    assert list(table(tmp_path / "out" / "measures.csv")) == ["P1", "P2"]
    assert len(json.loads((tmp_path / "out" / "measures.json").read_text())["problems"]) == 9


@pytest.mark.parametrize(
    ("stored", "printed"),
    [
        (Volume(np.zeros((4, 8, 8), np.int16)), "states no spacing in a unit of length"),
        (Volume(np.zeros((4, 8, 8), np.int16), (5.0, 1.0, 1.0), "mm"), "does not state the direction of its axes"),
    ],
)
def test_a_ct_that_does_not_say_its_size_or_its_sides(stored, printed, tmp_path, capsys):
    write_volume(tmp_path / "ct.tiff", stored)
    write_labels(tmp_path / "seg.tiff", stored.with_voxels(np.ones((4, 8, 8), np.uint8)))
    files = [str(tmp_path / "seg.tiff"), "--images", str(tmp_path / "ct.tiff"), "--output", str(tmp_path / "out")]
    assert run(["ild", "measure", *files, "--classes", "net=1"]) == 1
    assert printed in capsys.readouterr().out


@pytest.mark.parametrize("tilt", [(0.0, 0.0), (-1.25, 0.0)])
def test_a_dicom_series_of_a_patient(tmp_path, tilt):
    """Labels of a tilted gantry's slices stand in their file as an upright stack of the same slices."""
    hu, labels, lungs = chest_boxes()
    write_dicom(tmp_path / "P1", hu.read(), spacing=SPACING_MM, tilt=tilt)
    for name, volume in (("labels", labels), ("lungs", lungs)):
        upright = Volume(volume.read(), SPACING_MM, "mm")  # from the series' own origin, 0
        write_labels(tmp_path / name / "P1.nii.gz", upright)
    more = ["--images", str(tmp_path / "P1"), "--lungs", str(tmp_path / "lungs"), "--output", str(tmp_path / "out"),
            "--classes", "ground_glass=1", "reticulation=2", "honeycombing=3"]  # fmt: skip
    assert run(["ild", "measure", str(tmp_path / "labels"), *more]) == 0
    row = table(tmp_path / "out" / "measures.csv")["P1"]
    assert float(row["ground_glass_left_upper_percent"]) == pytest.approx(50, abs=0.5)
    assert float(row["lungs_ml"]) == pytest.approx(648)
    assert float(row["total_fibrosis_right_ml"]) == pytest.approx(108)


def test_one_patient_by_files_of_any_name_with_classes_by_options(cohort, tmp_path, capsys):
    files = [str(cohort / "labelsTs" / "P2.nii.gz"), "--images", str(cohort / "imagesTs" / "P2_0000.nii.gz"), "--lungs",
             str(cohort / "lungs" / "P2.nii.gz"), "--output", str(tmp_path / "out")]  # fmt: skip
    named = ["--classes", "Ground glass=1", "net=2", "comb=3", "--fibrosis", "NET", "comb"]
    assert run(["ild", "measure", *files, *named]) == 0
    (row,) = table(tmp_path / "out" / "measures.csv").values()
    assert float(row["total_fibrosis_ml"]) == pytest.approx(108)
    assert float(row["ground_glass_ml"]) == pytest.approx(54)
    (tmp_path / "one").mkdir()
    (cohort / "imagesTs" / "P3_0000.nii.gz").rename(tmp_path / "one" / "P3_0000.nii.gz")
    alone = [files[0], "--images", str(tmp_path / "one"), *named, "--output", str(tmp_path / "alone")]
    assert run(["ild", "measure", *alone]) == 2
    assert "has no CT: --images holds none of case P2" in capsys.readouterr().out  # P3's is another's
    some = ["--classes", "honeycombing", "--output", str(tmp_path / "some")]
    assert run(["ild", "measure", *files[:-2], *some]) == 0
    assert float(table(tmp_path / "some" / "measures.csv")["P2"]["total_extent_ml"]) == pytest.approx(54)
    assert "fibrosis is honeycombing" in capsys.readouterr().err


def test_lungs_of_one_part_are_taken_apart_and_it_is_said(tmp_path, capsys):
    write_case(tmp_path / "d", "P1")
    write_meta(tmp_path / "d")
    lungs = read_labels(tmp_path / "d" / "lungs" / "P1.nii.gz")
    joined = (lungs.read() > 0).astype(np.uint8)
    assert measure(tmp_path / "d", tmp_path / "apart") == 0
    write_labels(tmp_path / "d" / "lungs" / "P1.nii.gz", lungs.with_voxels(joined))
    assert measure(tmp_path / "d", tmp_path / "one_number") == 0
    assert "one part" not in capsys.readouterr().err
    joined[8:11, 18:22, 20:40] = 1
    write_labels(tmp_path / "d" / "lungs" / "P1.nii.gz", lungs.with_voxels(joined))
    assert measure(tmp_path / "d", tmp_path / "joined") == 0
    assert "the two lungs are connected; they were separated" in capsys.readouterr().err
    assert "separated by shape" in (tmp_path / "joined" / "patients" / "P1.html").read_text()
    for name in ("apart", "one_number", "joined"):
        row = table(tmp_path / name / "measures.csv")["P1"]
        assert float(row["ground_glass_left_ml"]) == pytest.approx(54)
        assert float(row["honeycombing_right_ml"]) == pytest.approx(54)


@pytest.mark.parametrize(
    ("more", "printed"),
    [
        (["--fibrosis", "scar"], "--fibrosis scar: no such class is measured"),
        (["--classes", "nodule"], "--classes nodule"),
        (["--classes", "a=1", "b"], "--classes b: must be NAME=VALUE"),
        (["--images", "nowhere"], "nowhere: no such file or folder"),
        (["--against", "nowhere"], "nowhere: no such file or folder"),
        (["--dataset", "nowhere"], "nowhere: no such file"),
        (["--patient_pattern", "("], "--patient_pattern"),
        (["--lungs", "one_mask.nii.gz"], "is one mask, for 3 cases"),
    ],
)
def test_options_that_cannot_be_used(cohort, tmp_path, capsys, monkeypatch, more, printed):
    (cohort / "one_mask.nii.gz").write_bytes((cohort / "lungs" / "P1.nii.gz").read_bytes())
    monkeypatch.chdir(cohort)
    assert measure(cohort, tmp_path / "out", *more) == 2
    assert printed in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bounds", [["5", "5"], ["25", "5"], ["100"], ["-1"]])
def test_categories_must_ascend(bounds, capsys):
    with pytest.raises(SystemExit) as refused:
        run(["ild", "measure", "labels", "--categories", *bounds])
    assert refused.value.code == 2
    assert "--categories" in capsys.readouterr().err


def test_labels_without_images_beside_them(cohort, tmp_path, capsys):
    (cohort / "imagesTs").rename(tmp_path / "ct")
    assert measure(cohort, tmp_path / "out") == 2
    assert "give the CTs in HU with --images" in capsys.readouterr().err


def test_voxels_of_the_ignore_label_are_of_no_class(tmp_path, capsys):
    write_case(tmp_path / "d", "P1", change=lambda labels: np.where(labels == 3, 4, labels).astype(np.uint8))
    write_meta(tmp_path / "d", NAMES | {"ignore": 4})
    assert measure(tmp_path / "d", tmp_path / "out") == 0
    assert "54.0 ml of the lungs have the ignore label" in capsys.readouterr().err
    row = table(tmp_path / "out" / "measures.csv")["P1"]
    assert float(row["total_extent_ml"]) == pytest.approx(108)
    assert float(row["lungs_ml"]) == pytest.approx(648)
