"""The original scripts by name, as run by ``scripts/*.py``."""

import sys
from collections.abc import Callable
from pathlib import Path

from planewise.cli import end, guarded, run
from planewise.compat import ild, mito
from planewise.compat.arguments import Script

TRANSLATED: dict[str, tuple[Script, Callable[[list[str]], list[str]]]] = {
    "nii_to_npz": (ild.NII_TO_NPZ, ild.nii_to_npz),
    "finetune_sam2_img": (ild.FINETUNE, ild.finetune_sam2),
    "infer_medsam2_ILD": (ild.INFER_MEDSAM2, ild.infer_medsam2),
    "infer_sam2_ILD": (ild.INFER_SAM2, ild.infer_sam2),
    "compute_metrics_ILD_all": (ild.COMPUTE_METRICS, ild.compute_metrics),
}


def run_script(name: str, words: list[str]) -> int:
    """Run the original script ``name`` with the arguments ``words``, and return its exit code."""
    if {"-h", "--help"} & set(words):
        print("\n".join(f"{name}.py: has {script.usage}" for script in _scripts(name)))
        return 0
    if name == "npz_to_npy":
        return guarded(lambda: ild.npz_to_npy(words))
    if name == mito.NAME:
        return guarded(lambda: run(mito.finetune_or_predict(words)))
    script, translate = TRANSLATED[name]
    return guarded(lambda: run(translate(words), script.names))


def _scripts(name: str) -> list[Script]:
    if name == "npz_to_npy":
        return [ild.NPZ_TO_NPY]
    return list(mito.MODES.values()) if name == mito.NAME else [TRANSLATED[name][0]]


def main(script: str) -> None:
    """Run the original script of the file ``script`` with the process's arguments, and exit."""
    end(lambda: run_script(Path(script).stem, sys.argv[1:]))
