import numpy as np
import pytest
import torch

from planewise.errors import PlanewiseError
from planewise.models.folding import fold_batch_norms
from planewise.models.panoptic_deeplab import build
from planewise.models.point_rend import sample_points
from reference.formulas import waves, weights
from reference.published import published


def keys_and_shapes(network):
    return sorted(f"{key}\t{tuple(value.shape)}" for key, value in network.state_dict().items())


@pytest.mark.parametrize("name", ["mitonet_v1", "mitonet_v1_mini"])
def test_the_published_outputs_are_reproduced(name):
    """Under the published names, with batch norms apart and folded as in the published files."""
    expected = published("mitonet_forward", name)
    network = build(name).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    network.load_state_dict({key: torch.from_numpy(value) for key, value in weights(shapes, gain=2).items()})
    x = torch.from_numpy(waves(1, 128, 128))
    for keys in ("keys", "fused_keys"):
        if keys == "fused_keys":
            fold_batch_norms(network)
        assert keys_and_shapes(network) == sorted(str(expected[keys]).splitlines())
        with torch.inference_mode():
            outputs = network(x)
            coarse = network(x, 3, False)
        result = {
            "sem_logits": outputs["sem_logits"][..., ::2, ::2],
            "ctr_hmp": outputs["ctr_hmp"][..., ::5, ::5],
            "offsets": outputs["offsets"][..., ::5, ::5],
            "coarse_sem_logits": coarse["sem_logits"][..., ::5, ::5],
            "coarse_ctr_hmp": coarse["ctr_hmp"],
            "coarse_offsets": coarse["offsets"],
        }
        assert expected.keys() == {*result, "keys", "fused_keys"}
        for key, value in result.items():
            assert np.abs(value.numpy() - expected[key]).max() < 1e-4 * np.abs(expected[key]).max(), key


@pytest.mark.parametrize(("name", "count"), [("mitonet_v1", 55_158_486), ("mitonet_v1_mini", 27_350_786)])
def test_number_of_parameters(name, count):
    with torch.device("meta"):
        assert sum(p.numel() for p in build(name).parameters()) == count


SMALL = pytest.mark.parametrize("name", ["mitonet_small", "mitonet_small_unet32"])


@SMALL
@pytest.mark.parametrize("steps", [2, 3])
def test_render_steps_undo_a_downsampling(steps, name):
    network = build(name).eval()
    with torch.inference_mode():
        outputs = network(torch.randn(1, 1, 32, 48), steps, False)
    assert outputs["sem_logits"].shape == (1, 1, 8 * 2**steps, 12 * 2**steps)
    assert outputs["ctr_hmp"].shape == (1, 1, 8, 12)
    assert outputs["offsets"].shape == (1, 2, 8, 12)


@SMALL
def test_training_adds_points(name):
    outputs = build(name).train()(torch.randn(2, 1, 64, 64))
    assert outputs["sem_logits"].shape == (2, 1, 64, 64)
    assert outputs["sem_points"].shape == (2, 1, 1024)
    assert outputs["point_coords"].shape == (2, 1024, 2)
    assert 0 <= outputs["point_coords"].min() <= outputs["point_coords"].max() <= 1


def test_points_are_placed_in_float32_under_autocast():
    torch.manual_seed(0)
    rend = build("mitonet_small").eval().semantic_pr
    rend.render_points = 300
    coarse, features = torch.randn(1, 1, 48, 48), torch.randn(1, 64, 48, 48)
    with torch.inference_mode():
        expected = rend.render(coarse, features, 2)
        with torch.autocast("cpu", torch.bfloat16):
            full, half = rend.render(coarse, features, 2), rend.render(coarse, features.bfloat16(), 2)
    assert full.dtype == half.dtype == torch.float32
    assert torch.equal(full, expected)  # the precision is that of the features, whatever autocast says
    # In half precision the point head's logits are rounded; which points it is asked about is not, to the last tie.
    assert ((half - expected).abs() > 0.02).float().mean() < 0.01


def test_the_points_as_a_product_are_those_of_the_convolutions():
    torch.manual_seed(0)
    head = build("mitonet_small").eval().semantic_pr.point_head
    for module in head.modules():
        if hasattr(module, "bias"):
            torch.nn.init.normal_(module.weight)
            torch.nn.init.normal_(module.bias)
    fine, coarse = torch.randn(2, 64, 100), torch.randn(2, 1, 100)
    with torch.inference_mode():
        assert torch.allclose(head.predict(fine, coarse), head(fine, coarse), rtol=1e-4)


def test_sample_points_reads_x_before_y():
    features = torch.arange(12.0).view(1, 1, 3, 4)
    points = torch.tensor([[[(2 + 0.5) / 4, (1 + 0.5) / 3], [0.5 / 4, (2 + 0.5) / 3]]])
    assert sample_points(features, points).flatten().tolist() == pytest.approx([6, 8])


def test_mitonet_takes_no_encoder_of_the_hub(tmp_path):
    with pytest.raises(PlanewiseError, match=rf"^--base {tmp_path}: PanopticUNet has no encoder from the hub"):
        build("mitonet_small_unet32").load_base(tmp_path)
