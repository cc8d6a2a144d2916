"""Segments what is drawn in a slice of a volume of classes with SAM2: the mask becomes an action."""

import time
from pathlib import Path

import numpy as np

from planewise.correction.actions import Segment, Voxels
from planewise.correction.drawing import Drawing
from planewise.correction.session import Corrections
from planewise.data.case import channel_within
from planewise.data.manifest import manifest_of, named_weights
from planewise.data.prepared import load_patient, read_patient
from planewise.data.source_image import PREPARED
from planewise.data.space import laid_on
from planewise.device import choose_device
from planewise.errors import PlanewiseError
from planewise.inference.drawn import Drawn, along, mask_of
from planewise.inference.encoder import Encoder
from planewise.inference.prompts import Prompt
from planewise.inference.propagation import PropagationOptions, propagate
from planewise.models.sam2 import BoxSegmenter
from planewise.models.sam2_files import Sam2Weights, load_sam2
from planewise.models.zoo import located
from planewise.progress import progress, say
from planewise.volumes.formats.dicom import Series
from planewise.volumes.orientation import Orientation, Place

LUNG_WINDOW = -600.0, 1500.0  # level and width in HU, if neither the result nor the model states a window
KEPT_SLICES = 8  # encoded slices kept in memory
MARGIN = 5.0  # around boxes, in pixels of a 256 x 256 slice, if the result does not state it


class ClassSegmenter:
    """Turns drawings in one case into actions; the model is loaded and the image windowed at the first drawing.

    ``model``: a path or name; None takes the model that made the result. Raises PlanewiseError without model or image.
    """

    def __init__(
        self, corrections: Corrections, image: Path | Series | None, model: str | None, channel: int | None
    ) -> None:
        self.corrections = corrections
        manifest = manifest_of(corrections.result)
        options = {} if manifest is None else manifest.made_from.options
        named = model or (manifest.model if manifest is not None else "") or str(options.get("model named", ""))
        if not named:
            raise PlanewiseError(
                f"segment: {corrections.result} has no planewise.json that says which model made it; give --model"
            )
        if image is None:
            raise PlanewiseError(f"segment: the image of {corrections.result} is not known; give --image")
        self.image = image
        self.margin = float(options.get("bbox_shift", MARGIN))
        source = located(Path(named))
        weights = load_sam2(source, None if model else options.get("image_size"))
        self.model = named_weights(source) if source.exists() else str(source)
        self.orientation = Orientation.of(corrections.canvas.volume)
        self.encoder = self._encoder(weights, options.get("window"), channel)

    def _encoder(self, weights: Sam2Weights, window: list[float] | None, channel: int | None) -> Encoder:
        result = self.corrections.result
        if isinstance(self.image, Path) and self.image.suffix == PREPARED:  # is windowed already
            patient = load_patient(self.image)
        else:
            level, width = window or weights.window or LUNG_WINDOW
            if window is None and weights.window is None:
                say(f"{self.image}: seen in the window {level:g}/{width:g}; the result and the model state none")
            within = channel_within(self.image, channel)
            patient, _ = read_patient(result.name, self.image, None, level, width, channel=within)
        laid_on(self.corrections.canvas.volume, result, patient.geometry, self.image)  # raises if they do not match
        segmenter = BoxSegmenter(weights.network, weights.tokens).to(choose_device("auto")).frozen()
        return Encoder(segmenter, patient.on_every_slice(patient.images, 0), KEPT_SLICES)

    def __call__(self, drawing: Drawing) -> Segment:
        """Return the action for a drawing.

        Raises PlanewiseError if it does not lie in one slice, or if the model segments nothing.
        """
        started = time.perf_counter()
        drawn = self._in_slice(drawing)
        masks = self._through(drawn) if drawing.through else mask_of(self.encoder, drawn, self.margin)[None]
        first = 0 if drawing.through else drawn.z
        if not masks.any():
            raise PlanewiseError(f"segment: the model finds nothing in slice {drawn.z} where it was drawn")
        along_axes = [np.flatnonzero(masks.any(axis=other)) for other in ((1, 2), (0, 2), (0, 1))]
        tight = tuple(slice(int(part[0]), int(part[-1]) + 1) for part in along_axes)
        block = masks[tight]
        at = first + tight[0].start, tight[1].start, tight[2].start
        where = Voxels.of(self.orientation.stored(block), self.orientation.stored_corner(at, block.shape))
        say(f"Slice {drawn.z}: {int(block.sum())} voxels in {time.perf_counter() - started:.2f} s")
        return Segment(label=drawing.label, where=where, drawn=drawing, model=self.model)

    def _in_slice(self, drawing: Drawing) -> Drawn:
        shape = self.orientation.shape
        if not all(0 <= at < side for place in drawing.places for at, side in zip(place, shape)):
            sides = " x ".join(map(str, shape))
            raise PlanewiseError(
                f"segment: what is drawn lies beyond the volume, whose shape (z, y, x) is {sides}; "
                "places are z, y, x, from 0, in voxels of the file: are the axes in another order?"
            )
        placed = [self.orientation.canonical_place(place) for place in drawing.places]
        if len({z for z, _, _ in placed}) > 1:
            axis = self.orientation.order[0]
            raise PlanewiseError(
                f"segment: what is drawn does not lie in one slice; slices are along the file's axis {'zyx'[axis]}, "
                "and a box is one voxel thick there"
            )
        corners = placed if drawing.box is None else placed[:2]
        ys, xs = [y for _, y, _ in corners], [x for _, _, x in corners]
        box = float(min(xs)), float(min(ys)), max(xs) + 1.0, max(ys) + 1.0
        line = along(self._points(drawing.line)) if drawing.line else ()
        inside = (*line, *self._points(drawing.inside))
        return Drawn(placed[0][0], drawing.label, box, inside, self._points(drawing.outside))

    def _points(self, places: tuple[Place, ...]) -> tuple[tuple[float, float], ...]:
        """Return the centres (x, y) of voxels, in pixels of their slice."""
        placed = [self.orientation.canonical_place(place) for place in places]
        return tuple((x + 0.5, y + 0.5) for _, y, x in placed)

    def _through(self, drawn: Drawn) -> np.ndarray:
        """Return the mask (N, H, W) of the object in all slices that it passes through; points act in their slice."""
        label = drawn.label or 1
        prompts = [Prompt(label, drawn.z, drawn.box)]
        slices = len(self.encoder.images)
        with progress("following the object", slices, unit="slices") as advance:
            consecutive = np.ones(slices - 1, bool)
            labels = propagate(self.encoder, consecutive, prompts, PropagationOptions(margin=self.margin), advance)
        labels[drawn.z] = np.where(mask_of(self.encoder, drawn, self.margin), label, 0)
        return labels == label
