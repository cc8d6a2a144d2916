"""The rows of docs/input.md are tests that exist."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_row_of_what_is_read_names_a_test():
    rows = [line for line in (ROOT / "docs" / "input.md").read_text().splitlines() if line.startswith("| ")]
    rows = [row for row in rows if not row.startswith(("| input |", "| what |"))]
    assert len(rows) > 40
    for row in rows:
        file, name = re.search(r"`(test_\w+\.py)::(test_\w+)` \|$", row).groups()
        assert any(f"def {name}(" in path.read_text() for path in (ROOT / "tests").rglob(file)), row
