"""mito measure as a user runs it: tables and pictures, on repetition, with groups, and with what goes wrong."""

import csv
import json
import shutil

import numpy as np
import pytest

from planewise.cli import run
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

SPACING = (16.0, 8.0, 8.0)
TABLES = {"objects.csv", "contacts.csv", "volumes.csv", "distributions.csv", "measures.json", "distributions.png"}
OF_GROUPS = {"comparisons.csv", "animals.csv", "animals.png"}


def labels_of(seed, count=8, shape=(24, 40, 40)):
    rng = np.random.default_rng(seed)
    labels, grid = np.zeros(shape, np.uint16), np.ogrid[tuple(slice(side) for side in shape)]
    for label in range(1, count + 1):
        centre = rng.uniform(6, np.array(shape) - 6)
        labels[sum((g - c) ** 2 for g, c in zip(grid, centre)) <= rng.uniform(3, 5) ** 2] = label
    return labels


def write_case(folder, case, seed, spacing=SPACING, unit="nm"):
    labels = labels_of(seed)
    write_labels(folder / "labels" / f"{case}.tiff", Volume(labels, spacing, unit))
    image = Volume((100 + 5 * labels).astype(np.uint8), spacing, unit)
    write_volume(folder / "images" / f"{case}_0000.tiff", image)
    write_labels(folder / "nuclei" / f"{case}.tiff", Volume((labels == 1).astype(np.uint8), spacing, unit))


@pytest.fixture
def cohort(tmp_path):
    """Six cases of as many animals in two conditions."""
    lines = ["case,animal,condition"]
    for number in range(6):
        write_case(tmp_path, f"c{number}", number)
        lines.append(f"c{number},m{number},{'wt' if number < 3 else 'ko'}")
    (tmp_path / "groups.csv").write_text("\n".join(lines), "utf-8")
    return tmp_path


