"""A model that was not trained, for what does not depend on what is found."""

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import torch

from planewise.models.model_file import ModelFile, write_model_file
from planewise.models.panoptic_deeplab import build
from planewise.models.weights import export_torchscript


def write_untrained(folder: Path, **stated: Any) -> Path:
    """Write M.pth, always the same, and M.yaml with what is ``stated`` of it; return the path of the YAML."""
    model = ModelFile(model="M.pth", **{"norms": {"mean": 0.5, "std": 0.2}} | stated)
    (folder / "M.pth").write_bytes(_exported(model.outputs))
    write_model_file(folder / "M.yaml", model)
    return folder / "M.yaml"


@cache
def _exported(outputs: int) -> bytes:
    """Return what M.pth holds, scripted once."""
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        export_torchscript(build("mitonet_small", outputs), Path(folder) / "M.pth")
        return (Path(folder) / "M.pth").read_bytes()
