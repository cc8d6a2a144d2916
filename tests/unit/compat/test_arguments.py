import subprocess
import sys
from pathlib import Path

import pytest

from planewise.compat import ild
from planewise.compat.arguments import MANY, Flag, Script
from planewise.compat.scripts import TRANSLATED, run_script
from planewise.errors import PlanewiseError
from planewise.options import Options

SCRIPTS = [script for script, _ in TRANSLATED.values()]


class Ours(Options):
    """Options of a command."""

    pair: tuple[float, float] | None = None
    several: tuple[int, ...] = ()
    on: bool = False
    width: int = 1


SCRIPT = Script(
    "old",
    {"i": Flag("width"), "s": Flag("on", 0), "axes": Flag("several", MANY), "gone": Flag(no_effect="it is gone")},
    "new do",
    Ours,
    {"input": "i"},
)


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ("-i 5", {"i": ["5"]}),
        ("--i 5", {"i": ["5"]}),
        ("-i=5", {"i": ["5"]}),
        ("--input=5", {"i": ["5"]}),
        ("-i -600", {"i": ["-600"]}),
        ("-i=", {"i": [""]}),
        ("-i 5 -i 6", {"i": ["6"]}),
        ("-axes 1 2 3 -s", {"axes": ["1", "2", "3"], "s": []}),
        ("-on --pair -1 2.5", {"on": [], "pair": ["-1", "2.5"]}),
        ("--several 4 5", {"several": ["4", "5"]}),
    ],
)
def test_flags_have_one_dash_or_two_and_may_have_an_equals_sign(words, flags):
    given = SCRIPT.parse(words.split())
    assert given.flags == flags
    assert given.words == []


def test_words_before_between_and_after_flags_belong_to_none():
    given = SCRIPT.parse(["a", "-i", "5", "b", "-s", "c"])
    assert given.words == ["a", "b", "c"]
    with pytest.raises(PlanewiseError, match="a b c: follows no flag"):
        given.refuse_words()


def test_flags_become_our_options():
    assert SCRIPT.line(SCRIPT.parse(["-i", "5", "--on"]), ["x"]) == ["new", "do", "x", "--width", "5", "--on"]
    assert SCRIPT.names == {"width": "-i", "on": "-s", "several": "-axes"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-nonesuch 5", "old.py: has no flag -nonesuch; it has -i, -s, -axes, -gone, and the options of planewise n"),
        ("--none-such=5", "has no flag --none-such;"),
        ("-i", "-i: takes a value; given: none"),
        ("-i -s", "-i: takes a value; given: none"),
        ("-s=true", "-s: takes no value; given: true"),
        ("-axes", "-axes: takes one value or more"),
        ("--pair 1", "-pair: takes 2 values; given: 1"),
    ],
)
def test_what_is_not_known_is_refused_by_name(words, message):
    with pytest.raises(PlanewiseError) as refusal:
        SCRIPT.parse(words.split())
    assert message in str(refusal.value)


def test_a_flag_that_has_nothing_to_say_any_more_is_printed(capsys):
    assert SCRIPT.parse(["-gone", "7", "-i", "1"]).flags == {"i": ["1"]}
    assert capsys.readouterr().err == "-gone 7 has no effect: it is gone\n"


def test_a_missing_flag_is_named():
    with pytest.raises(PlanewiseError, match=r"^-i: is missing"):
        SCRIPT.parse([]).take("i")
    assert SCRIPT.parse([]).take("i", "3") == "3"


@pytest.mark.parametrize(
    "script", [ild.NPZ_TO_NPY, *(script for script, _ in TRANSLATED.values())], ids=lambda s: s.name
)
def test_every_script_refuses_an_unknown_flag_and_lists_its_own(script, capsys):
    assert run_script(script.name, ["-lable_id", "3"]) == 2
    err = capsys.readouterr().err
    assert f"{script.name}.py: has no flag -lable_id" in err
    assert all(f"-{name}" in err for name in script.flags)


def test_a_file_is_the_script_of_its_name():
    script = Path(__file__).parents[3] / "scripts" / "mitoNet_finetune_from_nnunet.py"
    result = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("mitoNet_finetune_from_nnunet.py: has -mode, ")


@pytest.mark.parametrize("name", [*TRANSLATED, "npz_to_npy", "mitoNet_finetune_from_nnunet"])
@pytest.mark.parametrize("words", ["-h", "-num_workers 4 --help"])
def test_every_script_says_what_flags_it_has(name, words, capsys):
    assert run_script(name, words.split()) == 0
    assert f"{name}.py: has -" in capsys.readouterr().out


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_every_flag_is_an_option_of_ours_or_says_why_not(script):
    for name, flag in script.flags.items():
        assert (
            flag.no_effect
            or flag.option in script.options.model_fields
            or name in ("img_name_suffix", "gt_path", "gt_name_suffix", "model_cfg")
        )
