"""The settings and the result files of one volume of mito predict, known before any prediction."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planewise.apps.mito.options import PUBLISHED, MitoPredict, too_many_votes
from planewise.apps.mito.predict_settings import calibration_of, limits_of
from planewise.data.case import channel_within
from planewise.data.classes import BACKGROUND, DATASET_FILE
from planewise.data.intensity_rule import IntensityRule
from planewise.data.object_tables import table_of_objects
from planewise.data.panoptic import CLASSES, PanopticClasses
from planewise.errors import PlanewiseError
from planewise.inference.confidence import ConfidenceOfVoxels, confidences, write_objects
from planewise.inference.planes import SliceOptions, choose_planes, pixel_note
from planewise.inference.votes import ObjectVotes
from planewise.models.model_file import Calibration, ModelFile
from planewise.progress import WARNING, first_few, say
from planewise.volumes.files import open_volume, write_volume
from planewise.volumes.geometry import voxel_um3
from planewise.volumes.json_files import read_json, write_json
from planewise.volumes.slices import Plane
from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Results:
    """The files of a volume's result and of its planes' results, and the folder of unfinished work.

    ``objects``: the table of the result's objects. ``confidence``: the volume of their confidence, and ``classes``: the
    class of each voxel, if there are several; each in a separate folder, if wanted. Without things ``classes`` is the
    result itself.
    """

    final: Path
    planes: dict[Plane, Path]
    work: Path
    objects: Path | None
    confidence: Path | None = None
    classes: Path | None = None

    @classmethod
    def named(
        cls,
        folder: Path,
        name: str,
        ending: str,
        planes: tuple[Plane, ...],
        confidence: bool = False,
        classes: bool = False,
    ) -> "Results":
        """Return the results {name}{ending}, {name}_{plane}{ending} and {name}_objects.csv in ``folder``."""
        final = folder / f"{name}{ending}"
        of_planes = {plane: folder / f"{name}_{plane}{ending}" for plane in planes}
        certain = folder / "confidence" / f"{name}{ending}" if confidence else None
        of_classes = folder / CLASSES / f"{name}{ending}" if classes else None
        work = folder / f"{final.name}.unfinished"
        return cls(final, of_planes, work, table_of_objects(final), certain, of_classes)

    @classmethod
    def of_classes(cls, folder: Path, name: str, ending: str) -> "Results":
        """Return the result {name}{ending} in ``folder``, where only the class of each voxel is wanted."""
        final = folder / f"{name}{ending}"
        return cls(final, {}, folder / f"{final.name}.unfinished", None, classes=final)

    @property
    def files(self) -> list[Path]:
        """All files, each once."""
        more = [path for path in (self.objects, self.confidence, self.classes) if path is not None]
        return [*self.planes.values(), *dict.fromkeys((self.final, *more))]


@dataclass(frozen=True)
class VolumeToPredict:
    """A volume that was opened from ``path``, and the ``planes`` it is predicted in.

    ``why``: why these planes, as text; ``unlike``: how far its pixel size is from that of the training data, as text,
    empty if it is alike; ``calibration``: of its objects' confidence, or None, and then ``uncertain``: why, as text.
    ``several``: the model's classes, if it has several; ``stated``: the limits of objects that the model's file states.
    """

    path: Path
    channel: int | None
    volume: Volume
    planes: tuple[Plane, ...]
    why: str
    unlike: str
    calibration: Calibration | None = None
    uncertain: str = ""
    several: PanopticClasses | None = None
    stated: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, model: ModelFile, options: MitoPredict) -> "VolumeToPredict":
        """Open the volume at ``path``; voxels are not read. Raises PlanewiseError if it cannot be opened."""
        channel = channel_within(path, options.channel)
        return cls.of(open_volume(path, channel), path, channel, model, options)

    @classmethod
    def of(
        cls, volume: Volume, path: Path, channel: int | None, model: ModelFile, options: MitoPredict
    ) -> "VolumeToPredict":
        """Return how to predict a volume that was opened from ``path``, or that messages refer to by ``path``."""
        planes, why = choose_planes(volume, model.planes, options.axes)
        unlike = pixel_note(volume, planes, model.pixel_nm, options.downsampling)
        several = model.several
        if why_not := too_many_votes(options.pixel_vote_thr, planes):
            raise PlanewiseError(f"--pixel_vote_thr {options.pixel_vote_thr}: {why_not}")
        if several is not None and len(planes) >= 2 * options.pixel_vote_thr:
            raise PlanewiseError(
                f"--pixel_vote_thr {options.pixel_vote_thr}: with several classes, more than half of "
                f"{len(planes)} planes must agree on a voxel; otherwise it could belong to two classes"
            )
        calibration = calibration_of(model, planes, options)
        return cls(path, channel, volume, planes, why, unlike, *calibration, several, limits_of(model, volume))

    def results(self, folder: Path, name: str, ending: str, options: MitoPredict) -> Results:
        """Return the files of its results in ``folder``: see ``Results``."""
        if options.fuse == "probabilities":
            return Results.of_classes(folder, name, ending)
        classes = self.several is not None
        return Results.named(folder, name, ending, self.planes, options.confidence_volume, classes)

    def notes(self, options: MitoPredict, model: ModelFile) -> Iterator[str]:
        """Yield what to print about the volume before it is predicted, besides its intensities; see ``say_notes``.

        ``options``: with the smallest size of objects in this volume; see ``sized``.
        """
        yield self.why
        if self.unlike:
            yield self.unlike
        if self.uncertain and (self.several is None or self.several.things):
            yield f"{self.uncertain}; that column of the table of objects is empty"
        if options.min_agreement and len(self.planes) > 1:
            yield (
                f"objects are left out if all planes agree on less than {options.min_agreement:g} of their "
                f"voxels; see --min_agreement ({self.set_by('min_agreement', options)})"
            )
        if model.object_sizes is not None and options.min_size is not None:
            each, least = voxel_um3(self.volume), options.min_size
            trained = model.object_sizes.voxels_of(each)
            size = "" if each is None else f" ({least * each:.2g} um^3)"
            whole = model.object_sizes.whole
            have = f"have {trained:,.0f} voxels here" if trained >= 1 else "have less than a voxel here"
            small = f"objects under {least:,} voxels{size} are left out" if least else "no object is left out as small"
            yield (
                f"{WARNING if whole and least > trained else ''}{small}; the smaller objects of the model's training "
                f"data {have if whole else 'are cut by the faces of their volumes'}; see --min_size"
            )

    def sized(self, model: ModelFile, options: MitoPredict) -> MitoPredict:
        """Return ``options``, as ``settled`` returned them, with the smallest size of objects in this volume."""
        if options.min_size is not None or model.object_sizes is None:
            return options
        return options.model_copy(update={"min_size": self.stated["min_size"]})

    def set_by(self, name: str, options: MitoPredict) -> str:
        """Return what set the limit of objects ``name`` to its value in ``options``, as text."""
        value = getattr(options, name)
        if value == self.stated.get(name):
            return "from the model's file"
        return "as published" if value == PUBLISHED[name] else "from the command line"

    def slice_options(
        self, model: ModelFile, options: MitoPredict, tell: Callable[[str], None] = say
    ) -> tuple[SliceOptions, str]:
        """Return how slices are prepared for the model, and what was decided about intensities, as text.

        All voxels are read for this. ``tell``: called with what is in doubt about the volume. Raises
        PlanewiseError if their range is not clear, or contrast is inverted.
        """
        rule = IntensityRule(model.trained_intensities(), options.intensity, options.invert)
        chosen = rule.range_of(self.volume, self.path, options.memory_bytes())
        seen = chosen.decision
        if doubt := chosen.profile.like_labels(self.path):
            tell(doubt)
        for doubt in chosen.doubts:
            tell(doubt)
        if question := rule.unchecked(chosen.profile):
            seen = f"{seen}; its contrast could not be checked"
            tell(question)
        norms = model.norms
        return SliceOptions(chosen.range, norms.mean, norms.std, model.padding_factor, options.downsampling), seen


def say_notes(notes: Mapping[str, Iterable[str]]) -> None:
    """Print the notes on cases, by the case's name: each once, with the cases it is about."""
    cases_of: dict[str, list[str]] = {}
    for name, of_case in notes.items():
        for note in of_case:
            cases_of.setdefault(note, []).append(name)
    for note, names in cases_of.items():
        who = f"all {len(notes)} volumes" if len(names) == len(notes) > 1 else first_few(names)
        say(f"{WARNING if note.startswith(WARNING) else ''}{who}: {note.removeprefix(WARNING)}")


