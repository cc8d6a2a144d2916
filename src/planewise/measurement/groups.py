"""Compares conditions, with the animal as the unit, since objects of one animal are not independent.

A measure of objects is fitted by a linear mixed model (REML; Laird and Ware 1982, doi:10.2307/2529876): the condition
is the fixed effect, the animal a random intercept, and the case within the animal another one if animals have several
cases that differ. The interval and p come from Student's t, with the number of animals minus 2 as degrees of freedom;
the normal distribution is too narrow for few animals. The means of the animals are compared by Welch's test (1947,
doi:10.1093/biomet/34.1-2.28) for measures of volumes, and if the model does not converge or is singular (no variance
between animals in addition to that within them). Only objects that no border cuts are used, unweighted.
"""

import math
import unicodedata
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from planewise.data.spreadsheet import spreadsheet_rows, table_text
from planewise.errors import PlanewiseError

COLUMNS = ("case", "animal", "condition")
LEAST_ANIMALS = 2  # in each condition
SINGULAR = 1e-6  # share of the variance within animals below which the variance between them is none
MIXED, WELCH = "mixed model", "Welch on animal means"


@dataclass(frozen=True)
class Member:
    """A case, the animal that it comes from, and the condition that the animal is in."""

    case: str
    animal: str
    condition: str


@dataclass(frozen=True)
class Comparison:
    """Two conditions compared in a measure: ``difference``, second minus first, with its 95 % interval and p.

    ``means``: those of the two conditions, over the means of their animals. ``p_holm``: p, adjusted for all comparisons
    of the table (Holm 1979).
    """

    measure: str
    first: str
    second: str
    difference: float
    low: float
    high: float
    p: float
    method: str
    means: tuple[float, float]
    animals: tuple[int, int]
    cases: tuple[int, int]
    objects: tuple[int, int]
    p_holm: float = math.nan


def read_groups(path: Path) -> list[Member]:
    """Return the rows of a CSV with the columns case, animal and condition; others are ignored.

    Raises PlanewiseError if it cannot be read, a cell is empty, a case has two rows, an animal is in two
    conditions, or there are fewer than two conditions with ``LEAST_ANIMALS`` animals each.
    """
    text = table_text(path, "it must be a CSV in UTF-8, which Excel saves as 'CSV UTF-8'")
    table = spreadsheet_rows(text)
    if missing := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise PlanewiseError(
            f"{path}: has no column {', '.join(missing)}; its first line must name case, animal and condition, but is "
            f"{text.partition(chr(10))[0].rstrip()[:80]!r}"
        )
    members = []
    for row in table:
        cells = {name or "": str(value or "").strip() for name, value in row.items()}
        if not any(cells.values()):
            continue
        if empty := [name for name in COLUMNS if not cells[name]]:
            raise PlanewiseError(f"{path}: line {table.line_num} has no {', '.join(empty)}")
        members.append(Member(*(cells[name] for name in COLUMNS)))
    names = [member.case for member in members]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise PlanewiseError(f"{path}: names case {', '.join(twice[:5])} more than once")
    for animal in sorted({member.animal for member in members}):
        conditions = sorted({member.condition for member in members if member.animal == animal})
        if len(conditions) > 1:
            raise PlanewiseError(
                f"{path}: animal {animal} is in conditions {', '.join(conditions)}; each must be in one: measuring "
                "the same animals in both conditions needs another test"
            )
    refuse_too_few(members, str(path))
    return members


def as_files_are_named(members: Sequence[Member], cases: Collection[str]) -> list[Member]:
    """Return ``members`` with cases spelt as in ``cases``, the names of files, which may encode letters differently.

    macOS stores Ö as O and a combining diaeresis, a spreadsheet stores it as one letter: both look the same.
    """
    as_stored = {unicodedata.normalize("NFC", case): case for case in cases}
    named = [as_stored.get(unicodedata.normalize("NFC", member.case), member.case) for member in members]
    return [replace(member, case=case) for member, case in zip(members, named)]


def refuse_too_few(members: Sequence[Member], where: str) -> None:
    """Raise PlanewiseError unless there are two conditions or more, each with ``LEAST_ANIMALS`` animals or more."""
    conditions = _conditions(members)
    if len(conditions) < 2:
        raise PlanewiseError(f"{where}: holds {len(conditions)} condition; at least two are needed")
    for condition in conditions:
        animals = sorted({member.animal for member in members if member.condition == condition})
        if len(animals) < LEAST_ANIMALS:
            raise PlanewiseError(
                f"{where}: condition {condition} has {len(animals)} animal ({', '.join(animals)}); at least "
                f"{LEAST_ANIMALS} are needed in each: objects of one animal are not independent"
            )


def compare_conditions(members: Sequence[Member], measures: dict[str, dict[str, np.ndarray]]) -> list[Comparison]:
    """Compare all pairs of conditions, in the order of their first member, in all measures.

    ``measures``: for each measure, by case, the values of the case's objects, or one value of the case. A pair is left
    out if fewer than ``LEAST_ANIMALS`` animals of either condition have values.
    """
    rows = []
    for measure, by_case in measures.items():
        for first, second in combinations(_conditions(members), 2):
            pair = [member for member in members if member.condition in (first, second)]
            row = _compare(measure, first, second, pair, by_case)
            if row is not None:
                rows.append(row)
    return _holm(rows)


