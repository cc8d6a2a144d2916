"""Make mitonet_forward.npz, mitonet_loss.npz and mitonet_volumes.npz: what the published program gives; see README.md.

    pip install --no-deps --target SITE empanada-dl==0.1.7 opencv-python-headless==5.0.0.93
    NUMBA_DISABLE_JIT=1 PYTHONPATH=SITE:tests python tests/reference/make_mitonet.py

Without numba's compiler, for which ``rle_voting`` of that version is no longer acceptable: the same code, interpreted.
"""

from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import networkx as nx
import numpy as np
import torch
from empanada import consensus as published
from empanada.data.utils.target_creation import heatmap_and_offsets
from empanada.inference import filters, patterns
from empanada.inference.engines import PanopticDeepLabRenderEngine3d
from empanada.losses import PanopticLoss
from empanada.models.panoptic_bifpn import PanopticBiFPNPR
from empanada.models.panoptic_deeplab import PanopticDeepLabPR
from empanada.models.quantization.panoptic_bifpn import QuantizablePanopticBiFPNPR
from empanada.models.quantization.panoptic_deeplab import QuantizablePanopticDeepLabPR

from partitions import same_partition
from reference.formulas import AXES, VOLUMES, crowd, loss_inputs, slice_outputs, waves, weights

FOLDER = Path(__file__).parent
DIVISOR = 10_000
V1 = {"encoder": "resnet50", "low_level_stages": [1], "low_level_channels_project": [32], "aspp_dropout": 0.5}
MINI = {"encoder": "resnet50", "fpn_dim": 128, "fpn_layers": 3, "depthwise": True}
NETWORKS: dict[str, tuple[type, type, dict[str, Any]]] = {
    "mitonet_v1": (PanopticDeepLabPR, QuantizablePanopticDeepLabPR, V1),
    "mitonet_v1_mini": (PanopticBiFPNPR, QuantizablePanopticBiFPNPR, MINI),
}


def listed(network: torch.nn.Module) -> str:
    """Return the names and shapes of a network's tensors, a line each."""
    return "\n".join(f"{name}\t{tuple(value.shape)}" for name, value in network.state_dict().items())


def forward(name: str) -> dict[str, np.ndarray]:
    """Return the outputs of a network with formula weights, and what its tensors are called before and after fusing."""
    plain, exported, settings = NETWORKS[name]
    network = plain(**settings, ins_decoder=True).eval()
    shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
    state = {key: torch.from_numpy(value) for key, value in weights(shapes, gain=2).items()}
    network.load_state_dict(state)
    twin = exported(**settings, ins_decoder=True, quantize=False).eval()
    twin.load_state_dict(state)
    with torch.inference_mode():
        x = torch.from_numpy(waves(1, 128, 128))
        outputs = {key: value.numpy() for key, value in network(x).items()}
        coarse = {f"coarse_{key}": value.numpy() for key, value in twin(x, 3, False).items()}
    twin.fuse_model()
    kept = {
        "sem_logits": outputs["sem_logits"][..., ::2, ::2],
        "ctr_hmp": outputs["ctr_hmp"][..., ::5, ::5],
        "offsets": outputs["offsets"][..., ::5, ::5],
        "coarse_sem_logits": coarse["coarse_sem_logits"][..., ::5, ::5],
        "coarse_ctr_hmp": coarse["coarse_ctr_hmp"],
        "coarse_offsets": coarse["coarse_offsets"],
        "keys": np.array(listed(network)),
        "fused_keys": np.array(listed(twin)),
    }
    return {f"{name}/{key}": value for key, value in kept.items()}


def loss() -> dict[str, np.ndarray]:
    """Return the training targets of a slice of labels, and every term of the loss of formula outputs."""
    labels, outputs = loss_inputs()
    heatmap, offsets = heatmap_and_offsets(labels)
    target = {
        "sem": torch.from_numpy(labels > 0).float()[None],
        "ctr_hmp": torch.from_numpy(heatmap)[None],
        "offsets": torch.from_numpy(offsets)[None],
    }
    total, terms = PanopticLoss()({key: torch.from_numpy(value) for key, value in outputs.items()}, target)
    terms |= {"total": total.item()}
    del terms["total_loss"]
    kept = {"ctr_hmp": heatmap, "offsets": offsets, **{f"term_{key}": np.array(value) for key, value in terms.items()}}
    return {f"slice/{key}": value for key, value in kept.items()}


class SaysFormula(torch.nn.Module):
    """Stands in for the network: a slice's only pixel value is its index."""

    def __init__(self, volume: np.ndarray, plane: str, doubt: float) -> None:
        super().__init__()
        self.device = torch.nn.Parameter(torch.zeros(1))  # which is where the engine looks for its device
        self.volume, self.plane, self.doubt = volume, plane, doubt

    def forward(self, x: torch.Tensor, render_steps: int, interpolate_ins: bool) -> dict[str, torch.Tensor]:
        assert render_steps == 2
        assert not interpolate_ins
        outputs = slice_outputs(self.volume, self.plane, int(x[0, 0, 0, 0]), self.doubt)
        return {key: torch.from_numpy(value) for key, value in outputs.items()}


