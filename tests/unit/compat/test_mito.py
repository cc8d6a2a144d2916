import pytest

from planewise.compat.mito import finetune_or_predict
from planewise.compat.scripts import run_script

OBJECTS = (  # as published
    "--confidence_thr 0.5 --center_confidence_thr 0.1 --min_distance_object_centers 3 --median_kernel 3 --min_size 500 "
    "--min_agreement 0 --repair off --extend off --min_extent 5 --pixel_vote_thr 2"
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("DATA MODELS --iterations 5", "mito train DATA MODELS --iterations 5 --test_axes xy xz yz"),
        ("--mode train DATA MODELS", "mito train DATA MODELS --test_axes xy xz yz"),
        ("--mode train D M --test-axes xy", "mito train D M --test_axes xy"),
        (
            "--iterations 5 D --skip-conversion M --test_axes=xy",
            "mito train D M --iterations 5 --skip_conversion --test_axes xy",
        ),
        ("-mode=train D M --class mito --use_gpu", "mito train D M --class mito --device auto --test_axes xy xz yz"),
        (
            "--mode predict --input I",
            f"mito predict --input I --device cpu --axes xy xz yz {OBJECTS}",
        ),
        (
            "--mode=predict --use_gpu --input I",
            f"mito predict --input I --device auto --axes xy xz yz {OBJECTS}",
        ),
        (
            "--input I --use-gpu --mode predict --axes=yz",
            f"mito predict --input I --axes yz --device auto {OBJECTS}",
        ),
        (
            "--mode predict --input I --device cuda",
            f"mito predict --input I --device cuda --axes xy xz yz {OBJECTS}",
        ),
        (
            "--mode predict --batch_size 2 --axes xy",
            f"mito predict --batch_size 2 --axes xy --device cpu {OBJECTS}",
        ),
    ],
)
def test_the_original_flags(old, new):
    assert finetune_or_predict(old.split()) == new.split()


def test_flags_of_the_other_mode_are_taken_and_said(capsys):
    assert "--iterations" not in finetune_or_predict(["--mode", "predict", "--input", "I", "--iterations", "5"])
    assert "--axes" not in finetune_or_predict(["D", "M", "--axes", "xy"])
    assert capsys.readouterr().err == (
        "-iterations 5 has no effect: it goes with --mode train\n-axes xy has no effect: it goes with --mode predict\n"
    )


def test_a_training_that_was_begun_goes_on(tmp_path, capsys):
    old = ["D", str(tmp_path), "--model_name", "M"]
    assert "--resume" not in finetune_or_predict(old)
    (tmp_path / "M_training").mkdir()
    (tmp_path / "M_training" / "last.ckpt").touch()
    assert "--resume" in finetune_or_predict(old)
    assert "M has begun already" in capsys.readouterr().err
    assert "--resume" not in finetune_or_predict([*old, "--overwrite"])
    assert finetune_or_predict([*old, "--resume"]).count("--resume") == 1


@pytest.mark.parametrize(
    ("old", "words"),
    [
        ("--mode test D M", "--mode test: must be train or predict"),
        ("--mode predict D", "D: follows no flag"),
        ("D M --iteration 5", "has no flag --iteration; it has -mode, -use_gpu, -model_config"),
        ("D M --iterations many few", "few"),
    ],
)
def test_what_cannot_be_is_refused(old, words, capsys):
    try:
        code = run_script("mitoNet_finetune_from_nnunet", old.split())
    except SystemExit as refused:  # as tyro does
        code = refused.code
    assert code == 2
    assert words in capsys.readouterr().err
