"""How one volume of mito is predicted: what is decided before any work, and where its results go."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from planewise.apps.mito_options import MitoPredict
from planewise.data.case import channel_within
from planewise.data.intensity import IntensityRule
from planewise.data.object_tables import table_of_objects
from planewise.inference.confidence import ConfidenceOfVoxels, confidences, write_objects
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions, choose_planes, pixel_note
from planewise.inference.votes import ObjectVotes
from planewise.models.model_file import Calibration, ModelFile
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.slices import Plane
from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Results:
    """Where a volume's result goes, those of its planes, and until all are there, its work: a folder.

    ``objects``: the table of the result's objects; ``confidence``: theirs as a volume, in a folder of its own, where it
    is not taken for labels.
    """

    final: Path
    planes: dict[Plane, Path]
    work: Path
    objects: Path
    confidence: Path | None = None

    @classmethod
    def named(
        cls, folder: Path, name: str, ending: str, planes: tuple[Plane, ...], confidence: bool = False
    ) -> "Results":
        """Return the results {name}{ending}, {name}_{plane}{ending} and {name}_objects.csv in ``folder``."""
        final = folder / f"{name}{ending}"
        of_planes = {plane: folder / f"{name}_{plane}{ending}" for plane in planes}
        certain = folder / "confidence" / f"{name}{ending}" if confidence else None
        return cls(final, of_planes, folder / f"{final.name}.unfinished", table_of_objects(final), certain)

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [*self.planes.values(), self.final, self.objects, *([self.confidence] if self.confidence else [])]


@dataclass(frozen=True)
class VolumeToPredict:
    """A volume that was opened from ``path``, and the ``planes`` it is predicted in; ``why``: those, to read.

    ``unlike``: how far its pixels are from those of the training, to read, if they are; ``calibration``: of its
    objects' confidence, or None and ``uncertain``, why not, to read.
    """

    path: Path
    channel: int | None
    volume: Volume
    planes: tuple[Plane, ...]
    why: str
    unlike: str
    calibration: Calibration | None = None
    uncertain: str = ""

    @classmethod
    def open(cls, path: Path, model: ModelFile, options: MitoPredict) -> "VolumeToPredict":
        """Open the volume at ``path``; voxels are not read. Raises PlanewiseError if it cannot be opened."""
        channel = channel_within(path, options.channel)
        return cls.of(open_volume(path, channel), path, channel, model, options)

    @classmethod
    def of(
        cls, volume: Volume, path: Path, channel: int | None, model: ModelFile, options: MitoPredict
    ) -> "VolumeToPredict":
        """Return how a volume is predicted that was opened from ``path``, or is called so in messages."""
        planes, why = choose_planes(volume, model.planes, options.axes)
        unlike = pixel_note(volume, planes, model.pixel_nm, options.downsampling)
        return cls(path, channel, volume, planes, why, unlike, *_calibration_of(model, planes, options))

    def results(self, folder: Path, name: str, ending: str, options: MitoPredict) -> Results:
        """Return where its results go in ``folder``: see ``Results``."""
        wanted = options.confidence_volume and self.calibration is not None
        return Results.named(folder, name, ending, self.planes, wanted)

    def notes(self, name: str, options: MitoPredict, model: ModelFile) -> Iterator[str]:
        """Yield what is to be said of it before it is predicted, beside its intensities and planes."""
        if self.unlike:
            yield f"{name}: {self.unlike}"
        if self.uncertain and (options.confidence_volume or model.calibration is not None):
            yield f"{name}: {self.uncertain}"

    def slice_options(self, model: ModelFile, options: MitoPredict) -> tuple[SliceOptions, str]:
        """Return how slices are made ready for the model, and what was decided about intensities, to read.

        All voxels are read for it. Raises PlanewiseError if their range is not clear, or contrast is inverted.
        """
        rule = IntensityRule(model.trained_intensities(), options.intensity, options.invert)
        range_, seen, _ = rule.range_of(self.volume, self.path)
        norms = model.norms
        return SliceOptions(range_, norms.mean, norms.std, model.padding_factor, options.downsampling), seen


DECISIVE = {  # options that decide what the results are
    "axes", "channel", "intensity", "invert", "downsampling", "confidence_thr", "center_confidence_thr",
    "min_distance_object_centers", "median_kernel", "min_size", "min_extent", "pixel_vote_thr",
}  # fmt: skip


READ_OF_MODEL = {"norms", "intensities", "planes", "padding_factor", "architecture"}


def settled(options: MitoPredict, model: ModelFile) -> MitoPredict:
    """Return ``options`` with what they leave to the model."""
    asked = options.min_agreement
    return options.model_copy(update={"min_agreement": asked if asked is not None else model.min_agreement or 0.0})


def decisive(options: MitoPredict, model: ModelFile, half: bool) -> dict[str, object]:
    """Return what decides on the results beside the weights: options, the model's YAML, and the precision."""
    values: dict[str, object] = options.model_dump(mode="json", include=DECISIVE)
    if options.min_agreement:  # none is what there was before it could be asked for
        values["min_agreement"] = options.min_agreement
    if options.confidence_volume:
        values["confidence_volume"] = True
    if model.calibration is not None:
        values["calibration"] = model.calibration.model_dump(mode="json")
    return values | {
        "model's YAML": model.model_dump(mode="json", include=READ_OF_MODEL),
        "precision": "bf16" if half else "32",
    }


def grouping_of(options: MitoPredict) -> GroupingOptions:
    """Return how slices become objects."""
    return GroupingOptions(
        confidence=options.confidence_thr, centre_threshold=options.center_confidence_thr,
        centre_kernel=options.min_distance_object_centers, median_kernel=options.median_kernel,
        scale=options.downsampling, min_size=options.min_size, min_extent=options.min_extent,
        min_agreement=options.min_agreement or 0.0,
    )  # fmt: skip


def _calibration_of(
    model: ModelFile, planes: tuple[Plane, ...], options: MitoPredict
) -> tuple[Calibration | None, str]:
    """Return what the confidence of objects predicted in ``planes`` is, or None and why not, to read."""
    known = model.calibration
    if known is None:
        return None, "objects have no confidence: the model was not calibrated"
    if set(planes) != set(known.planes):
        return None, f"objects have no confidence: that of the model is of planes {', '.join(known.planes)} together"
    if options.pixel_vote_thr != 2:
        return None, "objects have no confidence: that of the model is of voxels that 2 planes agree on"
    return known, ""


def write_confidence(case: VolumeToPredict, results: Results, votes: ObjectVotes | None, voxels: np.ndarray) -> None:
    """Write the table of a result's objects and, if it is asked for and known, their confidence as a volume.

    ``voxels`` (objects,): their sizes, of one plane alone; see ``confidence.write_objects``.
    """
    write_objects(results.objects, votes, voxels, case.calibration)
    if results.confidence is not None and votes is not None and case.calibration is not None:
        certain = ConfidenceOfVoxels(open_volume(results.final).voxels, confidences(votes, case.calibration))
        write_volume(results.confidence, case.volume.with_voxels(certain))