class Nobody:
    """At the other end of the pipe through which the published worker process answers."""

    def send(self, _: Any) -> None: ...
    def close(self) -> None: ...


def drop_small(tracker: Any) -> None:
    """Drop small and flat objects, by the published defaults."""
    filters.remove_small_objects(tracker, min_size=500)
    filters.remove_pancakes(tracker, min_span=5)


def painted(tracker: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Return a tracker's objects as a volume."""
    volume = np.zeros(shape, np.uint16)
    patterns.fill_volume(volume, tracker.instances)
    return volume


def plane_objects(
    network: torch.nn.Module, images: Iterable[torch.Tensor], shape: tuple[int, ...], plane: str
) -> tuple[np.ndarray, Any]:
    """Return the panoptic slices of a plane, stacked along the plane's axis, and the tracker of its 3D objects.

    ``images``: what the network is given of each slice (1, 1, H, W) of a volume of ``shape``.
    """
    engine = PanopticDeepLabRenderEngine3d(
        network, thing_list=[1], label_divisor=DIVISOR, nms_threshold=0.1, nms_kernel=3, confidence_thr=0.5,
        median_kernel_size=3, padding_factor=16, coarse_boundaries=True,
    )  # fmt: skip
    size = tuple(side for axis, side in enumerate(shape) if axis != AXES[plane])
    length = shape[AXES[plane]]
    slices = [engine(image, size) for image in images] + engine.end()
    slices = [np.squeeze(slice_.numpy()) for slice_ in slices if slice_ is not None]
    assert len(slices) == length
    queue: SimpleQueue = SimpleQueue()
    for slice_ in [*slices, "finish"]:
        queue.put(slice_)
    matchers = patterns.create_matchers([1], DIVISOR, 0.25, 0.25)
    stack: list[Any] = []
    patterns.forward_matching(matchers, queue, stack, Nobody(), [1], DIVISOR, [1])
    trackers = patterns.create_axis_trackers({plane: AXES[plane]}, [1], DIVISOR, shape)[plane]
    for index, matched in patterns.backward_matching(stack, matchers, length):
        patterns.update_trackers(matched, index, trackers)
    patterns.finish_tracking(trackers)
    drop_small(trackers[0])
    return np.stack(slices), trackers[0]


def segmented(name: str, shape: tuple[int, ...], count: int, doubt: float) -> dict[str, np.ndarray]:
    """Return every stage of the segmentation of a volume along three planes: slices, planes, consensus."""
    volume = crowd(name, shape, count)
    kept, trackers = {}, []
    for plane in AXES:
        size = tuple(side for axis, side in enumerate(shape) if axis != AXES[plane])
        images = (torch.full((1, 1, *size), float(index)) for index in range(shape[AXES[plane]]))
        slices, tracker = plane_objects(SaysFormula(volume, plane, doubt), images, shape, plane)
        kept[f"slices_{plane}"] = np.where(slices, slices - DIVISOR, 0).astype(np.uint8)
        kept[f"objects_{plane}"] = painted(tracker, shape)
        trackers.append(tracker)
    as_it_is = consensus(trackers)
    kept["consensus"] = consensus_in_order(trackers)
    print(name, "- the order changes nothing:", same_partition(kept["consensus"], as_it_is))  # see README.md
    return {f"{name}/{key}": value for key, value in kept.items()}


def consensus(trackers: list[Any]) -> np.ndarray:
    """Return the volume on which three planes' trackers agree."""
    fused = patterns.create_instance_consensus(trackers, pixel_vote_thr=2, cluster_iou_thr=0.75)
    drop_small(fused)
    return painted(fused, trackers[0].shape3d)


def consensus_in_order(trackers: list[Any]) -> np.ndarray:
    """Return the same, of objects and of clusters in the order of their numbers."""
    with_sets, published.create_graph_of_clusters = published.create_graph_of_clusters, clusters_in_order
    for tracker in trackers:
        tracker.instances = dict(sorted(tracker.instances.items()))
    try:
        return consensus(trackers)
    finally:
        published.create_graph_of_clusters = with_sets


def clusters_in_order(graph: Any, least_iou: float, make: Any = published.create_graph_of_clusters) -> Any:
    """Do the same for the same graph with its nodes in the order of their numbers.

    Which of several equally connected clusters comes first is otherwise settled by the order in which Python happens
    to go through a set.
    """
    ordered = nx.Graph()
    ordered.add_nodes_from(sorted(graph.nodes(data=True), key=lambda node: node[0]))
    ordered.add_edges_from(graph.edges(data=True))
    return make(ordered, least_iou)


def main() -> None:
    torch.set_num_threads(1)
    np.savez_compressed(FOLDER / "mitonet_forward.npz", **forward("mitonet_v1"), **forward("mitonet_v1_mini"))
    np.savez_compressed(FOLDER / "mitonet_loss.npz", **loss())
    volumes = [segmented(name, *numbers) for name, numbers in VOLUMES.items()]
    parts = {key: value for part in volumes for key, value in part.items()}
    np.savez_compressed(FOLDER / "mitonet_volumes.npz", **parts)


if __name__ == "__main__":
    main()
