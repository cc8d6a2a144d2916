"""What mito predict says of a volume and its result, as a user reads it."""

import pytest
import tifffile

from planewise.cli import run
from planewise.data.phantom import em_phantom
from untrained import write_untrained

PHANTOM = {"low": 0.25, "high": 0.8, "contrast": {"fine": "dark", "broad": "bright", "tail": "dark"}, "objects": "dark"}


def predict(tmp_path, voxels, *more, **stated):
    """Predict ``voxels`` with a model whose file has ``stated``; return the exit code."""
    model = write_untrained(tmp_path, norms={"mean": 0.57, "std": 0.13}, **stated)
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
    assert "trained on thin lines dark, broad lines bright, rarer values dark; --invert inverts it" in printed
    assert predict(tmp_path, 255 - phantom, "--axes", "xy", "--invert", intensities=PHANTOM) == 0


def test_the_right_contrast_is_predicted_and_one_that_cannot_be_checked_is_said(phantom, tmp_path, capsys):
    assert predict(tmp_path, phantom, "--axes", "xy", intensities=PHANTOM) == 0
    assert "could not be checked" not in capsys.readouterr().err
    assert predict(tmp_path, phantom[:, :64, :64], "--axes", "xy", "--overwrite", intensities=PHANTOM) == 0
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "could not be checked" in line]
    assert line.startswith("cell: uint8, uses ")
    assert "objects there are mostly darker than their surroundings; --invert, if here they are brighter" in line
