"""SAM2's memory of an object: its appearance in previous slices, by which it is recognised in the next one.

Everything is computed by transformers' ``Sam2VideoModel``, which is given embeddings instead of images: its encoder is
not used. Each object has a memory for each direction. The memory starts from a box. It holds the slice with the box and
the last ``num_maskmem`` - 1 slices in full, and one vector for each earlier slice, as far as SAM2 looks back.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from planewise.errors import PlanewiseError
from planewise.models.faster import faster
from planewise.models.sam2 import MINI, initialise
from planewise.models.sam2_files import Sam2Weights
from planewise.models.sam2_hub import MemorySize, video_config, video_config_with
from planewise.models.sam2_names import is_of_image_model, meta_name, to_meta, transformers_name
from planewise.models.weights import differences, listed, shapes_of

CORNERS = (2, 3)  # labels of points that are the corners of a box
ENCODER = "vision_encoder."
MINI_MEMORY = MemorySize(layers=2, feed_forward=256, fuser_intermediate=256)


@dataclass(frozen=True)
class ObjectMemory:
    """The memory of an object in ``direction`` (+1, -1); direction 0: only the slice that it starts in."""

    session: Any  # transformers' Sam2VideoInferenceSession, of one object
    direction: int = 0

    @property
    def slices(self) -> dict[int, dict[str, Tensor]]:
        """What is stored of slices after the start, by slice."""
        return self.session.output_dict_per_obj[0]["non_cond_frame_outputs"]

    @property
    def start(self) -> dict[int, dict[str, Tensor]]:
        """What is stored of the slice with the box."""
        return self.session.output_dict_per_obj[0]["cond_frame_outputs"]

    def towards(self, direction: int) -> "ObjectMemory":
        """Return a separate memory that continues from the start in ``direction``."""
        memory = ObjectMemory(_session(self.session.num_frames), direction)
        memory.start.update(self.start)
        return memory


@dataclass(frozen=True)
class Sight:
    """The prediction of an object in a slice.

    ``logits`` (h, w) of the chosen mask, all negative if the object is not there; ``score`` (): object score.
    ``offered`` (masks, h, w): the decoder's logits of the masks to choose from; ``ious`` (masks,): their predicted IoU.
    """

    logits: Tensor
    score: Tensor
    offered: Tensor
    ious: Tensor


class MemorySegmenter(nn.Module):
    """Masks of objects from their memory; embeddings are those of ``BoxSegmenter.encode``, for one slice."""

    network: Any  # nn.Module declares that its members may be tensors

    def __init__(self, weights: Sam2Weights, source: Path, fallback: bool = False) -> None:
        """``weights``, from the file ``source``, are copied; ``fallback``: as for ``BoxSegmenter``, for masks in boxes.

        Raises PlanewiseError if the file does not have all tensors of the video model.
        """
        super().__init__()
        self.network, positions = _video_model(weights, source, fallback)
        self.tokens = weights.tokens
        self.register_buffer("positions", positions, persistent=False)  # for the embedding with the largest stride
        self.memory_positions: Tensor | None = None  # the same for all slices and objects, and as large as a memory

    def frozen(self) -> "MemorySegmenter":
        """Prepare permanently for prediction; see ``BoxSegmenter.frozen``."""
        faster(self.eval())
        return self

    def start(
        self, embeddings: list[Tensor], z: int, slices: int, box: Tensor, place: int | None
    ) -> tuple[Tensor, Tensor, ObjectMemory]:
        """Return mask logits (h, w), object score () and memory of the object in ``box`` in slice ``z`` of ``slices``.

        ``box`` (4,): x0, y0, x1, y1 as shares of the sides; ``place``: that of its class among the tokens.
        """
        sight, memory = self.begin(embeddings, z, slices, box, place)
        return sight.logits, sight.score, memory

    def follow(self, embeddings: list[Tensor], z: int, memory: ObjectMemory) -> tuple[Tensor, Tensor]:
        """Return mask logits (h, w) and object score () of the object in slice ``z``; see ``go_on``."""
        sight = self.go_on(embeddings, z, memory)
        return sight.logits, sight.score

    def begin(
        self, embeddings: list[Tensor], z: int, slices: int, box: Tensor, place: int | None
    ) -> tuple[Sight, ObjectMemory]:
        """Segment the object in ``box``, and store it; see ``start``."""
        memory = ObjectMemory(_session(slices))
        corners = box.view(1, 1, 2, 2) * self.network.image_size
        points = {"point_coords": corners, "point_labels": torch.tensor([[CORNERS]], device=box.device)}
        beside = self.network.prompt_encoder.register_forward_hook(partial(self._with_token, place))
        try:
            return self._see(embeddings, z, memory, points), memory
        finally:
            beside.remove()

    def go_on(self, embeddings: list[Tensor], z: int, memory: ObjectMemory) -> Sight:
        """Segment the object in slice ``z``, the next in the memory's direction.

        The slice is stored, and older ones are dropped.
        """
        seen = self._see(embeddings, z, memory, None)
        step, config = memory.direction, self.network.config
        if oldest := memory.slices.get(z - step * (config.num_maskmem - 1)):
            oldest.pop("maskmem_features")  # only its vector is kept
        memory.slices.pop(z - step * (max(config.max_object_pointers_in_encoder, config.num_maskmem) - 1), None)
        return seen

    def _see(self, embeddings: list[Tensor], z: int, memory: ObjectMemory, points: dict[str, Tensor] | None) -> Sight:
        """Segment an object in a slice as ``Sam2VideoModel.forward`` does, and store it. ``points``: its box."""
        session, network = memory.session, self.network
        features = [level.flatten(2).permute(2, 0, 1) for level in embeddings]
        features[-1] = features[-1] - network.no_memory_embedding  # ``encode`` added it, in place of a memory
        cached = {"vision_feats": features, "vision_pos_embeds": [self.positions] * len(features)}
        session.inference_device = session.cache.inference_device = features[-1].device
        session.cache.inference_state_device = features[-1].device
        session.cache.cache_vision_features(z, cached)
        # The decoder's output: transformers returns neither all masks nor, in training, the score.
        decoded: list[Any] = []
        listening = network.mask_decoder.register_forward_hook(lambda module, given, output: decoded.append(output))
        try:
            seen = network._run_single_frame_inference(
                session, z, 0, 1, points is not None, points, None, memory.direction < 0
            )
        finally:
            listening.remove()
        session.cache.clear_all()
        offered, ious, _, score = decoded[0]
        remembered, positions = network._encode_new_memory(
            features[-1], seen["high_res_masks"], score, is_mask_from_pts=points is not None
        )
        if self.memory_positions is None:
            self.memory_positions = positions
        # (1, channels): with its first axis, it would be misread if channels equal the memory's.
        pointer = seen["object_pointer"][0]
        kept = {"object_pointer": pointer, "maskmem_features": remembered}
        where = memory.slices if points is None else memory.start
        where[z] = kept | {"maskmem_pos_enc": self.memory_positions}
        chosen = seen["pred_masks"][0, 0].float()
        return Sight(chosen, score.flatten()[0].float(), offered[0, 0].float(), ious[0, 0].float())

    def _with_token(
        self, place: int | None, module: nn.Module, given: Any, prompts: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Add the token of the class at ``place`` to the box."""
        if place is None or self.tokens is None:
            return prompts
        sparse, dense = prompts
        token = self.tokens(torch.tensor([[place]], device=sparse.device))
        return torch.cat([sparse, token[:, :, None]], dim=2), dense