def animal_means(members: Sequence[Member], by_case: dict[str, np.ndarray]) -> dict[str, float]:
    """Return each animal's mean over all its values; animals without any are left out."""
    values: dict[str, list[np.ndarray]] = {}
    for member in members:
        known = by_case.get(member.case, np.zeros(0))
        values.setdefault(member.animal, []).append(known[np.isfinite(known)])
    joined = {animal: np.concatenate(parts) for animal, parts in values.items()}
    return {animal: float(known.mean()) for animal, known in joined.items() if len(known)}


def _conditions(members: Sequence[Member]) -> list[str]:
    return list(dict.fromkeys(member.condition for member in members))


def _compare(
    measure: str, first: str, second: str, members: list[Member], by_case: dict[str, np.ndarray]
) -> Comparison | None:
    means = animal_means(members, by_case)
    known = [member for member in members if np.isfinite(by_case.get(member.case, np.zeros(0))).any()]
    of = [[member for member in known if member.condition == condition] for condition in (first, second)]
    animals = [list(dict.fromkeys(member.animal for member in group)) for group in of]
    if min(len(names) for names in animals) < LEAST_ANIMALS:
        return None
    per_animal = [np.array([means[animal] for animal in names]) for names in animals]
    several = any(np.isfinite(by_case[member.case]).sum() > 1 for member in known)
    effect = _mixed(known, second, by_case) if several else None
    method = WELCH if effect is None else MIXED
    difference, low, high, p = _welch(*per_animal) if effect is None else effect
    counts = [sum(int(np.isfinite(by_case[member.case]).sum()) for member in group) for group in of]
    return Comparison(
        measure,
        first,
        second,
        difference,
        low,
        high,
        p,
        method,
        (float(per_animal[0].mean()), float(per_animal[1].mean())),
        (len(animals[0]), len(animals[1])),
        (len(of[0]), len(of[1])),
        (counts[0], counts[1]),
    )


Effect = tuple[float, float, float, float]  # difference, low, high, p


def _welch(first: np.ndarray, second: np.ndarray) -> Effect:
    from scipy.stats import ttest_ind

    difference = float(second.mean() - first.mean())
    if not (np.ptp(first) or np.ptp(second)):  # nothing varies, so there is no test
        return difference, math.nan, math.nan, math.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # if only the animals of one condition are all equal
        test = ttest_ind(second, first, equal_var=False)
    interval = test.confidence_interval(0.95)
    return difference, float(interval.low), float(interval.high), float(test.pvalue)


def _mixed(members: list[Member], second: str, by_case: dict[str, np.ndarray]) -> Effect | None:
    """Return the effect by the mixed model; None if it is singular or does not converge."""
    import pandas as pd
    from scipy.stats import t
    from statsmodels.regression.mixed_linear_model import MixedLM
    from statsmodels.tools.sm_exceptions import ModelWarning

    tables = []
    for member in members:
        values = by_case[member.case][np.isfinite(by_case[member.case])]
        tables.append(
            pd.DataFrame(
                {
                    "value": values,
                    "animal": member.animal,
                    "case": member.case,
                    "second": float(member.condition == second),
                }
            )
        )
    table = pd.concat(tables, ignore_index=True)
    scale = float(table["value"].std())
    if not scale > 0:
        return None
    table["value"] = table["value"] / scale
    animals = [member.animal for member in members]
    several_cases = len(set(animals)) < len(animals)
    for nested in ({"case": "0 + C(case)"}, None) if several_cases else (None,):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", ModelWarning)
                warnings.simplefilter("error", RuntimeWarning)
                model = MixedLM.from_formula(
                    "value ~ second", groups="animal", re_formula="1", vc_formula=nested, data=table
                )
                fit = model.fit(reml=True)
        except (ModelWarning, RuntimeWarning, np.linalg.LinAlgError, ValueError):
            continue
        error = float(fit.bse_fe["second"])
        if not fit.converged or not error > 0 or float(fit.cov_re.iloc[0, 0]) < SINGULAR * float(fit.scale):
            continue
        freedom = len(set(animals)) - 2
        difference = float(fit.fe_params["second"])
        reach = float(t.ppf(0.975, freedom)) * error
        p = 2 * float(t.sf(abs(difference) / error, freedom))
        return difference * scale, (difference - reach) * scale, (difference + reach) * scale, p
    return None


def _holm(rows: list[Comparison]) -> list[Comparison]:
    tested = sorted((row.p, i) for i, row in enumerate(rows) if not math.isnan(row.p))
    adjusted, so_far = list(rows), 0.0
    for rank, (p, i) in enumerate(tested):
        so_far = max(so_far, min(1.0, p * (len(tested) - rank)))
        adjusted[i] = replace(rows[i], p_holm=so_far)
    return adjusted
