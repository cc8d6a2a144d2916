"""Run a panoptic network over the slices of a plane, in batches."""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from planewise.data.intensity import IntensityRange, normalise
from planewise.inference.ahead import ahead
from planewise.inference.executor import Executor
from planewise.inference.gathering import SliceOutputs
from planewise.models.panoptic_deeplab import PanopticNetwork
from planewise.models.weights import inference_network, outputs_of
from planewise.progress import WARNING
from planewise.volumes.formats.sidecar import UNIT_RULE
from planewise.volumes.geometry import pixel_sides_nm, sharp_planes
from planewise.volumes.slices import AXIS, PLANES, Plane, in_batches, pad_to_factor, shrink
from planewise.volumes.tilt import stack_note
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

BATCHES_AHEAD = 2  # read or predicted in advance
UNLIKE_PIXELS = 1.5  # ratio of pixel sizes, to those of the training, from which on a message is printed
LEAST_SHOWN_IN_MM = 0.01  # shorter sides of voxels are shown in nm
WRONG_UNIT = 100.0  # ratio beyond which no microscope explains it


@dataclass(frozen=True)
class SliceOptions:
    """How slices are prepared for the network, which was trained on images with this ``mean`` and ``std``."""

    range: IntensityRange
    mean: float
    std: float
    padding_factor: int
    downsampling: int = 1  # a power of 2


class SlicePredictor(Protocol):
    """Whatever predicts batches of slices: a network here, or several in other processes."""

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        """Yield the outputs of every batch (slices, H, W), in order."""
        ...


