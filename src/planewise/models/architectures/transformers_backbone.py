"""MitoNet's heads on an encoder of transformers: DINOv3 (Simeoni et al. 2025, arXiv:2508.10104) or ConvNeXt V2 (Woo et
al. 2023, arXiv:2301.00808).

The encoder is transformers' code, so its published weights are loaded as they are, by ``--base``. Its feature maps are
added up at stride 4 (as in SegFormer's decoder, Xie et al. 2021, arXiv:2105.15203), with the result of two convolutions
of the image, since a ViT with patches of 16 pixels lacks fine detail. TorchScript cannot hold such a network.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from planewise.errors import PlanewiseError
from planewise.models.hub import CONFIG, WEIGHTS_FILE, hub_folder, reading_hub
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.resnet import initialise
from planewise.progress import say
from planewise.volumes.json_files import read_json

CHANNELS = 128  # of the decoder
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, which all of these were trained with
PROCESSOR = "preprocessor_config.json"
OF_TRAINING = {  # settings that do not change the outputs of a trained network
    "_out_features", "_out_indices", "attention_dropout", "drop_path_rate", "image_size", "initializer_range",
    "layer_scale_init_value", "layerscale_value", "pos_embed_jitter", "pos_embed_rescale", "pos_embed_shift",
}  # fmt: skip


@dataclass(frozen=True)
class Backbone:
    """An encoder of transformers. ``settings``: its configuration, as far as it is not the default of ``model_type``;
    ``maps``: the four feature maps that are used; ``unused``: beginnings of names of published tensors that belong to a
    classifier; ``new``: those of tensors that are not published.
    """

    model_type: str
    settings: dict[str, Any]
    maps: tuple[int, ...] = (1, 2, 3, 4)
    unused: tuple[str, ...] = ()
    new: tuple[str, ...] = ()

    def config(self) -> Any:
        """Return the encoder's configuration in transformers."""
        from transformers import CONFIG_MAPPING

        kind: Any = CONFIG_MAPPING[self.model_type]
        return kind(**self.settings, out_indices=list(self.maps))


