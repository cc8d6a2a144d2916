"""The rule by which a curve of presence is kept, on simulated scores: Brier scores on cases that it does not know.

A case has 20 slices. The score of a slice is normal, and the class is there with a probability whose log odds are slope
x score + offset + a shift of the case, normal with SD 1: cases differ. Each kind of score is calibrated on three and on
ten held-out cases, and judged on 50 other cases: as it is, by the curve, and by the curve only if its gain on held-out
cases that it was not fitted to is more than 0, one, or two standard errors. The training uses one.

    python benchmarks/bench_presence_rule.py [--tiny]
"""

import numpy as np
from machine import TINY, describe

from planewise.models.reliability import LEAST, RAW, brier, gain_of_curves, presence_curve

SCORES = {  # slope and offset of the log odds
    "calibrated from the start": (1.0, 0.0),
    "too low by 1": (1.0, 1.0),
    "too low by 2": (1.0, 2.0),
    "overconfident (slope 0.5)": (0.5, 0.0),
    "overconfident (slope 0.25)": (0.25, 0.0),
}
MARGINS = (0, 1, 2)  # standard errors
SLICES, JUDGED_ON = 20, 50
REPEATS = 3 if TINY else 300


def cases(rng: np.random.Generator, count: int, slope: float, offset: float) -> tuple[np.ndarray, ...]:
    """Return scores, whether the class is there, and the case, of the slices of ``count`` cases."""
    scores = rng.normal(-3, 4, (count, SLICES))
    odds = slope * scores + offset + rng.normal(0, 1, (count, 1))
    there = rng.random(scores.shape) < 1 / (1 + np.exp(-odds))
    return scores.ravel(), there.ravel(), np.repeat(np.arange(count), SLICES)


print(describe(), flush=True)
columns = ("score", "held-out cases", "raw", "every curve", *(f"gain > {margin} SE (kept)" for margin in MARGINS))
print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
for name, truth in SCORES.items():
    for count in (3, 10):
        rng, judged = np.random.default_rng(0), []
        while len(judged) < REPEATS:
            scores, there, of_case = cases(rng, count, *truth)
            if min(there.sum(), (~there).sum()) < LEAST:  # no curve is fitted
                continue
            curve, gain = presence_curve(scores, there), gain_of_curves(scores, there, of_case)
            kept = [gain.mean > margin * gain.se for margin in MARGINS]
            others = cases(rng, JUDGED_ON, *truth)[:2]
            raw, fitted = brier(RAW, *others), brier(curve, *others)
            judged.append((raw, fitted, *(fitted if keeps else raw for keeps in kept), *kept))
        raw, fitted, *means = np.mean(judged, axis=0).tolist()
        chosen = (f"{mean:.4f} ({share:.0%})" for mean, share in zip(means, means[len(MARGINS) :]))
        print(f"| {name} | {count} | {raw:.4f} | {fitted:.4f} | {' | '.join(chosen)} |", flush=True)
