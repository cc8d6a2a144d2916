"""Writes volumes in memory as an nnU-Net raw dataset."""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from planewise.data.classes import DATASET_FILE
from planewise.errors import DatasetError
from planewise.volumes.atomic import atomic_path
from planewise.volumes.files import write_volume
from planewise.volumes.json_files import read_json
from planewise.volumes.labels import write_labels
from planewise.volumes.units import PIXEL
from planewise.volumes.volume import Volume

WRITTEN = "written by planewise from arrays"


def write_dataset(folder: Path, cases: Mapping[str, tuple[Volume, Volume]], classes: dict[int, str] | None) -> None:
    """Write training cases, each (image, labels) of the same shape, replacing what was written there before.

    ``classes``: names of the labels by value; the labels go to labelsTr as NIfTI, and those without names are named
    after their values. None: labels are instances, and go to instancesTr as TIFF, with the spacing in nm in nnU-Net's
    sidecars. Raises DatasetError if there are no cases, for invalid file names, for shapes that differ, and if
    ``folder`` holds something that this function did not write.
    """
    _refuse(folder, cases)
    truth, ending = ("instancesTr", ".tiff") if classes is None else ("labelsTr", ".nii.gz")
    values: set[int] = set()
    with atomic_path(folder) as temporary:
        for name, (image, labels) in cases.items():
            placed = image.with_voxels(np.asarray(labels.voxels[...]))
            write_volume(temporary / "imagesTr" / f"{name}_0000{ending}", image)
            write_labels(temporary / truth / f"{name}{ending}", placed)
            values.update(np.unique(np.asarray(placed.voxels)).tolist())
            if classes is None and image.unit != PIXEL:
                for kind in ("imagesTr", truth):
                    sidecar = json.dumps({"spacing": image.spacing_in("nm")})
                    (temporary / kind / f"{name}.json").write_text(sidecar, "utf-8")
        named = {1: "object"} if classes is None else classes or {v: f"class {v}" for v in sorted(values - {0})}
        meta = {
            "description": WRITTEN,
            "channel_names": {"0": "image"},
            "labels": {"background": 0} | {name: value for value, name in named.items()},
            "numTraining": len(cases),
            "file_ending": ending,
        }
        meta |= {"spacing_unit": "nm"} if classes is None else {}
        (temporary / DATASET_FILE).write_text(json.dumps(meta, indent=2), "utf-8")


def _refuse(folder: Path, cases: Mapping[str, tuple[Volume, Volume]]) -> None:
    """Raise DatasetError if the cases cannot be written."""
    if not cases:
        raise DatasetError(f"{folder}: there are no cases to write; give {{name: (image, labels)}}")
    meta = folder / DATASET_FILE
    about = read_json(meta) if meta.is_file() else None
    if folder.exists() and not (isinstance(about, dict) and about.get("description") == WRITTEN):
        raise DatasetError(f"{folder}: already exists, and was not written by planewise; give another output")
    for name, (image, labels) in cases.items():
        if not name or set(name) & set("/\\\0") or name.startswith("."):
            raise DatasetError(f"case {name!r}: cannot be the name of a file")
        if image.shape != labels.shape:
            raise DatasetError(f"case {name}: its image has shape {image.shape}, its labels {labels.shape}")
