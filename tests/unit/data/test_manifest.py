"""What is no manifest is refused, whatever is wrong with it; what one says is tested with the run that writes it."""

import json

import pytest

from planewise.data.manifest import MANIFEST, read_manifest
from planewise.errors import PlanewiseError

OUTSIDE = '{"options": {}, "model": "", "cases": {"a": {"inputs": {}, "outputs": {"../precious": "1 a"}}}}'


RECORDS = (
    {"inputs": [], "outputs": {}},
    {"inputs": {}, "outputs": ["a"]},
    {"inputs": {}, "outputs": {"a": 5}},
    {"inputs": {}, "outputs": {}, "decided": []},
    {"inputs": {}, "outputs": {"a\0": "1 a"}},
)
EDITED = [json.dumps({"options": {}, "model": "", "cases": {"a": record}}) for record in RECORDS]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cases": {"a": 3}, "options": {}}', "[" * 100_000, OUTSIDE, *EDITED]
)
def test_a_damaged_manifest_is_told(tmp_path, text):
    (tmp_path / MANIFEST).write_text(text)
    with pytest.raises(PlanewiseError, match=r"planewise.json: is not a manifest"):
        read_manifest(tmp_path / MANIFEST)