def rows(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def names(folder):
    return {path.name for path in folder.iterdir()}


def measure(*words):
    return run(["mito", "measure", *map(str, words)])


def test_a_cohort_becomes_tables_and_pictures(cohort, capsys):
    out = cohort / "out"
    words = [cohort / "labels", "--image", cohort / "images", "--reference", f"nucleus={cohort / 'nuclei'}",
             "--groups", cohort / "groups.csv", "--output", out]  # fmt: skip
    assert measure(*words) == 0
    printed = capsys.readouterr()
    assert "voxels of 0.016 x 0.008 x 0.008 µm" in printed.err
    assert "Conditions" in printed.out
    assert names(out) == TABLES | OF_GROUPS | {"cases", "planewise.json"}
    first = rows(out / "objects.csv")[0]
    assert (first["case"], first["label"], first["mean_intensity"]) == ("c0", "1", "105")
    assert float(first["volume_um3"]) == pytest.approx(int(first["voxels"]) * 1.024e-6, rel=1e-5)
    assert float(first["nucleus_distance_um"]) == 0
    everything = json.loads((out / "measures.json").read_text("utf-8"))
    assert everything["columns"]["objects"]["surface_um2"]["unit"] == "µm²"
    assert len(everything["comparisons"]) == len(rows(out / "comparisons.csv")) > 5
    assert {row["method"] for row in rows(out / "comparisons.csv")} <= {"mixed model", "Welch on animal means"}
    assert [row["animal"] for row in rows(out / "animals.csv")] == [f"m{i}" for i in range(6)]
    assert len(rows(out / "volumes.csv")) == 6

    before = (out / "cases" / "c0.json").stat().st_mtime_ns
    assert measure(*words) == 0
    assert "c0: done already, from the same data" in capsys.readouterr().err
    assert (out / "cases" / "c0.json").stat().st_mtime_ns == before
    assert measure(*words[:-4], "--output", out) == 0  # without groups: their tables go
    assert names(out) == TABLES | {"cases", "planewise.json"}


def test_the_same_files_in_other_parts_are_not_done_already(tmp_path, capsys):
    write_case(tmp_path, "a", 0)
    nuclei, others = tmp_path / "nuclei", tmp_path / "others"
    write_labels(others / "a.tiff", Volume((labels_of(0) == 2).astype(np.uint8), SPACING, "nm"))

    def with_references(nucleus, membrane, *more):
        named = [f"nucleus={nucleus}", f"membrane={membrane}"]
        return measure(tmp_path / "labels", "--output", tmp_path / "out", "--reference", *named, *more)

    assert with_references(nuclei, others) == 0
    assert with_references(nuclei, others) == 0
    assert with_references(others, nuclei) == 1
    assert "now they are given as" in " ".join(capsys.readouterr().out.split())
    assert with_references(others, nuclei, "--overwrite") == 0
    first, second = rows(tmp_path / "out" / "objects.csv")[:2]
    assert float(first["membrane_distance_um"]) == 0 < float(first["nucleus_distance_um"])
    assert float(second["nucleus_distance_um"]) == 0 < float(second["membrane_distance_um"])


def test_one_file_is_measured_beside_itself(tmp_path):
    write_case(tmp_path, "a", 0)
    assert measure(tmp_path / "labels" / "a.tiff", "--image", tmp_path / "images" / "a_0000.tiff") == 0
    assert names(tmp_path / "labels" / "measures") >= TABLES
    assert measure(tmp_path / "labels") == 1  # measured from more before: its inputs have changed
    assert measure(tmp_path / "labels", "--overwrite") == 0
    assert names(tmp_path / "labels") == {"a.tiff", "measures"}


def test_a_bad_case_stops_no_other(tmp_path, capsys):
    for case in ("a", "empty", "fractions", "image", "mask", "shape"):
        write_case(tmp_path, case, 0)
    folder, shape = tmp_path / "labels", (24, 40, 40)
    rng = np.random.default_rng(0)
    nothing = Volume(np.zeros(shape, np.uint8), SPACING, "nm")
    write_labels(folder / "empty.tiff", nothing)
    write_volume(folder / "fractions.tiff", Volume(rng.normal(size=shape).astype(np.float32), SPACING, "nm"))
    write_volume(folder / "image.tiff", Volume(rng.integers(0, 60000, shape).astype(np.uint16), SPACING, "nm"))
    write_labels(folder / "mask.tiff", Volume((labels_of(1) > 0) * np.uint8(255), SPACING, "nm"))
    write_volume(tmp_path / "images" / "shape_0000.tiff", Volume(np.zeros((24, 40, 41), np.uint8), SPACING, "nm"))
    (folder / "broken.tiff").write_bytes(b"II*\0 no more")
    write_volume(tmp_path / "images" / "broken_0000.tiff", nothing)
    out = tmp_path / "out"
    assert measure(folder, "--image", tmp_path / "images", "--output", out) == 1
    printed = capsys.readouterr()
    text = " ".join((printed.out + printed.err).split())
    assert "4 problems" in text
    assert "holds fractions; labels are whole numbers" in text
    assert "is an image, not labels" in text
    assert "cases: the others could not be measured" in text
    assert "does not lie in the space of" in text
    assert "empty: holds no objects" in text
    assert "mask: label 255 is its only label, in" in text
    assert "Traceback" not in text
    assert [row["case"] for row in rows(out / "volumes.csv")] == ["a", "empty", "mask"]
    assert names(out / "cases") == {"a.json", "empty.json", "mask.json"}
    assert {row["case"] for row in rows(out / "objects.csv")} == {"a", "mask"}


def test_names_of_another_program_that_fit_no_image(tmp_path, capsys):
    for case in ("s1", "s2"):
        write_case(tmp_path, case, 0)
    (tmp_path / "labels" / "s2.tiff").rename(tmp_path / "labels" / "s2_cp_masks.tiff")
    words = (tmp_path / "labels", "--image", tmp_path / "images", "--output", tmp_path / "out")
    assert measure(*words) == 1
    assert "holds no image of case s2_cp_masks; there are s1, s2" in " ".join(capsys.readouterr().out.split())
    assert [row["case"] for row in rows(tmp_path / "out" / "volumes.csv")] == ["s1"]


def test_labels_that_end_in_numbers_and_one_channel_of_their_images(tmp_path, capsys):
    for number, case in enumerate(("pat_0001", "pat_0002")):
        write_case(tmp_path, case, number)
        shutil.copy(tmp_path / "images" / f"{case}_0000.tiff", tmp_path / "images" / f"{case}_0001.tiff")
    assert measure(tmp_path / "labels", "--image", tmp_path / "images", "--channel", 0, "--output", tmp_path / "a") == 0
    assert {row["case"] for row in rows(tmp_path / "a" / "objects.csv")} == {"pat_0001", "pat_0002"}
    label, image = tmp_path / "labels" / "pat_0001.tiff", tmp_path / "images" / "pat_0001_0001.tiff"
    assert measure(label, "--image", image, "--output", tmp_path / "b") == 0
    assert rows(tmp_path / "b" / "objects.csv")[0]["mean_intensity"]


def test_without_a_unit_columns_are_in_voxels(tmp_path, capsys):
    write_case(tmp_path, "a", 0, (1.0, 1.0, 1.0), "pixel")
    assert measure(tmp_path / "labels", "--output", tmp_path / "out") == 0
    assert "no file states the unit of its spacing, and none is assumed" in capsys.readouterr().err
    columns = rows(tmp_path / "out" / "objects.csv")[0].keys()
    assert {"volume_voxels3", "surface_voxels2", "length_voxels"} <= columns
    assert not [name for name in columns if "_um" in name]


def test_confidence_beside_the_labels_is_taken(tmp_path, capsys):
    write_case(tmp_path, "a", 0)
    (tmp_path / "labels" / "a_objects.csv").write_text("label,confidence\n1,0.75\n3,\n", "utf-8")
    assert measure(tmp_path / "labels", "--output", tmp_path / "out") == 0
    confidences = {row["label"]: row["confidence"] for row in rows(tmp_path / "out" / "objects.csv")}
    assert (confidences["1"], confidences["2"]) == ("0.75", "")
    (tmp_path / "labels" / "a_objects.csv").write_text("name\nx\n", "utf-8")
    assert measure(tmp_path / "labels", "--output", tmp_path / "out", "--overwrite") == 0
    assert "has no columns label and confidence" in " ".join(capsys.readouterr().err.split())
    assert "confidence" not in rows(tmp_path / "out" / "objects.csv")[0]


def test_what_others_wrote_is_kept(tmp_path, capsys):
    write_case(tmp_path, "a", 0)
    out = tmp_path / "out"
    out.mkdir()
    (out / "objects.csv").write_text("mine\n", "utf-8")
    assert measure(tmp_path / "labels", "--output", out) == 1
    assert "already exists" in " ".join(capsys.readouterr().out.split())
    assert (out / "objects.csv").read_text("utf-8") == "mine\n"
    (out / "objects.csv").unlink()
    assert measure(tmp_path / "labels", "--output", out) == 0
    with (out / "objects.csv").open("a") as file:
        file.write("edited\n")
    assert measure(tmp_path / "labels", "--output", out) == 1
    assert "was changed after it was made; it is kept" in " ".join(capsys.readouterr().out.split())
    assert (out / "objects.csv").read_text("utf-8").endswith("edited\n")
    assert measure(tmp_path / "labels", "--output", out, "--overwrite") == 0
    assert measure(tmp_path / "labels", "--output", tmp_path / "labels") == 2


def test_results_of_planes_and_several_files_of_a_case(tmp_path, capsys):
    write_case(tmp_path, "a", 0)
    for name in ("a_xy", "b", "b_pred"):
        write_labels(tmp_path / "labels" / f"{name}.tiff", Volume(labels_of(1), SPACING, "nm"))
    assert measure(tmp_path / "labels", "--output", tmp_path / "out") == 1
    printed = capsys.readouterr()
    assert "a_xy.tiff are results of single planes: not measured" in " ".join(printed.err.split())
    assert "several files for one case, b" in " ".join(printed.out.split())
    assert [row["case"] for row in rows(tmp_path / "out" / "volumes.csv")] == ["a"]


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["nowhere"], "no such file or folder"),
        (["labels", "--reference", "nuclei"], "must be NAME=PATH"),
        (["labels", "--groups", "few.csv"], "condition ko has 1 animal"),
        (["labels", "--groups", "others.csv"], "names none of the labels' cases"),
        (["labels", "--image", "nowhere"], "no such file or folder"),
    ],
)
def test_what_cannot_be_used_is_refused_before_any_work(cohort, words, printed, capsys, monkeypatch):
    monkeypatch.chdir(cohort)
    (cohort / "few.csv").write_text("case,animal,condition\nc0,a,wt\nc1,b,wt\nc2,c,ko\n", "utf-8")
    others = "case,animal,condition\nx,a,wt\ny,b,wt\nz,c,ko\nw,d,ko\n"
    (cohort / "others.csv").write_text(others, "utf-8")
    try:
        code = measure(*words, "--output", "out")
    except SystemExit as stopped:
        code = stopped.code
    assert code == 2
    assert printed in " ".join(capsys.readouterr().err.split())
    assert not (cohort / "out").exists()


