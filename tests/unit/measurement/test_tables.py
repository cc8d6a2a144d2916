"""Tables: every column has its unit and is defined; what was not measured is empty."""

import csv
import json
from pathlib import Path

import numpy as np

from planewise.measurement.columns import OBJECT, UNITS, VOLUME
from planewise.measurement.measuring import measure_volume
from planewise.measurement.tables import contact_rows, document, object_rows, volume_rows, write_csv
from planewise.volumes.volume import Volume

DOCS = Path(__file__).parents[3] / "docs" / "measure.md"
WITHOUT = ("count", "intensity", "")


def measured(balls, unit="nm"):
    reference = Volume((balls == 5).astype(np.uint8), (8.0, 4.0, 4.0), unit)
    return measure_volume(Volume(balls, (8.0, 4.0, 4.0), unit), Volume(balls.astype(np.uint8)), {"nucleus": reference})


def test_every_column_has_a_unit_and_is_defined(balls):
    cases = {"a": measured(balls), "b": measured(balls, "pixel")}
    content = document(cases, [], [])
    for table, of_table in (("objects", {"case", "label"}), ("volumes", {"case"})):
        names = {name for row in content[table] for name in row} - of_table
        names = {name for name in names if not name.startswith("spacing_")}
        assert names == content["columns"][table].keys()
    assert {"volume_um3", "volume_voxels3", "nucleus_distance_um", "surface_um2", "loops"} <= names_of(
        content["objects"]
    )
    assert content["columns"]["objects"]["volume_um3"]["unit"] == "µm³"
    assert content["columns"]["objects"]["volume_voxels3"]["unit"] == "smallest voxel side, cubed"
    json.dumps(content, allow_nan=False)


def names_of(rows):
    return {name for row in rows for name in row}


def test_kinds_without_a_unit_are_numbers_without_one():
    for key, column in (OBJECT | VOLUME).items():
        assert (column.kind in UNITS) != (column.kind in WITHOUT), key
        assert column.meaning
        assert column.formula


def test_a_csv_says_what_was_measured(balls, tmp_path):
    cases = {"a": measured(balls)}
    write_csv(tmp_path / "objects.csv", object_rows(cases))
    with (tmp_path / "objects.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0]["voxels"] == str((balls == 1).sum())
    assert float(rows[4]["nucleus_distance_um"]) == 0
    write_csv(tmp_path / "contacts.csv", contact_rows(cases), ("case", "first_label"))
    assert (tmp_path / "contacts.csv").read_text() == "case,first_label\n"
    assert volume_rows(cases)[0]["spacing_z_um"] == 0.008


def test_the_documentation_defines_every_column():
    parts = DOCS.read_text("utf-8").split("\n## ")
    for title, columns in (("Objects", OBJECT), ("Volumes", VOLUME)):
        part = next(text for text in parts if text.startswith(title))
        documented = {row.split("`")[1]: row for row in part.splitlines() if row.startswith("| `")}
        assert len(documented) == len(columns)
        for key, column in columns.items():
            row = documented[column.name(key, True).replace("reference_", "NAME_")]
            assert column.formula in row
            assert column.source in row
