"""Every benchmark runs, in its smallest size: so that none rots."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gpu import NOT_MEASURED, Results
from gpu_meter import read_samples
from gpu_sections import SECTIONS

from stopped import ENVIRONMENT

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(path.name for path in BENCHMARKS.glob("bench_*.py")))
def test_it_runs(script, tmp_path):
    command = [sys.executable, BENCHMARKS / script, "--tiny"]
    result = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout
    assert not list(tmp_path.iterdir())


def gpu(*words):
    command = [sys.executable, BENCHMARKS / "gpu.py", *map(str, words)]
    return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_gpu_script_measures_every_section(tmp_path):
    result = gpu(tmp_path, "--device", "cpu", "--quick")
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "gpu.md").read_text("utf-8")
    assert NOT_MEASURED not in page
    tables = re.split("^## .*$", page, flags=re.M)[1:]
    assert len(tables) == len(SECTIONS)
    for text in tables:
        assert len(re.findall(r"^\| .* \|$", text, re.M)) >= 3, text  # a heading, a line and a row
    assert "the numbers mean nothing" in page
    again = gpu(tmp_path, "--device", "cpu", "--quick")
    assert again.stdout.count("measured already") == len(SECTIONS)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_gpu_script_refuses_a_machine_without_one(tmp_path):
    for words, printed in (((), "PyTorch finds no such device"), (("--device", "cpu"), "add --quick")):
        result = gpu(tmp_path / "work", *words)
        assert result.returncode == 2
        assert printed in result.stderr
        assert "Traceback" not in result.stderr


def test_the_page_about_gpus_is_what_the_script_writes():
    page = (BENCHMARKS.parent / "docs" / "gpu.md").read_text("utf-8")
    if "Nothing is measured yet" in page:
        assert page == Results("", False).page()
    for section in SECTIONS.values():
        assert f"## {section.title}\n\n{section.about}\n" in page


def test_samples_of_nvidia_smi_are_read():
    assert read_samples("0, 512\n100, 2048\n") == (0.5, 2048 * 2**20 / 1e9)
    assert read_samples("[N/A], [N/A]\n") == (None, None)
