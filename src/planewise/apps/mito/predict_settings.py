"""The settings of mito predict: options, completed from the model's file where they are not given."""

from typing import Literal

from planewise.apps.mito.options import PUBLISHED, MitoPredict
from planewise.data.panoptic import PanopticClasses
from planewise.errors import PlanewiseError
from planewise.inference.gathering import GroupingOptions
from planewise.models.model_file import Calibration, ModelFile
from planewise.progress import say
from planewise.volumes.formats import ending_of, ome_zarr
from planewise.volumes.geometry import voxel_um3
from planewise.volumes.slices import Plane
from planewise.volumes.volume import Volume

DECISIVE = {  # options that change the results
    "axes", "channel", "intensity", "invert", "downsampling", "confidence_thr", "center_confidence_thr",
    "min_distance_object_centers", "median_kernel", "min_size", "min_extent", "pixel_vote_thr",
}  # fmt: skip
UNSAID: dict[str, object] = {  # of what manifests leave out
    "min_agreement": 0.0, "repair": False, "extend": False, "confidence_volume": False,
}  # fmt: skip
OF_MODEL = {"calibration", "classes", "fuse", "model's YAML"}  # decisive settings that no option gives
READ_OF_MODEL = {"norms", "intensities", "planes", "padding_factor", "architecture"}


def settled(options: MitoPredict, model: ModelFile) -> MitoPredict:
    """Return ``options`` completed from the model. Raises PlanewiseError if the model cannot do what they ask for."""
    if options.published:
        say(f"--published: {' '.join(f'--{name} {value}' for name, value in PUBLISHED.items())}")
        options = options.model_copy(update=PUBLISHED)
    if options.confidence_volume:  # refused here if no volume could have it in these planes
        calibration_of(model, options.axes or (model.calibration.planes if model.calibration else ()), options)
    least = options.min_agreement
    if options.extend == "on" and model.several is not None:
        raise PlanewiseError("--extend on: is for a model of one class; where there are several, planes vote on each")
    fuse = _fusion(options, model)
    size = options.min_size
    if size is None and model.object_sizes is None:
        size = GroupingOptions.min_size
        if model.several is None or model.several.things:
            say(
                f"Objects under {size} voxels are left out, as published: the model's file does not state the sizes of "
                "its training objects; see --min_size"
            )
    return options.model_copy(
        update={
            "min_size": size,
            "min_agreement": least if least is not None else model.min_agreement or 0.0,
            "repair": _switched(options.repair, model.repair),
            "extend": _switched(options.extend, model.extend and options.pixel_vote_thr == 2 and model.several is None),
            "fuse": fuse,
        }
    )


def _switched(given: str, of_model: bool | None) -> str:
    """Return on or off, of which auto is what the model says."""
    return given if given != "auto" else "on" if of_model else "off"


def _fusion(options: MitoPredict, model: ModelFile) -> Literal["probabilities", "votes"]:
    """Return how planes are fused."""
    store = ending_of(options.output) in ome_zarr.FORMAT.endings
    if options.fuse == "probabilities":
        if model.several is None or model.several.things:
            raise PlanewiseError("--fuse probabilities: is for several classes without things; planes vote on objects")
        if store:
            raise PlanewiseError(
                f"--fuse probabilities: works in memory, so it cannot write into {options.output}; give --fuse votes"
            )
    if model.several is None or model.several.things or store:
        return "votes"
    return options.fuse or "probabilities"


def decisive(options: MitoPredict, model: ModelFile, half: bool) -> dict[str, object]:
    """Return what determines the results besides the weights: options, the model's YAML, and the precision."""
    values: dict[str, object] = options.model_dump(mode="json", include=DECISIVE)
    if options.min_size is None and model.object_sizes is not None:  # these give it for each volume
        sizes = model.object_sizes
        known = f"{sizes.voxels:.6g} voxels" + ("" if sizes.um3 is None else f", {sizes.um3:.6g} um^3")
        few = "" if sizes.whole else ", but too few are whole"
        values["min_size"] = f"by the objects trained on (the smaller of {sizes.objects} have {known}{few})"
    if options.min_agreement:  # manifests from before this option exist without it
        values["min_agreement"] = options.min_agreement
    if options.repair == "on":
        values["repair"] = True
    if options.extend == "on":
        values["extend"] = True
    if options.confidence_volume:
        values["confidence_volume"] = True
    if model.calibration is not None:
        values["calibration"] = model.calibration.model_dump(mode="json")
    if model.several is not None:
        values["classes"] = str(model.several)
        values["fuse"] = options.fuse
    return values | {
        "model's YAML": model.model_dump(mode="json", include=READ_OF_MODEL),
        "precision": "bf16" if half else "32",
    }


def stated_by_model(options: MitoPredict) -> set[str]:
    """Return the decisive settings that the model states, for ``options`` as they were given."""
    given = {"min_size": options.min_size is not None, "min_agreement": options.min_agreement is not None}
    given |= {"repair": options.repair != "auto", "extend": options.extend != "auto"}
    return OF_MODEL | {name for name, by_user in given.items() if not by_user and not options.published}


def grouping_of(options: MitoPredict, several: PanopticClasses | None = None) -> GroupingOptions:
    """Return how slices are grouped into objects; ``several``: the classes, if there are several."""
    assert options.min_size is not None, "see VolumeToPredict.sized"
    return GroupingOptions(
        confidence=options.confidence_thr,
        centre_threshold=options.center_confidence_thr,
        centre_kernel=options.min_distance_object_centers,
        median_kernel=options.median_kernel,
        scale=options.downsampling,
        min_size=options.min_size,
        min_extent=options.min_extent,
        min_agreement=options.min_agreement or 0.0,
        repair=options.repair == "on",
        extend=options.extend == "on",
        things=() if several is None else several.kinds,
    )


def limits_of(model: ModelFile, volume: Volume) -> dict[str, float]:
    """Return the limits of objects in ``volume`` that the model's file states, by the names of their options."""
    limits: dict[str, float] = {}
    if model.min_agreement is not None:
        limits["min_agreement"] = model.min_agreement
    if model.object_sizes is not None:
        limits["min_size"] = model.object_sizes.least(voxel_um3(volume), GroupingOptions.min_size)
    return limits


def calibration_of(model: ModelFile, planes: tuple[Plane, ...], options: MitoPredict) -> tuple[Calibration | None, str]:
    """Return the calibration of the confidence of objects predicted in ``planes``, or None and the reason as text.

    Raises PlanewiseError if there is none but ``confidence_volume`` needs it.
    """
    known = model.calibration
    if known is None:
        why = "the model was not calibrated"
    elif set(planes) != set(known.planes):
        why = f"the model was calibrated for planes {', '.join(known.planes)} together"
    elif options.pixel_vote_thr != 2:
        why = "the model was calibrated for voxels that 2 planes agree on"
    elif options.confidence_thr != GroupingOptions.confidence:
        why = f"the model was calibrated for --confidence_thr {GroupingOptions.confidence}"
    else:
        return known, ""
    if options.confidence_volume:
        raise PlanewiseError(
            f"--confidence_volume: objects have no confidence: {why}; leave the option out, or predict with a "
            "calibrated model, in the planes of its calibration and with --pixel_vote_thr 2"
        )
    return None, f"objects have no confidence: {why}"
