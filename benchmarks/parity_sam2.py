"""SAM2 in all sizes against the original code: the same weights, image and boxes through both.

The original is the package ``sam2`` 1.1.0, which needs hydra-core, iopath and omegaconf. It needs neither its CUDA part
nor torchvision here: the predictors that use them are left out, and the functions that those call are called directly.
It is not a dependency:

    SAM2_BUILD_CUDA=0 pip install --no-deps --no-build-isolation --target FOLDER sam2==1.1.0 \
        hydra-core iopath omegaconf "antlr4-python3-runtime==4.9.*" portalocker
    PYTHONPATH=src:FOLDER python benchmarks/parity_sam2.py [SIZE ...]

Weights are computed from the tensors' names by a formula, as in the tests, and pass through a file like Meta's. The
original loads the file that planewise writes again, with its strict check of names and shapes. The last column is for
logits divided by 64, none of which is stable: then the original's builder (apply_postprocessing) and ``stable_masks``
choose another mask.
"""

import sys
import tempfile
import time
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe

from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import PREFIX, load_sam2, save_hub_folder, save_published
from planewise.models.sam2_names import meta_names
from planewise.models.sam2_optimiser import place_in_decoder

CONFIGS = {"tiny": "t", "small": "s", "base_plus": "b+", "large": "l"}
SIDE = 1024
BOXES = torch.tensor([[200.0, 150.0, 620.0, 700.0], [40.0, 500.0, 300.0, 980.0]])  # x0, y0, x1, y1
COLUMNS = (
    "model", "parameters", "tensors", "embedding", "mask logits", "object scores", "largest logit", "pixels alike",
    "replaced masks",
)  # fmt: skip


