"""Run the command line in a process of its own in which something happens at a chosen moment: never at a chosen time.

A test that kills a process after a while depends on how busy the machine is. Here the process itself does it, when it
calls a certain function for a certain time.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}

PROGRAM = """
import importlib, multiprocessing, os, signal, sys
from planewise.cli import main

def kill(pid):
    os.kill(int(pid), signal.SIGKILL)

def act():
    {action}

def when_called(where, count, then):
    module, _, name = where.partition(":")
    owner = importlib.import_module(module)
    *path, name = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    original = getattr(owner, name)
    calls = 0

    def watched(*arguments, **keywords):
        nonlocal calls
        calls += 1
        if calls == count and then == "before":
            act()
        try:
            return original(*arguments, **keywords)
        finally:
            if calls == count and then == "after":
                act()

    setattr(owner, name, watched)

if __name__ == "__main__":
    when_called(*{moment!r})
    main(sys.argv[1:])
"""


def start(arguments: list[str], action: str, where: str, count: int, then: str = "before") -> subprocess.Popen[str]:
    """Start planewise; ``action``, a line of Python, is done ``then`` the ``count``-th call of ``where`` is made.

    ``where``: "module:function" or "module:Class.method", looked up by its callers when they call it.
    """
    program = PROGRAM.format(action=action, moment=(where, count, then))
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(
        command, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )  # so that a signal to its group is none to us


def run_until_killed(arguments: list[str], where: str, count: int, then: str = "before") -> str:
    """Run planewise until it kills itself, as ``start`` says; return what it said on standard error."""
    process = start(arguments, "kill(os.getpid())", where, count, then)
    out, err = process.communicate()
    assert process.returncode == -9, out + err
    return err


def wait_until(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait for what ``process`` is to bring about, however long that takes; fail if it ends without."""
    while not condition():
        assert process.poll() is None, f"it ended with {process.returncode}"
        time.sleep(0.01)
