"""planewise audit: a plan is drawn, items are corrected in any program, and the findings' intervals hold the truth."""

import csv
import json

import numpy as np
import pytest

from audited import correct, fill_in, findings_of
from conftest import ball
from planewise.cli import run
from planewise.data.phantom import chest_phantom
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume
from stopped import run_until_killed

SHAPE = (60, 64, 72)


def cell(seed, count=24):
    """Return the ids (z, y, x) of balls, and the masks of a model that misses one in six and shrinks the others."""
    rng = np.random.default_rng(seed)
    truth, masks = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE, np.uint16)
    for label in range(1, count + 1):
        centre, radius = rng.uniform(4, np.array(SHAPE) - 4), rng.uniform(4, 8)
        free = ball(SHAPE, centre, radius) & (truth == 0)
        truth[free] = label
        if label % 6:
            masks[free & ball(SHAPE, centre, radius - 0.8)] = label
    return truth, masks


@pytest.fixture(scope="module")
def em(tmp_path_factory):
    """Six cells of two conditions as a folder of predictions, with images beside."""
    folder = tmp_path_factory.mktemp("Dataset001_Cells")
    truth = {}
    for number in range(6):
        name = f"animal{number + 1}"
        truth[name], masks = cell(number, 16 if number < 3 else 34)
        write_labels(folder / "imagesTs_model" / f"{name}.tiff", Volume(masks, (8.0, 8.0, 8.0), "nm"))
        image = np.where(truth[name] > 0, 60, 160).astype(np.uint8)
        write_volume(folder / "imagesTs" / f"{name}_0000.tiff", Volume(image, (8.0, 8.0, 8.0), "nm"))
    rows = "".join(f"animal{n + 1},{'control' if n < 3 else 'treated'}\n" for n in range(6))
    (folder / "conditions.csv").write_text(f"case,condition\n{rows}")
    (folder / "empty").mkdir()
    return folder, truth


@pytest.mark.slow
def test_one_volume_from_plan_to_finding(em, tmp_path, capsys):
    folder, truth = em
    plan = tmp_path / "plan"
    asked = [
        "--quantity",
        "volume_fraction",
        "number_density",
        "mean_volume",
        "--budget",
        "60",
        "--box",
        "20",
        "22",
        "24",
    ]
    result = folder / "imagesTs_model" / "animal4.tiff"
    image = folder / "imagesTs" / "animal4_0000.tiff"
    assert run(["audit", "plan", str(result), "--output", str(plan), "--image", str(image), *asked]) == 0
    printed = capsys.readouterr().err
    assert "The plan's signature is" in printed
    assert len(list((plan / "labels").iterdir())) == len(list((plan / "images").iterdir())) == 57  # 30 and all 27
    shown = open_volume(plan / "images" / "001_0000.tiff")
    assert (shown.spacing, shown.unit) == ((8.0, 8.0, 8.0), "nm")
    assert run(["audit", "report", str(plan)]) == 2
    assert "no item was corrected yet" in capsys.readouterr().err

    correct(plan, truth)
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)
    true = truth["animal4"]
    numbers = {
        ("volume_fraction", "foreground"): 100 * (true > 0).mean(),
        ("number_density", "objects"): true.max() / (true.size * 0.008**3),
        ("mean_volume", "objects"): (true > 0).sum() * 0.008**3 / len(np.unique(true[true > 0])),
    }
    for (quantity, what), number in numbers.items():
        one = findings_by_quantity[quantity, what, "animal4"]
        assert one["estimate"]["low"] <= number * 1.0001, quantity
        assert one["estimate"]["high"] >= number * 0.9999, quantity
        assert one["masks"]["value"] != pytest.approx(number, rel=0.02)
        assert "95 % interval" in one["sentence"]
    assert "The volume fraction of foreground in animal4 was" in capsys.readouterr().out
    page = (plan / "report" / "audit.html").read_text()
    signature = json.loads((plan / "plan.json").read_text())["signature"]
    assert page.count("data:image/jpeg") == 57
    assert signature in page
    assert run(["audit", "report", str(plan)]) == 0  # again, over what it wrote