@pytest.mark.slow
def test_a_case_without_a_unit_that_is_in_no_condition_changes_no_unit_of_the_comparison(cohort):
    write_case(cohort, "other", 9, (1.0, 1.0, 1.0), "pixel")
    out = cohort / "out"
    assert measure(cohort / "labels", "--groups", cohort / "groups.csv", "--output", out) == 0
    volume = next(row for row in rows(out / "comparisons.csv") if row["measure"].startswith("volume_um3"))
    sizes = [float(row["volume_um3"]) for row in rows(out / "objects.csv") if row["volume_um3"]]
    assert min(sizes) < float(volume["mean_first"]) < max(sizes)
    assert "volume_um3" in rows(out / "animals.csv")[0]
    assert {row["volume_um3"] == "" for row in rows(out / "objects.csv") if row["case"] == "other"} == {True}


def test_too_few_animals_left_is_a_problem_and_tables_are_there(cohort, capsys):
    for case in ("c0", "c1"):
        (cohort / "labels" / f"{case}.tiff").write_bytes(b"no")
    assert measure(cohort / "labels", "--groups", cohort / "groups.csv", "--output", cohort / "out") == 1
    assert "condition wt has 1 animal (m2)" in " ".join(capsys.readouterr().out.split())
    assert names(cohort / "out") == TABLES | {"cases", "planewise.json"}


