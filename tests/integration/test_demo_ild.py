"""The demo of chest CT learns what it should: a change of the training that spoils masks fails here."""

import csv
from statistics import fmean

import pytest

from planewise.cli import run
from planewise.data.phantom import CHEST_CLASSES
from planewise.report.class_tables import RESULTS

LEAST_DICE = {"truth (an oracle)": 0.75, "auto": 0.5}  # mean of all classes; another processor is another training


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_demo_segments_every_class_with_boxes_and_without(tmp_path):
    assert run(["demo", "ild", str(tmp_path / "demo")]) == 0
    results = tmp_path / "demo" / "work" / "segs" / "MedSAM2-Tiny-ILD" / "evaluation" / RESULTS
    with results.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["case"] != "CT_phantomhealthy"]
    for prompts, least in LEAST_DICE.items():
        dices = [float(row["dsc"]) for row in rows if row["prompts"] == prompts]
        assert len(dices) == 4 * len(CHEST_CLASSES)
        assert fmean(dices) > least, prompts
