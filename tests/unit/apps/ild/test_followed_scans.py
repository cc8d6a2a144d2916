"""Which file is the scan of a date."""

from pathlib import Path

import numpy as np

from planewise.apps.ild.followed_scans import scans_by_date
from planewise.data.manifest import MANIFEST, CaseRecord, Manifest, write_manifest
from planewise.data.preparation import MadeFrom, fingerprint
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def test_a_prediction_is_the_scan_of_no_date(tmp_path: Path):
    for day in ("2023-01-10", "2024-01-12"):
        write_labels(tmp_path / day / "ct.nii.gz", Volume(np.ones((3, 8, 8), np.uint8), (5.0, 1.0, 1.0), "mm"))
    folder = tmp_path / "2024-01-12"
    record = CaseRecord({"/scans/ct.nii.gz": "1 a"}, {"ct.nii.gz": fingerprint(folder / "ct.nii.gz")})
    made = MadeFrom({"command": "ild predict"}, {})
    write_manifest(folder / MANIFEST, Manifest(made, "/models/M.pth", {"ct": record}))
    scans, (problem,) = scans_by_date(tmp_path, None)
    assert scans == {"2023-01-10": tmp_path / "2023-01-10" / "ct.nii.gz"}
    assert problem.where == str(folder)
    assert problem.what.startswith("holds only results of planewise ild predict, made with /models/M.pth")
    assert problem.what.endswith("give what was segmented, /scans")
