import numpy as np
import pytest

from planewise.apps import check_model
from planewise.apps.check_model import ModelToCheck, _duration
from planewise.apps.check_options import Check
from planewise.apps.check_result import Checked
from planewise.data.check import CheckedCase, check_image
from planewise.models.model_file import ModelFile
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume


class Network:
    """What is timed; it remembers what it was shown."""

    def __init__(self):
        self.shown = []

    def outputs(self, images, shape, downsampling):
        self.shown.append((images.shape, shape))


@pytest.fixture
def checked(tmp_path):
    ramp = np.broadcast_to(np.linspace(0, 255, 64).astype(np.uint8), (10, 64, 64))
    for name, side in (("usual", 8.0), ("coarse", 80.0)):
        write_volume(tmp_path / f"{name}.tif", Volume(ramp, (side, side, side), "nm"))
    cases = [CheckedCase(name, "", check_image(tmp_path / f"{name}.tif")) for name in ("usual", "coarse")]
    return Checked(tmp_path, "volumes", [*cases, CheckedCase("torn", "")])


def test_every_image_is_held_against_the_model(checked, tmp_path, monkeypatch):
    monkeypatch.setattr(check_model, "machine_memory", lambda: 2)  # no volume fits half of it
    norms = {"mean": 0.5, "std": 0.1}
    file = ModelFile(norms=norms, pixel_nm=(8.0, 8.0), planes=("xy", "xz"))
    network = Network()
    ModelToCheck(tmp_path / "M.yaml", file, network).hold_against(checked, Check(paths=(tmp_path,)))
    assert network.shown == [((2, 64, 64), (64, 64))] * 2  # two slices, twice, of the first image alone
    assert [note.split(":")[0] for note in checked.notes] == ["usual", "coarse"]
    assert all("; streamed; about " in note for note in checked.notes)
    (problem,) = checked.problems
    assert problem.where.endswith("coarse.tif")
    assert "80" in problem.what


def test_of_a_sam2_there_are_notes_alone(checked, tmp_path):
    ModelToCheck(tmp_path / "m.pth", notes=("m.pth: SAM2",)).hold_against(checked, Check(paths=(tmp_path,)))
    assert (checked.notes, checked.problems) == (["m.pth: SAM2"], [])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (95, "2 min"), (5399, "90 min"), (9000, "2.5 h")]
)
def test_durations_are_rounded(seconds, text):
    assert _duration(seconds) == text
