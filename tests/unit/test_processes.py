"""What processes share, where the system has no POSIX signals."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


DYING = """
import os, signal, threading
from planewise.processes import Terminated, sigterm_raises

class Dies:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)

try:
    with sigterm_raises():
        died = Dies()
        del died
        threading.Event().wait(60)
except Terminated:
    print("terminated")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM is sent on Windows")
def test_a_signal_is_not_lost_where_an_object_dies():
    """Python prints what is raised in ``__del__``, and goes on."""
    done = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("terminated\n", "")
