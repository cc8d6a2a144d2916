"""What a perfect network would say of a label volume's slices: to test what comes after the network."""

import zlib
from collections.abc import Iterable, Iterator

import numpy as np

from planewise.data.panoptic import class_of
from planewise.inference.gathering import SliceOutputs
from planewise.inference.planes import SliceOptions
from planewise.models.panoptic_loss import panoptic_targets
from planewise.volumes.slices import Plane, as_stack, pad_to_factor


def perfect_outputs(labels: np.ndarray, plane: Plane, scale: int = 1) -> Iterator[SliceOutputs]:
    """Yield the outputs for every slice of ``labels`` (z, y, x), for inputs shrunk by ``scale``."""
    for slice_ in as_stack(labels, plane):
        yield slice_outputs(slice_, scale)


def slice_outputs(labels: np.ndarray, scale: int = 1) -> SliceOutputs:
    """Return the outputs for one slice of labels (H, W)."""
    padded = pad_to_factor(labels, 16 * scale)
    heatmap, offsets = panoptic_targets(padded)
    cells = (slice(None), slice(None, None, 4 * scale), slice(None, None, 4 * scale))
    return SliceOutputs(
        np.where(padded > 0, 4.0, -4.0).astype(np.float32),
        np.ascontiguousarray(heatmap[cells][0]),
        np.ascontiguousarray(offsets[cells] / scale),
    )


def class_outputs(values: np.ndarray, things: tuple[int, ...], classes: int) -> SliceOutputs:
    """Return the outputs for one slice of panoptic values (H, W), of so many ``classes``."""
    outputs = slice_outputs(np.where(np.isin(class_of(values), things), values, 0))
    padded = class_of(pad_to_factor(values, 16))
    logits = np.where(padded == np.arange(1 + classes)[:, None, None], 4.0, -4.0).astype(np.float32)
    return SliceOutputs(logits, outputs.heatmap, outputs.offsets)


class ReadsClasses:
    """A network that sees in slices of panoptic values what a noisy but able one would see."""

    def __init__(self, things: tuple[int, ...], classes: int, noise: float = 3.0) -> None:
        self.things, self.classes, self.noise = things, classes, noise

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        for slices in batches:
            yield [self._outputs(np.ascontiguousarray(values).astype(np.int32)) for values in slices]

    def _outputs(self, values: np.ndarray) -> SliceOutputs:
        outputs = class_outputs(values, self.things, self.classes)
        rng = np.random.default_rng(zlib.crc32(values.tobytes()))
        noise = np.float32(self.noise) * rng.standard_normal(outputs.logits.shape, np.float32)
        return SliceOutputs(outputs.logits + noise, outputs.heatmap, outputs.offsets)


class ReadsLabels:
    """A network that sees in slices of ids what a noisy but able one would see; it knows nothing but the slice."""

    def predict(self, batches: Iterable[np.ndarray], options: SliceOptions) -> Iterator[list[SliceOutputs]]:
        for slices in batches:
            yield [self._outputs(np.ascontiguousarray(ids)) for ids in slices]

    def _outputs(self, ids: np.ndarray) -> SliceOutputs:
        ids = ids.astype(np.int32)
        outputs = slice_outputs(ids)
        rng = np.random.default_rng(zlib.crc32(ids.tobytes()))
        noise = 3 * rng.standard_normal(outputs.logits.shape, np.float32)
        return SliceOutputs(outputs.logits + noise, outputs.heatmap, outputs.offsets)