def test_an_image_in_another_orientation_is_laid_on_the_labels(tmp_path):
    labels, size = labels_of(0), (24, 40, 40)
    turned = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))
    corner = (0.0, 39 * 0.1, 39 * 0.1)
    image = (100 + 5 * labels).astype(np.uint8)
    image[:, 0, 0] = np.arange(size[0])  # nothing about it is symmetric
    write_volume(tmp_path / "a.nii.gz", Volume(labels[:, ::-1, ::-1].copy(), (0.2, 0.1, 0.1), "mm", corner, turned))
    write_volume(tmp_path / "image.nrrd", Volume(image, (0.2, 0.1, 0.1), "mm"))
    assert measure(tmp_path / "a.nii.gz", "--image", tmp_path / "image.nrrd", "--output", tmp_path / "out") == 0
    for row in rows(tmp_path / "out" / "objects.csv"):
        assert float(row["mean_intensity"]) == 100 + 5 * int(row["label"])
        place = [float(row[f"{axis}_um"]) / side for axis, side in zip("zyx", (200, 100, 100))]
        assert place == pytest.approx(np.argwhere(labels == int(row["label"])).mean(axis=0).tolist(), rel=1e-4)


def test_the_only_image_of_a_folder_is_not_taken_for_another_case(tmp_path, capsys):
    write_case(tmp_path, "a", 0)
    write_case(tmp_path / "else", "b", 1)
    label, other = tmp_path / "labels" / "a.tiff", tmp_path / "else" / "images"
    assert measure(label, "--image", other, "--output", tmp_path / "out") == 1
    assert "holds no image of case a" in " ".join(capsys.readouterr().out.split())
    assert measure(label, "--image", other / "b_0000.tiff", "--output", tmp_path / "out") == 0


