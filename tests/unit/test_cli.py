import errno
import io
import os
import re
import shlex
import signal
import subprocess
import sys

import pytest

from planewise.cli import end, guarded, run
from planewise.commands import COMMANDS
from planewise.processes import Terminated
from planewise.progress import ON_TERMINAL, say


def test_help_needs_nothing_heavy():
    code = "import sys, planewise.cli; planewise.cli.run(['--help']); print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "planewise mito train" in out
    assert not {"torch", "numpy", "numba", "matplotlib", "tyro", "pydantic"} & set(out.split())


HELP_OF_ALL = f"""
import sys, planewise.cli
for name in {list(COMMANDS)}:
    try: planewise.cli.run([*name.split(), "--help"])
    except SystemExit: pass
    print("after", name, *sorted({{"torch", "numba", "scipy", "SimpleITK", "matplotlib"}} & sys.modules.keys()))
"""


def test_a_command_s_help_loads_no_network():
    """All commands in one process: what one of them loads is there from then on."""
    out = subprocess.run([sys.executable, "-c", HELP_OF_ALL], capture_output=True, text=True).stdout
    assert re.findall("^usage: planewise (.*?) (?:[A-Z[-]|$)", out, re.M) == list(COMMANDS)
    assert re.findall("^after (.*)$", out, re.M) == list(COMMANDS)


def test_commands_that_are_not_there(capsys):
    assert run(["mitto", "train"]) == 2
    assert "mito train" in capsys.readouterr().err
    assert run(["mito", "fly"]) == 2
    assert "mito predict" in capsys.readouterr().err
    assert run([]) == 2
    assert run(["--version"]) == 0


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        ("mito predcit", "'planewise mito predict'"),
        ("mitto train", "'planewise mito train'"),
        ("chekc", "'planewise check'"),
        ("compaer a b", "'planewise compare'"),
        ("idl", "'planewise ild'"),
        ("mitto --help", "'planewise mito'"),
        ("mitto -h", "'planewise mito'"),
        ("predict", "'planewise mito predict' or 'planewise ild predict'"),
        ("predict --help", "'planewise mito predict' or 'planewise ild predict'"),
        ("predict scan.tif --output o", "'planewise mito predict' or 'planewise ild predict'"),
        ("train", "'planewise mito train' or 'planewise ild train'"),
        ("plan", "'planewise audit plan'"),
        ("mito check", "'planewise check'"),
        ("ild models", "'planewise models'"),
        ("mito chekc", "'planewise check'"),
        ("mito export", "'planewise ild export' or 'planewise models export'"),
        ("ild suggest x --output y", "'planewise mito suggest'"),
        ("help", "'planewise --help'"),
        ("help mito", "'planewise mito --help'"),
        ("mito help", "'planewise mito --help'"),
        ("version", "'planewise --version'"),
        ("help --output", "'planewise --help'"),
    ],
)
def test_a_command_that_is_mistyped_is_guessed(words, meant, capsys):
    assert run(words.split()) == 2
    assert f"did you mean {meant}?" in capsys.readouterr().err


def test_an_option_is_no_part_of_an_unknown_command(capsys):
    assert run(["mitto", "--help"]) == 2
    assert "unknown command 'mitto';" in capsys.readouterr().err


@pytest.mark.parametrize("more", [[], ["--trained_model", "none"]])
def test_a_prediction_without_a_model_is_refused_with_what_to_give(more, capsys, tmp_path):
    assert run(["ild", "predict", str(tmp_path), str(tmp_path / "out"), *more]) == 2
    assert "give --trained_model MODEL, or --base NAME to predict without fine-tuning" in capsys.readouterr().err


def test_nothing_is_guessed_where_nothing_is_near(capsys):
    assert run(["xyzzy"]) == 2
    err = capsys.readouterr().err
    assert "did you mean" not in err
    assert "mito train" in err


@pytest.mark.parametrize(
    "words", [[], ["--help"], ["mito"], ["mito", "--help"], ["mito", "-h"], ["ild"], ["audit"], ["demo"]]
)
def test_without_a_command_is_refused_with_a_list_which_help_gives_too(words, capsys):
    assert run(words) == (0 if {"--help", "-h"} & set(words) else 2)
    assert "COMMAND --help" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["mito"], ["mito", "--help"], ["mito", "-h"], ["ild"], ["audit"], ["demo"]])
