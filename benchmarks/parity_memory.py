"""SAM2's memory against the original code: an object followed through slices in both directions, by the same weights.

The original is ``SAM2VideoPredictor`` of the package ``sam2`` 1.1.0; parity_sam2.py says how to install it.

    PYTHONPATH=src:FOLDER python benchmarks/parity_memory.py [SIZE ...]

Weights are computed from the tensors' names by a formula; the object score is raised, so that the object is present in
most slices. The original runs as its builder makes it (apply_postprocessing, here with and without the stability
fallback), except that holes of masks are not filled, because that needs its CUDA part.
"""

import sys
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe
from parity_sam2 import CONFIGS, formula_weights, table

from planewise.models.sam2 import MEAN, STD, BoxSegmenter
from planewise.models.sam2_files import load_sam2
from planewise.models.sam2_memory import MemorySegmenter

NAMES = {"2.0": "sam2", "2.1": "sam2.1"}
SIDE, COUNT, START = 256, 19, 9
BOX = torch.tensor([0.2, 0.15, 0.6, 0.7])
COLUMNS = (
    "model", "stability fallback", "direction", "slices", "with the object", "mask logits", "object scores",
    "largest logit", "pixels alike",
)  # fmt: skip


def formula_slices() -> torch.Tensor:
    """Return slices (COUNT, SIDE, SIDE) in 0..1 of a moving pattern."""
    y, x = np.meshgrid(np.arange(SIDE) / SIDE, np.arange(SIDE) / SIDE, indexing="ij")
    slices = [0.5 + 0.25 * (np.sin(9 * x + 5 * y + 0.2 * z) + np.cos(7 * x - 11 * y - 0.1 * z)) for z in range(COUNT)]
    return torch.from_numpy(np.stack(slices).astype(np.float32))


def original(size: str, version: str, fallback: bool) -> Any:
    """Return the original's predictor."""
    from sam2.build_sam import build_sam2_video_predictor

    side = SIDE // 16
    attention = "++model.memory_attention.layer"
    changed = [
        f"++model.image_size={SIDE}",
        f"{attention}.self_attention.feat_sizes=[{side},{side}]",
        f"{attention}.cross_attention.feat_sizes=[{side},{side}]",
        "++model.fill_hole_area=0",
        "++model.binarize_mask_from_pts_for_mem_enc=true",
    ]
    name = NAMES[version]
    config = f"configs/{name}/{name}_hiera_{CONFIGS[size]}.yaml"
    if fallback:
        stability = "++model.sam_mask_decoder_extra_args.dynamic_multimask"
        changed += [
            f"{stability}_via_stability=true",
            f"{stability}_stability_delta=0.05",
            f"{stability}_stability_thresh=0.98",
        ]
    return build_sam2_video_predictor(config, device="cpu", apply_postprocessing=False, hydra_overrides_extra=changed)


def original_outputs(predictor: Any, slices: torch.Tensor, reverse: bool) -> dict[int, tuple[torch.Tensor, float]]:
    """Return the logits and object score of every slice; the state is what ``init_state`` makes of a video."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    quarter = SIDE // 4  # a video of this size has masks that are the decoded logits, not resized
    state: dict[str, Any] = {
        "images": (slices[:, None] - mean) / std,
        "num_frames": COUNT,
        "video_height": quarter,
        "video_width": quarter,
        "offload_video_to_cpu": False,
        "offload_state_to_cpu": False,
        "device": torch.device("cpu"),
        "storage_device": torch.device("cpu"),
        "obj_ids": [],
    }
    state |= {name: OrderedDict() for name in ("obj_id_to_idx", "obj_idx_to_id")}
    for name in ("point_inputs", "mask_inputs", "output_dict", "temp_output_dict", "frames_tracked"):
        state[f"{name}_per_obj"] = {}
    state |= {"cached_features": {}, "constants": {}}
    predictor.add_new_points_or_box(state, START, 1, box=BOX * quarter)
    masks = {z: mask[0, 0] for z, _, mask in predictor.propagate_in_video(state, START, reverse=reverse)}
    outputs = state["output_dict_per_obj"][0]
    seen = outputs["cond_frame_outputs"] | outputs["non_cond_frame_outputs"]
    return {z: (mask, float(seen[z]["object_score_logits"])) for z, mask in masks.items()}


@torch.inference_mode()
def our_outputs(
    boxes: BoxSegmenter, memory: MemorySegmenter, slices: torch.Tensor, reverse: bool
) -> dict[int, tuple[torch.Tensor, float]]:
    """Return the same outputs of planewise."""
    logits, score, start = memory.start(boxes.encode(slices[START, None]), START, COUNT, BOX, None)
    outputs = {START: (logits, float(score))}
    remembered = start.towards(-1 if reverse else +1)
    for z in range(START - 1, -1, -1) if reverse else range(START + 1, COUNT):
        logits, score = memory.follow(boxes.encode(slices[z, None]), z, remembered)
        outputs[z] = (logits, float(score))
    return outputs


def compare(size: str, version: str, fallback: bool, folder: Path) -> list[tuple[str, ...]]:
    """Return a row for each direction: the model and settings, and the largest differences."""
    predictor, slices = original(size, version, fallback), formula_slices()
    state = formula_weights(predictor.state_dict())
    state["sam_mask_decoder.pred_obj_score_head.layers.2.bias"] += 1
    predictor.load_state_dict(state)
    torch.save({"model": state}, folder / "w.pt")
    weights = load_sam2(folder / "w.pt", SIDE)
    memory, boxes = MemorySegmenter(weights, folder / "w.pt", fallback), BoxSegmenter(weights.network)
    rows = []
    for reverse in (False, True):
        expected = original_outputs(predictor, slices, reverse)
        ours = our_outputs(boxes, memory, slices, reverse)
        assert expected.keys() == ours.keys()
        there = [z for z, (_, score) in expected.items() if score > 0]
        assert there == [z for z, (_, score) in ours.items() if score > 0]
        masks = [torch.stack([outputs[z][0] for z in expected]) for outputs in (expected, ours)]
        scores = [np.array([outputs[z][1] for z in expected]) for outputs in (expected, ours)]
        seen = masks[0][[z in there for z in expected]]
        rows.append(
            (
                f"{NAMES[version]}_hiera_{size}",
                "yes" if fallback else "no",
                "down" if reverse else "up",
                str(len(expected)),
                str(len(there)),
                f"{float((masks[0] - masks[1]).abs().max()):.1e}",
                f"{np.abs(scores[0] - scores[1]).max():.1e}",
                f"{float(seen.abs().max()):.1f}",
                f"{float(((masks[0] > 0) == (masks[1] > 0)).float().mean()):.4%}",
            )
        )
    return rows


if __name__ == "__main__":
    print(describe())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as temporary:
        sizes = sys.argv[1:] or ["tiny"]
        table(
            (
                row
                for size in sizes
                for version in ("2.0", "2.1")
                for fallback in (False, True)
                for row in compare(size, version, fallback, Path(temporary))
            ),
            COLUMNS,
        )
    print(f"{time.perf_counter() - started:.0f} s")
