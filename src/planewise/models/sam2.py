"""SAM2 (Ravi et al. 2024, arXiv:2408.00714) as transformers builds it, prompted with boxes and learned classes."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from planewise.errors import PlanewiseError
from planewise.models.faster import NoPositions, faster
from planewise.models.sam2_masks import OtherMasks, all_masks, stable_masks

Answers = tuple[tuple[Tensor, ...] | None, ...]  # for each kind of prompts, see ``BoxSegmenter.forward``
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, for intensities in 0..1


def initialise(network: nn.Module) -> None:
    """Draw new weights as the original code's layers do: with transformers' smaller ones, heads hardly learn."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d | nn.Embedding):
            module.reset_parameters()


@dataclass(frozen=True)
class Size:
    """What differs between the sizes of SAM2: the trunk (Hiera), and, for mini, the width of the rest."""

    width: int  # channels of the trunk's first stage; each stage has twice as many as the one before
    heads: int  # of the first stage; doubled likewise
    blocks: tuple[int, ...]  # of each stage
    global_blocks: tuple[int, ...]  # blocks that attend to the whole image; the others attend within windows
    windows: tuple[int, ...] = (8, 4, 14, 7)
    background: int = 7  # side of the position grid that is added to the positions within a window
    hidden: int = 256


MINI = "mini"
SIZES = {
    "tiny": Size(96, 1, (1, 2, 7, 2), (5, 7, 9)),
    "small": Size(96, 1, (1, 2, 11, 2), (7, 10, 13)),
    "base_plus": Size(112, 2, (2, 3, 16, 3), (12, 16, 20), background=14),
    "large": Size(144, 2, (2, 6, 36, 4), (23, 33, 43), windows=(8, 4, 16, 8)),
    MINI: Size(24, 1, (1, 1, 2, 1), (3,), hidden=64),
}


