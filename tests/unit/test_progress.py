"""Progress and messages: printed while a command runs, else heard by who asks."""

import io
import logging
import os
import pty
import subprocess
import sys
from contextlib import suppress

import pytest
from rich.console import Console

from planewise import progress as module
from planewise.progress import (
    ON_TERMINAL,
    Progress,
    counted,
    each_once,
    first_few,
    of_another_process,
    on_terminal,
    progress,
    reported_to,
    say,
    say_once,
)
from planewise.report.tables import print_table


@pytest.mark.parametrize(("number", "text"), [(0, "0 cases"), (1, "1 case"), (1200, "1,200 cases")])
def test_one_case_is_no_cases(number, text):
    assert counted(number, "case") == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes")])
def test_several_classes_are_no_classs(number, text):
    assert counted(number, "class") == text


@pytest.fixture
def quiet(monkeypatch):
    monkeypatch.delenv(ON_TERMINAL)


def test_from_python_nothing_is_printed(quiet, capfd, caplog):
    with caplog.at_level(logging.INFO, "planewise"):
        say("a message")
        say("WARNING: a warning")
        print_table("Title", ("case", "score"), [("a", "1")])
    with progress("work", 2) as advance:
        advance(2)
    assert capfd.readouterr() == ("", "")
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("INFO", "a message"),
        ("WARNING", "a warning"),
        ("INFO", "Title: case a, score 1"),
    ]


def test_even_warnings_of_a_program_that_knows_no_logging():
    code = "from planewise.progress import say; say('WARNING: x')"
    environment = {key: value for key, value in os.environ.items() if key != ON_TERMINAL}
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert (result.stdout, result.stderr) == ("", "")


def test_a_command_prints_and_so_do_the_processes_that_it_starts(quiet, capfd):
    with on_terminal():
        say("here")
        subprocess.run([sys.executable, "-c", "from planewise.progress import say; say('there')"], check=True)
    say("nowhere")
    assert capfd.readouterr().err == "here\nthere\n"


def test_progress_goes_to_the_function_that_is_given_even_where_messages_are_printed(capfd):
    seen = []
    with reported_to(seen.append), progress("work", 3, done=1, unit="slices") as advance:
        advance(1, "loss 2")
        advance()
        advance()  # what changes nothing is not reported
        advance(0)
    with progress("other", 1) as advance:
        advance()
    assert seen == [Progress("work", 2, 3, "slices", "loss 2"), Progress("work", 3, 3, "slices", "")]


def test_nothing_is_ever_further_than_all_of_it():
    seen = []
    with reported_to(seen.append), progress("work", 3) as advance:
        for _ in range(5):
            advance()
    assert [state.done for state in seen] == [1, 2, 3]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_bar_on_a_terminal_ends_at_all_of_it(monkeypatch):
    text = Terminal()
    console = Console(file=text, force_terminal=True, width=100)
    monkeypatch.setattr(module, "console", console)
    with progress("work", 3, unit="slices") as advance:
        advance(7, "a note")
    assert "3/3" in text.getvalue()
    assert "7/3" not in text.getvalue()


WORK = """
from planewise.progress import on_terminal, progress
with on_terminal(), progress("work", 2) as advance:
    advance(2)
"""


@pytest.mark.parametrize("terminal", [True, False])
def test_bars_are_drawn_on_a_terminal_alone_whatever_is_said_of_colours(terminal):
    here, there = pty.openpty() if terminal else os.pipe()
    try:
        environment = os.environ | {"FORCE_COLOR": "1", "TERM": "xterm"}
        subprocess.run([sys.executable, "-c", WORK], stderr=there, env=environment, check=True)
        os.close(there)
        written = b""
        with suppress(OSError):  # which is how a terminal ends
            while part := os.read(here, 4096):
                written += part
    finally:
        os.close(here)
    assert ("2/2" in written.decode()) == terminal
    assert terminal or written == b""


def test_lines_stand_for_a_bar(monkeypatch, capfd):
    monkeypatch.setattr(module, "LINE_SECONDS", 0.0)
    with progress("work", 2, unit="steps") as advance:
        advance(1, "loss 3")
    assert capfd.readouterr().err.startswith("work: 1/2 steps, ")


def test_a_line_is_said_once(capfd):
    say_once = each_once()
    say_once("a")
    say_once("a")
    assert capfd.readouterr().err == "a\n"


def test_what_the_process_that_hands_out_work_has_said_is_not_said_again(capsys):
    with of_another_process():
        say_once("voxels of this file are 8 nm")
    assert capsys.readouterr().err == ""
    say_once("voxels of this file are 8 nm")
    assert capsys.readouterr().err == "voxels of this file are 8 nm\n"


def test_of_many_names_the_first_are_listed():
    assert first_few([]) == ""
    assert first_few(["a", "b", 3]) == "a, b, 3"
    assert first_few(["a", "b", "c", "d"]) == "a, b, c and 1 more"
    assert first_few(["a", "b", "c"], 1) == "a and 2 more"
    assert first_few(["a", "b", "c"], 2, "; ") == "a; b and 1 more"


def test_a_message_is_printed_as_it_is(capsys):
    say("a:smile:b.tif [red]c[/red]: 2 of 3")
    assert capsys.readouterr().err == "a:smile:b.tif [red]c[/red]: 2 of 3\n"
