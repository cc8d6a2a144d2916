"""The scripts for chest CT: their command lines, translated to ``planewise ild`` prepare, train, predict, evaluate."""

import os
import re
from pathlib import Path

from planewise.apps.ild.label_options import IldEvaluate
from planewise.apps.ild.options import IldPredict, IldPrepare, IldTrain
from planewise.compat.arguments import Flag, Given, Script
from planewise.compat.pairing import beside, dataset_of, named_by_case
from planewise.errors import PlanewiseError
from planewise.progress import say

SAM2 = "checkpoints/sam2_hiera_tiny.pt"  # the original scripts' defaults
WORK, TASK = "work_dir", "MedSAM2-Tiny-ILD"
TEST_SHARE = "0.2"
BEST = "medsam_model_best.pth"
SIZES = ("tiny", "small", "base_plus", "large")
_CONFIG = re.compile(r"sam2(\.1)?_hiera_(?P<size>t|s|b\+|l|tiny|small|base_plus|large)(?P<side>\d+)?(\.yaml)?")
_FOLDERS = "the folders of prepared patients are called CT_ILD"


def _new_folder(given: Given, flag: str, default: str | None = None) -> Path:
    """Return the folder to write to, from a flag. Raises PlanewiseError if it is a file."""
    path = Path(given.take(flag, default))
    if path.is_file():
        raise PlanewiseError(f"-{flag} {path}: is a file; give a folder")
    return path


def _weights(given: Given, flag: str, default: str) -> Path:
    """Return the path of a model's weights: those given, or the original script's default, which is printed."""
    if flag in given.flags:
        return Path(given.take(flag))
    path = Path(default)
    if not path.exists():
        name = f"; -{flag} {path.stem} downloads the published one" if default == SAM2 else ""
        raise PlanewiseError(f"-{flag}: is missing, and the script's default, {default}, does not exist{name}")
    say(f"-{flag} is not given: {default}, the script's default, is used")
    return path


def _honour_config(given: Given, weights: Path) -> None:
    """Use the input size in the name of -model_cfg, unless ``weights`` state one; print where they disagree."""
    cfg = given.take("model_cfg", "")
    named = _CONFIG.fullmatch(Path(cfg).name)
    if named is None:
        if cfg:
            say(f"-model_cfg {cfg} has no effect: the size of SAM2 is read from its weights")
        return
    stored, side = _size_and_side(weights) if weights.is_file() else (None, None)
    size = next(size for size in SIZES if size[0] == named["size"][0])
    if stored not in (None, size):
        say(f"-model_cfg {cfg} says {size}, but {weights} is {stored}, which is used")
    if named["side"] and side is None:
        given.flags.setdefault("image_size", [named["side"]])
    elif named["side"] not in (None, str(side)):
        say(f"-model_cfg {cfg} says {named['side']}, but {weights} was trained at {side}, which is used")


def _size_and_side(weights: Path) -> tuple[str | None, int | None]:
    """Return the size and input side that weights state; None if they cannot be read, which the command reports."""
    from planewise.models.sam2_files import size_and_side

    try:
        return size_and_side(weights)
    except PlanewiseError:
        return None, None


def _choose_gpu(given: Given) -> None:
    """Make the GPU of -device cuda:N the only one visible to this process and its workers."""
    if "device" not in given.flags:
        return
    device, _, number = given.take("device").partition(":")
    given.flags["device"] = [device]
    if device == "cuda" and number:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        there = visible.split(",") if visible else None
        if not number.isdecimal() or (there is not None and int(number) >= len(there)):
            known = f"; CUDA_VISIBLE_DEVICES={visible} has {len(there)}" if there is not None else ""
            raise PlanewiseError(f"-device {device}:{number}: no such GPU{known}")
        os.environ["CUDA_VISIBLE_DEVICES"] = number if there is None else there[int(number)]


# ---- nii_to_npz.py

