"""One label volume, measured: a table of its objects, their contacts, and the volume as a whole."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from planewise.errors import PlanewiseError
from planewise.evaluation.object_classes import class_doubts, class_of_objects
from planewise.evaluation.open_pairs import as_one_class
from planewise.evaluation.overlap import MAX_LABEL, OverlapCounter
from planewise.evaluation.surfaces import SurfaceParts
from planewise.measurement.class_contacts import Classes, class_contacts, key_of
from planewise.measurement.columns import DISTRIBUTED
from planewise.measurement.contacts import HALO, ContactCounter, Contacts
from planewise.measurement.crops import masks
from planewise.measurement.objects import ObjectCounter, Objects
from planewise.measurement.skeleton import centre_line
from planewise.measurement.surface import sphericity, surface_area
from planewise.measurement.volume_summary import Distribution, counted, distribution, frame_voxels, weights
from planewise.progress import progress
from planewise.volumes.labels import slab_starts
from planewise.volumes.machine import machine_memory
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Spacing, Volume

BYTES_A_VOXEL = 48  # that surface and centre line take of the box of an object


@dataclass(frozen=True)
class Measured:
    """What was measured of a volume of ``shape``; keys are those of ``columns``.

    ``physical``: whether ``spacing`` (z, y, x) is in micrometres; else it is in sides of the smallest voxel side.
    ``objects``: for each key the values of the n ``labels``. ``contacts``: each pair of labels once. ``too_large``: the
    labels whose surface and centre line were not measured. ``classes``: where there are several.
    """

    shape: tuple[int, int, int]
    spacing: Spacing
    physical: bool
    labels: np.ndarray
    objects: dict[str, np.ndarray]
    contacts: Contacts
    volume: dict[str, float]
    distributions: dict[str, Distribution]
    too_large: list[int] = field(default_factory=list)
    classes: Classes | None = None

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it; NaN, not measured, is null."""
        return {
            "shape": list(self.shape),
            "spacing": list(self.spacing),
            "physical": self.physical,
            "labels": self.labels.tolist(),
            "objects": {key: [json_number(value) for value in values.tolist()] for key, values in self.objects.items()},
            "contacts": {
                "first": self.contacts.first.tolist(),
                "second": self.contacts.second.tolist(),
                "area": self.contacts.area.tolist(),
            },
            "volume": {key: json_number(value) for key, value in self.volume.items()},
            "too_large": self.too_large,
        } | ({} if self.classes is None else {"classes": self.classes.as_json()})

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> "Measured":
        """Return what ``as_json`` gave."""
        objects = {
            key: np.array([math.nan if value is None else value for value in values], float)
            for key, values in stored["objects"].items()
        }
        pairs = stored["contacts"]
        contacts = Contacts(
            np.array(pairs["first"], np.int64), np.array(pairs["second"], np.int64), np.array(pairs["area"], float)
        )
        volume = {key: math.nan if value is None else value for key, value in stored["volume"].items()}
        (depth, height, width), (z, y, x) = stored["shape"], stored["spacing"]
        return cls(
            (depth, height, width),
            (z, y, x),
            stored["physical"],
            np.array(stored["labels"], np.int64),
            objects,
            contacts,
            volume,
            _distributions(objects),
            stored["too_large"],
            Classes.from_json(stored["classes"]) if "classes" in stored else None,
        )


def json_number(value: float) -> float | int | None:
    """Return a number as JSON has it: whole ones without a point, as far as a float holds them; None for NaN."""
    if math.isnan(value):
        return None
    return int(value) if float(value).is_integer() and abs(value) < 2**53 else value


def spacing_of(volume: Volume) -> tuple[Spacing, bool]:
    """Return the spacing (z, y, x) in micrometres, and True; in the smallest voxel side, and False, without a unit."""
    if volume.unit != PIXEL:
        return volume.spacing_in("um"), True
    z, y, x = (size / min(volume.spacing) for size in volume.spacing)
    return (z, y, x), False


