"""A MitoNet as one file: an archive that empanada-napari imports, or a package in the bioimage.io format."""

import re
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from planewise.data.phantom import em_phantom
from planewise.errors import PlanewiseError
from planewise.models.card import mitonet_card
from planewise.models.model_file import ModelFile, as_yaml
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.weights import as_published, export_torchscript, save_scripted
from planewise.progress import say
from planewise.volumes.atomic import atomic_path

LEAST_SIDE = 128  # of the image that a package is tested on
DOI = "10.1016/j.cels.2022.12.006"
OUTPUTS = {  # channels of each, and what they are
    "foreground": (("probability",), "Probability of being in an object"),
    "centres": (("height",), "Heatmap of the objects' centres"),
    "offsets": (("dy", "dx"), "Offset in pixels to the centre of the object"),
}


def write_archive(path: Path, model: ModelFile, network: PanopticNetwork) -> None:
    """Write ``network`` as a ``.empanada`` archive; see ``archive``. empanada-napari ignores its card."""
    names = {"model": f"{path.stem}.pth", "model_sha256": None, "model_quantized": None}
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        export_torchscript(network, Path(folder) / "w.pth")
        with zipfile.ZipFile(temporary, "w") as archive:
            archive.writestr(f"{path.stem}.yaml", as_yaml(model.model_copy(update=names)))
            archive.write(Path(folder) / "w.pth", f"{path.stem}.pth")
            use = f"`planewise mito predict --trained_model {path.name} --input VOLUMES --output RESULTS`"
            archive.writestr("README.md", mitonet_card(path.stem, model, use))


def write_package(path: Path, model: ModelFile, network: PanopticNetwork) -> None:
    """Write ``network`` as a package in the bioimage.io format, with a synthetic image and its outputs to test it by.

    Raises PlanewiseError if bioimageio.core is missing, or gets other results from the package than ``network`` gives.
    """
    try:
        from bioimageio.core import test_model
        from bioimageio.spec import save_bioimageio_package
        from loguru import logger
    except ImportError as error:
        raise PlanewiseError(f"{path}: needs bioimageio.core: pip install planewise[bioimageio]") from error
    logger.disable("bioimageio")  # its messages are in the package's summary, which planewise prints
    with tempfile.TemporaryDirectory() as folder, atomic_path(path) as temporary:
        _write_package_files(Path(folder), path.stem, model, network)
        save_bioimageio_package(_description(Path(folder), path.stem, model), output_path=temporary)
        summary = test_model(temporary)
        if summary.status != "passed":
            wrong = [error.msg.strip().splitlines()[-1] for detail in summary.details for error in detail.errors]
            raise PlanewiseError(f"{path}: bioimageio.core gets other results from it than the model gives: {wrong[0]}")
    say(f"{path}: bioimageio.core gets the same results from it as the model")
    say("To be put on bioimage.io, its rdf.yaml also needs authors, a licence and a cover")


def _outputs(model: ModelFile) -> dict[str, tuple[tuple[str, ...], str]]:
    """Return ``OUTPUTS``; for several classes, with the probability of each in place of the foreground's."""
    if model.several is None:
        return OUTPUTS
    channels = ("background", *model.several.names.values())
    return {"classes": (channels, "Probability of each class"), **dict(list(OUTPUTS.items())[1:])}


class _Listed(nn.Module):
    """A network that returns ``OUTPUTS`` in that order, since the bioimage.io format does not pass them by name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        outputs = self.network(x)
        logits = outputs["sem_logits"]
        shares = torch.sigmoid(logits) if logits.shape[1] == 1 else torch.softmax(logits, dim=1)
        return shares, outputs["ctr_hmp"], outputs["offsets"]


def _side(model: ModelFile) -> int:
    """Return the side of the image that a package is tested on, a multiple of the padding factor."""
    return -(-LEAST_SIDE // model.padding_factor) * model.padding_factor


def _write_package_files(folder: Path, name: str, model: ModelFile, network: PanopticNetwork) -> None:
    """Write what the description of a package names: weights, card, a synthetic image and the outputs for it."""
    image = em_phantom((24, _side(model), _side(model)), 12, 0)[0][12:13, None]
    mean, std = 255 * model.norms.mean, 255 * model.norms.std
    with torch.inference_mode():
        outputs = _Listed(network.cpu())(torch.from_numpy((image.astype(np.float32) - mean) / std))
    arrays = dict(zip(("image", *_outputs(model)), (image, *(output.numpy() for output in outputs))))
    for key, array in arrays.items():
        np.save(folder / f"{key}.npy", array)
    use = "It takes 8-bit slices; planewise segments volumes with it, in several planes."
    (folder / "README.md").write_text(mitonet_card(name, model, use), "utf-8")
    save_scripted(_Listed(as_published(network)), folder / "weights.pt")


def _description(folder: Path, name: str, model: ModelFile) -> Any:
    """Return the description of a model whose files ``_write_package_files`` wrote to ``folder``."""
    from bioimageio.spec.model import v0_5

    def files(key: str) -> dict[str, Any]:
        return {"id": key, "test_tensor": {"source": folder / f"{key}.npy"}}

    def spatial(size: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        return [{"type": "space", "id": axis, "size": size | ({"axis_id": axis} if more else {})} for axis in "yx"]

    any_size = {"min": _side(model), "step": model.padding_factor}
    read = {
        **files("image"),
        "description": "An 8-bit slice",
        "data": {"type": "uint8"},
        "axes": [{"type": "batch"}, {"type": "channel", "channel_names": ["intensity"]}, *spatial(any_size)],
        "preprocessing": [
            {
                "id": "fixed_zero_mean_unit_variance",
                "kwargs": {"mean": 255 * model.norms.mean, "std": 255 * model.norms.std},
            },
            {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
        ],
    }
    made = [
        {
            **files(key),
            "description": what,
            "data": {"type": "float32"},
            "axes": [
                {"type": "batch"},
                {"type": "channel", "channel_names": list(channels)},
                *spatial({"tensor_id": "image"}, as_image=True),
            ],
        }
        for key, (channels, what) in _outputs(model).items()
    ]
    weights = {"source": folder / "weights.pt", "pytorch_version": torch.__version__.partition("+")[0]}
    return v0_5.ModelDescr.model_validate(
        {
            "format_version": v0_5.ModelDescr.implemented_format_version,
            "type": "model",
            "name": "MitoNet " + re.sub(r"[^a-zA-Z0-9_+ -]", "_", name),
            "description": model.description or "MitoNet",
            "documentation": {"source": folder / "README.md"},
            "cite": [{"text": "Conrad and Narayan 2023", "doi": DOI}],
            "tags": ["mitochondria", "electron-microscopy", "instance-segmentation", "2d", "pytorch", "planewise"],
            "inputs": [read],
            "outputs": made,
            "weights": {"torchscript": weights},
        }
    )