def formula_weights(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return a tensor for each of ``state``, computed from its name: near 1 for norms; layers keep unit variance."""
    made = {}
    for key, like in state.items():
        noise = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(like.shape))
        if like.ndim <= 1:
            value = 1 + 0.1 * noise if key.endswith("weight") else 0.1 * noise
        else:
            value = noise * np.sqrt(1 / np.prod(like.shape[1:]))
        made[key] = torch.from_numpy(np.asarray(value, np.float32))
    return made


def formula_image() -> torch.Tensor:
    """Return a normalised image (1, 3, side, side)."""
    y, x = np.meshgrid(np.arange(SIDE) / SIDE, np.arange(SIDE) / SIDE, indexing="ij")
    channels = [np.sin(9 * x + 5 * y), np.cos(7 * x - 11 * y), np.sin(23 * x * y)]
    return torch.from_numpy(np.stack(channels)[None].astype(np.float32))


def original_outputs(model: Any, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return the original's outputs for ``BOXES``, called as its image predictor does: a box is two labelled points."""
    features = model.forward_image(image)
    _, vision, _, sizes = model._prepare_backbone_features(features)
    vision[-1] = vision[-1] + model.no_mem_embed
    levels = [level.permute(1, 2, 0).reshape(1, -1, *size) for level, size in zip(vision, sizes)]
    points = (BOXES.reshape(-1, 2, 2), torch.tensor([[2, 3]]).repeat(len(BOXES), 1))
    sparse, dense = model.sam_prompt_encoder(points=points, boxes=None, masks=None)
    masks, _, _, scores = model.sam_mask_decoder(
        image_embeddings=levels[-1],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
        repeat_image=True,
        high_res_features=levels[:-1],
    )
    return {"embedding": levels[-1], "masks": masks[:, 0], "object scores": scores[:, 0]}


def our_outputs(network: Any, image: torch.Tensor, fallback: bool = False) -> dict[str, torch.Tensor]:
    """Return planewise's outputs for ``BOXES``."""
    embeddings = network.get_image_embeddings(image)
    masks, scores = BoxSegmenter(network, fallback=fallback).decode(embeddings, BOXES[None] / SIDE)
    return {"embedding": embeddings[-1], "masks": masks[0], "object scores": scores[0]}


@torch.no_grad()
def difference_of_replaced(theirs: Any, ours: Any) -> float:
    """Return the largest difference of the masks that both choose if none is stable; both networks are changed."""
    decoders = theirs.sam_mask_decoder, ours.mask_decoder
    for mlp in decoders[0].output_hypernetworks_mlps:
        mlp.layers[-1].weight /= 64
        mlp.layers[-1].bias /= 64
    for mlp in decoders[1].output_hypernetworks_mlps:
        mlp.proj_out.weight /= 64
        mlp.proj_out.bias /= 64
    first = our_outputs(ours, formula_image())["masks"]
    decoders[0].dynamic_multimask_via_stability = True
    expected, replaced = original_outputs(theirs, formula_image()), our_outputs(ours, formula_image(), fallback=True)
    assert ((first > 0) != (replaced["masks"] > 0)).flatten(1).any(dim=1).all()
    return float((expected["masks"] - replaced["masks"]).abs().max())


def trained_order(model: Any) -> list[str]:
    """Return the names of the parameters that the original script trains, in its optimiser's order."""
    parts = ("image_encoder", "sam_mask_decoder")
    return [f"{part}.{name}" for part in parts for name, _ in getattr(model, part).named_parameters()]


def compare(size: str, version: str, folder: Path) -> tuple[str, ...]:
    """Return a row: the model, and the largest differences."""
    from sam2.build_sam import build_sam2

    name = "sam2" if version == "2.0" else "sam2.1"
    theirs = build_sam2(f"configs/{name}/{name}_hiera_{CONFIGS[size]}.yaml", device="cpu", apply_postprocessing=False)
    state = formula_weights(theirs.state_dict())
    theirs.load_state_dict(state)
    torch.save({"model": state}, folder / "w.pt")
    ours = load_sam2(folder / "w.pt", None)
    assert (ours.size, ours.version) == (size, version)
    with torch.inference_mode():
        expected, outputs = original_outputs(theirs, formula_image()), our_outputs(ours.network, formula_image())
    differences = [float((expected[key] - outputs[key]).abs().max()) for key in expected]
    same = float(((expected["masks"] > 0) == (outputs["masks"] > 0)).float().mean())

    save_published(folder / "again.pth", ours, 0)
    written = torch.load(folder / "again.pth", weights_only=True)["model"]
    theirs.load_state_dict({key.removeprefix(PREFIX): value for key, value in written.items()}, strict=True)
    save_hub_folder(folder / "hub", ours)
    hub = load_sam2(folder / "hub", None)
    assert ours.rest.keys() == hub.rest.keys()
    assert all(torch.equal(hub.rest[key], value) for key, value in ours.rest.items())

    names = meta_names(ours.network).values()
    order = [name for name in names if name.startswith("image_encoder.")]
    order += sorted((name for name in names if name.startswith("sam_mask_decoder.")), key=place_in_decoder)
    assert order == trained_order(theirs)
    count = sum(value.numel() for value in theirs.parameters()) / 1e6
    largest = float(expected["masks"].abs().max())
    return (
        f"{name}_hiera_{size}",
        f"{count:.1f} M",
        str(len(state)),
        *(f"{value:.1e}" for value in differences),
        f"{largest:.1f}",
        f"{same:.4%}",
        f"{difference_of_replaced(theirs, ours.network):.1e}",
    )


def table(rows: Iterable[tuple[str, ...]], header: tuple[str, ...] = COLUMNS) -> None:
    """Print rows of a Markdown table, each as it is made."""
    print("|", " | ".join(header), "|\n|", "---|" * len(header), flush=True)
    for row in rows:
        print("|", " | ".join(row), "|", flush=True)


if __name__ == "__main__":
    print(describe())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        sizes = sys.argv[1:] or list(CONFIGS)
        table(compare(size, version, Path(temporary)) for size in sizes for version in ("2.0", "2.1"))
    print(f"{time.perf_counter() - started:.0f} s")
