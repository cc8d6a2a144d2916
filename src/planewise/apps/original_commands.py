"""The original scripts' command lines, translated to ours. ``scripts/`` holds the names; the flags are here."""

import sys
from pathlib import Path

from planewise.cli import guarded, run
from planewise.errors import PlanewiseError
from planewise.volumes.slices import PLANES

# Flags that have nothing to say any more: the model's size is read from its weights, and names of folders are fixed.
_IGNORED = {"model_cfg", "modality", "anatomy", "img_name_suffix", "gt_name_suffix", "label_id"}


def _parse(arguments: list[str]) -> dict[str, list[str]]:
    """Return the values of every flag, by its name without dashes; words before the first flag are under ""."""
    flags: dict[str, list[str]] = {"": []}
    name = ""
    for word in arguments:
        if word.startswith("-") and not word.lstrip("-")[:1].isdigit():
            name, equals, value = word.lstrip("-").partition("=")
            name = name.replace("-", "_")
            flags[name] = [value] if equals else []
        else:
            flags[name].append(word)
    return flags


def mito(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``mitoNet_finetune_from_nnunet.py``.

    ``--mode`` (train, or predict) becomes the command. ``--use_gpu``, off by default, becomes ``--device``.
    """
    rest: list[str] = []
    mode, gpu = "train", False
    words = iter(arguments)
    for word in words:
        name, equals, value = word.partition("=")
        match name.replace("-", "_"):
            case "__mode":
                mode = value if equals else next(words, "")
            case "__use_gpu":
                gpu = True
            case _:
                rest.append(word)
    planes = "axes" if mode == "predict" else "test_axes"
    if not any(word.partition("=")[0].replace("-", "_") == f"__{planes}" for word in rest):
        rest += [f"--{planes}", *PLANES]  # as published; ours go by the volume's spacing
    if mode == "predict" or gpu:
        rest += ["--device", "auto" if gpu else "cpu"]
    return ["mito", mode, *rest]


def _options(flags: dict[str, list[str]], names: dict[str, str]) -> list[str]:
    """Return the flags by our names; one that is not known goes through, to be refused by name."""
    words: list[str] = []
    for name, values in flags.items():
        if name and name not in _IGNORED:
            words += [f"--{names.get(name, name)}", *values]
    return words


def nii_to_npz(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``nii_to_npz.py``: the dataset is the folder that holds -img_path."""
    flags = _parse(arguments)
    images = Path(*flags.pop("img_path", ["imagesTr"]))
    labels = Path(*flags.pop("gt_path", ["labelsTr"]))
    if (images.name, labels.name) != ("imagesTr", "labelsTr"):
        raise PlanewiseError(
            f"-img_path {images} -gt_path {labels}: must be imagesTr and labelsTr of one nnU-Net raw dataset"
        )
    work = flags.pop("output_path", ["./data"])
    flags = {"min_voxels": ["1000"], "min_pixels": ["100"]} | flags  # as published
    return ["ild", "prepare", str(images.resolve().parent), *work, *_options(flags, {})]


def finetune_sam2(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``finetune_sam2_img.py``."""
    flags = _parse(arguments)
    work = flags.pop("work_dir", ["./work_dir"])
    if "resume" in flags:
        flags["resume"] = []  # its checkpoint lies where the training left it
    if "device" in flags:
        flags["device"] = [value.split(":")[0] for value in flags["device"]]
    names = {"i": "npy_path", "tr_npy_path": "npy_path", "num_epochs": "epochs", "lr": "learning_rate",
             "pretrain_model_path": "base"}  # fmt: skip
    return ["ild", "train", *work, *_options(flags, names)]


def infer_sam2(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``infer_medsam2_ILD.py`` or ``infer_sam2_ILD.py``."""
    flags = _parse(arguments)
    source, target = flags.pop("data_root", []), flags.pop("pred_save_dir", [])
    flags.pop("num_workers", None)  # patients are segmented one after another, on all of the device
    names = {"sam2_checkpoint": "base", "medsam2_checkpoint": "trained_model"}
    return ["ild", "predict", *source, *target, *_options(flags, names)]


def compute_metrics(arguments: list[str]) -> list[str]:
    """Return our command line for one of ``compute_metrics_ILD_all.py``."""
    flags = _parse(arguments)
    segmentations, truths = flags.pop("s", []), flags.pop("g", [])
    return ["ild", "evaluate", *segmentations, *truths, *_options(flags, {"csv_dir": "output"})]


def npz_to_npy(arguments: list[str]) -> int:
    """Do what ``npz_to_npy.py`` did; ``planewise ild prepare`` does it by itself. Returns the exit code."""
    flags = _parse(arguments)
    folders = [Path(*flags.get(name, [])) for name in ("npz_train_dir", "npz_valid_dir", "npy_dir")]

    def work() -> int:
        from planewise.apps.ild.prepare import slices_from_npz

        return slices_from_npz(*folders)

    return guarded(work)


TRANSLATE = {
    "mitoNet_finetune_from_nnunet": mito,
    "nii_to_npz": nii_to_npz,
    "finetune_sam2_img": finetune_sam2,
    "infer_medsam2_ILD": infer_sam2,
    "infer_sam2_ILD": infer_sam2,
    "compute_metrics_ILD_all": compute_metrics,
}


def main(script: str) -> None:
    """Run the original script of the file ``script`` with the process's arguments, and exit."""
    name = Path(script).stem
    if name == "npz_to_npy":
        sys.exit(npz_to_npy(sys.argv[1:]))
    sys.exit(guarded(lambda: run(TRANSLATE[name](sys.argv[1:]))))
