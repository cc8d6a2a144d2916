import hashlib
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pooch
import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import Sam2Config, Sam2Model, Sam2VideoConfig, Sam2VideoModel
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession
from transformers.utils import is_torchvision_available

from planewise.errors import PlanewiseError
from planewise.models import zoo
from planewise.models.downloads import cached
from planewise.models.model_file import Trained
from planewise.models.sam2 import SIZES, BoxSegmenter, ClassTokens, build_sam2
from planewise.models.sam2_files import Sam2Weights, load_sam2, save_hub_folder, save_published
from planewise.models.sam2_names import ONLY_IN_2_1, meta_name, to_meta, to_transformers, transformers_name
from reference.published import published
from video_sam2 import HIDDEN, SIDE, video_model

TRAINED = Trained(
    dataset="D", date="2026-01-01", step=5, validated_on="V", score=0.5, loss=0.1, base="MedSAM2",
    base_licence="CC BY-SA 4.0", planewise="0.1.0",
)  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def small():
    """transformers' video model only runs with more channels than a memory, which has 64."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(SIZES, "mini", replace(SIZES["mini"], hidden=HIDDEN))
        yield


@pytest.fixture(scope="module", params=["2.0", "2.1"])
def video(request):
    return request.param, video_model(request.param)


@pytest.fixture(scope="module")
def written(tmp_path_factory, video):
    """A file as Meta's and the hub folder that is written from it, with the model's own tensors."""
    version, model = video
    folder = tmp_path_factory.mktemp("written")
    torch.save({"model": to_meta(model.state_dict())}, folder / "w.pt")
    weights = load_sam2(folder / "w.pt", SIDE)
    assert weights.version == version
    weights.window, weights.trained = (-600.0, 1500.0), TRAINED
    weights.tokens = ClassTokens({1: "a"}, HIDDEN)
    save_hub_folder(folder / "hub", weights)
    return model, weights, folder / "hub"


def test_names_of_all_tensors_go_there_and_back(video):
    version, model = video
    names = set(model.state_dict())
    one_to_one = [name for name in names if not name.startswith(("shared_image", "prompt_encoder.point_embed"))]
    assert [transformers_name(meta_name(name)) for name in one_to_one] == one_to_one
    meta = to_meta(model.state_dict())
    assert bool(ONLY_IN_2_1 & meta.keys()) == (version == "2.1")
    ours, rest = to_transformers(meta)
    assert ours.keys() == build_sam2("mini", SIDE).state_dict().keys()
    assert {transformers_name(key) for key in rest} | ours.keys() == names


@pytest.mark.parametrize("version", ["2.0", "2.1"])
def test_the_video_tensors_of_the_published_files_have_names_in_transformers(version):
    keys = [line.split("\t")[0] for line in str(published("sam2", version)["keys"]).splitlines()]
    on = version == "2.1"
    with torch.device("meta"):
        model = Sam2VideoModel(
            Sam2VideoConfig(enable_occlusion_spatial_embedding=on, enable_temporal_pos_encoding_for_object_pointers=on)
        )
    assert set(keys) == set(to_meta(model.state_dict()))


def test_files_of_a_hub_folder_can_be_read_by_whom_the_umask_says(tmp_path):
    mini = build_sam2("mini", SIDE)
    before = os.umask(0o027)
    try:
        tokens = ClassTokens({1: "a"}, mini.config.mask_decoder_config.hidden_size)
        save_hub_folder(tmp_path / "hub", Sam2Weights(mini, tokens=tokens))
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "hub").iterdir()}
    assert {"model.safetensors", "class_tokens.safetensors", "config.json"} <= modes.keys()
    assert set(modes.values()) == {0o640}


def test_a_hub_folder_keeps_every_tensor(written, tmp_path):
    """As a base it gives what the file gave: Meta's strict load of what is trained on it finds all names."""
    model, weights, hub = written
    again = load_sam2(hub, None)
    assert again.version == weights.version
    assert again.size == "mini"
    assert again.window == (-600.0, 1500.0)
    assert again.trained == TRAINED
    assert again.tokens.names == {1: "a"}
    assert BoxSegmenter(again.network).image_size == SIDE
    for name, one in (("a.pth", weights), ("b.pth", again)):
        save_published(tmp_path / name, one, 0)
    first, second = (torch.load(tmp_path / name, weights_only=True)["model"] for name in ("a.pth", "b.pth"))
    assert first.keys() == second.keys() == {f"sam2_model.{key}" for key in to_meta(model.state_dict())}
    assert all(torch.equal(first[key], value) for key, value in second.items())


