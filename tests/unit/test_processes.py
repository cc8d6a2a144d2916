"""What processes share, where the system has no POSIX signals."""

import os
import subprocess
import sys
from pathlib import Path

WITHOUT = """
import as_on_windows
from planewise.processes import WARNINGS, shielded, sigterm_raises, stop_on_request

assert not WARNINGS
with sigterm_raises(), stop_on_request() as request, shielded():
    assert not request
"""


def test_without_the_signals_of_posix():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    subprocess.run([sys.executable, "-c", WITHOUT], env=environment, check=True)
