"""Every column is defined once: what is computed, what is written and what docs say are these."""

from pathlib import Path

import numpy as np

from planewise.measurement.extent import count_voxels, extent_measures
from planewise.measurement.lung_columns import GROUPS, PATTERNS, REGION_MEANINGS, lung_columns
from planewise.measurement.lung_measures import lung_densities
from planewise.measurement.lungs import LungRegions
from planewise.measurement.readers import AGREEMENT_COLUMNS, KAZEROONI, agreement

DOCS = Path(__file__).parents[3] / "docs" / "measure_ct.md"


def test_what_is_computed_is_what_is_defined():
    sides = np.ones((3, 4, 4), np.uint8)
    regions = LungRegions.of(sides, (1.0, 1.0, 1.0), "height", 1.0)
    groups = {"glass": (1,), "total_extent": (1,)}
    computed = extent_measures(count_voxels(sides, regions), groups) | lung_densities(sides * -800.0, sides)
    columns = lung_columns(groups)
    assert set(computed) == set(columns)
    assert all(name == column.name for name, column in columns.items())


def test_every_column_ends_in_its_unit():
    ends = {"ml": "_ml", "percent": "_percent", "HU": "_hu"}
    for column in lung_columns({"net": (1,)}).values():
        assert column.name.endswith(ends[column.unit])
        assert "{" not in column.name + column.meaning


def test_meanings_read_as_sentences():
    columns = lung_columns({"net": (1,)})
    assert columns["net_left_upper_percent"].meaning.startswith(
        "share of the volume of the upper third of the left lung that net takes"
    )
    assert columns["net_peripheral_ml"].meaning == "volume of net within the peripheral part of the lungs"
    assert columns["lungs_right_haa_percent"].meaning.endswith("share of the right lung from -600 to -250 HU")


def test_agreement_has_the_columns_that_are_defined():
    row = agreement("net_percent", [1.0, 2.0], [1.0, 3.0], ["P", "Q"], KAZEROONI, "linear").row()
    assert list(row) == [name for column in AGREEMENT_COLUMNS for name in column.name.split(", ")]


def test_docs_say_what_is_defined():
    """The tables of docs/measure_ct.md; ``python tests/unit/measure/test_lung_columns.py`` prints them."""
    text = DOCS.read_text("utf-8")
    for line in tables():
        assert line in text.splitlines(), line


def tables():
    """Return the lines of the tables of docs/measure_ct.md."""
    lines = ["| column | unit | meaning | source |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.unit} | {one.meaning} | {one.source} |" for one in PATTERNS]
    lines += ["| class | meaning |", "|---|---|"]
    lines += [f"| `{name}` | {meaning} |" for name, meaning in GROUPS.items()]
    lines += ["| region | meaning |", "|---|---|"]
    lines += [f"| {name} | {meaning} |" for name, meaning in REGION_MEANINGS.items()]
    lines += ["| column of agreement.csv | unit | meaning | source |", "|---|---|---|---|"]
    lines += [f"| `{one.name}` | {one.unit} | {one.meaning} | {one.source} |" for one in AGREEMENT_COLUMNS]
    return lines


if __name__ == "__main__":
    print("\n".join(tables()))
