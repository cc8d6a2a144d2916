"""Units of length: their names in files, and their conversion, which happens only here."""

from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError

PIXEL = "pixel"  # of a spacing without a unit
NANOMETRES = {"nm": 1.0, "um": 1e3, "mm": 1e6}  # nanometres in each unit that a volume may have
_FOREIGN = {"angstrom": (0.1, "nm"), "cm": (10.0, "mm"), "m": (1000.0, "mm"), "inch": (25.4, "mm")}
_NAMES = {  # a unit's name in files -> its name here
    "nm": "nm", "nanometer": "nm", "nanometre": "nm", "nanometers": "nm", "nanometres": "nm",
    "um": "um", "µm": "um", "μm": "um", "micron": "um", "microns": "um", "micrometer": "um", "micrometre": "um",
    "micrometers": "um", "micrometres": "um", "\\u00b5m": "um",
    "mm": "mm", "millimeter": "mm", "millimetre": "mm", "millimeters": "mm", "millimetres": "mm",
    "å": "angstrom", "angstrom": "angstrom", "angstroms": "angstrom", "ångström": "angstrom",
    "cm": "cm", "centimeter": "cm", "centimetre": "cm",
    "m": "m", "meter": "m", "metre": "m",
    "inch": "inch", "in": "inch",
}  # fmt: skip


_NONE = ("", "pixel", "pixels", "px", "voxel", "voxels", "1", "dimensionless", "none")  # names that mean no unit


def refuse_unknown(path: Path, names: list[str]) -> None:
    """Raise PlanewiseError, naming ``path``, if a stated unit is unknown."""
    for name in names:
        stated = name.strip().lower()
        if stated not in _NAMES and stated not in _NONE:
            raise PlanewiseError(
                f"{path}: its unit is {name!r}, which is not known; bring its coordinates into one of "
                f"{', '.join(NANOMETRES)}, or state none"
            )


def read_size(size: float, name: Any) -> tuple[float, str]:
    """Return a length in nm, um or mm, and the unit, from a number and the unit's name in a file.

    If the file states no known unit, the unit is "pixel" and the number is unchanged.
    """
    unit = _NAMES.get(str(name).strip().lower(), PIXEL)
    factor, known = _FOREIGN.get(unit, (1.0, unit))
    return float(size) * factor, known


def convert(size: float, unit: str, into: str) -> float:
    """Return a length in another unit; "pixel" on either side leaves the number as it is."""
    if unit == into or PIXEL in (unit, into):
        return float(size)
    return float(size) * (NANOMETRES[unit] / NANOMETRES[into])


def read_spacing(path: Path, sizes: list[Any], names: list[Any]) -> tuple[tuple[float, float, float], str]:
    """Return the spacing (z, y, x) and its unit, from the sizes (z, y, x) and the name of each size's unit in a file.

    All are converted to the unit of x. Raises PlanewiseError, naming the file, if one has a unit and another has none.
    """
    read = [read_size(size, name) for size, name in zip(sizes, names)]
    into = read[2][1]
    if len({unit == PIXEL for _, unit in read}) > 1:
        listed = ", ".join(repr(str(name)) for name in names)
        raise PlanewiseError(f"{path}: its units along z, y, x are {listed}; each axis must have one, or none")
    z, y, x = (convert(size, unit, into) for size, unit in read)
    return (z, y, x), into
