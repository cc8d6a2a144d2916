"""nnU-Net's sidecars: ``{case}.json`` beside ``{case}_0000.tiff`` or ``{case}.tiff``, with the spacing of an image."""

import math
import re
from dataclasses import replace
from pathlib import Path

from planewise.errors import PlanewiseError
from planewise.progress import say_once
from planewise.volumes.channel_numbers import is_channel
from planewise.volumes.formats import ending_of, stem_of
from planewise.volumes.json_files import read_json
from planewise.volumes.units import PIXEL, convert, read_spacing, refuse_unknown
from planewise.volumes.volume import Spacing, Volume

USUAL_UNIT = "nm"  # of spacings whose unit nothing states
UNIT_RULE = (
    'The unit is that of a sidecar (its "spacing_unit", else that of dataset.json, else '
    f"{USUAL_UNIT}), else that in the file's header"
)
UNIT_KEYS = ("spacing_unit", "unit")  # of a sidecar
_NUMBERED = re.compile(r"(.+)_(\d{4})", re.DOTALL)


def with_sidecar(path: Path, volume: Volume) -> Volume:
    """Return the volume opened from ``path`` with the spacing in its sidecar, if it has one.

    Its unit is the sidecar's own ``spacing_unit``, or that of the dataset.json above the volume's folder. nnU-Net's
    sidecars have none. It is then that of the volume's file, if this gives the same numbers, else nanometres are
    assumed, which is printed. As in nnU-Net, the sidecar takes precedence over the volume's file; a difference between
    the two is printed. Raises PlanewiseError for a unit that is not known, and for a sidecar that cannot be read.
    """
    for sidecar in sidecars(path):
        if sidecar.is_file():
            content = _read_sidecar(sidecar)
            if content is None:
                return volume
            _say_assumed(path, sidecar)
            sizes, its_unit = content
            stated, where = (its_unit, sidecar) if its_unit else (dataset_unit(path), _dataset_file(path))
            refuse_unknown(where, [stated])
            spacing, unit = read_spacing(sidecar, list(sizes), [stated or USUAL_UNIT] * 3)
            placed = replace(volume, spacing=spacing, unit=unit, has_z_spacing=True)
            in_its_unit = replace(placed, unit=volume.unit)
            if not stated and _agree(volume, in_its_unit):
                return in_its_unit
            if not stated and not _agree(volume, placed):
                say_once(
                    f"Spacings in {{case}}.json in {path.parent} state no unit: sizes are read as {USUAL_UNIT}, and "
                    "those of labels in the unit of their image, if it states one that fits; "
                    '"spacing_unit" there or in a dataset.json in the folder above states one'
                )
                placed = replace(placed, unit_assumed_in=str(sidecar))
            _say_difference(path, volume, sidecar, placed)
            return placed
    return volume


def _say_assumed(path: Path, sidecar: Path) -> None:
    if sidecar.stem != stem_of(path) and not _known_channel(path):
        say_once(
            f"{sidecar}: its spacing is taken for {path.name}, as no other image of that name lies beside it; a "
            f"{stem_of(path)}.json would be read instead"
        )


def _agree(volume: Volume, placed: Volume) -> bool:
    """Whether a volume's file states a spacing, and it is that of its sidecar."""
    if volume.unit == PIXEL:
        return False
    stated = 0 if volume.has_z_spacing and volume.shape[0] > 1 else 1  # the first axis with a stated spacing
    sides = (convert(size, placed.unit, volume.unit) for size in placed.spacing[stated:])
    return all(math.isclose(a, b, rel_tol=1e-3) for a, b in zip(volume.spacing[stated:], sides))


def _say_difference(path: Path, volume: Volume, sidecar: Path, placed: Volume) -> None:
    if PIXEL in (volume.unit, placed.unit) or _agree(volume, placed):
        return
    of_file, of_sidecar = (" x ".join(f"{size:.4g}" for size in one.spacing) for one in (volume, placed))
    say_once(
        f"{sidecar}: gives voxels (z, y, x) of {of_sidecar} {placed.unit}, and {path.name} itself gives "
        f"{of_file} {volume.unit}: the former is taken"
    )


def sidecars(path: Path) -> list[Path]:
    """Return the places where the sidecar of the volume at ``path`` may be; the first that exists counts.

    If it is not known whether the number in its name is a channel's, {case}.json counts unless it is {case}'s own.
    """
    stem = stem_of(path)
    names = [stem]
    if (numbered := _NUMBERED.fullmatch(stem)) is not None:
        case, known = numbered[1], _known_channel(path)
        if known:
            names = [case, stem]
        elif known is None and not path.with_name(f"{case}{ending_of(path)}").exists():
            names = [stem, case]
    return [path.with_name(f"{name}.json") for name in names]


def _known_channel(path: Path) -> bool | None:
    """Whether the number at the end of a name is a channel's, see ``is_channel``; False if there is none."""
    numbered = _NUMBERED.fullmatch(stem_of(path))
    return is_channel(path, numbered[2]) if numbered else False


def dataset_unit(path: Path) -> str:
    """Return the unit of spacings in the sidecars beside the volume at ``path``, "" if no dataset.json states one."""
    try:
        stated = read_json(_dataset_file(path))["spacing_unit"]
    except (PlanewiseError, TypeError, KeyError):
        return ""
    return "" if stated is None else str(stated)


def _dataset_file(path: Path) -> Path:
    return path.parent.parent / "dataset.json"


def _read_sidecar(path: Path) -> tuple[Spacing, str] | None:
    """Return the ``spacing`` (z, y, x) of a sidecar and its unit, "" if it states none; None without a spacing.

    Raises PlanewiseError on nonsense.
    """
    content = read_json(path)
    spacing = content.get("spacing") if isinstance(content, dict) else None
    if spacing is None:
        held = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        say_once(f'{path}: names no "spacing" (it holds {held or "nothing"}): the voxel size is not taken from it')
        return None
    numbers = spacing if isinstance(spacing, list) else []
    good = [isinstance(s, int | float) and not isinstance(s, bool) and 0 < s < math.inf for s in numbers]
    if good != [True] * 3:
        raise PlanewiseError(f"{path}: spacing is {spacing!r}; it must be three positive numbers (z, y, x)")
    z, y, x = numbers
    units = [content[key] for key in UNIT_KEYS if content.get(key) is not None]
    return (float(z), float(y), float(x)), str(units[0]) if units else ""
