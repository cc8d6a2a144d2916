"""Make sam2.npz: what the published image model gives; see README.md.

    pip install --no-deps --no-build-isolation --target SITE sam2==1.1.0 hydra-core==1.3.8 omegaconf==2.4.0 \\
        iopath==0.1.10 portalocker==4.4.2 antlr4-python3-runtime==4.9.3
    PYTHONPATH=SITE:tests python tests/reference/make_sam2.py

The model alone is used, not its ``SAM2ImagePredictor``, which needs torchvision: images come ready from a formula.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.build_sam import build_sam2

from reference.formulas import SAM2_BOXES, SAM2_SIDES, faint, waves, weights

FOLDER = Path(__file__).parent


def forward(version: str, side: int) -> dict[str, np.ndarray]:
    """Return the published names of a model's tensors, and what it gives for boxes on one image of ``side`` pixels."""
    folder, name = ("sam2.1", "sam2.1_hiera_t") if version == "2.1" else ("sam2", "sam2_hiera_t")
    model = build_sam2(f"configs/{folder}/{name}.yaml", None, "cpu", "eval", [f"++model.image_size={side}"], False)
    shapes = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    state = weights(shapes, gain=1)
    model.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    corners = torch.tensor(SAM2_BOXES).view(-1, 2, 2) * side
    with torch.inference_mode():
        features = model.forward_image(torch.from_numpy(waves(3, side, side)))
        _, flat, _, sizes = model._prepare_backbone_features(features)
        levels = [level.permute(1, 2, 0).view(1, -1, *size) for level, size in zip(flat, sizes)]
        levels[-1] = levels[-1] + model.no_mem_embed.view(1, -1, 1, 1)  # as for every single image
        sparse, dense = model.sam_prompt_encoder((corners, torch.tensor([[2, 3]] * len(corners))), None, None)
        masks, _, _, present = decoded(model, levels, sparse, dense)
        model.load_state_dict({key: torch.from_numpy(value) for key, value in faint(state).items()})
        model.sam_mask_decoder.dynamic_multimask_via_stability = True  # as by the builder's apply_postprocessing
        stable, *_ = decoded(model, levels, sparse, dense)
    step = side // 128
    kept = {
        "embedding": levels[-1][0, ::8, ::step, ::step],
        "masks": masks[:, 0, ::step, ::step],
        "present": present[:, 0],
        "stable_masks": stable[:, 0, ::step, ::step],
    }
    listed = "\n".join(f"{key}\t{shape}" for key, shape in shapes.items())
    arrays = {"keys": np.array(listed), **{key: value.numpy() for key, value in kept.items()}}
    return {f"{version}/{key}": value for key, value in arrays.items()}


def decoded(model: Any, levels: list[torch.Tensor], sparse: torch.Tensor, dense: torch.Tensor) -> Any:
    """Return what the mask decoder gives."""
    return model.sam_mask_decoder(
        image_embeddings=levels[-1],
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=False,
        repeat_image=True,
        high_res_features=levels[:-1],
    )


def main() -> None:
    torch.set_num_threads(1)
    parts = [forward(version, side) for version, side in SAM2_SIDES.items()]
    np.savez_compressed(FOLDER / "sam2.npz", **{key: value for part in parts for key, value in part.items()})


if __name__ == "__main__":
    main()