def test_a_group_lists_its_commands_a_line_each(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    run(words)
    lines = capsys.readouterr().out.splitlines()
    listed = [name for name in COMMANDS if name.startswith(f"{words[0]} ")]
    assert [line.split("planewise ")[1][:15].strip() for line in lines[: len(listed)]] == listed
    assert all(COMMANDS[name].what in line for name, line in zip(listed, lines))


@pytest.mark.parametrize(
    "words", [["--help"], ["ild"], *([*name.split(), "--help"] for name in COMMANDS)], ids=" ".join
)
def test_every_help_fits_80_columns_and_keeps_words_together(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    run(words)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "\N{NO-BREAK SPACE}" not in out
    assert not re.search(r"(\(default:|--\w+)\n\s+[A-Z]+\b(?! )", out.partition("examples:")[0])
    for line in re.findall("(?:^  planewise (?:.*\\\\\n)*.*$)", out.partition("examples:")[2], re.M):
        assert shlex.split(line.replace("\\\n", " "))[0] == "planewise"  # as a shell reads it
    for name in COMMANDS if words == ["--help"] else ():
        assert COMMANDS[name].what in " ".join(out.split())


PREDICT = ["mito", "predict", "--trained_model", "m.yaml", "--input", "i", "--output", "o"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mito", "train"], "nnU-Net raw dataset"),
        (["mito", "train", "d", "m", "--iterations", "0"], "--iterations 0"),
        (["mito", "train", "d", "m", "--iterations", "many"], "iterations"),
        (["mito", "train", "d", "m", "--finetune_layer", "stage9"], "stage4"),
        (["mito", "train", "d", "m", "--model_name", "../up"], "--model_name ../up"),
        (["mito", "train", "d", "m", "--test_axes", "xy", "xy"], "each once"),
        (["mito", "train", "d", "m", "--nonesuch"], "nonesuch"),
        ([*PREDICT, "--downsampling", "3"], "1, 2, 4, 8"),
        ([*PREDICT, "--median_kernel", "4"], "odd"),
        ([*PREDICT, "--axes", "zz"], "xy"),
    ],
    ids=lambda value: None if isinstance(value, str) else " ".join(value[-2:]),
)
def test_bad_options_are_refused_by_name(arguments, words, capsys):
    with pytest.raises(SystemExit) as caught:
        run(arguments)
    assert caught.value.code == 2
    err = capsys.readouterr().err
    assert words in err
    assert "Traceback" not in err


def test_underscores_and_hyphens_are_alike(capsys):
    for option in ("--confidence_thr", "--confidence-thr"):
        with pytest.raises(SystemExit):
            run([*PREDICT, option, "2"])
        assert "--confidence_thr 2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "a.txt"), 1, "planewise: a.txt: no space left on device\n"),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "a/b"), 1, "planewise: a/b: not a directory\n"),
        (OSError(errno.ENAMETOOLONG, "File name too long", "x" * 300), 1, "...: file name too long\n"),
        (MemoryError(), 1, "planewise: out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), 1, "planewise: out of memory"),
        (KeyboardInterrupt(), 130, "planewise: stopped. "),
        (Terminated(), 143, "planewise: stopped (SIGTERM). "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_what_is_no_fault_of_ours_is_one_line(error, code, words, capsys):
    def work():
        raise error

    assert guarded(work) == code
    err = capsys.readouterr().err
    assert words in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("a bug"), ValueError(), FileNotFoundError(2, "no"), KeyError()])
def test_a_fault_of_ours_keeps_its_traceback(error):
    def work():
        raise error

    with pytest.raises(type(error)):
        guarded(work)


@pytest.fixture
def handlers():
    """Signals have their handlers again after a test that stops a command, which leaves its own in place."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signals_are_as_before_when_a_command_has_ended(handlers):
    assert guarded(lambda: 0) == 0
    assert {number: signal.getsignal(number) for number in handlers} == handlers


class SignalledAgain(io.StringIO):
    """Standard error, during whose writing a further signal comes."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        signal.raise_signal(self.number)
        return super().write(text)


@pytest.mark.parametrize(("first", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_that_comes_while_a_command_ends_is_no_traceback(first, second, code, handlers, monkeypatch):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr("sys.stderr", SignalledAgain(second))

    def work():
        signal.raise_signal(first)
        return 0

    assert guarded(work) == code
    assert sys.stderr.getvalue().startswith("planewise: stopped")
    signal.raise_signal(second)  # as Python ends


def test_a_signal_interrupts_again_in_the_next_command(handlers):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    assert [guarded(lambda: signal.raise_signal(signal.SIGINT)) for _ in range(2)] == [130, 130]


def test_a_second_signal_as_python_ends_is_no_traceback():
    code = (
        "import atexit, signal, sys; from planewise.cli import end, guarded\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell ignores it in the background
        "atexit.register(signal.raise_signal, signal.SIGINT)\n"
        "end(lambda: guarded(lambda: signal.raise_signal(signal.SIGINT)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr.count("\n") == 1, done.stderr


def test_a_signal_before_or_after_the_work_is_no_traceback():
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as ended:
        end(interrupted)
    assert ended.value.code == 130


@pytest.mark.parametrize("words", ["--help", "mito", "mito predict --help", "models", "--print-completion bash"])
def test_a_reader_that_goes_leaves_no_traceback(words):
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "planewise", *words.split()]
    result = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "BrokenPipe" not in result.stderr


def test_options_that_are_not_there_are_guessed_in_readable_words(capsys):
    with pytest.raises(SystemExit):
        run([*PREDICT, "--axis", "xy"])
    err = capsys.readouterr().err
    assert "--axes xy|xz|yz ..." in err
    assert "{None}" not in err


def test_a_command_prints_its_messages_wherever_it_is_started_from(monkeypatch, capsys):
    monkeypatch.delenv(ON_TERMINAL)
    assert guarded(lambda: say("a message") or 0) == 0
    assert capsys.readouterr().err == "a message\n"
    assert ON_TERMINAL not in os.environ


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["ild", "train", "nothing", "--from_scratch"], "nothing: no such folder; planewise ild prepare makes"),
        (
            ["mito", "train", "Dataset010", "m", "--model_name", "M"],
            "Dataset010: no such folder; a nnU-Net raw dataset",
        ),
    ],
)
def test_a_missing_input_comes_before_what_else_is_wrong(tmp_path, monkeypatch, capsys, arguments, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "M.yaml").touch()  # a model of that name
    assert run(arguments) == 2
    assert words in capsys.readouterr().err
