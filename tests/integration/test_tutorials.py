"""The tutorials do what they say: every ``console`` block of the pages is run, and its output compared.

A line that begins with ``$ `` is a command, lines after it that begin with ``> `` belong to it, and what follows is its
output, in which ``...`` stands for anything. All pages run in one folder and one shell, one after the other.
"""

import doctest
import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [
    "start", "tutorials/mito", "tutorials/compare", "tutorials/large", "tutorials/cluster", "tutorials/measure",
    "tutorials/ct", "boxes", "tutorials/correct",
]  # fmt: skip
END = "planewise-tutorial-ends-command"
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@dataclass
class Command:
    """A command of a page: its lines, and what it should print."""

    page: str
    lines: list[str]
    output: list[str] = field(default_factory=list)


def commands_of(page: str) -> list[Command]:
    """Return the commands of a page's console blocks."""
    commands: list[Command] = []
    for block in re.findall(r"^```console\n(.*?)^```$", (DOCS / f"{page}.md").read_text("utf-8"), re.M | re.S):
        for line in block.splitlines():
            if line.startswith("$ "):
                commands.append(Command(page, [line[2:]]))
            elif re.match(r"> ?", line):
                commands[-1].lines.append(line[2:])
            else:
                commands[-1].output.append(line)
    return commands


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_commands_of_the_tutorials_print_what_the_pages_show(tmp_path):
    commands = [command for page in PAGES for command in commands_of(page)]
    assert len(commands) > 30
    script = "\n".join("\n".join([*command.lines, f'echo "{END} $?"']) for command in commands)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-s"],
        input=script,
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "COLUMNS": "200"},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    printed = re.split(rf"^{END} (\d+)\n", result.stdout, flags=re.M)
    assert len(printed) == 2 * len(commands) + 1
    wrong = []
    for command, got, code in zip(commands, printed[::2], printed[1::2]):
        wanted = "".join(f"{line}\n" for line in command.output)
        if code != "0" or not doctest.OutputChecker().check_output(wanted, got, ALIKE):
            wrong.append(f"{command.page}: $ {command.lines[0]}\n{got}exit code {code}, instead of\n{wanted}")
    assert not wrong, "\n".join(wrong)