def test_a_difference_between_conditions_has_the_animal_as_unit(em, tmp_path, capsys):
    folder, truth = em
    plan = tmp_path / "plan"
    conditions = ["--conditions", str(folder / "conditions.csv"), "--patient_pattern", "(.*)"]
    command = ["audit", "plan", str(folder / "imagesTs_model"), "--output", str(plan), *conditions, "--budget", "48"]
    assert run(command) == 0
    assert "Images are taken from" in capsys.readouterr().err
    correct(plan, truth, skip=("001",))
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)
    fractions = [100 * (labels > 0).mean() for labels in truth.values()]
    difference = findings_by_quantity["volume_fraction", "foreground", "treated less control"]
    assert (difference["n"], difference["items"], difference["skipped"]) == (6, 48, 1)
    true = np.mean(fractions[3:]) - np.mean(fractions[:3])
    assert difference["estimate"]["low"] < true < difference["estimate"]["high"]
    assert difference["masks"]["value"] < true
    assert "allows for anything in the 1 skipped" in difference["sentence"]
    assert "Welch" in difference["sentence"]
    control = findings_by_quantity["volume_fraction", "foreground", "control"]
    assert (control["scope"], control["n"]) == ("population", 3)
    with (plan / "report" / "audit.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["scope"] for row in rows] == ["unit"] * 6 + ["population"] * 2 + ["difference"]


@pytest.fixture(scope="module")
def ct(tmp_path_factory):
    """Four patients whose files run otherwise, as NIfTI, and their lungs."""
    folder = tmp_path_factory.mktemp("chest")
    truth = {}
    for number in range(4):
        image, labels = chest_phantom((20, 48, 48), number)
        lungs = (image < -200).astype(np.uint8) | (labels > 0)
        flip = slice(None, None, -1 if number % 2 else 1)
        direction = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, -1.0 if number % 2 else 1.0))
        masks = np.roll(labels, 2, axis=1) * lungs
        truth[f"P{number}"] = labels
        for voxels, name in ((masks, "masks"), (lungs, "lungs")):
            stored = np.ascontiguousarray(voxels[:, :, flip])
            write_labels(
                folder / name / f"P{number}.nii.gz", Volume(stored, (5.0, 2.5, 2.5), "mm", direction=direction)
            )
    return folder, truth


def test_a_share_is_at_most_all_whatever_skipped_items_hold(em, tmp_path):
    folder, truth = em
    plan = tmp_path / "plan"
    assert (
        run(["audit", "plan", str(folder / "imagesTs_model" / "animal1.tiff"), "--output", str(plan), "--budget", "6"])
        == 0
    )
    correct(plan, {"animal1": truth["animal1"]}, skip=("001", "002", "003", "004"))
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)["volume_fraction", "foreground", "animal1"]
    assert findings_by_quantity["skipped"] == 4
    assert 0 <= findings_by_quantity["estimate"]["low"] < findings_by_quantity["estimate"]["high"] == 100


def test_ml_and_share_of_a_class_by_patient_and_over_the_cohort(ct, tmp_path):
    folder, truth = ct
    plan = tmp_path / "plan"
    classes = ["--classes", "ground_glass=1", "fibrosis=2,3", "--patient_pattern", "(.*)"]
    asked = ["--quantity", "class_ml", "volume_fraction", "--within", str(folder / "lungs"), "--budget", "40"]
    assert run(["audit", "plan", str(folder / "masks"), "--output", str(plan), *classes, *asked]) == 0
    correct(plan, truth)
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)
    ml = 5 * 2.5 * 2.5 / 1000
    values = {"ground_glass": (1,), "fibrosis": (2, 3)}
    inside = 0
    for name, of_class in values.items():
        true = {case: np.isin(labels, of_class).sum() * ml for case, labels in truth.items()}
        for case, number in true.items():
            estimate = findings_by_quantity["class_ml", name, case]["estimate"]
            inside += estimate["low"] <= number <= estimate["high"]
        together = findings_by_quantity["class_ml", name, "all 4"]
        assert together["estimate"]["low"] <= sum(true.values()) <= together["estimate"]["high"]
        assert findings_by_quantity["class_ml", name, "4 units"]["n"] == 4
    assert inside >= 6  # of eight intervals of 95 %
    assert 0 < findings_by_quantity["volume_fraction", "ground_glass", "P0"]["estimate"]["value"] < 60
    assert not list(plan.glob("images/*"))


