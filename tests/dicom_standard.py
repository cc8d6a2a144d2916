"""dicom-validator without a network: it takes the standard's modules from the tables that highdicom carries.

It downloads the standard otherwise. The tables say which modules an object has, and which attributes a module has, of
which type, at any depth; neither on what condition an attribute is required (types 1C and 2C), nor which values it may
have: dciodvfy looks at those.
"""

from functools import cache
from pathlib import Path

import pydicom
import pytest
from pydicom.datadict import tag_for_keyword

EITHER = ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence")  # a macro is in one of them
CONTENT = "sr-document-content"  # whose attributes are required by ValueType, which the tables do not say


def validated(path: Path) -> tuple[int, str]:
    """Return how many errors dicom-validator finds in a file, and what it says of them."""
    pytest.importorskip("dicom_validator", reason="dicom-validator is missing: pip install dicom-validator")
    from dicom_validator.validator.iod_validator import IODValidator

    file = pydicom.dcmread(path)
    result = IODValidator(file, _tables(str(file.SOPClassUID))).validate()
    return result.errors, f"{result.status}: {dict(result.module_errors)}"


@cache
def _tables(sop_class: str):
    from dicom_validator.validator.dicom_info import DicomInfo
    from highdicom import _standard_utils as standard

    title = standard.get_sop_class_iod_map()[sop_class]
    used = standard.get_iod_module_map()[title]
    attributes = standard.get_module_attribute_map()
    modules = {module["key"]: {"ref": module["key"], "use": module["usage"]} for module in used}
    iod = {"title": title, "modules": modules, "group_macros": {}}
    return DicomInfo({}, {sop_class: iod}, {key: _module(key, attributes[key]) for key in modules})


def _module(key: str, attributes: list[dict]) -> dict:
    """Return a module's attributes by tag, those of a sequence's items within it."""
    module: dict = {}
    for attribute in attributes:
        path = attribute["path"]
        if key == CONTENT and path:
            continue
        level = module
        for keyword in path:
            level = level[_tag(keyword)].setdefault("items", {})
        optional = key == CONTENT or (len(path) == 1 and path[0] in EITHER)
        kind = "3" if optional else attribute["type"]
        level.setdefault(_tag(attribute["keyword"]), {"name": attribute["keyword"], "type": kind})
    return module


def _tag(keyword: str) -> str:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
