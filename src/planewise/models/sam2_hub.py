"""SAM2 as a folder of the hub: config.json, model.safetensors, and the files that transformers' processors read.

It is written like the published ones: with the video model's tensors, so that ``Sam2Model`` and ``Sam2VideoModel``
both load it. Class tokens, and what is known about a training, are in separate files, which other programs ignore.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from planewise.errors import PlanewiseError
from planewise.models.hub import CONFIG, WEIGHTS_FILE, hub_folder, reading_hub, reason_of
from planewise.models.sam2 import MEAN, STD, ClassTokens
from planewise.models.sam2_names import ONLY_IN_2_1, to_meta, to_transformers, transformers_name
from planewise.models.weights import differences, shapes_of
from planewise.volumes.atomic import follow_umask
from planewise.volumes.json_files import read_json

State = dict[str, Tensor]
TOKENS_FILE = "class_tokens.safetensors"
TRAINING_FILE = "planewise.json"  # window and settings of the training
FILES = (CONFIG, WEIGHTS_FILE, TOKENS_FILE, TRAINING_FILE)  # the files that are read
TRUNK = (
    "hidden_size", "num_attention_heads", "num_attention_heads_per_stage", "blocks_per_stage", "embed_dim_per_stage",
    "window_size_per_stage", "global_attention_blocks", "window_positional_embedding_background_size",
)  # fmt: skip  # the settings that define a trunk


def read_hub(source: Path) -> tuple[State, dict[str, Any], Any]:
    """Return the tensors by Meta's names, the data beside them, and transformers' configuration.

    ``source``: a folder, or the id of a model on the hub, which is downloaded. None of its code is run, and no pickle
    is read. Raises PlanewiseError if it is neither, or damaged.
    """
    folder = hub_folder(source, FILES)  # before importing transformers, which takes seconds, since this may fail
    with reading_hub(str(source), "SAM2", "weights"):
        from transformers import Sam2Config, Sam2Model

        config: Any = Sam2Config.from_pretrained(str(folder), local_files_only=True)
        side = config.vision_config.backbone_config.image_size[0]
        state = load_file(folder / WEIGHTS_FILE)
        with torch.device("meta"):
            expected = shapes_of(Sam2Model(config).state_dict())
    shapes = shapes_of(state)
    if wrong := differences(expected, {key: shape for key, shape in shapes.items() if key in expected}):
        raise PlanewiseError(
            f"{source}: {len(wrong)} tensors of {WEIGHTS_FILE} do not fit the SAM2 that its config.json describes, the "
            f"first: {wrong[0]}"
        )
    beside: dict[str, Any] = {"image_size": side}
    if (folder / TRAINING_FILE).is_file():
        known = read_json(folder / TRAINING_FILE)
        beside |= known if isinstance(known, dict) else {}
    if (folder / TOKENS_FILE).is_file():
        beside["class_tokens"] = _read_tokens(folder / TOKENS_FILE)
    return to_meta(state), beside, config


def _read_tokens(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as file:
            return {"names": json.loads(file.metadata()["names"]), "weight": file.get_tensor("weight")}
    except Exception as error:  # a damaged file raises errors of many types
        raise PlanewiseError(f"{path}: cannot be read ({reason_of(error)}); copy the folder again") from error


def check_config(source: Path, given: Any, known: Any) -> None:
    """Refuse a configuration whose trunk differs from the size that its tensors fit, despite equal shapes."""
    given_trunk, known_trunk = (config.vision_config.backbone_config for config in (given, known))
    for name in TRUNK:
        if (stated := getattr(given_trunk, name)) != (wanted := getattr(known_trunk, name)):
            raise PlanewiseError(
                f"{source}: its config.json gives {name} as {stated}; SAM2 with these tensors has {wanted}"
            )


def write_hub(folder: Path, config: Any, meta: State, beside: dict[str, Any], tokens: ClassTokens | None) -> None:
    """Write a folder of the hub.

    ``config``: transformers' of the image model; ``meta``: all tensors, by Meta's names; ``beside``: what is known
    about the training. Without the video model's tensors, as after training from scratch, the folder describes the
    image model only.
    """
    video = video_config(config, meta)
    config = config if video is None else video
    config.architectures = ["Sam2Model" if video is None else "Sam2VideoModel"]
    config.save_pretrained(folder)
    tensors, rest = to_transformers(meta)
    tensors |= {transformers_name(key): value for key, value in rest.items()}
    state = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    _save_tensors(state, folder / WEIGHTS_FILE, {"format": "pt"})
    side = config.vision_config.backbone_config.image_size[0]
    for name, content in _processors(side, video is not None).items():
        (folder / name).write_text(json.dumps(content, indent=2), "utf-8")
    if beside:
        (folder / TRAINING_FILE).write_text(json.dumps(beside), "utf-8")
    if tokens is not None:
        weight = {"weight": tokens.weight.detach().cpu().contiguous()}
        _save_tensors(weight, folder / TOKENS_FILE, {"names": json.dumps(tokens.names)})


def _save_tensors(tensors: State, path: Path, about: dict[str, str]) -> None:
    """Write a safetensors file with the permissions of the umask; by default only its owner could read it."""
    save_file(tensors, path, about)
    follow_umask(path)


@dataclass(frozen=True)
class MemorySize:
    """The size of a video model's memory; the published models all have the defaults."""

    memories: int = 7  # slices that are stored in full
    channels: int = 64
    layers: int = 4  # of the attention to them
    feed_forward: int = 2048
    fuser_layers: int = 2
    fuser_intermediate: int = 1024