def write_confidence(
    case: VolumeToPredict,
    results: Results,
    votes: ObjectVotes | None,
    voxels: np.ndarray,
    classes: list[str] | None = None,
) -> None:
    """Write the table of a result's objects and, if it is wanted and known, the volume of their confidence.

    ``voxels`` (objects,): their sizes, for a single plane; ``classes``: the class of each object, if there are several;
    see ``confidence.write_objects``.
    """
    if results.objects is None:
        return
    write_objects(results.objects, votes, voxels, case.calibration, classes)
    if results.confidence is not None and votes is not None and case.calibration is not None:
        certain = ConfidenceOfVoxels(open_volume(results.final).voxels, confidences(votes, case.calibration))
        write_volume(results.confidence, case.volume.with_voxels(certain))


def write_class_names(results: Results, several: PanopticClasses, replace: bool = False) -> None:
    """Write the names of the class volume's values into the dataset.json beside it, as nnU-Net does.

    ``replace``: replace the file of another run with other classes, since all results beside it are made again. Raises
    PlanewiseError if another file exists.
    """
    assert results.classes is not None
    path = results.classes.parent / DATASET_FILE
    labels = {BACKGROUND: 0} | {name: value for value, name in several.names.items()}
    content = {"labels": labels, "things": [several.names[value] for value in several.things]}
    there = read_json(path) if path.exists() else content
    if there != content and not (replace and isinstance(there, dict) and there.keys() == content.keys()):
        raise PlanewiseError(f"{path}: names the classes of other results, not {several}; give another --output")
    write_json(path, content)


def things_text(several: PanopticClasses, counts: list[int]) -> str:
    """Return the number of objects of each class as text; ``counts``: one for each class."""
    things = [f"{n} {several.names[value]}" for value, n in zip(several.names, counts) if value in several.things]
    return "; ".join([*([", ".join(things)] if things else []), f"voxels of all classes in {CLASSES}/"])
