"""Measure a label volume: counts slab by slab, then shapes object by object."""

import math
from collections.abc import Mapping

import numpy as np

from planewise.evaluation.object_classes import class_doubts, class_of_objects
from planewise.evaluation.open_pairs import as_one_class
from planewise.evaluation.overlap import OverlapCounter
from planewise.measurement.class_contacts import Classes, class_contacts, key_of
from planewise.measurement.contacts import HALO, ContactCounter, Contacts
from planewise.measurement.crops import masks
from planewise.measurement.distances import distances
from planewise.measurement.objects import ObjectCounter, Objects
from planewise.measurement.skeleton import centre_line
from planewise.measurement.slabs import with_halo
from planewise.measurement.surface import sphericity, surface_area
from planewise.measurement.volume_measures import Measured
from planewise.measurement.volume_summary import counted, distributions, summary, weights
from planewise.progress import progress
from planewise.volumes.machine import machine_memory
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Spacing, Volume

BYTES_A_VOXEL = 48  # that surface and centre line need for each voxel of an object's box


def spacing_of(volume: Volume) -> tuple[Spacing, bool]:
    """Return the spacing (z, y, x) in micrometres and True; without a unit, in smallest voxel sides and False."""
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
    distances to their labels. ``classes``: a volume with the class, of ``class_names``, of each voxel; each class is
    also a reference, except for objects of that class. ``things``: the classes that objects can have, if known.
    ``name``: the name shown with the progress.

    Surface and centre line need the whole box of an object in memory: for objects that need more than ``most_bytes``,
    by default half of this machine's memory, they are NaN. Raises PlanewiseError if a file turns out to be damaged, or
    holds no labels.
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
        columns[f"{key}_distance"] = distances(labels, references[key], objects, spacing)
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
        summary(objects, spacing, contacts.once),
        distributions(columns),
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
    """Return the class of each object and the contacts of classes. In ``columns``, the contacts and distances of an
    object to its own class as a reference become NaN: contacts within a class are those of objects."""
    overlap, between = OverlapCounter(), ContactCounter(spacing)
    for planes, slab, core in with_halo(classes, HALO):
        slab = np.where(np.isin(slab, tuple(names)), slab, 0)  # the ignore label is not a class
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
    doubts = class_doubts(table, names, things, "they are measured as without a class")
    return Classes(names, of_object, contacts_of_classes, doubts)


def _count(
    labels: Volume, image: Volume | None, references: Mapping[str, Volume], spacing: Spacing, name: str
) -> tuple[Objects, Contacts, dict[str, Contacts]]:
    """Return the counts: the objects, their contacts, and their contacts with each reference."""
    counter, within = ObjectCounter(labels.shape), ContactCounter(spacing)
    beyond = {key: ContactCounter(spacing) for key in references}
    with progress(f"counting {name}", labels.shape[0], unit="slices") as advance:
        others = {key: with_halo(reference, HALO) for key, reference in references.items()}
        for planes, slab, core in with_halo(labels, HALO):
            counter.add(slab[core], planes.start, None if image is None else np.asarray(image.voxels[planes]))
            within.add(slab, slab, core)
            for key, other in others.items():
                beyond[key].add(slab, next(other)[1], core)
            advance(planes.stop - planes.start)
    return counter.objects(), within.contacts(), {key: counter.contacts() for key, counter in beyond.items()}


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
    """Return surfaces and centre lines, and the labels of objects that are too large for them."""
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
