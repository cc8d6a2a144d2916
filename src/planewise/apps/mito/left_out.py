"""How many objects of a volume limits leave out, and why a result has none: each limit is named with what set it."""

from dataclasses import astuple

from planewise.apps.mito.case import VolumeToPredict
from planewise.apps.mito.options import MitoPredict
from planewise.inference.dropped import NONE_DROPPED, Dropped


def left_out(case: VolumeToPredict, options: MitoPredict, planes: Dropped, consensus: Dropped, count: int) -> str:
    """Return what limits left out of a volume's result of ``count`` objects, as text; empty if they left out nothing.

    ``planes``, ``consensus``: what was dropped in each. Where no object is left, the text says why.
    """
    if count == 0:
        return _why_no_objects(case, options, planes, consensus)
    of_planes = f"the {len(case.planes)} planes" if len(case.planes) > 1 else f"plane {case.planes[0]}"
    texts = [
        f"{sum(limits.values())} of {sum(astuple(dropped))} in {where} "
        f"({', '.join(f'{number} by {_limit(name, options)}' for name, number in limits.items())})"
        for where, dropped in ((of_planes, planes), ("their consensus", consensus))
        if (limits := _counts(dropped))
    ]
    return f"objects left out by limits: {', '.join(texts)}" if texts else ""


def _why_no_objects(case: VolumeToPredict, options: MitoPredict, planes: Dropped, consensus: Dropped) -> str:
    single = f"in plane{'s' * (len(case.planes) > 1)} {', '.join(case.planes)}"
    if planes == NONE_DROPPED:
        return (
            f"no objects: the network saw none {single}; see --confidence_thr {options.confidence_thr:g} and "
            f"--center_confidence_thr {options.center_confidence_thr:g}"
        )
    seen = sum(astuple(planes))
    said = "; ".join([f"no objects: {single} the network saw {seen}", *_by_limit(case, options, planes)])
    if not planes.kept or len(case.planes) == 1:
        return said
    if consensus == NONE_DROPPED:
        return f"{said}; of the other {planes.kept}, no voxel lies in --pixel_vote_thr {options.pixel_vote_thr} planes"
    return f"{said}; of the objects that the other {planes.kept} make, {'; '.join(_by_limit(case, options, consensus))}"


def _by_limit(case: VolumeToPredict, options: MitoPredict, dropped: Dropped) -> list[str]:
    """Return how many objects each limit left out, as texts, for limits that left out any."""
    return [
        f"{count} left out by {_limit(name, options)} ({case.set_by(name, options)})"
        for name, count in _counts(dropped).items()
    ]


def _counts(dropped: Dropped) -> dict[str, int]:
    """Return how many objects each limit left out, by its option, for limits that left out any."""
    counts = {"min_agreement": dropped.agreement, "min_size": dropped.size, "min_extent": dropped.extent}
    return {name: count for name, count in counts.items() if count}


def _limit(name: str, options: MitoPredict) -> str:
    """Return a limit as it is typed: the option and its value."""
    value = getattr(options, name)
    return f"--{name} {value:g}" if isinstance(value, float) else f"--{name} {value}"