def test_the_folder_has_a_card_with_the_metadata_that_the_hub_reads(written):
    _, weights, hub = written
    card = ModelCard.load(hub / "README.md")
    about = card.data.to_dict()
    assert about["library_name"] == "transformers"
    assert about["pipeline_tag"] == "mask-generation"
    assert (about["base_model"], about["license"]) == ("wanglab/MedSAM2", "cc-by-sa-4.0")
    lines = card.text.splitlines()
    for line in (f"| network | SAM2 {weights.version} hiera mini |", "| window, HU | level -600, width 1500 |",
                 "| prompts | boxes, or classes without a box: a |", "| data | D |", "| finished | 2026-01-01 |",
                 "| step | 5 |", "| base model | MedSAM2 |", "| planewise | 0.1.0 |", "| on | V |",
                 "| score | 0.5000 |"):  # fmt: skip
        assert line in lines
    save_hub_folder(hub.with_name("scratch"), Sam2Weights(build_sam2("mini", SIDE)))
    assert "base_model" not in ModelCard.load(hub.with_name("scratch") / "README.md").data.to_dict()


def test_transformers_loads_the_folder_as_video_and_as_image_model(written):
    model, weights, hub = written
    for kind, expected in ((Sam2VideoModel, model), (Sam2Model, weights.network)):
        loaded, about = kind.from_pretrained(hub, output_loading_info=True)
        assert not about["missing_keys"]
        assert not about["mismatched_keys"]
        state = loaded.state_dict()
        assert state.keys() == expected.state_dict().keys()
        assert all(torch.equal(state[key], value) for key, value in expected.state_dict().items())


def test_the_video_model_follows_a_box_through_slices(written):
    model, _, hub = written
    loaded = Sam2VideoModel.from_pretrained(hub).eval()
    frames = torch.rand(3, 3, SIDE, SIDE)
    masks = []
    for network in (model, loaded):
        session = Sam2VideoInferenceSession(video=frames, video_height=SIDE, video_width=SIDE, dtype=torch.float32)
        index = session.obj_id_to_idx(1)
        session.add_point_inputs(
            index,
            0,
            {"point_coords": torch.tensor([[[[10.0, 10.0], [40.0, 50.0]]]]), "point_labels": torch.tensor([[[2, 3]]])},
        )
        session.obj_with_new_inputs.append(1)
        with torch.inference_mode():
            network(session, frame_idx=0)
            masks.append([out.pred_masks for out in network.propagate_in_video_iterator(session)])
    assert len(masks[0]) == 3
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(*masks, strict=True))


