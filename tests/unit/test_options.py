"""What an option can be is said once, for all commands: here with one of each kind."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.train_options import MitoTrain
from planewise.cli import run
from planewise.options import as_typed
from planewise.volumes.files import write_volume
from planewise.volumes.volume import Volume

LONG = "x" * 300
MITO_PREDICT = ["mito", "predict", "--trained_model", "m.yaml", "--input", "i", "--output", "o"]


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["mito", "train", LONG, "m"], "--dataset_path"),
        (["mito", "train", "d", LONG], "--model_dir"),
        (["mito", "train", "d", "m", "--model_config", LONG], "--model_config"),
        (["mito", "train", "d", "m", "--model_name", LONG], "--model_name"),
        (["mito", "train", "d", "m", "--output_data_path", LONG], "--output_data_path"),
        ([*MITO_PREDICT, "--output", LONG], "--output"),
        ([*MITO_PREDICT, "--input", f"there/{LONG}/x"], "--input"),
        ([*MITO_PREDICT, "--input", "abc/" * 2000], "--input"),
        (["mito", "evaluate", LONG, "t"], "--predictions"),
        (["ild", "prepare", LONG, "w"], "--dataset_path"),
        (["ild", "prepare", "d", "w", "--split", LONG], "--split"),
        (["ild", "train", LONG], "--work_dir"),
        (["ild", "train", "w", "--base", LONG], "--base"),
        (["ild", "train", "w", "--task_name", LONG], "--task_name"),
        (["ild", "predict", LONG, "o"], "--input"),
        (["ild", "predict", "i", "o", "--trained_model", LONG], "--trained_model"),
        (["ild", "predict", "i", "o", "--prompts", LONG], "--prompts"),
        (["ild", "run", "d", "w", "--prompts", LONG], "--prompts"),
        (["ild", "evaluate", "p", LONG], "--truth"),
        (["ild", "evaluate", "p", "t", "--beside", "b", LONG], "--beside"),
        (["ild", "lungs", "i", LONG], "--output"),
        (["ild", "measure", LONG], "--labels"),
        (["ild", "measure", "l", "--output", LONG], "--output"),
        (["compare", LONG, "--output", "o"], "--datasets"),
        (["compare", "d", "--output", "o", "--method", f"a={LONG}"], "--method"),
        (["demo", "mito", LONG], "--folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value[:2]),
)
def test_names_that_no_file_system_takes(arguments, option, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as refused:
        run(arguments)
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert f": {option} " in err
    assert "is too long" in err
    assert len(err) < 300
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["ild", "evaluate", "{}", "t"], ["compare", "{}", "--output", "o"], ["ild", "lungs", "i", "{}"]]
)
@pytest.mark.parametrize(
    ("name", "words"),
    [(os.fsdecode(b"x\xff"), "is a name that is not UTF-8"), ("loop", "is a link that leads to itself")],
)
def test_paths_that_lead_nowhere(command, name, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("loop").symlink_to("loop")
    with pytest.raises(SystemExit) as refused:
        run([word.format(name) for word in command])
    assert refused.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("name", [".", "..", "...", "a/b", "", "a b", "a\n"])
@pytest.mark.parametrize("option", ["--model_name", "--task_name"])
def test_names_that_lead_elsewhere(option, name, capsys):
    command = ["mito", "train", "d", "m"] if option == "--model_name" else ["ild", "train", "w"]
    with pytest.raises(SystemExit) as refused:
        run([*command, option, name])
    assert refused.value.code == 2
    assert f"{option} {name}: must be a name" in capsys.readouterr().err


@pytest.mark.parametrize("place", ["file", "file/below", "file/far/below"])
@pytest.mark.parametrize(
    "command",
    [
        "mito train d", "ild train", "ild prepare d", "demo ild", "mito evaluate p t --output", "ild predict i",
        "ild evaluate p t --output", "ild lungs i", "compare d --output",
        "mito predict --trained_model m.yaml --input i --output",
    ],
)  # fmt: skip
def test_folders_that_are_files(command, place, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    with pytest.raises(SystemExit) as refused:
        run([*command.split(), place])
    assert refused.value.code == 2
    assert "give a folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


NORMS = '"norms": {"mean": 0.5, "std": 0.1}'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[" * 10_000, "is nested too deeply"),
        ("x: " + "{a: " * 10_000, "is nested too deeply"),
        (f'{{"model": "{LONG}", {NORMS}}}', "file name too long"),
        (f'{{"model": "http://[::1", {NORMS}}}', "is no URL (invalid ipv6 url)"),
        (f'{{"model": "a\\u0000b", {NORMS}}}', "do not exist"),
        (f'{{"model": ".", {NORMS}}}', "do not exist"),
        (f'{{"model": {json.dumps([1])}, {NORMS}}}', "model: input should be a valid string"),
    ],
    ids=["deep", "deep in a key", "long", "no URL", "zero byte", "a folder", "a list"],
)
def test_a_model_s_yaml_that_cannot_be_used(text, words, capsys, tmp_path):
    (tmp_path / "m.yaml").write_text(text)
    write_volume(tmp_path / "i.tiff", Volume(np.zeros((2, 8, 8), np.uint8)))
    files = ["--trained_model", str(tmp_path / "m.yaml"), "--input", str(tmp_path / "i.tiff")]
    assert run(["mito", "predict", *files, "--output", str(tmp_path / "o")]) == 2
    err = capsys.readouterr().err
    assert "m.yaml" in err
    assert words.lower() in err.lower()
    assert "Traceback" not in err


def test_values_are_said_as_they_are_typed():
    assert as_typed(MitoPredict, "extend", [True, False, "on"]) == ("--extend", ["on", "off", "on"])
    assert as_typed(MitoPredict, "invert", [True, None]) == ("--invert", ["given", "not given"])
    assert as_typed(MitoPredict, "axes", [["xy", "xz"], None]) == ("--axes", ["xy xz", "not given"])
    assert as_typed(MitoTrain, "base_model", ["A.yaml"]) == ("--model_config", ["A.yaml"])


def test_long_numbers_are_rounded_unless_that_hides_how_they_differ():
    first, second = ("by the objects (voxels 3130.4000000000005)", "by the objects (voxels 3130.4000000000007)")
    assert as_typed(MitoPredict, "min_size", [first, 500]) == ("--min_size", ["by the objects (voxels 3130)", "500"])
    assert as_typed(MitoPredict, "min_size", [first, second])[1] == [first, second]
    assert as_typed(MitoPredict, "min_agreement", [0.30000000000000004, 0.2])[1] == ["0.3", "0.2"]
