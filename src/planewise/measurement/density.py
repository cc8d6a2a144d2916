"""Densitometry: statistics of the Hounsfield units within a lung."""

import math

import numpy as np

from planewise.errors import PlanewiseError

AIR_AT_MOST_HU = -500.0  # each chest CT contains air: if its lowest value is higher, values are not HU
DENSE_HU = 0.0  # the median of a lung is lower, however diseased it is
HIGH_HU = (-600.0, -250.0)
LOW_HU = -950.0
PERCENTILES = (5, 15, 25, 50, 75, 95)


def refuse_unless_hu(voxels: np.ndarray) -> None:
    """Raise PlanewiseError if the values of a CT (z, y, x) are not HU: windowed, or without the rescale intercept."""
    lowest, highest = float(voxels.min(initial=0)), float(voxels.max(initial=0))
    if not lowest <= AIR_AT_MOST_HU:
        raise PlanewiseError(
            f"values lie between {lowest:g} and {highest:g}, which is not HU (air is -1000); apply the rescale slope "
            "and intercept first"
        )


def densitometry(hu: np.ndarray) -> dict[str, float]:
    """Return the densitometry of a lung's voxels (n,) in HU; every value is NaN if there are none.

    ``mean_hu``, ``sd_hu`` (of the voxels, divided by n); ``p05_hu`` ...: percentiles, linear between two voxels.
    ``haa_percent``: high attenuation areas, the share of voxels from -600 to -250 HU, both included (Lederer et al.
    2009, doi:10.1164/rccm.200812-1966OC; as a share of the lung: Podolanczuk et al. 2016,
    doi:10.1183/13993003.00129-2016). ``laa_percent``: low attenuation areas, the share below -950 HU (Gevenois et al.
    1996, doi:10.1164/ajrccm.154.1.8680679).

    Raises PlanewiseError if the values cannot be a lung's in HU, or some are not finite.
    """
    names = ["mean_hu", "sd_hu", *(f"p{q:02d}_hu" for q in PERCENTILES), "haa_percent", "laa_percent"]
    if hu.size == 0:
        return dict.fromkeys(names, math.nan)
    if not np.isfinite(hu).all():
        raise PlanewiseError("the CT is not finite (NaN or infinite) in some voxels of the lungs; save it again")
    quantiles = np.percentile(hu, PERCENTILES)
    if (median := float(np.median(hu))) >= DENSE_HU:
        raise PlanewiseError(
            f"the median of the lungs is {median:g}, which no lung has in HU (air is -1000, water 0): give the CT in "
            "HU, and a mask of the lungs"
        )
    high = np.count_nonzero((hu >= HIGH_HU[0]) & (hu <= HIGH_HU[1]))
    low = np.count_nonzero(hu < LOW_HU)
    mean, deviation = float(hu.mean(dtype=np.float64)), float(hu.std(dtype=np.float64))
    values = [mean, deviation, *quantiles.tolist(), 100 * high / hu.size, 100 * low / hu.size]
    return dict(zip(names, values, strict=True))
