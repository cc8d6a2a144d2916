"""Every benchmark runs, in its smallest size: so that none rots."""

import subprocess
import sys
from pathlib import Path

import pytest

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