NII_TO_NPZ = Script(
    "nii_to_npz",
    {
        "img_path": Flag("dataset_path"),
        "img_name_suffix": Flag(),
        "gt_path": Flag(),
        "gt_name_suffix": Flag(),
        "output_path": Flag("work_dir"),
        "num_workers": Flag("num_workers"),
        "modality": Flag(no_effect=f"volumes are CT; {_FOLDERS}"),
        "anatomy": Flag(no_effect=_FOLDERS),
        "window_level": Flag("window_level"),
        "window_width": Flag("window_width"),
        "save_nii": Flag("save_nii", 0),
        "visualize": Flag(no_effect="prepared patients hold the list of their slices"),
    },
    "ild prepare",
    IldPrepare,
)


def nii_to_npz(words: list[str]) -> list[str]:
    """Return our command line for one of ``nii_to_npz.py``: its pairs of images and labels form the dataset."""
    given = NII_TO_NPZ.parse(words)
    given.refuse_words()
    images, labels = Path(given.take("img_path")), Path(given.take("gt_path"))
    suffixes = given.take("img_name_suffix", "_0000.nii.gz"), given.take("gt_name_suffix", ".nii.gz")
    work = _new_folder(given, "output_path", "./data")
    if not given.flags.keys() & {"window", "window_level", "window_width"}:
        say(
            "-window_level, -window_width are not given: the lung window is used; with the script's 40/400 ground "
            "glass is black"
        )
    dataset = dataset_of(images, labels, *suffixes, work)
    if not (dataset / "imagesTs").is_dir() and not given.flags.keys() & {"split", "test_share"}:
        say(f"There is no imagesTs: --test_share {TEST_SHARE} of the patients are kept for testing, as in the script")
        given.flags["test_share"] = [TEST_SHARE]
    given.flags = {"min_voxels": ["1000"], "min_pixels": ["100"]} | given.flags  # as published
    return NII_TO_NPZ.line(given, [str(dataset), str(work)])


# ---- npz_to_npy.py

NPZ_TO_NPY = Script(
    "npz_to_npy",
    {
        "npz_train_dir": Flag(),
        "npz_valid_dir": Flag(),
        "npy_dir": Flag(),
        "num_workers": Flag(no_effect="one process writes the slices"),
    },
)


def npz_to_npy(words: list[str]) -> int:
    """Do what ``npz_to_npy.py`` did; ``planewise ild prepare`` does it by itself. Returns the exit code."""
    given = NPZ_TO_NPY.parse(words)
    given.refuse_words()
    train, valid = Path(given.take("npz_train_dir")), Path(given.take("npz_valid_dir"))
    npy = _new_folder(given, "npy_dir")
    for flag, folder in (("npz_train_dir", train), ("npz_valid_dir", valid)):
        if not folder.is_dir():
            raise PlanewiseError(f"-{flag} {folder}: no such folder")
    from planewise.apps.ild.prepare import slices_from_npz

    return slices_from_npz(train, valid, npy)


# ---- finetune_sam2_img.py

FINETUNE = Script(
    "finetune_sam2_img",
    {
        "i": Flag("npy_path"),
        "task_name": Flag("task_name"),
        "work_dir": Flag("work_dir"),
        "num_epochs": Flag("epochs"),
        "batch_size": Flag("batch_size"),
        "lr": Flag("learning_rate"),
        "weight_decay": Flag("weight_decay"),
        "bbox_shift": Flag("bbox_shift"),
        "num_workers": Flag("num_workers"),
        "pretrain_model_path": Flag("base"),
        "model_cfg": Flag(),
        "resume": Flag("resume"),
        "device": Flag("device"),
    },
    "ild train",
    IldTrain,
    {"tr_npy_path": "i", "npy_path": "i"},
)


def finetune_sam2(words: list[str]) -> list[str]:
    """Return our command line for one of ``finetune_sam2_img.py``; a training that has begun is resumed."""
    given = FINETUNE.parse(words)
    given.refuse_words()
    work, slices = given.take("work_dir", WORK), given.take("i")
    folder = Path(work) / given.flags.get("task_name", [TASK])[0]
    given.flags["i"] = [slices]
    begun = _is_begun(folder)
    if "resume" in given.flags:
        _resume(given, folder, begun)
    if begun and "overwrite" not in given.flags:
        say(f"{folder} already holds this training: it is resumed; --overwrite trains again from the start")
        given.flags["resume"] = []
    if "from_scratch" not in given.flags:
        weights = _weights(given, "pretrain_model_path", SAM2)
        _honour_config(given, weights)
        given.flags["pretrain_model_path"] = [str(weights)]
    _choose_gpu(given)
    return FINETUNE.line(given, [work])


