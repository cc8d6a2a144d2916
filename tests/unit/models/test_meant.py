from pathlib import Path

import pytest

from planewise.cli import run
from planewise.models.meant import did_you_mean

NAMES = ["MitoNet_v1", "MitoNet_v1_mini", "sam2_hiera_tiny"]


def meant(given):
    return did_you_mean(Path(given), NAMES, (".yaml", ".pth"), "a path")


def test_a_name_that_is_nearly_one_means_that(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert meant("MitoNet_v2") == "did you mean MitoNet_v1? Or give a path"
    assert meant("mitonet-v1.yaml") == "did you mean MitoNet_v1 or MitoNet_v1_mini? Or give a path"
    assert meant("sam2_heira_tiny") == "did you mean sam2_hiera_tiny? Or give a path"
    assert meant("xyzzy") == "give a path"
    Path("MitoNet_v3.yaml").touch()
    assert meant("MitoNet_v2") == "did you mean MitoNet_v1 or MitoNet_v3.yaml? Or give a path"


def test_a_path_with_a_typing_error_means_a_file_of_its_folder(tmp_path):
    for name in ("Cells.yaml", "Cells.txt", "Nuclei.pth", "planewise.json"):
        (tmp_path / name).touch()
    assert meant(tmp_path / "Cels.yaml") == f"did you mean {tmp_path / 'Cells.yaml'}? Or give a path"
    assert (
        meant(tmp_path / "nuclei.yaml") == f"did you mean {tmp_path / 'Nuclei.pth'}? Or give a path"
    )  # another ending
    assert meant(tmp_path / "MitoNet_v2") == "give a path"  # a name is a name only by itself
    assert meant(tmp_path / "none" / "Cells.yaml") == f"there is no folder {tmp_path / 'none'}; give a path"


@pytest.mark.parametrize(
    ("command", "given", "words"),
    [
        (
            "mito predict --output o --input in.tif --trained_model",
            "MitoNet_v2",
            "; did you mean MitoNet_v1? Or give the path of a model's",
        ),
        ("mito predict --output o --input in.tif --trained_model", "there/Cels.yaml", "mean there/Cells.yaml?"),
        ("mito train d m --model_config", "MitoNet_smal", "; did you mean MitoNet_small?"),
        ("ild predict in.tif o --trained_model", "there/medsam_modl.pth", "; did you mean there/medsam_model.pth?"),
        ("ild predict in.tif o --base", "sam2.1_hiera_tny", "; did you mean sam2.1_hiera_tiny?"),
    ],
)
def test_the_command_line_proposes_it(command, given, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("in.tif", "there/Cells.yaml", "there/medsam_model.pth", "d/dataset.json"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).touch()
    assert run([*command.split(), given]) == 2
    assert f"{given}: no such " in (said := capsys.readouterr().err)
    assert words in said