def test_a_nifti_item_that_another_program_turned_is_read_as_it_lies(ct, tmp_path):
    folder, truth = ct
    plan = tmp_path / "plan"
    arguments = ["--quantity", "class_ml", "--budget", "20", "--output", str(plan)]
    assert run(["audit", "plan", str(folder / "masks" / "P1.nii.gz"), *arguments]) == 0
    correct(plan, truth)
    for path in (plan / "labels").iterdir():
        volume = open_volume(path)
        turned = ((1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
        origin = (volume.origin[0], volume.origin[1] + 47 * 2.5, volume.origin[2])
        flipped = Volume(volume.read()[:, ::-1], volume.spacing, volume.unit, origin, turned)
        write_volume(path, flipped)
    assert run(["audit", "report", str(plan)]) == 0
    for value in (1, 2, 3):
        estimate = findings_of(plan)["class_ml", f"class {value}", "P1"]["estimate"]
        number = (truth["P1"] == value).sum() * 5 * 2.5 * 2.5 / 1000
        assert estimate["value"] == pytest.approx(number)  # all 20 slices were corrected
        assert estimate["low"] == estimate["high"]


def test_counts_in_a_table_do_without_labels(em, tmp_path):
    folder, _ = em
    plan = tmp_path / "plan"
    arguments = ["--quantity", "count", "--budget", "12", "--box", "30", "32", "36", "--output", str(plan)]
    assert run(["audit", "plan", str(folder / "imagesTs_model" / "animal1.tiff"), *arguments]) == 0
    content = json.loads((plan / "plan.json").read_text())
    assert len(content["items"]) == 8
    fill_in(plan, {item["name"]: {"objects": item["masks"]["objects"] + 1} for item in content["items"]})
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)["count", "objects", "animal1"]
    assert findings_by_quantity["estimate"]["value"] == findings_by_quantity["masks"]["value"] + 8
    assert findings_by_quantity["estimate"]["low"] == findings_by_quantity["estimate"]["high"]  # all eight boxes


@pytest.mark.parametrize("separator", [";", "\t"])
def test_answers_saved_by_a_spreadsheet_of_another_country_are_read_and_marked(em, tmp_path, separator, capsys):
    """Their cells hold commas, and no quotes are needed around them then."""
    folder, _ = em
    plan = tmp_path / "plan"
    common = ["--quantity", "volume_fraction", "--budget", "8", "--output", str(plan)]
    assert run(["audit", "plan", str(folder / "imagesTs_model" / "animal1.tiff"), *common]) == 0
    fill_in(plan, {item["name"]: {"done": "yes"} for item in json.loads((plan / "plan.json").read_text())["items"]})
    assert run(["audit", "report", str(plan)]) == 0
    expected = (plan / "report" / "audit.csv").read_text()
    with (plan / "answers.csv").open(newline="") as file:
        rows = list(csv.reader(file))
    (plan / "answers.csv").write_text("\ufeff" + "".join(f"{separator.join(row)}\r\n" for row in rows), "utf-8")
    assert run(["audit", "report", str(plan)]) == 0
    assert (plan / "report" / "audit.csv").read_text() == expected
    (plan / "actions.csv").write_text("case,action,arguments,item\n001,skip,,001\n")
    assert run(["correct", str(plan), "--actions", str(plan / "actions.csv")]) == 0
    (plan / "labels" / "002.tiff").unlink()
    fill = (plan / "answers.csv").read_text()
    assert fill.splitlines()[1].split(separator)[5] == "no"
    (plan / "answers.csv").write_text(fill.replace(f"{separator}yes", separator, 1))
    capsys.readouterr()
    assert run(["audit", "report", str(plan)]) == 0
    printed = " ".join(capsys.readouterr().err.split())
    assert "cover: 001, 002 (" in printed
    assert "002.tiff is missing)" in printed


def test_an_ignore_label_is_not_counted_in_silence(em, tmp_path, capsys):
    folder, _ = em
    labels = tmp_path / "D" / "labelsTr" / "animal1.tiff"
    labels.parent.mkdir(parents=True)
    labels.write_bytes((folder / "imagesTs_model" / "animal1.tiff").read_bytes())
    (tmp_path / "D" / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "mito": 1, "ignore": 2}}))
    assert run(["audit", "plan", str(labels.parent), "--output", str(tmp_path / "plan")]) == 2
    assert "the value 2 is the ignore label in dataset.json" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "plan").exists()


