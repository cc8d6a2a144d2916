"""ITK-SNAP's label description: the file that tells it the names and colours of labels in a NIfTI, which has none."""

from pathlib import Path

from planewise.volumes.atomic import atomic_path
from planewise.volumes.label_names import LabelNames, rgb

HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Written by planewise; load it with Segmentation > Import label descriptions
################################################
"""


def label_description(labels: LabelNames) -> str:
    """Return the text of a label description file; the background, which ITK-SNAP wants, comes first."""
    rows = ['    0     0    0    0        0  0  0    "Clear Label"']
    for value, name in labels.names.items():
        red, green, blue = rgb(labels.colours[value])
        quoted = " ".join(name.replace('"', "'").split())
        rows.append(f'{value:5d}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "{quoted}"')
    return HEADER + "\n".join(rows) + "\n"


def is_label_description_of_ours(path: Path) -> bool:
    """Whether the file at ``path`` is one that ``write_label_description`` wrote."""
    return path.read_bytes().startswith(HEADER.encode())


def write_label_description(path: Path, labels: LabelNames) -> None:
    """Write the label description of ``labels`` to ``path``."""
    with atomic_path(path) as temporary:
        temporary.write_text(label_description(labels), "utf-8")
