"""The algorithm that made labels, as DICOM states it: from the manifest beside them, or as the user gives it."""

import re
from importlib.metadata import version
from pathlib import Path

from planewise.data.manifest import Manifest, manifest_of
from planewise.data.preparation import fingerprint
from planewise.errors import PlanewiseError
from planewise.volumes.formats.dicom.segmentation import Algorithm

MANUAL = "manual"
AUTOMATIC = ("auto", "lungs (each slice by itself)")  # as ild predict notes the prompts
PARAMETERS = ("model", "model named", "prompts")  # of a manifest's options


def algorithm_of(labels: Path, made_by: str | None) -> Algorithm:
    """Return what made a label volume: planewise, as the manifest beside it says, or ``made_by`` ("name version").

    Raises PlanewiseError if neither states it, or if the labels were changed after planewise made them.
    """
    if made_by is not None:
        name, _, number = made_by.rpartition(" ")
        return Algorithm(name or made_by, number if name else "unknown", "MANUAL" if made_by == MANUAL else "AUTOMATIC")
    manifest = manifest_of(labels)
    if manifest is None:
        raise PlanewiseError(
            f"{labels}: no manifest beside it says what made it, which DICOM requires: give --made_by 'NAME VERSION', "
            f"or --made_by {MANUAL} for labels drawn by hand"
        )
    made = [record.outputs[labels.name] for record in manifest.cases.values() if labels.name in record.outputs]
    if fingerprint(labels) not in made:
        raise PlanewiseError(
            f"{labels}: was changed after planewise made it; give --made_by for what made its present state"
        )
    return of_manifest(manifest)


def of_manifest(manifest: Manifest) -> Algorithm:
    """Return the command that wrote a manifest, with its version and model."""
    options = manifest.made_from.options
    parameters = {name: str(options[name]) for name in PARAMETERS if options.get(name)}
    if sha := re.fullmatch(r"(.*) \(sha256 (\w+)\)", parameters.get("model", "")):
        parameters |= {"model": sha[1], "model_sha256": sha[2]}
    kind = "AUTOMATIC" if options.get("prompts", "auto") in AUTOMATIC else "SEMIAUTOMATIC"  # ild follow has no boxes
    return Algorithm(
        f"planewise {options.get('command', '')}", manifest.version or version("planewise"), kind, parameters
    )
