"""Segment one volume as a whole in memory, into objects, or into classes if there are no objects; the memory needed."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from planewise.apps.mito.case import Results, VolumeToPredict, things_text, write_confidence
from planewise.apps.mito.left_out import left_out
from planewise.apps.mito.options import MitoPredict
from planewise.apps.mito.predict_settings import grouping_of
from planewise.data.panoptic import PanopticClasses
from planewise.device import choose_device
from planewise.inference.averaging import averaged_classes, averaging_bytes
from planewise.inference.class_grouping import fuse_classes
from planewise.inference.dropped import NONE_DROPPED
from planewise.inference.fused import FusedObjects
from planewise.inference.gathering import SliceOutputs, gather_classes
from planewise.inference.memory import Need, need_in_memory
from planewise.inference.painted import Painted
from planewise.inference.panoptic_result import AllThings, ClassMap, joined_votes
from planewise.inference.plane_objects import PlaneObjects
from planewise.inference.planes import SliceOptions, SlicePredictor, plane_outputs
from planewise.progress import progress, say
from planewise.volumes.atomic import write_again
from planewise.volumes.files import read_voxels, write_volume
from planewise.volumes.machine import machine_cores, machine_memory
from planewise.volumes.slices import AXIS, Plane

THREADS = min(4, machine_cores())  # of post-processing; more threads gain nothing


def memory_for(case: VolumeToPredict, options: MitoPredict) -> tuple[Need, int]:
    """Return the memory needed to segment a volume as a whole, and the limit for it besides the network, in bytes."""
    device = choose_device(options.device)
    outputs = 1 if case.several is None else 1 + len(case.several.names)
    need = need_in_memory(case.volume, case.planes, options.batch_size, options.downsampling, device, outputs)
    if options.fuse == "probabilities":
        need = replace(need, objects=averaging_bytes(math.prod(case.volume.shape), outputs - 1))
    return need, options.memory_bytes() or machine_memory() // 2


def segment_in_memory(
    name: str,
    case: VolumeToPredict,
    slices: SliceOptions,
    predictor: SlicePredictor,
    options: MitoPredict,
    keep: Callable[[Plane, list[PlaneObjects]], None] = lambda plane, classes: None,
) -> list[Painted]:
    """Return the objects of each class of a volume, as arrays that are painted when they are read.

    ``keep`` is called for each plane with its objects, by class.
    """
    voxels, how = read_voxels(case.volume, case.path), grouping_of(options, case.several)
    planes = []
    for plane in case.planes:
        with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
            outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
            planes.append(gather_classes(outputs, voxels.shape, plane, how, THREADS))
        keep(plane, planes[-1])
    return fuse_classes(planes, options.pixel_vote_thr, how, THREADS)


def segment_into_files(
    name: str,
    case: VolumeToPredict,
    slices: SliceOptions,
    results: Results,
    predictor: SlicePredictor,
    options: MitoPredict,
) -> int:
    """Write a volume's results; return the number of objects. Label volumes are painted as they are written."""
    several, as_labels = case.several, case.volume.as_labels()
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written, planes = [], []

        def write(plane: Plane, classes: list[PlaneObjects]) -> None:
            planes.append(classes)
            objects = _things_of(classes, several)
            written.append(writer.submit(write_volume, results.planes[plane], as_labels.with_voxels(objects)))

        fused = segment_in_memory(name, case, slices, predictor, options, write)
        for writing in written:
            writing.result()
    things = _things_of(fused, several)
    if len(case.planes) == 1:
        write_again(results.final, results.planes[case.planes[0]], linked=False)
    else:
        write_volume(results.final, as_labels.with_voxels(things))
    kinds = (True,) if several is None else several.kinds
    of_things = [objects for objects, is_thing in zip(fused, kinds) if is_thing]
    votes = [objects.votes for objects in of_things if isinstance(objects, FusedObjects) and objects.votes is not None]
    sizes = [objects.sizes[1:] for objects, is_thing in zip(planes[0], kinds) if is_thing]
    classes = None
    if several is not None and results.classes is not None:
        write_volume(results.classes, case.volume.as_labels(several.names).with_voxels(ClassMap(fused)))
        classes = [several.names[value] for value in several.things for _ in range(fused[value - 1].count)]
        say(f"{name}: {things_text(several, [objects.count for objects in fused])}")
    voxels = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
    write_confidence(case, results, joined_votes(votes) if votes else None, voxels, classes)
    if of_things:
        of_planes = [of_class.dropped for plane in planes for of_class, thing in zip(plane, kinds) if thing]
        fused_ones = [objects.dropped for objects in of_things if isinstance(objects, FusedObjects)]
        dropped = sum(of_planes, NONE_DROPPED), sum(fused_ones, NONE_DROPPED)
        if text := left_out(case, options, *dropped, things.count):
            say(f"{name}: {text}")
    return things.count


def classes_in_memory(
    name: str, case: VolumeToPredict, slices: SliceOptions, predictor: SlicePredictor, options: MitoPredict
) -> np.ndarray:
    """Return the class of each voxel, without objects, from the mean of the planes' probabilities."""
    assert case.several is not None
    voxels = read_voxels(case.volume, case.path)

    def outputs() -> Iterator[tuple[Plane, Iterator[SliceOutputs]]]:
        for plane in case.planes:
            with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
                yield plane, plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)

    return averaged_classes(outputs(), voxels.shape, len(case.several.names), options.confidence_thr)


def write_classes(name: str, case: VolumeToPredict, results: Results, labels: np.ndarray) -> int:
    """Write the class of each voxel; return how many classes occur."""
    assert case.several is not None
    names = case.several.names
    write_volume(results.final, case.volume.as_labels(names).with_voxels(labels))
    counts = np.bincount(labels.ravel(), minlength=len(names) + 1)[1:].tolist()
    say(f"{name}: voxels of {', '.join(f'{what} {count:,}' for what, count in zip(names.values(), counts))}")
    return sum(count > 0 for count in counts)


def _things_of(classes: Sequence[Painted], several: PanopticClasses | None) -> Painted:
    """Return the objects of all classes of things; if there is only one class, its objects."""
    return classes[0] if several is None else AllThings(classes, several.kinds)