def video_config(config: Any, meta: State) -> Any | None:
    """Return the configuration of the video model whose tensors ``meta`` holds; None if it lacks some."""
    layers = {key.split(".")[2] for key in meta if key.startswith("memory_attention.layers.")}
    fuser = {key.split(".")[3] for key in meta if key.startswith("memory_encoder.fuser.layers.")}
    try:
        memories = meta["maskmem_tpos_enc"]
        size = MemorySize(
            memories=len(memories),
            channels=memories.shape[-1],
            layers=len(layers),
            feed_forward=len(meta["memory_attention.layers.0.linear1.weight"]),
            fuser_layers=len(fuser),
            fuser_intermediate=len(meta["memory_encoder.fuser.layers.0.pwconv1.weight"]),
        )
    except KeyError:
        return None
    return video_config_with(config, size, "2.1" if meta.keys() >= ONLY_IN_2_1 else "2.0")


def video_config_with(config: Any, size: MemorySize, version: str) -> Any:
    """Return the configuration of a video model around the image model's ``config``; ``version``: "2.0" or "2.1"."""
    from transformers import Sam2VideoConfig

    hidden, side = config.mask_decoder_config.hidden_size, config.vision_config.backbone_config.image_size[0]
    return Sam2VideoConfig(
        vision_config=config.vision_config.to_dict(),
        prompt_encoder_config=_without_type(config.prompt_encoder_config),
        mask_decoder_config=_without_type(config.mask_decoder_config),
        image_size=side,
        num_maskmem=size.memories,
        enable_occlusion_spatial_embedding=version == "2.1",
        enable_temporal_pos_encoding_for_object_pointers=version == "2.1",
        memory_attention_hidden_size=hidden,
        memory_attention_num_layers=size.layers,
        memory_attention_feed_forward_hidden_size=size.feed_forward,
        memory_attention_rope_feat_sizes=[side // 16, side // 16],
        memory_encoder_hidden_size=hidden,
        memory_encoder_output_channels=size.channels,
        mask_downsampler_embed_dim=hidden,
        memory_fuser_num_layers=size.fuser_layers,
        memory_fuser_embed_dim=hidden,
        memory_fuser_intermediate_dim=size.fuser_intermediate,
    )


def _without_type(config: Any) -> dict[str, Any]:
    return {key: value for key, value in config.to_dict().items() if key != "model_type"}


def _processors(side: int, video: bool) -> dict[str, dict[str, Any]]:
    """Return the files of transformers' processors by name: they resize and normalise as ``BoxSegmenter`` does."""
    prompts = {"target_size": side, "point_pad_value": -10}
    image = {
        "image_processor_type": "Sam2ImageProcessorFast",
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "rescale_factor": 1 / 255,
        "resample": 2,
        "mask_size": {"height": side // 4, "width": side // 4},
        "size": {"height": side, "width": side},
    }
    if not video:
        return {
            "preprocessor_config.json": image,
            "processor_config.json": {"processor_class": "Sam2Processor"} | prompts,
        }
    return {
        "preprocessor_config.json": image,
        "video_preprocessor_config.json": {
            key: value for key, value in image.items() if key not in ("mask_size", "image_processor_type")
        }
        | {"video_processor_type": "Sam2VideoVideoProcessor"},
        "processor_config.json": {"processor_class": "Sam2VideoProcessor"} | prompts,
    }