def test_objects_one_by_one_with_their_confidence(em, tmp_path):
    folder, truth = em
    plan = tmp_path / "plan"
    rows = "".join(f"animal5,{label},{label / 40}\n" for label in range(1, 35))
    (tmp_path / "confidence.csv").write_text(f"case,object,confidence\n{rows}")
    arguments = ["--quantity", "count", "mean_volume", "--count_by", "objects", "--budget", "60"]
    arguments += ["--confidence", str(tmp_path / "confidence.csv"), "--output", str(plan)]
    assert run(["audit", "plan", str(folder / "imagesTs_model" / "animal5.tiff"), *arguments]) == 0
    kinds = [item["kind"] for item in json.loads((plan / "plan.json").read_text())["items"]]
    assert kinds.count("missed") == 20
    correct(plan, truth)
    assert run(["audit", "report", str(plan)]) == 0
    findings_by_quantity = findings_of(plan)["count", "objects", "animal5"]["estimate"]
    assert findings_by_quantity["low"] <= len(np.unique(truth["animal5"])) - 1 <= findings_by_quantity["high"]


def test_the_confidences_beside_the_labels_are_taken_as_those_of_a_table(em, tmp_path, capsys):
    labels = tmp_path / "animal5.tiff"
    labels.write_bytes((em[0] / "imagesTs_model" / "animal5.tiff").read_bytes())
    printed = {label: label / 40 for label in range(1, 35)}
    (tmp_path / "given.csv").write_text(
        "case,object,confidence\n" + "".join(f"animal5,{label},{certain}\n" for label, certain in printed.items())
    )
    common = [
        "audit",
        "plan",
        str(labels),
        "--quantity",
        "count",
        "--count_by",
        "objects",
        "--budget",
        "30",
        "--seed",
        "3",
    ]

    def drawn(name, *more):
        assert run([*common, *more, "--output", str(tmp_path / name)]) == 0
        content = json.loads((tmp_path / name / "plan.json").read_text())
        return [(item["kind"], item["label"]) for item in content["items"]]

    alike = drawn("alike")
    expected = drawn("given", "--confidence", str(tmp_path / "given.csv"))
    assert expected != alike
    capsys.readouterr()
    (tmp_path / "animal5_objects.csv").write_text(
        "label,confidence,voxels\n" + "".join(f"{label},{certain},9\n" for label, certain in printed.items())
    )
    assert drawn("beside") == expected
    assert "drawn by their confidence in animal5_objects.csv" in capsys.readouterr().err


def test_a_result_that_changed_and_an_answer_that_cannot_be_end_with_1(em, tmp_path, capsys):
    folder, truth = em
    result = tmp_path / "animal1.tiff"
    result.write_bytes((folder / "imagesTs_model" / "animal1.tiff").read_bytes())
    plan = tmp_path / "plan"
    assert run(["audit", "plan", str(result), "--output", str(plan), "--budget", "8"]) == 0
    correct(plan, {"animal1": truth["animal1"]})
    fill_in(plan, {"003": {"foreground": "-4"}})
    write_labels(result, Volume(truth["animal1"]))
    assert run(["audit", "report", str(plan)]) == 1
    out = capsys.readouterr().out
    assert "has changed since the plan was drawn" in out
    assert "foreground is '-4'" in out
    assert findings_of(plan)["volume_fraction", "foreground", "animal1"]["skipped"] == 1


