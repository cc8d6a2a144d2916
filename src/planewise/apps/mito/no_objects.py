"""Why a result of mito predict has no objects, and which limits they fall to: named with what set each."""

from dataclasses import astuple

from planewise.apps.mito.case import VolumeToPredict
from planewise.apps.mito.options import MitoPredict
from planewise.inference.dropped import NONE_DROPPED, Dropped


def why_no_objects(case: VolumeToPredict, options: MitoPredict, planes: Dropped, consensus: Dropped) -> str:
    """Return why a volume's result is empty, as text; ``planes``, ``consensus``: what was dropped in each."""
    single = f"in plane{'s' * (len(case.planes) > 1)} {', '.join(case.planes)}"
    if planes == NONE_DROPPED:
        return (
            f"no objects: the network saw none {single}; see --confidence_thr {options.confidence_thr:g} and "
            f"--center_confidence_thr {options.center_confidence_thr:g}"
        )
    seen = sum(astuple(planes))
    said = "; ".join([f"no objects: {single} the network saw {seen}", *_fell(case, options, planes)])
    if not planes.kept or len(case.planes) == 1:
        return said
    if consensus == NONE_DROPPED:
        return f"{said}; of the other {planes.kept}, no voxel lies in --pixel_vote_thr {options.pixel_vote_thr} planes"
    return f"{said}; of the objects that the other {planes.kept} make, {'; '.join(_fell(case, options, consensus))}"


def _fell(case: VolumeToPredict, options: MitoPredict, dropped: Dropped) -> list[str]:
    """Return how many objects each limit left out, as texts, for limits that left out any."""
    counts = {"min_agreement": dropped.agreement, "min_size": dropped.size, "min_extent": dropped.extent}
    return [
        f"{count} fell to --{name} {_typed(getattr(options, name))} ({case.set_by(name, options)})"
        for name, count in counts.items()
        if count
    ]


def _typed(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else f"{value}"