def measure_volume(
    labels: Volume,
    image: Volume | None = None,
    references: Mapping[str, Volume] | None = None,
    name: str = "volume",
    most_bytes: int | None = None,
    classes: Volume | None = None,
    class_names: Mapping[int, str] | None = None,
    things: tuple[int, ...] | None = None,
) -> Measured:
    """Measure the objects of a label volume, read slab by slab, and then object by object.

    ``image`` and ``references``: other volumes of the same shape, voxel by voxel, for intensities, and for contacts and
    distances to labels of theirs; ``classes``: another, that says which class, of ``class_names``, each voxel is of: a
    reference by the name of each class, but for the objects of that class. ``things``: the classes that objects can be
    of, where that is known. ``name``: what progress is shown of.

    Surface and centre line need the whole box of an object in memory: those of objects that need more than
    ``most_bytes``, by default half of this machine's memory, are NaN. Raises PlanewiseError if a file turns out to be
    damaged, or holds no labels.
    """
    named = dict(class_names or {}) if classes is not None else {}
    references = dict(references or {})
    for value, of_class in named.items():
        assert classes is not None
        references[key_of(of_class)] = as_one_class(classes, 1, (value,))
    spacing, physical = spacing_of(labels)
    objects, contacts, touched = _count(labels, image, references, spacing, name)
    columns = _from_counts(objects, spacing, contacts)
    shaped, too_large = _shapes(labels, objects, spacing, most_bytes or machine_memory() // 2, name)
    columns |= shaped
    columns["surface_to_volume"] = columns["surface"] / columns["volume"]
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["sphericity"] = sphericity(columns["volume"], columns["surface"])
    for key, pairs in touched.items():
        number, area = pairs.of(objects.labels)
        columns |= {f"{key}_contacts": number.astype(float), f"{key}_contact_area": area}
        columns[f"{key}_distance"] = _distances(labels, references[key], objects, spacing)
    of_classes = (
        None if classes is None else _classes(labels, classes, named, objects, contacts, columns, spacing, things)
    )
    return Measured(
        labels.shape,
        spacing,
        physical,
        objects.labels,
        columns,
        contacts.once,
        _of_volume(objects, spacing, contacts.once),
        _distributions(columns),
        too_large,
        of_classes,
    )


def _classes(
    labels: Volume,
    classes: Volume,
    names: dict[int, str],
    objects: Objects,
    contacts: Contacts,
    columns: dict[str, np.ndarray],
    spacing: Spacing,
    things: tuple[int, ...] | None,
) -> Classes:
    """Return the class of each object and the contacts of classes; what ``columns`` say of an object's own class, as of
    a reference, becomes NaN: contacts with others of its class are those of objects."""
    overlap, between = OverlapCounter(), ContactCounter(spacing)
    for planes in slab_starts(labels.shape):
        slab, core = _with_halo(classes, planes)
        slab = np.where(np.isin(slab, tuple(names)), slab, 0)  # the ignore label is no class
        between.add(slab, slab, core)
        overlap.add(np.asarray(labels.voxels[planes]), slab[core])
    table = overlap.table()
    of_object = class_of_objects(objects.labels, table, things)
    touched = {value: columns[f"{key_of(name)}_contacts"].copy() for value, name in names.items()}
    for value, name in names.items():
        for what in ("contacts", "contact_area", "distance"):
            key = f"{key_of(name)}_{what}"
            columns[key] = np.where(of_object == value, math.nan, columns[key])
    contacts_of_classes = class_contacts(names, of_object, objects.labels, contacts, between.contacts().once, touched)
    doubts = class_doubts(table, names, things, "they are measured as of no class")
    return Classes(names, of_object, contacts_of_classes, doubts)


def _count(
    labels: Volume, image: Volume | None, references: Mapping[str, Volume], spacing: Spacing, name: str
) -> tuple[Objects, Contacts, dict[str, Contacts]]:
    """Return what is counted voxel by voxel: the objects, their contacts, and those with each reference."""
    counter, within = ObjectCounter(labels.shape), ContactCounter(spacing)
    beyond = {key: ContactCounter(spacing) for key in references}
    with progress(f"counting {name}", labels.shape[0], unit="slices") as advance:
        for planes in slab_starts(labels.shape):
            slab, core = _with_halo(labels, planes)
            counter.add(slab[core], planes.start, None if image is None else np.asarray(image.voxels[planes]))
            within.add(slab, slab, core)
            for key, reference in references.items():
                beyond[key].add(slab, _with_halo(reference, planes)[0], core)
            advance(planes.stop - planes.start)
    return counter.objects(), within.contacts(), {key: counter.contacts() for key, counter in beyond.items()}


def _with_halo(volume: Volume, planes: slice, halo: int = HALO) -> tuple[np.ndarray, slice]:
    """Return ``planes`` of labels, uint32, with those around them, and which of them are ``planes``."""
    first, stop = max(planes.start - halo, 0), min(planes.stop + halo, volume.shape[0])
    read = np.asarray(volume.voxels[first:stop])
    if read.dtype.itemsize >= 4 and read.size and read.max() > MAX_LABEL:
        raise PlanewiseError(f"labels reach {read.max()}; at most {MAX_LABEL} is supported: renumber them")
    return read.astype(np.uint32, copy=False), slice(planes.start - first, planes.stop - first)


def _from_counts(objects: Objects, spacing: Spacing, contacts: Contacts) -> dict[str, np.ndarray]:
    axes = objects.axes(spacing)
    number, area = contacts.of(objects.labels)
    columns = {
        "voxels": objects.voxels,
        "volume": objects.voxels * math.prod(spacing),
        "major_axis": axes[:, 0],
        "middle_axis": axes[:, 1],
        "minor_axis": axes[:, 2],
        **{axis: objects.centroids[:, i] * spacing[i] for i, axis in enumerate("zyx")},
        "touches_border": objects.touches_border,
        "counted": counted(objects),
        "weight": weights(objects),
        "contacts": number,
        "contact_area": area,
    }
    if objects.intensity is not None:
        columns["mean_intensity"] = objects.intensity / objects.voxels
    return {key: np.asarray(values, float) for key, values in columns.items()}


def _shapes(
    labels: Volume, objects: Objects, spacing: Spacing, most_bytes: int, name: str
) -> tuple[dict[str, np.ndarray], list[int]]:
    """Return surfaces and centre lines, and the labels of those objects that are too large for them."""
    keys = ("surface", "length", "branches", "end_points", "loops", "radius", "pieces")
    columns = {key: np.full(len(objects), math.nan) for key in keys}
    too_large = []
    with progress(f"measuring {name}", len(objects), unit="objects") as advance:
        for row, mask in masks(labels.voxels, objects, most_bytes // BYTES_A_VOXEL):
            advance()
            if mask is None:
                too_large.append(int(objects.labels[row]))
                continue
            line = centre_line(mask, spacing)
            values = (
                surface_area(mask, spacing),
                line.length,
                line.branches,
                line.end_points,
                line.loops,
                line.radius,
                line.pieces,
            )
            for key, value in zip(keys, values, strict=True):
                columns[key][row] = value
    return columns, too_large


def _distances(labels: Volume, reference: Volume, objects: Objects, spacing: Spacing) -> np.ndarray:
    """Return the least distance of each object from the reference (n,), between centres of voxels; NaN if it is empty.

    Only surfaces are looked at: of the reference all of it, of the objects slab by slab.
    """
    parts = SurfaceParts()
    for slab, start in _bordered(reference):
        parts.add((slab > 0).astype(np.uint8), start)
    surface = parts.joined().points
    least = np.full(len(objects), math.inf)
    if len(surface) == 0:
        return np.full(len(objects), math.nan)
    tree = cKDTree(surface * np.array(spacing))
    for (slab, start), (other, _) in zip(_bordered(labels), _bordered(reference), strict=True):
        parts = SurfaceParts()
        parts.add(slab, start)
        of_slab = parts.joined()
        near, _ = tree.query(of_slab.points * np.array(spacing))
        np.minimum.at(least, np.searchsorted(objects.labels, of_slab.labels), near)
        inside = slab[1:-1][(other[1:-1] > 0) & (slab[1:-1] > 0)]
        least[np.searchsorted(objects.labels, np.unique(inside))] = 0
    return least


def _bordered(volume: Volume) -> Iterator[tuple[np.ndarray, int]]:
    """Yield slabs with a plane more on either side, zeros beyond the volume, and the first plane of each."""
    for planes in slab_starts(volume.shape):
        slab, core = _with_halo(volume, planes, 1)
        before, after = 1 - core.start, 1 - (len(slab) - core.stop)
        yield np.pad(slab, ((before, after), (0, 0), (0, 0))), planes.start


def _of_volume(objects: Objects, spacing: Spacing, contacts: Contacts) -> dict[str, float]:
    voxel, size = math.prod(spacing), math.prod(objects.shape)
    frame, inside = frame_voxels(objects.shape) * voxel, int(counted(objects).sum())
    return {
        "objects": len(objects),
        "touching_border": int(objects.touches_border.sum()),
        "volume": size * voxel,
        "object_volume": int(objects.voxels.sum()) * voxel,
        "volume_fraction": int(objects.voxels.sum()) / size,
        "frame_count": inside,
        "frame_volume": frame,
        "number_density": inside / frame if frame else math.nan,
        "contacts": len(contacts.first),
        "contact_area": float(contacts.area.sum()),
    }


def _distributions(columns: dict[str, np.ndarray]) -> dict[str, Distribution]:
    return {key: distribution(columns[key], columns["weight"]) for key in DISTRIBUTED if key in columns}