def test_a_stack_thinner_than_its_objects_has_no_distributions(cohort, capsys):
    for number in range(6):
        path = cohort / "labels" / f"c{number}.tiff"
        thin = labels_of(number)[11:13]
        thin[:, 20:24, 20:24] = 30
        write_labels(path, Volume(thin, SPACING, "nm"))
    assert measure(cohort / "labels", "--groups", cohort / "groups.csv", "--output", cohort / "out") == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "c0: the border may cut all its objects" in printed
    assert "Not compared, because too few animals have whole objects: volume_um3" in printed
    assert [row["measure"] for row in rows(cohort / "out" / "comparisons.csv")] == [
        "number_density_per_um3",
        "volume_fraction",
    ]


def test_a_reference_of_another_name_or_in_the_place_of_the_labels_is_not_done(tmp_path, capsys):
    for folder, seed in (("labels", 1), ("others", 2)):
        write_labels(tmp_path / folder / "a.tiff", Volume(labels_of(seed), SPACING, "nm"))
    labels, others, out = tmp_path / "labels", tmp_path / "others", tmp_path / "out"
    assert measure(labels, "--reference", f"r={others}", "--output", out) == 0
    before = rows(out / "objects.csv")
    assert measure(labels, "--reference", f"s={others}", "--output", out) == 2
    assert "references: r -> s" in capsys.readouterr().err
    assert measure(others, "--reference", f"r={labels}", "--output", out) == 1
    assert rows(out / "objects.csv") == before


@pytest.mark.parametrize("image", [".", "a.tiff"])
def test_a_prediction_is_no_image(tmp_path, capsys, image):
    write_case(tmp_path, "a", 0)
    predictions = tmp_path / "labels"
    record = CaseRecord({"/images/a_0000.tiff": "1 a"}, {"a.tiff": fingerprint(predictions / "a.tiff")})
    manifest = Manifest(MadeFrom({"command": "mito predict"}, {}), "M.pth", {"a": record})
    write_manifest(predictions / MANIFEST, manifest)
    assert measure(predictions, "--image", predictions / image, "--output", tmp_path / "out") == 2
    assert "results are no images: give what was segmented, /images" in capsys.readouterr().err


@pytest.mark.parametrize("folder", ["labels", "images", "nuclei"])
def test_tables_and_pictures_never_lie_among_what_is_read(tmp_path, capsys, folder):
    write_case(tmp_path, "a", 0)
    before = names(tmp_path / folder)
    more = ["--image", tmp_path / "images", "--reference", f"nucleus={tmp_path / 'nuclei'}"]
    assert measure(tmp_path / "labels", *more, "--output", tmp_path / folder) == 2
    assert "is the folder of the input" in capsys.readouterr().err
    assert names(tmp_path / folder) == before


def test_the_ignore_label_is_no_object(tmp_path, capsys):
    (tmp_path / "dataset.json").write_text('{"labels": {"background": 0, "mito": 1, "ignore": 2}}')
    for folder in ("labelsTs", "instancesTs"):
        write_labels(tmp_path / folder / "a.tiff", Volume(np.minimum(labels_of(0), 2), SPACING, "nm"))
    assert measure(tmp_path / "labelsTs", "--output", tmp_path / "o") == 1
    assert "the value 2 is the ignore label" in " ".join(capsys.readouterr().out.split())
    assert measure(tmp_path / "instancesTs", "--output", tmp_path / "o") == 0
    assert "voxels of the ignore label" in capsys.readouterr().err
