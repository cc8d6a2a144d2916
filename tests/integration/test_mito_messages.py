"""What mito predict says of a volume and its result, as a user reads it."""

import csv
import re

import pytest
import tifffile

from planewise.cli import run
from planewise.data.phantom import em_phantom
from untrained import write_untrained

PHANTOM = {"low": 0.25, "high": 0.8, "contrast": {"fine": "dark", "broad": "bright"}, "objects": "dark"}


def predict(tmp_path, voxels, *more, **stated):
    """Predict ``voxels`` with a model whose file has ``stated``; return the exit code."""
    model = write_untrained(tmp_path, **stated)
    tifffile.imwrite(tmp_path / "cell.tif", voxels, photometric="minisblack")
    command = ["mito", "predict", "--trained_model", model, "--input", tmp_path / "cell.tif", "--output",
               tmp_path / "out", "--device", "cpu", "--precision", "32", *more]  # fmt: skip
    return run([str(word) for word in command])


@pytest.fixture(scope="module")
def phantom():
    return em_phantom((8, 136, 136), 12, 3)[0]


def test_inverted_contrast_is_refused(phantom, tmp_path, capsys):
    assert predict(tmp_path, 255 - phantom, "--axes", "xy", intensities=PHANTOM) == 1
    printed = capsys.readouterr().out
    assert "its contrast is inverted: thin lines " in printed
    assert "trained on thin lines dark, broad lines bright; --invert inverts it" in printed
    assert predict(tmp_path, 255 - phantom, "--axes", "xy", "--invert", intensities=PHANTOM) == 0


def test_the_right_contrast_is_predicted_and_one_that_cannot_be_checked_is_said(phantom, tmp_path, capsys):
    assert predict(tmp_path, phantom, "--axes", "xy", intensities=PHANTOM) == 0
    assert "could not be checked" not in capsys.readouterr().err
    assert predict(tmp_path, phantom[:, :64, :64], "--axes", "xy", "--overwrite", intensities=PHANTOM) == 0
    what, line = [line for line in capsys.readouterr().err.splitlines() if "could not be checked" in line]
    assert line.startswith("cell: uint8, uses ")
    assert line.endswith("; its contrast could not be checked")
    assert "objects are mostly darker than their surroundings; use --invert for a volume in which they" in what


def test_a_right_contrast_is_not_inverted_unless_its_range_is_given_and_then_it_is_said(phantom, tmp_path, capsys):
    assert predict(tmp_path, phantom, "--axes", "xy", "--invert", intensities=PHANTOM) == 1
    assert "and --invert would turn it round: leave --invert out for it" in capsys.readouterr().out
    unchecked = ("--intensity", "0", "255")
    assert predict(tmp_path, phantom, "--axes", "xy", "--invert", *unchecked, intensities=PHANTOM) == 0
    said = capsys.readouterr().err
    assert (
        f"WARNING: {tmp_path / 'cell.tif'}: its contrast is that of the training data (thin lines dark, broad" in said
    )