def _session(slices: int) -> Any:
    """Return a session for one object in this many slices; it holds no images."""
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

    session = Sam2VideoInferenceSession(dtype=torch.float32)
    session.processed_frames = dict.fromkeys(range(slices))
    session.obj_id_to_idx(0)
    return session


def has_memory(weights: Sam2Weights) -> bool:
    """Whether ``weights`` hold tensors of a video model."""
    return video_config(weights.network.config, weights.rest) is not None


def new_memory(weights: Sam2Weights) -> dict[str, Tensor]:
    """Return new random tensors, by Meta's names, that SAM2's video model has in addition to those of ``weights``.

    They are of version 2.1, and initialised as in the original code.
    """
    from transformers import Sam2VideoModel

    size = MINI_MEMORY if weights.size == MINI else MemorySize()
    config = _without_encoder(video_config_with(weights.network.config, size, "2.1"))
    network: Any = Sam2VideoModel(config)
    initialise(network)
    with torch.no_grad():
        for drawn in (
            network.memory_temporal_positional_encoding,
            network.no_object_pointer,
            network.occlusion_spatial_embedding_parameter,
        ):
            nn.init.trunc_normal_(drawn, std=0.02)
        for layer in network.memory_encoder.memory_fuser.layers:
            layer.scale.fill_(config.memory_fuser_layer_scale_init_value)
    return {meta_name(key): value for key, value in network.state_dict().items() if not is_of_image_model(key)}


def require_memory(weights: Sam2Weights, source: Path) -> Any:
    """Return transformers' configuration of the video model that ``weights``, from the file ``source``, belong to.

    Its encoder, which is not used, is minimal. Raises PlanewiseError if tensors of the rest are missing, or do not fit.
    """
    from transformers import Sam2VideoModel

    state = _state(weights)
    config = video_config(weights.network.config, to_meta(weights.network.state_dict()) | weights.rest)
    if config is None:
        raise PlanewiseError(
            f"--propagation memory: {source} has no tensors of SAM2's video model (memory attention, memory encoder); "
            "give a published model, a model trained on one or with --train_clips, or --propagation boxes"
        )
    config = _without_encoder(config)
    with torch.device("meta"):
        expected = shapes_of(Sam2VideoModel(config).state_dict())
    expected = {key: shape for key, shape in expected.items() if not key.startswith(ENCODER)}
    if wrong := differences(expected, shapes_of(state)):
        raise PlanewiseError(
            f"--propagation memory: {len(wrong)} tensors of {source} do not fit SAM2's video model:{listed(wrong)}"
        )
    return config


def _without_encoder(config: Any) -> Any:
    """Return ``config`` with a minimal encoder, since the encoder cannot be left out."""
    trunk = config.vision_config.backbone_config
    trunk.blocks_per_stage, trunk.global_attention_blocks = [1] * len(trunk.blocks_per_stage), []
    return config


def _state(weights: Sam2Weights) -> dict[str, Tensor]:
    """Return the tensors of the video model except its encoder, by transformers' names."""
    state = weights.network.state_dict() | {transformers_name(key): value for key, value in weights.rest.items()}
    return {key: value for key, value in state.items() if not key.startswith(ENCODER)}


def _video_model(weights: Sam2Weights, source: Path, fallback: bool) -> tuple[Any, Tensor]:
    """Return transformers' ``Sam2VideoModel`` without its encoder, and its positions (h w, 1, channels)."""
    from transformers import Sam2VideoModel

    config = require_memory(weights, source)
    config.mask_decoder_config.dynamic_multimask_via_stability = fallback
    network: Any = Sam2VideoModel(config)
    shape = (1, config.vision_config.fpn_hidden_size, *network.backbone_feature_sizes[-1])
    with torch.no_grad():
        positions = network.vision_encoder.neck.position_encoding(shape, torch.device("cpu"), torch.float32)
    del network.vision_encoder
    network.load_state_dict(_state(weights))
    return network.eval(), positions.flatten(2).permute(2, 0, 1)