def test_the_processors_do_as_we_do(written):
    _, _, hub = written
    image, video, prompts = (
        json.loads((hub / name).read_text())
        for name in ("preprocessor_config.json", "video_preprocessor_config.json", "processor_config.json")
    )
    assert image["size"] == video["size"] == {"height": SIDE, "width": SIDE}
    assert image["mask_size"] == {"height": SIDE // 4, "width": SIDE // 4}
    assert image["image_mean"] == [0.485, 0.456, 0.406]
    assert image["rescale_factor"] == 1 / 255
    assert prompts["target_size"] == SIDE


@pytest.mark.skipif(not is_torchvision_available(), reason="transformers' processors need torchvision")
def test_transformers_own_example_runs_on_the_folder(written):
    from transformers import Sam2Processor, Sam2VideoProcessor

    _, _, hub = written
    model, processor = Sam2Model.from_pretrained(hub), Sam2Processor.from_pretrained(hub)
    image = np.random.default_rng(0).integers(0, 255, (50, 40, 3), dtype=np.uint8)
    inputs = processor(images=image, input_boxes=[[[10, 10, 30, 40]]], return_tensors="pt")
    with torch.inference_mode():
        outputs = model(**inputs, multimask_output=False)
    masks = processor.post_process_masks(outputs.pred_masks, inputs["original_sizes"])[0]
    assert masks.shape == (1, 1, 50, 40)
    assert inputs["pixel_values"].shape == (1, 3, SIDE, SIDE)
    session = Sam2VideoProcessor.from_pretrained(hub).init_video_session(video=[image] * 3)
    assert session.num_frames == 3


def test_a_model_without_video_tensors_is_written_as_an_image_model(tmp_path):
    save_hub_folder(tmp_path / "hub", Sam2Weights(build_sam2("mini", SIDE)))
    config = json.loads((tmp_path / "hub" / "config.json").read_text())
    assert config["model_type"] == "sam2"
    assert config["architectures"] == ["Sam2Model"]
    assert not load_sam2(tmp_path / "hub", None).rest


@pytest.fixture
def hub_cache(tmp_path, monkeypatch):
    """A model as the hub's own cache keeps it: files called by their sha256, and links to them."""
    save_hub_folder(tmp_path / "made", Sam2Weights(build_sam2("mini", SIDE)))
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for path in (tmp_path / "made").iterdir():
        blob = tmp_path / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
        path.rename(blob)
        (tmp_path / "snapshot" / path.name).symlink_to(blob)
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda name, **options: str(tmp_path / "snapshot"))
    return tmp_path / "snapshot"


def test_what_comes_from_the_hub_is_checked_by_its_sha256(hub_cache, capsys):
    weights = (hub_cache / "model.safetensors").resolve()
    assert load_sam2(Path("somebody/sam2.1-mini"), None).size == "mini"
    assert f"its sha256 is {weights.name}" in capsys.readouterr().err
    weights.write_bytes(weights.read_bytes() + b" ")
    with pytest.raises(PlanewiseError, match=rf"^{weights}: its sha256 is .*: it is damaged"):
        load_sam2(Path("somebody/sam2.1-mini"), None)


def test_a_hub_id_without_a_network_is_one_line_that_says_what_to_put_where(monkeypatch, tmp_path):
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache")

    def offline(name, **options):
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(PlanewiseError, match=r"^facebook/sam2\.1-hiera-tiny: .*\(no network\)\. Download") as caught:
        load_sam2(Path("facebook/sam2.1-hiera-tiny"), None)
    said = str(caught.value)
    assert "\n" not in said
    assert "https://huggingface.co/facebook/sam2.1-hiera-tiny/resolve/main/model.safetensors" in said
    published = zoo.of_name("sam2.1_hiera_tiny", "SAM2")
    assert f"download {published.url}, put it at {cached(published.url)}, and give the name sam2.1_hiera_tiny" in said
    with pytest.raises(PlanewiseError, match=r"^somebody/theirs: .*give the path of that folder$"):
        load_sam2(Path("somebody/theirs"), None)


def change_config(folder: Path, **values):
    config = json.loads((folder / "config.json").read_text())
    config["vision_config"]["backbone_config"] |= values
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(("name", "value"), [("window_size_per_stage", [8, 4, 7, 7]), ("global_attention_blocks", [2])])
def test_a_trunk_that_is_not_ours_though_its_tensors_fit_is_refused(tmp_path, name, value):
    save_hub_folder(tmp_path / "hub", Sam2Weights(build_sam2("mini", SIDE)))
    change_config(tmp_path / "hub", **{name: value})
    with pytest.raises(PlanewiseError, match=rf"hub: its config\.json gives {name} as "):
        load_sam2(tmp_path / "hub", None)


def test_what_is_known_of_a_training_is_checked(written, tmp_path):
    hub = shutil.copytree(written[2], tmp_path / "hub")
    (hub / "planewise.json").write_text('{"window": "lung"}')
    with pytest.raises(PlanewiseError, match="window: "):
        load_sam2(hub, None)


def test_every_tensor_of_a_folder_is_read_as_it_is(written):
    model, _, hub = written
    state = load_file(hub / "model.safetensors")
    assert state.keys() == model.state_dict().keys()
    assert Sam2Config.from_pretrained(hub).vision_config.backbone_config.image_size == [SIDE, SIDE]
