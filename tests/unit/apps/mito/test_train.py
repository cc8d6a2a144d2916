"""The command around the training: which problems are printed, and the exit code."""

from types import SimpleNamespace

from planewise.apps.mito import train as command
from planewise.errors import Problem
from planewise.progress import on_terminal


def test_what_fails_after_the_training_is_printed_once(tmp_path, monkeypatch, capsys):
    files = SimpleNamespace(training=tmp_path, yaml=tmp_path / "M.yaml", weights=tmp_path / "M.pth")
    dataset = SimpleNamespace(problems=[Problem("train.tiff", "is damaged")])  # printed when the training is planned
    plan = SimpleNamespace(dataset=dataset, files=files, tests=tmp_path / "test", target=None, is_done=lambda: False)
    monkeypatch.setattr(command, "plan_training", lambda options: plan)
    monkeypatch.setattr(command, "_train", lambda plan, problems: tmp_path)
    monkeypatch.setattr(command, "_predict", lambda *given: given[-1].append(Problem("test.tiff", "is too large")))
    monkeypatch.setattr(command, "evaluate_test_cases", lambda *given: None)
    options = SimpleNamespace(model_dir=tmp_path, model_name="M", num_nodes=1, corrections=None)
    with on_terminal():
        assert command.train_mito(options) == 1
    printed = capsys.readouterr()
    (line,) = [line for line in (printed.out + printed.err).splitlines() if "test.tiff" in line]
    assert line.split() == ["test.tiff", "is", "too", "large"]
    assert printed.err.splitlines()[-1] == "2 problems in all"
