"""A tiny video model of SAM2 with random weights; its image model is our smallest, with ``HIDDEN`` channels."""

import torch
from transformers import Sam2VideoConfig, Sam2VideoModel

from planewise.models.sam2 import build_sam2, initialise

SIDE, HIDDEN = 64, 128


def video_model(version):
    """transformers' video model around our smallest image model, with random weights."""
    torch.manual_seed(1)
    image = build_sam2("mini", SIDE).config
    parts = {
        part: {key: value for key, value in getattr(image, part).to_dict().items() if key != "model_type"}
        for part in ("prompt_encoder_config", "mask_decoder_config")
    }
    config = Sam2VideoConfig(
        vision_config=image.vision_config.to_dict(), image_size=SIDE, num_maskmem=3,
        enable_occlusion_spatial_embedding=version == "2.1",
        enable_temporal_pos_encoding_for_object_pointers=version == "2.1",
        memory_attention_hidden_size=HIDDEN, memory_attention_num_layers=2,
        memory_attention_feed_forward_hidden_size=96,
        memory_attention_rope_feat_sizes=[SIDE // 16] * 2, memory_encoder_hidden_size=HIDDEN,
        memory_encoder_output_channels=64, mask_downsampler_embed_dim=HIDDEN, memory_fuser_embed_dim=HIDDEN,
        memory_fuser_num_layers=1, memory_fuser_intermediate_dim=80, **parts,
    )  # fmt: skip
    model = Sam2VideoModel(config)
    initialise(model)
    shared = model.prompt_encoder.shared_embedding.positional_embedding
    model.shared_image_embedding.positional_embedding.data.copy_(shared.data)
    return model.eval()