def _vit(width: int, layers: int, heads: int) -> Backbone:
    """Return a DINOv3 ViT, of which the last layer of each quarter is used."""
    size = {"hidden_size": width, "intermediate_size": 4 * width, "num_hidden_layers": layers}
    maps = tuple(layers * quarter // 4 for quarter in (1, 2, 3, 4))
    return Backbone("dinov3_vit", {**size, "num_attention_heads": heads, "num_register_tokens": 4}, maps)


def _convnext(width: int, blocks: int) -> Backbone:
    """Return a DINOv3 ConvNeXt with ``blocks`` blocks in its third stage."""
    size = {"hidden_sizes": [width, 2 * width, 4 * width, 8 * width], "depths": [3, 3, blocks, 3]}
    return Backbone("dinov3_convnext", size, unused=("layer_norm.",))


def _convnext_v2(width: int, depths: list[int]) -> Backbone:
    size = {"hidden_sizes": [width, 2 * width, 4 * width, 8 * width], "depths": depths}
    unused = ("convnextv2.layernorm.", "layernorm.", "classifier.")
    return Backbone("convnextv2", size, unused=unused, new=("hidden_states_norms.",))


BACKBONES = {
    "dinov3_vits16": _vit(384, 12, 6),
    "dinov3_vitb16": _vit(768, 12, 12),
    "dinov3_vitl16": _vit(1024, 24, 16),
    "dinov3_convnext_tiny": _convnext(96, 9),
    "dinov3_convnext_small": _convnext(96, 27),
    "dinov3_convnext_base": _convnext(128, 27),
    "convnextv2_atto": _convnext_v2(40, [2, 2, 6, 2]),
    "convnextv2_tiny": _convnext_v2(96, [3, 3, 9, 3]),
}


class BackboneEncoder(nn.Module):
    """The encoder of transformers beside two convolutions; it normalises its input as its weights expect."""

    mean: Tensor
    std: Tensor

    def __init__(self, backbone: Backbone) -> None:
        from transformers import AutoBackbone

        super().__init__()
        self.backbone: Any = _trainable(AutoBackbone.from_config(backbone.config()))
        self.detail = nn.Sequential(_convolution(1, 3, CHANNELS // 4, 2), _convolution(CHANNELS // 4, 3, stride=2))
        self.detail.apply(initialise)
        self.register_buffer("mean", torch.tensor(MEAN).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return five feature maps for ``x`` (N, 1, H, W), shares of the range of intensities, 0 to 1.

        The first is at stride 4, the others are at 16 each (ViT), or at 4, 8, 16 and 32 (ConvNeXt).
        """
        features = FEATURES[self.backbone.config.model_type]
        return [self.detail(x), *features(self.backbone, (x - self.mean) / self.std)]


# The feature maps that transformers' forward returns. Its hooks, which collect them, are lost in a copy of the network
# and in another process.


def _of_vit(backbone: Any, x: Tensor) -> list[Tensor]:
    prefix = 1 + backbone.config.num_register_tokens  # the tokens before the patches: registers and class
    rows, columns = (side // backbone.config.patch_size for side in x.shape[2:])
    hidden, position = backbone.embeddings(x), backbone.rope_embeddings(x)
    features = []
    for number, layer in enumerate(backbone.model.layer, 1):
        hidden = layer(hidden, position_embeddings=position)
        if number in backbone.out_indices:
            patches = backbone.norm(hidden)[:, prefix:]
            features.append(patches.transpose(1, 2).unflatten(2, (rows, columns)))
    return features


def _of_convnext(backbone: Any, x: Tensor) -> list[Tensor]:
    features = []
    for stage in backbone.model.stages:
        x = stage(x)
        features.append(x)
    return features


def _of_convnext_v2(backbone: Any, x: Tensor) -> list[Tensor]:
    x = backbone.embeddings(x)
    features = []
    for stage, norm in zip(backbone.encoder.stages, backbone.hidden_states_norms.values()):
        x = stage(x)
        features.append(norm(x))
    return features


FEATURES = {"dinov3_vit": _of_vit, "dinov3_convnext": _of_convnext, "convnextv2": _of_convnext_v2}


class PanopticBackbone(PanopticNetwork):
    """MitoNet's heads on features at stride 4, the sum of those of a ``Backbone`` and of the image's fine detail."""

    instances_on_their_grid = True
    published_form = False

    def __init__(self, backbone: Backbone, outputs: int = 1) -> None:
        super().__init__(nn.Identity(), CHANNELS, outputs, head_kernel=3)
        encoder = BackboneEncoder(backbone)
        self.levels = nn.ModuleList(_convolution(width, 1) for width in encoder.backbone.channels)
        self.fuse = _convolution(CHANNELS, 3)
        self._initialise()
        self.encoder = encoder  # after ``_initialise``, which would overwrite transformers' initial weights
        self.described = backbone

    def decode(self, stages: list[Tensor]) -> list[Tensor]:
        features = stages[0]
        for level, stage in zip(self.levels, stages[1:]):
            features = features + F.interpolate(level(stage), size=features.shape[2:], mode="bilinear")
        features = self.fuse(features)
        return [features, features]

    def parts(self) -> list[nn.Module]:
        """See ``PanopticNetwork``. In a ViT, whose layers are all alike, a stage is a quarter of the layers."""
        backbone: Any = self.encoder.backbone
        count = len(backbone.stage_names) - 1
        blocks = next(m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == count)
        stem = [child for child in backbone.children() if all(module is not blocks for module in child.modules())]
        return [nn.ModuleList(stem), *(blocks[i * count // 4 : (i + 1) * count // 4] for i in range(4))]

    def load_base(self, source: Path) -> None:
        """See ``PanopticNetwork``; how images are normalised is also read from ``source``."""
        from transformers import AutoConfig
        from transformers.utils import logging

        encoder: Any = self.encoder
        config = self.described.config()
        logging.disable_progress_bar()
        folder = hub_folder(source, (CONFIG, PROCESSOR, WEIGHTS_FILE))
        with reading_hub(f"--base {source}", f"a {config.model_type}", "folder"):
            _check_config(source, AutoConfig.from_pretrained(str(folder), local_files_only=True), config)
            loaded, report = type(encoder.backbone).from_pretrained(
                str(folder),
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                ignore_mismatched_sizes=True,
                output_loading_info=True,
            )
            settings = read_json(folder / PROCESSOR) if (folder / PROCESSOR).is_file() else {}
            mean, std = (
                torch.tensor(settings.get(key, default), dtype=torch.float32).view(1, 3, 1, 1)
                for key, default in (("image_mean", MEAN), ("image_std", STD))
            )
        _check_tensors(source, report, self.described)
        encoder.backbone.load_state_dict(_trainable(loaded).state_dict())
        encoder.mean.copy_(mean)
        encoder.std.copy_(std)
        by = PROCESSOR if settings else f"ImageNet's, since there is no {PROCESSOR}"
        say(f"--base {source}: images are normalised by {_numbers(mean)} and {_numbers(std)} ({by})")


def _check_config(source: Path, given: Any, wanted: Any) -> None:
    """Refuse a configuration of another network, even if its tensors have the same shapes."""
    if given.model_type != wanted.model_type:
        raise PlanewiseError(
            f"--base {source}: is a {given.model_type}, but the base model's encoder is a {wanted.model_type}"
        )
    names = set(type(wanted).__annotations__) - OF_TRAINING
    wrong = [
        f"{name} {getattr(given, name)}, not {getattr(wanted, name)}"
        for name in sorted(names)
        if _plain(getattr(given, name)) != _plain(getattr(wanted, name))
    ]
    if wrong:
        fitting = [
            name
            for name, other in BACKBONES.items()
            if other.model_type == given.model_type
            and all(_plain(getattr(given, key)) == _plain(getattr(other.config(), key)) for key in names)
        ]
        hint = f"in a copy of its YAML, set architecture: {fitting[0]}" if fitting else "it is of no known size"
        raise PlanewiseError(
            f"--base {source}: {CONFIG} gives {'; '.join(wrong)}, as in the base model's encoder; {hint}"
        )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_tensors(source: Path, report: dict[str, Any], backbone: Backbone) -> None:
    """Refuse weights in which a tensor of the encoder is missing, of another shape or left over."""
    wrong = [f"missing {name}" for name in report["missing_keys"] if not name.startswith(backbone.new)]
    wrong += [f"unexpected {name}" for name in report["unexpected_keys"] if not name.startswith(backbone.unused)]
    wrong += [
        f"{name} has shape {tuple(there)}, {tuple(due)} is needed" for name, there, due in report["mismatched_keys"]
    ]
    if wrong:
        raise PlanewiseError(
            f"--base {source}: {len(wrong)} tensors of {WEIGHTS_FILE} are not those of the {backbone.model_type} that "
            f"{CONFIG} describes, the first: {min(wrong)}"
        )


def _trainable(backbone: nn.Module) -> nn.Module:
    """Keep the token of pretraining's masked patches from being trained, since no output depends on it.

    Hooks of transformers' own forward are removed.
    """
    for module in backbone.modules():
        module._forward_hooks.clear()
        token = getattr(module, "mask_token", None)
        if isinstance(token, nn.Parameter):
            del module.mask_token
            module.register_buffer("mask_token", token.detach())
    return backbone


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:g}" for value in values.flatten().tolist())


def _convolution(channels_in: int, kernel: int, channels: int = CHANNELS, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, kernel, stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
    )


NETWORKS = {name: partial(PanopticBackbone, backbone) for name, backbone in BACKBONES.items()}