def test_what_holds_for_all_volumes_of_a_folder_is_said_once(seen, tmp_path, capsys):
    model = write_untrained(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        tifffile.imwrite(tmp_path / "in" / f"{name}.tif", seen[:8], photometric="minisblack")
    command = ["mito", "predict", "--trained_model", model, "--input", tmp_path / "in", "--output", tmp_path / "out",
               "--device", "cpu", "--axes", "xy"]  # fmt: skip
    assert run([str(word) for word in command]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(set(lines)) == len(lines)
    assert sum(line.startswith("Where contrast could not be checked") for line in lines) == 1
    assert sum(line.startswith("all 2 volumes: objects have no confidence") for line in lines) == 1
    for name in ("a", "b"):
        assert sum(line.startswith(f"{name}: uint8, uses") for line in lines) == 1


BLOBS = ("--center_confidence_thr", "0.0005", "--axes", "xy", "xz", "yz", "--min_extent", "1")


@pytest.fixture(scope="module")
def seen():
    """What the untrained network sees something in; see ``test_mito_store``."""
    return em_phantom((32, 56, 64), 12, 1)[0]


def said_of_none(capsys):
    """Return the line that says why there are no objects."""
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "no objects: " in line]
    return line


def test_a_result_without_objects_says_which_limit_they_fell_to(seen, tmp_path, capsys):
    assert predict(tmp_path, seen, *BLOBS, "--min_size", "20", "--min_agreement", "1") == 0
    printed = capsys.readouterr().err
    assert "on less than 1 of their voxels; see --min_agreement (from the command line)\n" in printed
    (why,) = [line for line in printed.splitlines() if "no objects: " in line]
    assert why.startswith("cell: no objects: in planes xy, xz, yz the network saw ")
    assert re.search(
        r"; of the objects that the other \d+ make, [1-9]\d* left out by --min_agreement 1 \(from the command line\)$",
        why,
    )
    assert predict(tmp_path, seen, *BLOBS, "--min_size", "20", "--overwrite", min_agreement=1.0) == 0
    printed = capsys.readouterr().err
    assert "on less than 1 of their voxels; see --min_agreement (from the model's file)\n" in printed
    assert why.replace("1 (from the command line)", "1 (from the model's file)") in printed


@pytest.mark.parametrize("limits", [("--min_size", "1000000"), ("--min_size", "20", "--min_agreement", "1")])
def test_a_streamed_result_says_the_same_as_one_in_memory(seen, limits, tmp_path, capsys):
    assert predict(tmp_path, seen, *BLOBS, *limits, "--memory", "8GB") == 0
    in_memory = said_of_none(capsys)
    assert predict(tmp_path, seen, *BLOBS, *limits, "--memory", "1MB", "--overwrite") == 0
    assert said_of_none(capsys) == in_memory
    if limits[1] == "1000000":
        assert re.search(
            r" the network saw (\d+); \1 left out by --min_size 1000000 \(from the command line\)$", in_memory
        )


def test_a_network_that_sees_nothing_is_not_blamed_on_limits(seen, tmp_path, capsys):
    assert predict(tmp_path, seen, "--axes", "xy", "--confidence_thr", "0.999") == 0
    assert "no objects: the network saw none in plane xy; see --confidence_thr 0.999" in said_of_none(capsys)


CALIBRATION = {"offset": -2.0, "slope": 5.0, "planes": ("xy", "xz", "yz"), "right": 5, "wrong": 5}


@pytest.mark.parametrize(
    ("more", "calibration", "why"),
    [
        (BLOBS, None, "the model was not calibrated"),
        (("--axes", "xy"), CALIBRATION, "the model was calibrated for planes xy, xz, yz together"),
        ((*BLOBS, "--confidence_thr", "0.4"), CALIBRATION, "the model was calibrated for --confidence_thr 0.5"),
        ((*BLOBS, "--pixel_vote_thr", "1"), CALIBRATION, "the model was calibrated for voxels that 2 planes agree on"),
        (BLOBS, CALIBRATION, ""),
    ],
)
def test_an_empty_column_of_confidence_is_explained(seen, more, calibration, why, tmp_path, capsys):
    assert predict(tmp_path, seen[:16], "--min_size", "20", *more, calibration=calibration) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "no confidence" in line]
    said = f"cell: objects have no confidence: {why}; that column of the table of objects is empty"
    assert lines == ([said] if why else [])
    with (tmp_path / "out" / "cell_objects.csv").open(newline="") as file:
        assert all(bool(row["confidence"]) != bool(why) for row in csv.DictReader(file))


def test_other_settings_are_named_as_they_are_typed(seen, tmp_path, capsys):
    first = ("--axes", "xy", "xz", "yz", "--extend", "on", "--repair", "on", "--min_agreement", "0.2", "--invert")
    assert predict(tmp_path, seen[:16], "--min_size", "20", *first) == 0
    capsys.readouterr()
    assert predict(tmp_path, seen[:16], "--min_size", "20", "--axes", "xy", "xz") == 2
    assert (
        "(--axes xy xz yz -> xy xz; --extend on -> off; --invert given -> not given; --min_agreement 0.2 -> 0.0; "
        "--repair on -> off)"
    ) in capsys.readouterr().err