def build_sam2(name: str, image_size: int) -> Any:
    """Return transformers' ``Sam2Model`` with random weights.

    ``name``: one of ``SIZES``: the published tiny (31.4 M parameters), small, base_plus or large, or mini (0.9 M), for
    training from scratch on small data. ``image_size``: side of its square input, a multiple of 32.
    """
    from transformers import Sam2Config, Sam2Model

    if image_size % 32:
        raise PlanewiseError(f"--image_size {image_size}: must be a multiple of 32")
    size = SIZES[name]
    stages = [2**stage for stage in range(len(size.blocks))]
    channels = [size.width * factor for factor in stages]
    backbone: dict[str, Any] = {
        "image_size": [image_size, image_size],
        "hidden_size": size.width,
        "num_attention_heads": size.heads,
        "embed_dim_per_stage": channels,
        "num_attention_heads_per_stage": [size.heads * factor for factor in stages],
        "blocks_per_stage": list(size.blocks),
        "global_attention_blocks": list(size.global_blocks),
        "window_size_per_stage": list(size.windows),
        "window_positional_embedding_background_size": [size.background] * 2,
    }
    decoder = {"hidden_size": size.hidden, "dynamic_multimask_via_stability": False}
    if name == MINI:
        decoder |= {"mlp_dim": 256, "num_attention_heads": 4, "iou_head_hidden_dim": size.hidden}
    vision = {
        "backbone_config": {"model_type": "sam2_hiera_det_model", **backbone},
        "backbone_channel_list": channels[::-1],
        "backbone_feature_sizes": [[image_size // stride] * 2 for stride in (4, 8, 16)],
        "fpn_hidden_size": size.hidden,
    }
    config = Sam2Config(
        vision_config=vision,
        prompt_encoder_config={"image_size": image_size, "hidden_size": size.hidden},
        mask_decoder_config=decoder,
    )
    network: Any = Sam2Model(config)
    # One set of random frequencies encodes positions of boxes and of the image; published files hold it once.
    frequencies = network.prompt_encoder.shared_embedding.positional_embedding
    network.shared_image_embedding.positional_embedding.data.copy_(frequencies.data)
    return network


class ClassTokens(nn.Module):
    """A learned prompt token for each class: with a box that delimits no object, it selects the class to segment.

    ``names``: the classes by number; ``weight`` (classes, channels), in that order.
    """

    def __init__(self, names: dict[int, str], channels: int) -> None:
        super().__init__()
        self.names = dict(names)
        self.weight = nn.Parameter(torch.randn(len(names), channels))  # initialised as SAM2's prompt tokens are

    def forward(self, classes: Tensor) -> Tensor:
        """Return the tokens (..., channels) of ``classes``, their places in ``names``."""
        return self.weight[classes]


class BoxSegmenter(nn.Module):
    """Masks of the objects in boxes: each slice is encoded once, and all its boxes are decoded in one call."""

    network: Any  # nn.Module declares that its members may be tensors

    def __init__(
        self, network: nn.Module, tokens: ClassTokens | None = None, checkpointing: bool = False, fallback: bool = False
    ) -> None:
        """``checkpointing``: recompute the encoder's blocks in the backward pass, to save memory.

        ``fallback``: replace unstable masks, see ``stable_masks``.
        """
        super().__init__()
        self.network = network
        self.tokens = tokens
        self.fallback = fallback
        # The decoder makes all masks in any case; with this hook it returns them, and the choice is made here.
        self.network.mask_decoder.dynamic_multimask_via_stability = True
        self.network.mask_decoder._dynamic_multimask_via_stability = all_masks
        self.others = OtherMasks(self.network.mask_decoder)
        self.checkpointing = checkpointing
        if checkpointing:
            for block in self.network.vision_encoder.backbone.blocks:
                block.forward = _recomputed(block.forward)

    def frozen(self) -> "BoxSegmenter":
        """Prepare permanently for prediction: in evaluation mode, with everything precomputed that all slices share.

        Call it when the network is on its device. Results are equal up to the rounding of float32.
        """
        faster(self.eval())
        encoder = self.network.vision_encoder
        side = self.image_size // 4
        with torch.inference_mode():
            positions = encoder.backbone._get_pos_embed((side, side))
        encoder.backbone._get_pos_embed = lambda hw: positions
        encoder.neck.position_encoding = NoPositions()
        return self

    @property
    def image_size(self) -> int:
        """Side of the square input."""
        return int(self.network.config.vision_config.backbone_config.image_size[0])

    def encode(self, slices: Tensor) -> list[Tensor]:
        """Return the embeddings of ``slices`` (N, H, W), in 0..1: three features at strides 4, 8 and 16."""
        side = self.image_size
        x = F.interpolate(slices[:, None].float(), size=(side, side), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values, device=x.device).view(1, 3, 1, 1) for values in (MEAN, STD))
        features = self.network.get_image_features((x - mean) / std, return_dict=True).fpn_hidden_states
        features[-1] = features[-1] + self.network.no_memory_embedding
        sizes = self.network.backbone_feature_sizes
        return [f.permute(1, 2, 0).reshape(len(x), -1, *size) for f, size in zip(features, sizes)]

    def decode(
        self,
        embeddings: list[Tensor],
        boxes: Tensor,
        classes: Tensor | None = None,
        points: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return mask logits (N, P, h, w), h = image size / 4, and object scores (N, P), both float32.

        ``boxes`` (N, P, 4): x0, y0, x1, y1 as shares of the slice's sides, 0..1. ``classes`` (N, P): the class whose
        token is added to each box, by its place in ``tokens.names``; None prompts with boxes only. ``points``: their
        positions (N, P, K, 2), as shares too, and labels (N, P, K): 1 in the object, 0 outside, -1 for no point.
        """
        masks, scores, _ = self.decode_rated(embeddings, boxes, classes, points)
        return masks, scores

    def decode_rated(
        self,
        embeddings: list[Tensor],
        boxes: Tensor,
        classes: Tensor | None = None,
        points: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the results of ``decode``, and the IoU (N, P) that the model predicts for its first mask."""
        masks, ious, scores = self._decode_all(embeddings, boxes, classes, points)
        return stable_masks(masks, ious) if self.fallback else masks[:, :, 0], scores, ious[:, :, 0]

    def _decode_all(
        self,
        embeddings: list[Tensor],
        boxes: Tensor,
        classes: Tensor | None,
        points: tuple[Tensor, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the logits of four masks (N, P, 4, h, w), their predicted IoUs (N, P, 4), and object scores (N, P).

        The first mask is the usual result; the other three are those that SAM2 offers if a prompt is ambiguous.
        """
        network = self.network
        network.mask_decoder.training = False  # in training mode it returns one mask; no layer of it differs otherwise
        at, inside = (None, None) if points is None else (points[0] * self.image_size, points[1])
        sparse, dense = network.prompt_encoder(at, inside, boxes * self.image_size, None)
        if classes is not None and self.tokens is not None:
            sparse = torch.cat([sparse, self.tokens(classes)[:, :, None]], dim=2)
        masks, ious, _, scores = network.mask_decoder(
            image_embeddings=embeddings[-1],
            image_positional_embeddings=network.get_image_wide_positional_embeddings().repeat(len(boxes), 1, 1, 1),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
            high_resolution_features=embeddings[:-1],
        )
        if torch.is_grad_enabled() and classes is None:
            masks = self.others.detached(masks)
        self.others.forget()
        return masks.float(), ious.float(), scores[..., 0].float()

    def forward(
        self,
        slices: Tensor,
        boxes: Tensor | None,
        asked_boxes: Tensor | None = None,
        asked_classes: Tensor | None = None,
    ) -> Answers:
        """Encode once, and decode both ``boxes`` only and ``asked_boxes`` with the tokens of ``asked_classes``.

        Returns two results, each None if its boxes are not given: mask logits and object scores (N, P). The logits for
        ``boxes`` are those of all four masks (N, P, 4, h, w), see ``_decode_all``; for ``asked_boxes`` (N, P, 1, h, w).
        """
        return self.answer(self.encode(slices), boxes, asked_boxes, asked_classes)

    def answer(
        self, embeddings: list[Tensor], boxes: Tensor | None, asked_boxes: Tensor | None, asked_classes: Tensor | None
    ) -> Answers:
        """Decode the prompts as ``forward`` does."""
        decoded: list[tuple[Tensor, Tensor] | None] = []
        for prompts, classes in ((boxes, None), (asked_boxes, asked_classes)):
            if prompts is None:
                decoded.append(None)
            else:
                masks, _, scores = self._decode_all(embeddings, prompts, classes)
                decoded.append((masks if classes is None else masks[:, :, :1], scores))
        return decoded[0], decoded[1]

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The parts that can be trained separately, by name."""
        return {"encoder": self.network.vision_encoder, "decoder": self.network.mask_decoder}

    @property
    def classes(self) -> dict[int, int]:
        """The token's place for each class that has one, by number; empty for a model that needs boxes."""
        return {} if self.tokens is None else {value: place for place, value in enumerate(self.tokens.names)}


def _recomputed(forward: Any) -> Any:
    return lambda *arguments, **options: checkpoint(forward, *arguments, use_reentrant=False, **options)