@dataclass(frozen=True)
class NetworkPredictor:
    """A network in evaluation mode, on its device; ``half``: in bf16 where precision does not matter."""

    network: PanopticNetwork
    half: bool

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        """See ``SlicePredictor``."""
        ready = ((slices.shape, prepared(slices, options)) for slices in batches)
        for shape, images in ahead(ready, BATCHES_AHEAD):
            yield self.outputs(images, shape[1:], options.downsampling)

    def outputs(self, images: np.ndarray, shape: tuple[int, ...], downsampling: int) -> list[SliceOutputs]:
        """Return the outputs of ``images`` (slices, h, w), prepared; logits at least as large as ``shape`` (H, W).

        A constant slice, such as padding around a specimen, is empty and not predicted.
        """
        device = next(self.network.parameters()).device
        steps = 2 + downsampling.bit_length() - 1  # each doubles the resolution of the quarter grid
        extent = tuple(-(-side // downsampling) for side in shape)
        shows = np.array([_varies(image[: extent[0], : extent[1]]) for image in images])
        outputs: dict[str, np.ndarray] = {}
        if shows.any():
            x = torch.from_numpy((images if shows.all() else images[shows])[:, None]).to(device)
            with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=self.half):
                outputs = {name: tensor.cpu().numpy() for name, tensor in self.network(x, steps, False).items()}
        place, channels = np.cumsum(shows) - 1, outputs_of(self.network.state_dict())
        return [
            SliceOutputs(_of_one(outputs["sem_logits"][i]), outputs["ctr_hmp"][i, 0], outputs["offsets"][i])
            if shown
            else _nothing(images.shape[1:], downsampling, channels)
            for i, shown in zip(place, shows)
        ]


@dataclass(frozen=True)
class NetworkSource:
    """Where a worker loads the network from."""

    weights: Path
    architecture: str | None
    half: bool

    def __call__(self, device: str) -> NetworkPredictor:
        return NetworkPredictor(inference_network(self.weights, self.architecture, device), self.half)


class SharedPredictor:
    """A ``SlicePredictor`` whose batches are shared by the workers of an executor, each with a ``NetworkPredictor``."""

    def __init__(self, workers: Executor) -> None:
        self._workers = workers

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        """See ``SlicePredictor``."""
        waiting: deque[Any] = deque()
        try:
            for slices in batches:
                waiting.append(self._workers.submit_loaded(predict_batch, np.ascontiguousarray(slices), options))
                if len(waiting) > 2 * self._workers.size:
                    yield self._workers.result(waiting.popleft())
            while waiting:
                yield self._workers.result(waiting.popleft())
        finally:
            for batch in waiting:  # of a case that failed
                self._workers.cancel(batch)


def predict_batch(predictor: NetworkPredictor, slices: np.ndarray, options: SliceOptions) -> list[SliceOutputs]:
    """Return the outputs of one batch of slices (n, H, W)."""
    return predictor.outputs(prepared(slices, options), slices.shape[1:], options.downsampling)


def _varies(image: np.ndarray) -> bool:
    """Whether the pixels of ``image`` (H, W) differ; rows are compared only up to the first that shows it."""
    return any(bool((row != image[0, 0]).any()) for row in image)


def _of_one(logits: np.ndarray) -> np.ndarray:
    """Return the logits (K, H, W) of one slice as ``SliceOutputs`` has them: those of one class without their axis."""
    return logits[0] if len(logits) == 1 else logits


def _nothing(shape: tuple[int, ...], downsampling: int, outputs: int) -> SliceOutputs:
    """Return the outputs of a slice without objects, as the network's of a prepared slice of ``shape``."""
    height, width = shape
    coarse = (height // 4, width // 4)
    logits = np.full((outputs, height * downsampling, width * downsampling), -np.inf, np.float32)
    if outputs > 1:
        logits[0] = 0  # background
    return SliceOutputs(_of_one(logits), np.zeros(coarse, np.float32), np.zeros((2, *coarse), np.float32))


def prepared(slices: np.ndarray, options: SliceOptions) -> np.ndarray:
    """Return ``slices`` (n, H, W) shrunk, normalised and padded at their end, float32."""
    if options.downsampling > 1:
        slices = shrink(slices, options.downsampling)
    return pad_to_factor(normalise(slices, options.range, options.mean, options.std), options.padding_factor)


def plane_outputs(
    predictor: SlicePredictor,
    voxels: np.ndarray,
    plane: Plane,
    options: SliceOptions,
    batch_size: int,
    advance: Callable[[int], None],
) -> Iterator[SliceOutputs]:
    """Yield the network's outputs for every slice of ``voxels`` (z, y, x) in ``plane``, in order.

    Logits come back at full resolution. Slices are predicted while earlier ones are used. ``advance`` is called with
    the slices done.
    """
    for outputs in ahead(predictor.predict(in_batches(voxels, plane, batch_size), options), BATCHES_AHEAD):
        yield from outputs
        advance(len(outputs))


def choose_planes(
    volume: Volume, trained: tuple[Plane, ...] | None, asked: tuple[Plane, ...] | None
) -> tuple[tuple[Plane, ...], str]:
    """Return the planes to predict ``volume`` in, and the reason as text: those ``asked`` for that the volume has.

    If none were asked for: the planes that the model was ``trained`` in (None: unknown, so all) in which the volume's
    pixels are square.
    """
    tilted = f"; {stack_note(volume)}" if any(volume.tilt) else ""
    along = [plane for plane in PLANES if all(volume.shape[axis] > 1 for axis in range(3) if axis != AXIS[plane])]
    if asked is not None:
        there = tuple(plane for plane in asked if plane in along) or asked[:1]
        left = [plane for plane in asked if plane not in there]
        return there, f"planes {', '.join(there)}" + (f" ({', '.join(left)}: one voxel wide)" if left else "") + tilted
    sharp = sharp_planes(volume.spacing, volume.shape)
    planes = tuple(plane for plane in sharp if plane in (trained or PLANES)) or sharp
    # NIfTI states mm, whatever was imaged
    shown = "nm" if volume.unit == "mm" and min(volume.spacing) < LEAST_SHOWN_IN_MM else volume.unit
    size = " x ".join(f"{side:.6g}" for side in volume.spacing_in(shown))
    unit = "without a unit" if volume.unit == PIXEL else shown
    stated = volume.unit != PIXEL or len(set(volume.spacing)) > 1
    spacing = f"spacing {size} {unit}" if stated else "no spacing is stated, taken as even"
    model = f"the model was trained in {', '.join(trained)}" if trained else "the model does not state its planes"
    return planes, f"planes {', '.join(planes)} ({spacing}; {model}){tilted}"


def pixel_note(
    volume: Volume, planes: tuple[Plane, ...], trained_nm: tuple[float, float] | None, scale: int = 1
) -> str:
    """Return a message if pixels differ in size from those that a model was trained on; "" if similar, or unknown.

    It is a warning if they differ so much that the unit must be wrong.

    ``trained_nm``: the smallest and the largest side in the training; ``scale``: the factor by which slices are shrunk.
    """
    shown = pixel_sides_nm([volume], planes)
    if shown is None or trained_nm is None:
        return ""
    smallest, largest = (side * scale for side in shown)
    larger, smaller = trained_nm[0] / largest, smallest / trained_nm[1]  # than in training, what the model sees
    shrunk = f" at --downsampling {scale}" if scale > 1 else ""
    sides = f"pixels are {_sides(smallest, largest)} nm{shrunk}, those of the training {_sides(*trained_nm)} nm"
    if max(larger, smaller) < UNLIKE_PIXELS:
        longer, shorter = largest / trained_nm[1], trained_nm[0] / smallest  # one side, but not the other
        if max(longer, shorter) < UNLIKE_PIXELS:
            return ""
        return (
            f"{sides}: objects look stretched by up to {max(longer, shorter):.3g}; give planes with square pixels "
            "(--axes), or resample the volume"
        )
    if (ratio := max(larger, smaller)) > WRONG_UNIT:
        how = "larger" if larger > smaller else "smaller"
        looks = f"objects look {ratio:,.0f} times {how} than in the training"
        return f"{WARNING}{sides}: {looks}: is the unit wrong? {UNIT_RULE}"
    looks, size = (
        (f"{larger:.3g} times larger", larger) if larger > smaller else (f"{smaller:.3g} times smaller", 1 / smaller)
    )
    better = max(1, int(scale * 2.0 ** round(math.log2(size))))
    instead = f", give --downsampling {better}" if better != scale else ""
    return f"{sides}: objects look {looks} than in the training; resample the volume{instead}, or train on such data"


def _sides(smallest: float, largest: float) -> str:
    return f"{smallest:g}" if f"{smallest:g}" == f"{largest:g}" else f"{smallest:g} to {largest:g}"
