"""``mitoNet_finetune_from_nnunet.py``: its command line, translated to ``planewise mito train`` or ``mito predict``."""

from dataclasses import replace
from pathlib import Path

from planewise.apps.mito.options import PUBLISHED, MitoPredict
from planewise.apps.mito.train_options import MitoTrain
from planewise.compat.arguments import FLAG, MANY, Flag, Given, Script
from planewise.errors import PlanewiseError
from planewise.options import Options
from planewise.progress import say
from planewise.volumes.slices import PLANES

_MODE = {"mode": Flag(), "use_gpu": Flag(values=0)}
_TRAIN = {
    "model_config": Flag("model_config"),
    "model_name": Flag("model_name"),
    "iterations": Flag("iterations"),
    "batch_size": Flag("batch_size"),
    "learning_rate": Flag("learning_rate"),
    "patch_size": Flag("patch_size"),
    "finetune_layer": Flag("finetune_layer"),
    "skip_conversion": Flag("skip_conversion", 0),
    "output_data_path": Flag("output_data_path"),
    "test_after_training": Flag("test_after_training", 0),
    "test_axes": Flag("test_axes", MANY),
    "class": Flag("class"),  # our option, whose name in Python differs
}
_PREDICT = {
    "trained_model": Flag("trained_model"),
    "input": Flag("input"),
    "output": Flag("output"),
    "axes": Flag("axes", MANY),
    "downsampling": Flag("downsampling"),
    "confidence_thr": Flag("confidence_thr"),
    "center_confidence_thr": Flag("center_confidence_thr"),
    "min_distance_object_centers": Flag("min_distance_object_centers"),
    "min_size": Flag("min_size"),
    "min_extent": Flag("min_extent"),
    "pixel_vote_thr": Flag("pixel_vote_thr"),
}


def _other(flags: dict[str, Flag], mode: str, options: type[Options]) -> dict[str, Flag]:
    """Return flags of the other mode, which the script accepts and ignores, except those that ``options`` have."""
    why = f"it goes with --mode {mode}"
    return {name: replace(flag, no_effect=why) for name, flag in flags.items() if name not in options.model_fields}


NAME = "mitoNet_finetune_from_nnunet"
MODES = {
    "train": Script(NAME, _MODE | _TRAIN | _other(_PREDICT, "predict", MitoTrain), "mito train", MitoTrain),
    "predict": Script(NAME, _MODE | _other(_TRAIN, "train", MitoPredict) | _PREDICT, "mito predict", MitoPredict),
}


def mode_of(words: list[str]) -> str:
    """Return the mode that ``words`` ask for: --mode train, the default, or predict."""
    mode = "train"
    for word, after in zip(words, [*words[1:], ""]):
        match = FLAG.fullmatch(word)
        if match and match[1] == "mode":
            mode = after if match[2] is None else match[2]
    if mode not in MODES:
        raise PlanewiseError(f"--mode {mode}: must be {' or '.join(MODES)}")
    return mode


def finetune_or_predict(words: list[str]) -> list[str]:
    """Return our command line for one of ``mitoNet_finetune_from_nnunet.py``.

    A training that has begun is resumed. ``--use_gpu``, off by default, becomes ``--device``.
    """
    mode = mode_of(words)
    given = MODES[mode].parse(words)
    given.flags.pop("mode", None)
    gpu = given.flags.pop("use_gpu", None) is not None
    if gpu or (mode == "predict" and "device" not in given.flags):
        given.flags["device"] = ["auto" if gpu else "cpu"]
    given.flags.setdefault("axes" if mode == "predict" else "test_axes", list(PLANES))  # as published; we choose
    if mode == "predict":
        for name, value in PUBLISHED.items():  # by default they follow from the model and its training
            given.flags.setdefault(name, [str(value)])
        given.refuse_words()
    elif _begun(given):
        given.flags["resume"] = []
    return MODES[mode].line(given, given.words)


def _begun(given: Given) -> bool:
    """Whether the training has begun already, which is printed."""
    if len(given.words) != 2 or given.flags.keys() & {"resume", "overwrite"}:
        return False
    from planewise.training.loop import LAST

    name = given.flags.get("model_name", [MitoTrain.model_fields["model_name"].default])[0]
    checkpoint = Path(given.words[1]) / f"{name}_training" / LAST
    if checkpoint.exists():
        say(f"{name} has begun already ({checkpoint}): it is resumed; --overwrite trains again from the start")
    return checkpoint.exists()