def test_a_class_that_the_masks_lack_is_warned_of(em, tmp_path, capsys):
    result, plan = em[0] / "imagesTs_model" / "animal1.tiff", tmp_path / "plan"
    assert run(["audit", "plan", str(result), "--output", str(plan), "--classes", "a=99", "--budget", "4"]) == 0
    assert "WARNING: a: no mask has the value 99" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["{em}/imagesTs_model", "--budget", "3"], "is too small for 6 cases"),
        (["{em}/imagesTs_model", "--quantity", "class_ml", "--classes", "a=1"], "class_ml needs voxels in mm"),
        (["{em}/imagesTs_model", "--quantity", "count", "count"], "each once"),
        (["{em}/imagesTs_model", "--classes", "a"], "must be NAME=VALUE"),
        (["{em}/imagesTs_model", "--count_by", "objects"], "name one with --quantity"),
        (["{em}/imagesTs_model", "--confidence", "c.csv"], "is for --count_by objects"),
        (["{em}/imagesTs_model", "--quantity", "count", "--design", "systematic"], "is for slices"),
        (["{em}/imagesTs_model", "--box", "20", "20", "20"], "is for count"),
        (["{em}/imagesTs_model", "--quantity", "count", "--within", "{em}/imagesTs_model"], "--within"),
        (["{em}/imagesTs_model", "--conditions", "{em}/nothing.csv"], "nothing.csv: no such file; it must be"),
        (["{em}/imagesTs_model", "--image", "{em}/imagesTs_model/animal1.tiff"], "contains no file for case animal2"),
        (["{em}/imagesTs_model", "--image", "{em}/empty"], "empty: contains no file for case animal1"),
        (["{em}/imagesTs_model/animal1.tiff", "--output", "{em}/imagesTs_model"], "give another folder"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value[-2:]),
)
def test_what_cannot_be_planned_is_said_in_a_line(em, tmp_path, capsys, arguments, words):
    folder, _ = em
    filled = [argument.format(em=folder) for argument in arguments]
    filled += [] if "--output" in filled else ["--output", str(tmp_path / "plan")]
    try:
        code = run(["audit", "plan", *filled])
    except SystemExit as stopped:
        code = stopped.code
    err = capsys.readouterr().err
    assert code == 2
    assert words in err
    assert "Traceback" not in err
    assert not (tmp_path / "plan" / "plan.json").exists()


def test_a_plan_is_drawn_once(em, tmp_path, capsys):
    result = str(em[0] / "imagesTs_model" / "animal1.tiff")
    first, second = tmp_path / "plan", tmp_path / "other"
    for output in (first, second):
        assert run(["audit", "plan", result, "--output", str(output), "--budget", "8"]) == 0
    drawn = [[item["position"] for item in json.loads((p / "plan.json").read_text())["items"]] for p in (first, second)]
    assert drawn[0] == drawn[1]  # the result itself is the seed
    assert run(["audit", "plan", result, "--output", str(first), "--budget", "9"]) == 2
    assert "holds a plan, which is never replaced" in capsys.readouterr().err
    (first / "plan.json").unlink()  # what was corrected is not written over either
    assert run(["audit", "plan", result, "--output", str(first), "--budget", "8"]) == 2
    assert "holds a plan, which is never replaced" in capsys.readouterr().err


@pytest.mark.slow
def test_a_plan_that_was_stopped_is_drawn_again(em, tmp_path):
    result, plan = str(em[0] / "imagesTs_model" / "animal1.tiff"), tmp_path / "plan"
    command = ["audit", "plan", result, "--output", str(plan), "--budget", "8"]
    run_until_killed(command, "planewise.audit.drawing:write_item", 5)
    assert not (plan / "plan.json").exists()
    assert run(["audit", "report", str(plan)]) == 2
    assert run([*command, "--quantity", "count"]) == 0
    assert len(list((plan / "labels").iterdir())) == 8
