"""Agreement of two readers' or methods' measures of the same cases, column by column."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planewise.measurement.agreement import (
    BlandAltman,
    Interval,
    KappaWeights,
    bland_altman,
    categories,
    category_table,
    icc_2_1,
    kappa_weights,
    weighted_kappa,
)
from planewise.measurement.lung_columns import Column

KAZEROONI = (0.0, 5.0, 25.0, 50.0, 75.0)
"""Bounds of the categories of extent in percent: none, up to 5, up to 25, up to 50, up to 75, and more (Kazerooni et
al. 1997, doi:10.2214/ajr.169.4.9308447, for the ground glass score of a lobe)."""

AGREEMENT_COLUMNS = (
    Column("measure", "", "column of measures.csv; its name ends in the unit of differences and limits"),
    Column("n_patients", "patients", "patients with values from both readers; one patient's scans are averaged first"),
    Column("mean_first", "of the measure", "mean over the patients, first reader (LABELS)"),
    Column("mean_second", "of the measure", "mean over the patients, second reader (--against)"),
    Column(
        "difference, difference_low, difference_high", "of the measure",
        "mean of first minus second, and its 95 % interval",
        "Bland and Altman 1986, doi:10.1016/S0140-6736(86)90837-8",
    ),
    Column("difference_sd", "of the measure", "standard deviation of the differences"),
    Column(
        "lower_limit, lower_limit_low, lower_limit_high", "of the measure",
        "lower limit of agreement, mean - 1.96 SD, and its 95 % interval", "ibid.",
    ),
    Column(
        "upper_limit, upper_limit_low, upper_limit_high", "of the measure",
        "upper limit of agreement, mean + 1.96 SD, and its 95 % interval", "ibid.",
    ),
    Column(
        "icc_2_1, icc_2_1_low, icc_2_1_high", "1", "ICC(2,1), two-way random effects, absolute agreement, "
        "single reader, and its 95 % interval", "Shrout and Fleiss 1979, doi:10.1037/0033-2909.86.2.420",
    ),
    Column(
        "kappa, kappa_low, kappa_high", "1", "weighted kappa of the categories of --categories, with the weights of "
        "--kappa_weights, for percentages only, and its 95 % interval for large samples",
        "Cohen 1968, doi:10.1037/h0026256; Fleiss, Cohen and Everitt 1969, doi:10.1037/h0028106",
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Agreement:
    """Two readers' values of the column ``measure``, one for each patient, and their agreement.

    ``kappa``: None for measures that are not percentages.
    """

    measure: str
    first: np.ndarray
    second: np.ndarray
    limits: BlandAltman
    icc: Interval
    kappa: Interval | None

    def row(self) -> dict[str, object]:
        """Return the columns of ``AGREEMENT_COLUMNS``, in their order."""
        limits = self.limits
        undefined = Interval(math.nan, math.nan, math.nan)
        return {
            "measure": self.measure,
            "n_patients": limits.n,
            "mean_first": float(self.first.mean()) if limits.n else math.nan,
            "mean_second": float(self.second.mean()) if limits.n else math.nan,
            **_named("difference", limits.mean),
            "difference_sd": limits.sd,
            **_named("lower_limit", limits.lower),
            **_named("upper_limit", limits.upper),
            **_named("icc_2_1", self.icc),
            **_named("kappa", self.kappa or undefined),
        }


def _named(name: str, interval: Interval) -> dict[str, object]:
    return {name: interval.value, f"{name}_low": interval.low, f"{name}_high": interval.high}


def agreement(
    measure: str,
    first: Sequence[float],
    second: Sequence[float],
    patients: Sequence[str],
    bounds: Sequence[float],
    weights: KappaWeights,
) -> Agreement:
    """Compare two readers' values (n,) of the column ``measure`` for the same cases, of ``patients``.

    Cases without a value (NaN) from either reader are left out; then each patient's cases, which are not independent,
    are averaged.
    """
    of_patient: dict[str, list[tuple[float, float]]] = {}
    for a, b, patient in zip(first, second, patients, strict=True):
        if not (math.isnan(a) or math.isnan(b)):
            of_patient.setdefault(patient, []).append((a, b))
    pairs = np.array([np.mean(values, axis=0) for values in of_patient.values()]).reshape(-1, 2)
    kappa = None
    if measure.endswith("_percent"):
        count = len(bounds) + 1
        table = category_table(categories(pairs[:, 0], bounds), categories(pairs[:, 1], bounds), count)
        kappa = weighted_kappa(table, kappa_weights(count, weights))
    return Agreement(measure, pairs[:, 0], pairs[:, 1], bland_altman(*pairs.T), icc_2_1(pairs), kappa)
