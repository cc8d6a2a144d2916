"""Predict cases of mito in memory: a folder of results, each with its planes'."""

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from planewise.apps.mito_options import MitoPredict
from planewise.data.case import channel_within, refuse_names_of_planes
from planewise.data.intensity import IntensityRule
from planewise.device import choose_device, choose_precision
from planewise.errors import PlanewiseError, Problem
from planewise.inference.consensus import consensus
from planewise.inference.gathering import GroupingOptions, gather_plane
from planewise.inference.planes import NetworkPredictor, SliceOptions, SlicePredictor, plane_outputs
from planewise.inference.processes import DevicePool, PoolPredictor, WorkerDied, load_predictor
from planewise.models.model_file import ModelFile, read_model_file
from planewise.models.weights import inference_network, locate_weights
from planewise.progress import progress, say
from planewise.volumes.atomic import write_again
from planewise.volumes.files import open_volume, read_voxels, write_volume
from planewise.volumes.formats import result_ending
from planewise.volumes.geometry import sharp_planes
from planewise.volumes.slices import AXIS, PLANES, Plane
from planewise.volumes.tilt import stack_note
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

THREADS = min(4, os.cpu_count() or 1)  # of post-processing; more gain nothing


def predict_cases(cases: list[tuple[str, Path]], options: MitoPredict, problems: list[Problem]) -> None:
    """Predict every case that is not done; one that fails becomes a problem and does not stop the others."""
    device = choose_device(options.device)
    model = read_model_file(options.trained_model)
    weights = locate_weights(model, options.trained_model)
    apart, clashing = refuse_names_of_planes(dict(cases))
    problems += clashing
    waiting = []
    for name, path in apart.items():
        try:
            planes, _ = choose_planes(open_volume(path, channel_within(path, options.channel)), model, options.axes)
        except PlanewiseError as error:
            problems.append(Problem.of(path, error))
            continue
        final, of_planes = _prediction_paths(name, path, options, planes)
        if not options.overwrite and all(_is_newer(file, weights) for file in (final, *of_planes.values())):
            say(f"{name}: done already ({final}); --overwrite predicts it again")
        else:
            waiting.append((name, path))
    if not waiting:
        return
    half = choose_precision(options.precision, device, predicting=True) == "bf16"
    # Where other processes predict, it is loaded here too, so that bad weights are refused.
    network = inference_network(weights, model.architecture, device if options.devices == 1 else "cpu")
    with ExitStack() as running:
        pool: DevicePool | None = None
        for name, path in waiting:
            predictor: SlicePredictor = NetworkPredictor(network, half)
            if options.devices > 1:
                if pool is None:
                    start = DevicePool(options.devices, device, load_predictor, weights, model.architecture, half)
                    pool = running.enter_context(start)
                predictor = PoolPredictor(pool)
            try:
                _predict_case(name, path, predictor, model, options)
            except Exception as error:  # whatever one case does to us, the others are still wanted
                problems.append(Problem.of(path, error))
                pool = None if isinstance(error, WorkerDied) else pool  # the next case gets new workers


def intensity_rule(model: ModelFile, options: MitoPredict) -> IntensityRule:
    """Return how volumes are brought to what ``model`` was trained on."""
    return IntensityRule(model.trained_intensities(), options.intensity, options.invert)


def choose_planes(volume: Volume, model: ModelFile, asked: tuple[Plane, ...] | None) -> tuple[tuple[Plane, ...], str]:
    """Return the planes to predict ``volume`` in, and why, to read: those ``asked`` for, as far as the volume has them.

    If none were: of those that the model was trained in, the ones in which the volume's spacing is even.
    """
    tilted = f"; {stack_note(volume)}" if any(volume.tilt) else ""
    along = [plane for plane in PLANES if all(volume.shape[axis] > 1 for axis in range(3) if axis != AXIS[plane])]
    if asked is not None:
        there = tuple(plane for plane in asked if plane in along) or asked[:1]
        left = [plane for plane in asked if plane not in there]
        return there, f"planes {', '.join(there)}" + (f" ({', '.join(left)}: one voxel wide)" if left else "") + tilted
    sharp, trained = sharp_planes(volume.spacing, volume.shape), model.planes or PLANES
    planes = tuple(plane for plane in sharp if plane in trained) or sharp
    size = " x ".join(f"{side:g}" for side in volume.spacing)
    spacing = "no spacing is stated, taken as even" if volume.unit == PIXEL else f"spacing {size} {volume.unit}"
    return planes, f"planes {', '.join(planes)} ({spacing}; the model was trained in {', '.join(trained)}){tilted}"


def _is_newer(file: Path, weights: Path) -> bool:
    """Whether a result exists and was not made with older weights than these."""
    return file.exists() and file.stat().st_mtime >= weights.stat().st_mtime


def _prediction_paths(
    name: str, image: Path, options: MitoPredict, planes: tuple[Plane, ...]
) -> tuple[Path, dict[Plane, Path]]:
    """Return where a case's result goes, and its planes' results: in the image's format, TIFFs as .tiff."""
    ending = result_ending(image)
    return (
        options.output / f"{name}{ending}",
        {plane: options.output / f"{name}_{plane}{ending}" for plane in planes},
    )


def _predict_case(name: str, path: Path, predictor: SlicePredictor, model: ModelFile, options: MitoPredict) -> None:
    volume = open_volume(path, channel_within(path, options.channel))
    axes, why = choose_planes(volume, model, options.axes)
    range_, seen, _ = intensity_rule(model, options).range_of(volume, path)
    say(f"{name}: {seen}; {why}")
    voxels = read_voxels(volume, path)
    grouping = GroupingOptions(
        confidence=options.confidence_thr, centre_threshold=options.center_confidence_thr,
        centre_kernel=options.min_distance_object_centers, median_kernel=options.median_kernel,
        scale=options.downsampling, min_size=options.min_size, min_extent=options.min_extent,
    )  # fmt: skip
    norms = model.norms
    slices = SliceOptions(range_, norms.mean, norms.std, model.padding_factor, options.downsampling)
    planes = []
    final, of_planes = _prediction_paths(name, path, options, axes)
    with ThreadPoolExecutor(1) as writer:  # compressing a plane's result takes as long as predicting it on a GPU
        written = []
        for plane in axes:
            with progress(f"{name} {plane}", voxels.shape[AXIS[plane]], unit="slices") as advance:
                outputs = plane_outputs(predictor, voxels, plane, slices, options.batch_size, advance)
                planes.append(gather_plane(outputs, voxels.shape, plane, grouping, THREADS))
            volume = volume.with_voxels(planes[-1])
            written.append(writer.submit(write_volume, of_planes[plane], volume))
        del voxels  # consensus does not read them
        fused = consensus(planes, options.pixel_vote_thr, options.min_size, options.min_extent, THREADS)
        for writing in written:
            writing.result()
    if len(planes) == 1:
        write_again(final, of_planes[axes[0]])
    else:
        write_volume(final, volume.with_voxels(fused))
    say(f"{name}: {fused.count} objects, {final}")
