"""The DICOM codes of classes, by class name: terms of SNOMED CT (SCT) and of DICOM itself (DCM).

Radiologic patterns use DICOM's terms, from its context groups 6103 (lines) and 6104 (opacities), because SNOMED CT has
no equivalents; anatomy and disorders use SNOMED CT's terms.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError
from planewise.measurement.classes import as_column
from planewise.volumes.formats.dicom.segmentation import Coding, Segment
from planewise.volumes.json_files import read_json
from planewise.volumes.label_names import class_colours

ABNORMAL = Coding("SCT", "49755003", "Morphologically Abnormal Structure")
ANATOMY = Coding("SCT", "91723000", "Anatomical Structure")
LUNG = Coding("SCT", "39607008", "Lung")
GROUND_GLASS = Coding("DCM", "112120", "Ground glass opacity")
RETICULAR = Coding("DCM", "112113", "Reticular pattern")
HONEYCOMB = Coding("DCM", "112106", "Honeycomb pattern")
BRONCHIECTASIS = Coding("SCT", "12295008", "Bronchiectasis")
NEOPLASM = Coding("SCT", "108369006", "Neoplasm")

CODES: dict[str, tuple[Coding, Coding]] = {  # category and type, by the name used in columns
    "ground_glass": (ABNORMAL, GROUND_GLASS),
    "ground_glass_opacity": (ABNORMAL, GROUND_GLASS),
    "ggo": (ABNORMAL, GROUND_GLASS),
    "reticulation": (ABNORMAL, RETICULAR),
    "honeycombing": (ABNORMAL, HONEYCOMB),
    "reticulonodular_pattern": (ABNORMAL, Coding("DCM", "112065", "Reticulonodular pattern")),
    "consolidation": (ABNORMAL, Coding("SCT", "95436008", "Lung consolidation")),
    "emphysema": (ABNORMAL, Coding("SCT", "87433001", "Pulmonary emphysema")),
    "air_trapping": (ABNORMAL, Coding("SCT", "76171001", "Air-trapping")),
    "bronchiectasis": (ABNORMAL, BRONCHIECTASIS),
    "traction_bronchiectasis": (ABNORMAL, BRONCHIECTASIS),
    "pleural_effusion": (ABNORMAL, Coding("SCT", "60046008", "Pleural effusion")),
    "nodule": (ABNORMAL, Coding("SCT", "27925004", "Nodule")),
    "micronodules": (ABNORMAL, Coding("DCM", "112122", "Micronodule")),
    "tumour": (ABNORMAL, NEOPLASM),
    "tumor": (ABNORMAL, NEOPLASM),
    "lung": (ANATOMY, LUNG),
    "lungs": (ANATOMY, LUNG),
    "left_lung": (ANATOMY, Coding("SCT", "44029006", "Left lung")),
    "right_lung": (ANATOMY, Coding("SCT", "3341006", "Right lung")),
    "trachea": (ANATOMY, Coding("SCT", "44567001", "Trachea")),
    "spinal_cord": (ANATOMY, Coding("SCT", "2748008", "Spinal cord")),
}
FORM = '{"class": {"category": ["SCT", "49755003", "Morphologically Abnormal Structure"], "type": [...]}}'


def segments_of(names: Mapping[int, str], codes: Path | None) -> dict[int, Segment]:
    """Return the segment of each class, by value: its name, terms and colour.

    ``codes``: a JSON file of terms by class, in the form of ``FORM``, which take precedence over ``CODES``. Raises
    PlanewiseError for a class that neither contains, and for a file in another form.
    """
    known = CODES | ({} if codes is None else _read(codes))
    without = [name for name in names.values() if as_column(name) not in known]
    if without:
        raise PlanewiseError(
            f"there is no DICOM term for {', '.join(without)}; known are {', '.join(CODES)}. Give the terms of "
            f"others with --codes FILE, a JSON file {FORM}"
        )
    colours = class_colours(dict(names))
    return {value: Segment(name, *known[as_column(name)], colours[value]) for value, name in names.items()}


def _read(path: Path) -> dict[str, tuple[Coding, Coding]]:
    content = read_json(path)
    try:
        return {
            as_column(name): (_coding(terms["category"]), _coding(terms["type"])) for name, terms in content.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise PlanewiseError(f"--codes {path}: must be {FORM}, each with a scheme, value and meaning") from error


def _coding(parts: Any) -> Coding:
    scheme, value, meaning = parts
    if not all(isinstance(part, str) and part for part in parts) or len(scheme) > 16 or len(meaning) > 64:
        raise ValueError("no term")
    return Coding(scheme, value, meaning)