def _is_begun(folder: Path) -> bool:
    from planewise.training.loop import LAST

    return (folder / "training" / LAST).exists()


def _resume(given: Given, folder: Path, begun: bool) -> None:
    """Interpret -resume: as the training in ``folder``, which is resumed, or as weights of another program."""
    checkpoint = Path(given.take("resume"))
    ours = checkpoint.parent.resolve() == folder.resolve()
    if ours and begun:
        return
    if not checkpoint.is_file():
        raise PlanewiseError(f"-resume {checkpoint}: no such file")
    if not ours and _is_begun(checkpoint.parent):
        raise PlanewiseError(
            f"-resume {checkpoint}: belongs to the training {checkpoint.parent}; to resume that, give its folder with "
            f"-work_dir and -task_name, which now give {folder}"
        )
    say(f"-resume {checkpoint}: {folder} starts anew from its weights, without its optimiser's state and epoch")
    given.flags["pretrain_model_path"] = [str(checkpoint)]


# ---- infer_medsam2_ILD.py, infer_sam2_ILD.py

_INFER = {
    "data_root": Flag("input"),
    "pred_save_dir": Flag("output"),
    "sam2_checkpoint": Flag("base"),
    "model_cfg": Flag(),
    "bbox_shift": Flag("bbox_shift"),
    "num_workers": Flag(no_effect="patients are segmented one by one; --devices N shares them among GPUs or processes"),
    "device": Flag("device"),
    "visualize": Flag("visualize", 0),
    "vis": Flag(no_effect="prepared patients hold the list of their slices"),
}
INFER_SAM2 = Script("infer_sam2_ILD", _INFER, "ild predict", IldPredict)
INFER_MEDSAM2 = Script(
    "infer_medsam2_ILD",
    _INFER
    | {
        "sam2_checkpoint": Flag(no_effect="the file of a fine-tuned model holds all its weights"),
        "medsam2_checkpoint": Flag("trained_model"),
    },
    "ild predict",
    IldPredict,
)


def infer_sam2(words: list[str]) -> list[str]:
    """Return our command line for one of ``infer_sam2_ILD.py``: the model before fine-tuning."""
    return _infer(words, INFER_SAM2, "sam2_checkpoint", SAM2)


def infer_medsam2(words: list[str]) -> list[str]:
    """Return our command line for one of ``infer_medsam2_ILD.py``: the fine-tuned model."""
    return _infer(words, INFER_MEDSAM2, "medsam2_checkpoint", f"{WORK}/{TASK}/{BEST}")


def _infer(words: list[str], script: Script, model: str, default: str) -> list[str]:
    given = script.parse(words)
    given.refuse_words()
    folders = [given.take("data_root"), given.take("pred_save_dir")]
    weights = _weights(given, model, default)
    _honour_config(given, weights)
    _choose_gpu(given)
    given.flags[model] = [str(weights)]
    return script.line(given, folders)


# ---- compute_metrics_ILD_all.py

COMPUTE_METRICS = Script(
    "compute_metrics_ILD_all",
    {"s": Flag("predictions"), "g": Flag("truth"), "gt_name_suffix": Flag(), "csv_dir": Flag("output")},
    "ild evaluate",
    IldEvaluate,
    {"seg_dir": "s", "gt_dir": "g"},
)


def compute_metrics(words: list[str]) -> list[str]:
    """Return our command line for one of ``compute_metrics_ILD_all.py``."""
    given = COMPUTE_METRICS.parse(words)
    given.refuse_words()
    predictions, labels, suffix = given.take("s"), Path(given.take("g")), given.take("gt_name_suffix", "")
    if suffix:
        results = Path(given.flags.get("csv_dir", [f"{predictions}/evaluation"])[0])
        truth = named_by_case(labels, suffix, results / "truth")
        meta = beside(labels)
        if truth != labels and meta is not None:
            given.flags.setdefault("dataset", [str(meta)])
    else:
        truth = labels
    given.flags.setdefault("predicted_only", [])  # as published
    return COMPUTE_METRICS.line(given, [predictions, str(truth)])
