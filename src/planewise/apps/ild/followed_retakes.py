"""The measures of retakes of a scan, each with newly found and segmented lungs; kept as JSON beside the results."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from planewise.apps.ild.followed_segmentation import Examined, Predict
from planewise.apps.ild.lungs import find_lungs
from planewise.errors import PlanewiseError
from planewise.measurement.extent import count_voxels
from planewise.measurement.lungs import LungRegions
from planewise.progress import progress, warn
from planewise.serial.change import Measures, measures_of
from planewise.serial.detectable import LEAST_RETAKES
from planewise.serial.missing import missing_pieces_ml
from planewise.serial.retakes import Variation, noise_of, retake
from planewise.volumes.json_files import read_json, write_json


def write_retakes(
    target: Path,
    examined: Examined,
    variation: Variation,
    predict: Predict,
    groups: Mapping[str, tuple[int, ...]],
    count: int,
) -> None:
    """Retake a scan ``count`` times with its noise, and write the measures of ``groups`` in each retake.

    Retakes without lungs, or whose lungs lack or add a piece, are left out: such a scan would not be compared either.
    Raises PlanewiseError if too few are left.
    """
    day = examined.scan.name
    varied = replace(variation, noise_hu=noise_of(examined.hu))
    retakes = []
    with progress(f"{day}: retakes", count, unit="retakes") as advance:
        for number in range(count):
            rng = np.random.default_rng([number, *day.encode()])
            hu = retake(examined.hu, examined.regions.sides, examined.regions.spacing_mm, varied, rng)
            advance(1)
            regions = _regions_alike(hu, examined.regions)
            if regions is not None:
                labels, *_ = predict(hu, regions.sides, regions.spacing_mm)
                retakes.append(measures_of(count_voxels(labels, regions), groups))
    left_out = count - len(retakes)
    if len(retakes) < LEAST_RETAKES:
        raise PlanewiseError(
            f"the lungs of {day} are missing or differ in {left_out} of {count} retakes; at least {LEAST_RETAKES} "
            "retakes are needed to estimate a smallest detectable change, since a standard deviation of two is hardly "
            "informative: look at the lungs, or give more --retakes, with --overwrite"
        )
    stored = [
        {"/".join(key): None if np.isnan(value) else value for key, value in measures.items()} for measures in retakes
    ]
    about = {"variation": asdict(varied), "version": version("planewise"), "left_out": left_out}
    write_json(target, about | {"retakes": stored})


def _regions_alike(hu: np.ndarray, original: LungRegions) -> LungRegions | None:
    """Return the regions of a retake's lungs; None if it has none, or if its pieces differ from the original's."""
    try:
        lungs = find_lungs(hu, original.spacing_mm)
    except PlanewiseError:
        return None
    if any(missing_pieces_ml(original.sides, lungs, original.spacing_mm)):
        return None
    return LungRegions.of(lungs, original.spacing_mm)


def read_retakes(path: Path, day: str, count: int) -> list[Measures]:
    """Return the measures that ``write_retakes`` wrote; print how many of ``count`` retakes were left out."""
    content = read_json(path)
    if left_out := content.get("left_out"):
        warn(
            f"{day}: {left_out} of {count} retakes {'is' if left_out == 1 else 'are'} left out: the "
            "lungs are missing or differ"
        )
    stored = content["retakes"]
    return [{_key(name): np.nan if value is None else float(value) for name, value in each.items()} for each in stored]


def _key(name: str) -> tuple[str, str, str]:
    group, region, unit = name.split("/")
    return group, region, unit
