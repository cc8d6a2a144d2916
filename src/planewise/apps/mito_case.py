"""How one volume of mito is predicted: what is decided before any work, and where its results go."""

from dataclasses import dataclass
from pathlib import Path

from planewise.apps.mito_options import MitoPredict
from planewise.data.case import channel_within
from planewise.data.intensity import IntensityRule
from planewise.inference.gathering import GroupingOptions
from planewise.inference.planes import SliceOptions, choose_planes, pixel_note
from planewise.models.model_file import ModelFile
from planewise.volumes.files import open_volume
from planewise.volumes.slices import Plane
from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Results:
    """Where a volume's result goes, those of its planes, and until all are there, its work: a folder."""

    final: Path
    planes: dict[Plane, Path]
    work: Path

    @classmethod
    def named(cls, folder: Path, name: str, ending: str, planes: tuple[Plane, ...]) -> "Results":
        """Return the results {name}{ending} and {name}_{plane}{ending} in ``folder``."""
        final = folder / f"{name}{ending}"
        of_planes = {plane: folder / f"{name}_{plane}{ending}" for plane in planes}
        return cls(final, of_planes, folder / f"{final.name}.unfinished")

    @property
    def files(self) -> list[Path]:
        """All of them."""
        return [*self.planes.values(), self.final]


@dataclass(frozen=True)
class VolumeToPredict:
    """A volume that was opened from ``path``, and the ``planes`` it is predicted in; ``why``: those, to read.

    ``unlike``: how far its pixels are from those of the training, to read, if they are.
    """

    path: Path
    channel: int | None
    volume: Volume
    planes: tuple[Plane, ...]
    why: str
    unlike: str

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
        return cls(path, channel, volume, planes, why, pixel_note(volume, planes, model.pixel_nm, options.downsampling))

    def slice_options(self, model: ModelFile, options: MitoPredict) -> tuple[SliceOptions, str]:
        """Return how slices are made ready for the model, and what was decided about intensities, to read.

        All voxels are read for it. Raises PlanewiseError if their range cannot be told, or contrast is inverted.
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
    said: dict[str, object] = options.model_dump(mode="json", include=DECISIVE)
    if options.min_agreement:  # none is what there was before it could be asked for
        said["min_agreement"] = options.min_agreement
    return said | {
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
