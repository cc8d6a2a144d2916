"""The notebooks of the tutorials run, each by itself in a fresh folder, and every cell prints what its page shows.

The first cells of a notebook make what earlier pages made, unless it is there. The demo, which takes longest, is made
by the notebook that begins with it, and the others get a copy: its command is the same in all of them, see
tests/unit/test_notebooks.py.
"""

import doctest
import os
import shutil
import socket
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from notebooks import AS_IN_A_SHELL, made_earlier, pages, write_notebooks

ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PORT = "8799"  # of the page about clusters


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    """Return the cells of a notebook that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def printed(cell: NotebookNode) -> str:
    """Return what a cell printed."""
    return "".join(output.text for output in cell.outputs if output.output_type == "stream")


def failure(cell: NotebookNode) -> str:
    """Return how a cell failed; "" if it did not."""
    return "".join(output.evalue for output in cell.outputs if output.output_type == "error")


def free_port() -> str:
    """Return a port that nobody listens on: a test of the page itself may run at the same time."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def mistakes(path: Path, folder: Path) -> list[str]:
    """Run a notebook in a folder, and return which of its cells failed or did not print what they show."""
    shown = jupytext.read(path)
    for cell in shown.cells:
        cell.source = cell.source.replace(PORT, free_port())
    wanted = [printed(cell) for cell in code_of(shown)]
    NotebookClient(shown, resources={"metadata": {"path": folder}}, allow_errors=True).execute()
    wrong = []
    for cell, output in zip(code_of(shown), wanted, strict=True):
        if cell.source == AS_IN_A_SHELL or cell.source.startswith("%%bash\nif [ ! -e "):
            output = "..."  # of what comes first, no page shows what it prints
        if failure(cell) or not doctest.OutputChecker().check_output(output, printed(cell), ALIKE):
            wrong.append(f"{path.stem}: {cell.source}\n{printed(cell)}{failure(cell)}\ninstead of\n{output}")
    return wrong


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_every_notebook_runs_by_itself_and_prints_what_it_shows(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("COLUMNS", "200")
    write_notebooks(tmp_path / "notebooks")
    wrong = []
    for page in pages():
        folder = tmp_path / "folders" / page
        folder.mkdir(parents=True)
        if "demo" in made_earlier(page):
            shutil.copytree(tmp_path / "folders" / "start" / "demo", folder / "demo")
        wrong += mistakes(tmp_path / "notebooks" / f"{page}.ipynb", folder)
    assert not wrong, "\n".join(wrong)
