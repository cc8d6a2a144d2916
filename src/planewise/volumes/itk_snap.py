"""ITK-SNAP's label description: a file with the names and colours of labels, which a NIfTI cannot hold."""

import re
from pathlib import Path

from planewise.volumes.atomic import atomic_path
from planewise.volumes.label_names import LabelNames, hexadecimal, rgb

FILE = "itksnap_labels.txt"  # beside the NIfTI files that it describes
HEADER = """\
################################################
# ITK-SnAP Label Description File
# File format:
# IDX   -R-  -G-  -B-  -A--  VIS MSH  LABEL
# Written by planewise; load it with Segmentation > Import label descriptions
################################################
"""


def label_description(labels: LabelNames) -> str:
    """Return the text of a label description file; the background, which ITK-SNAP requires, comes first."""
    rows = ['    0     0    0    0        0  0  0    "Clear Label"']
    for value, name in labels.names.items():
        red, green, blue = rgb(labels.colours[value])
        quoted = " ".join(name.replace('"', "'").split())
        rows.append(f'{value:5d}   {red:3d}  {green:3d}  {blue:3d}        1  1  1    "{quoted}"')
    return HEADER + "\n".join(rows) + "\n"


def read_label_description(path: Path) -> LabelNames:
    """Return the names and colours in a label description of planewise or ITK-SNAP; none if there is no such file.

    Lines in another form are ignored.
    """
    names, colours = {}, {}
    for line in path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else ():
        row = re.match(r'\s*(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+[\d.]+\s+[01]\s+[01]\s+"([^"]*)"', line)
        value, *parts = map(int, row.groups()[:4]) if row else (0,)
        if row and value and max(parts) < 256:
            names[value], colours[value] = row[5], hexadecimal(*parts)
    return LabelNames(names, colours)


def is_label_description_of_ours(path: Path) -> bool:
    """Whether the file at ``path`` is one that ``write_label_description`` wrote."""
    return path.read_bytes().startswith(HEADER.encode())


def write_label_description(path: Path, labels: LabelNames) -> None:
    """Write the label description of ``labels`` to ``path``."""
    with atomic_path(path) as temporary:
        temporary.write_text(label_description(labels), "utf-8")
