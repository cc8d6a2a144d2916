"""Help says everything of a command, the needed things first, in words that are read once."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Literal

import pytest

from planewise.cli import _find, parse, run, usage
from planewise.commands import COMMANDS
from planewise.completion import SHELLS
from planewise.option_help import GROUPS, NEEDED, ONE_OF, OTHER, options_of, words_for


def options(name):
    return options_of(_find(COMMANDS[name].options))


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_examples_every_option_once_and_the_needed_ones_first(name, capsys, wide):
    assert run([*name.split(), "--help"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"usage: planewise {name}")
    assert text.index("examples:") < text.index("-h, --help")
    heads = [line[2:] for line in text.splitlines() if re.match(r"  [-A-Z]", line)]
    assert sorted(heads) == sorted(option.typed for option in options(name))
    needed = [option.typed for option in options(name) if option.group == NEEDED]
    assert heads[: len(needed)] == needed
    assert not re.search(r"\{None\}|\[\[|\{\[|\bINT\b|\bSTR\b", text)
    assert all(len(line) <= 100 for line in text.splitlines() if "planewise " not in line)


@pytest.mark.parametrize("name", ["mito train", "mito predict", "ild run", "ild train", "ild predict"])
def test_options_of_long_commands_stand_in_groups(name):
    assert [option.name for option in options(name) if option.group == OTHER] == []


@pytest.mark.parametrize(
    ("name", "either"),
    [
        ("ild predict", ["--trained_model PATH", "--base PATH"]),
        ("ild train", ["--base PATH", "--from_scratch", "--corrections PATH"]),
        ("ild run", ["--base PATH", "--from_scratch"]),
        ("mito predict", []),
    ],
)
def test_options_of_which_one_is_needed_stand_together_and_in_the_usage(name, either, capsys, wide):
    run([*name.split(), "--help"])
    usage, _, text = capsys.readouterr().out.partition("\n\n")
    assert [option.typed for option in options(name) if option.group == ONE_OF] == either
    assert (f"({' | '.join(either)})" in " ".join(usage.split())) == bool(either)
    group = re.search(f"^{ONE_OF}:\n((?: .*\n)+)", text, re.M)
    assert re.findall("^  (-.*)$", group[1] if group else "", re.M) == either


def test_every_option_of_a_group_is_one_of_a_command():
    grouped = [name for names in GROUPS.values() for name in names]
    assert len(set(grouped)) == len(grouped)
    assert set(grouped) <= {option.name for name in COMMANDS for option in options(name)}


def test_what_has_a_default_is_not_needed():
    for name in COMMANDS:
        assert [option.name for option in options(name) if option.group == NEEDED and not option.required] == []


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("compare", "--method NAME=FOLDER ..."),
        ("compare", "--tolerance_nm [CLASS=]NUMBER ..."),
        ("view", "--labels [NAME=]PATH ..."),
        ("mito measure", "--reference NAME=PATH ..."),
        ("ild predict", "--prompts truth|auto|lungs|PATH"),
        ("audit plan", "--classes NAME=VALUE ..."),
    ],
)
def test_values_are_written_as_they_are_typed(name, typed):
    assert typed in [option.typed for option in options(name)]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name):
    assert [option.name for option in options(name) if not option.text] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_are_command_lines_that_are_understood(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert COMMANDS[name].examples
    for example in COMMANDS[name].examples:
        words = shlex.split(example)
        assert words[: 1 + len(name.split())] == ["planewise", *name.split()]
        parse(COMMANDS[name], f"planewise {name}", words[1 + len(name.split()) :], {})


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        (int, "N"),
        (float | None, "NUMBER"),
        (str, "TEXT"),
        (Path | None, "PATH"),
        (Literal["a", "b"], "a|b"),
        (tuple[Literal["xy", "xz"], ...] | None, "xy|xz ..."),
        (tuple[float, float] | None, "NUMBER NUMBER"),
        (tuple[Path, ...], "PATH ..."),
    ],
)
def test_types_are_words(annotation, words):
    assert words_for(annotation, []) == words


def completed(script: Path, line: str) -> set[str]:
    """Return what bash offers at the end of a line."""
    ask = (
        f"source {script}; COMP_WORDS=({line}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}; _shtab_planewise; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    return set(subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True).stdout.split())


SETUP = {"bash": ".bashrc", "zsh": "#compdef", "tcsh": "complete planewise", "fish": "complete -c planewise",
         "powershell": "Register-ArgumentCompleter"}  # fmt: skip


def test_bash_completes_commands_options_and_choices(capsys, tmp_path):
    assert run(["--print-completion", "bash"]) == 0
    script = tmp_path / "planewise.bash"
    script.write_text(capsys.readouterr().out)
    assert completed(script, "planewise mi") == {"mito"}
    assert completed(script, "planewise mito pre") == {"predict"}
    assert completed(script, "planewise mito predict --min_s") == {"--min_size"}
    assert completed(script, "planewise mito predict --axes x") == {"xy", "xz"}
    assert completed(script, f"planewise view a --labels {tmp_path}/planew") == {str(script)}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_of_the_help_has_a_script_with_commands_options_and_choices(shell, capsys):
    assert shell in usage().partition("--print-completion")[2]
    assert run(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(word in script for word in ("suggest", "min_size", "ome.zarr", SETUP[shell]))


def test_shells_that_are_not_known(capsys):
    assert run(["--print-completion", "cmd"]) == 2
    assert "bash, zsh" in capsys.readouterr().err
