"""Every command line that cannot be used is refused in words: the option, what was given, what is allowed."""

import re

import pytest

from planewise.cli import _find, parse, run
from planewise.commands import COMMANDS
from planewise.options import allowed

PREDICT = "mito predict --trained_model m --input i --output o"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("view ds --at 1 2", "--at 1 2: takes 3 values, N N N, not 2"),
        ("view ds --at 1 2 x", "--at 1 2 x: must be a whole number; 'x' is not"),
        (f"{PREDICT} --intensity 1", "--intensity 1: takes 2 values, NUMBER NUMBER, not 1"),
        (f"{PREDICT} --axes ab", "--axes ab: must be one of xy, xz, yz"),
        (f"{PREDICT} --axes xy ab", "--axes xy ab: must be one of xy, xz, yz; 'ab' is not"),
        (f"{PREDICT} --downsampling 1.5", "--downsampling 1.5: must be"),
        ("mito train d m --batch_size x", "--batch_size x: must be a whole number"),
        ("mito train d m --test_axes ab", "--test_axes ab: must be one of xy, xz, yz"),
        ("ild train w --weight-decay abc", "--weight_decay abc: must be a number"),
        ("ild train w --precision half", "--precision half: must be one of auto, 32, bf16"),
        ("ild train w --resume=yes", "--resume: takes no value, not yes"),
        ("ild train w --resume yes", "yes: is one value too many; planewise ild train takes WORK_DIR"),
        ("ild predict --prompt auto x --trained_model y", "--prompt: there is no such option; did you mean --prompts"),
        ("ild predict x --prompts --trained_model y", "--prompts: takes a value"),
        ("mito train d m --nonesuch", "--nonesuch: there is no such option; planewise mito train --help lists all"),
        ("mito predict --trained_model", "--trained_model: takes a value, PATH"),
        ("mito predict --input i", "needs\n  --trained_model PATH: "),
        ("mito train d", "needs\n  MODEL_DIR: Folder for"),
        ("compare d e --output o f", "f: is one value too many; planewise compare takes DATASETS ..."),
        ("models one other", "other: is one value too many; planewise models takes NAME"),
        (f"{PREDICT} --axes xy,xz", "--axes xy,xz: separate values with spaces, not commas: --axes xy xz"),
        (f"{PREDICT} --axes xy, xz", "--axes xy, xz: separate values with spaces, not commas: --axes xy xz"),
        (f"{PREDICT} --axes xy,ab", "--axes xy,ab: must be one of xy, xz, yz"),
        (
            f"{PREDICT} --intensity 0,255",
            "--intensity 0,255: separate values with spaces, not commas: --intensity 0 255",
        ),
        ("view ds --at 1,2,3", "--at 1,2,3: separate values with spaces, not commas: --at 1 2 3"),
        ("mito train d m --train_planes xy,yz", "--train_planes xy,yz: separate values with spaces, not commas: "),
        (f"{PREDICT} much", "much: is one value too many; planewise mito predict takes options alone"),
    ],
)
def test_what_cannot_be_used_is_refused_in_words(line, words, capsys):
    with pytest.raises(SystemExit) as refused:
        run(line.split())
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert f": {words}" in err
    assert err.startswith("planewise ")
    for jargon in ("None", "class", "INT", "literal", "[bold]", "Expected", "\u2500"):
        assert jargon not in err


@pytest.mark.parametrize(
    "line",
    [
        "ild prepare d w --window_level -600 --window_width 1500",
        "ild prepare --window-level=-600 --window-width=1e3 d w",
        f"{PREDICT} --intensity -1000 400 --axes xy yz",
        "view --errors report ds",
        "view ds --errors",
        "view ds --labels=a=b.tiff c.tiff --at 1 2 3",
        "mito train --iterations 1 --test_axes xy xz d m",
        "compare d e --method a=b c=d --output o",
        "demo mito",
        "view ds --case None",
        "ild lungs -- -i o",
    ],
)
def test_what_tyro_takes_is_not_refused(line):
    words = line.split()
    name = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0]
    parse(COMMANDS[name], "planewise", words[len(name.split()) :], {})


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"{PREDICT} --min_agreement 20", "--min_agreement 20: must be a number from 0 to 1"),
        (f"{PREDICT} --min_agreement nan", "--min_agreement nan: must be a number from 0 to 1"),
        (f"{PREDICT} --confidence_thr 1", "--confidence_thr 1: must be a number above 0 and below 1"),
        (f"{PREDICT} --min_size -1", "--min_size -1: must be a whole number of at least 0"),
        ("mito train d m --learning_rate 0", "--learning_rate 0: must be a number above 0"),
        ("view d --port 70000", "--port 70000: must be a whole number from 0 to 65535"),
        ("ild prepare d w --valid_share 1", "--valid_share 1: must be a number of at least 0 and below 1"),
    ],
)
def test_a_value_beyond_its_bounds_is_refused_with_what_is_allowed(line, words, capsys):
    with pytest.raises(SystemExit) as refused:
        run(line.split())
    assert refused.value.code == 2
    assert capsys.readouterr().err.endswith(f": {words}\n")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_bounded_option_has_words_for_its_bounds(name):
    kind = _find(COMMANDS[name].options)
    for field, info in kind.model_fields.items():
        bounds = [one for one in info.metadata if {"ge", "gt", "le", "lt"} & set(dir(one))]
        assert bool(allowed(info)) == bool(bounds), field
        one = r"(of at least|above|below|of at most) [\d.]+"
        assert re.fullmatch(rf"(a (whole )?number (from \d+ to \d+|{one}( and {one})?))?", allowed(info))


def test_a_value_is_refused_with_the_option_that_was_typed(capsys):
    with pytest.raises(SystemExit):
        run(["mito", "train", "d", "m", "--model_config", "x" * 300])
    assert "--model_config xxx" in capsys.readouterr().err
