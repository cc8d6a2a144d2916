"""Boxes to start from: from the truth (an oracle), or from a file. Each is one slice of one object of one class."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from planewise.data.spreadsheet import spreadsheet_rows, table_text
from planewise.errors import PlanewiseError
from planewise.volumes.json_files import read_json
from planewise.volumes.parts import connected_parts

Box = tuple[float, float, float, float]  # x and y from, x and y to (half open), in pixels
Components = Literal["all", "one"]
COLUMNS = ("case", "class", "slice", "x0", "y0", "x1", "y1")


@dataclass(frozen=True)
class Prompt:
    """A box around an object of class ``label`` in slice ``z``."""

    label: int
    z: int
    box: Box


def tight_box(mask: np.ndarray) -> Box:
    """Return the box of a mask (H, W) that holds something."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def prompts_from_truth(labels: np.ndarray, components: Components) -> list[Prompt]:
    """Return a prompt for every 26-connected component of every class of ``labels`` (N, H, W), or one a class.

    Each lies in the slice in which its component (its class, with "one") is largest. An oracle: whoever scores what
    comes of it must say so.
    """
    prompts = []
    for label in np.unique(labels[labels > 0]).tolist():
        mask = labels == label
        parts = connected_parts(mask, 26) if components == "all" else mask.astype(np.uint8)
        for part in range(1, int(parts.max()) + 1):
            areas = (parts == part).sum(axis=(1, 2))
            z = int(areas.argmax())
            prompts.append(Prompt(label, z, tight_box(parts[z] == part)))
    return prompts


def read_prompts(
    path: Path,
    shapes: dict[str, tuple[int, int, int]],
    spacings_mm: dict[str, tuple[float, float, float]],
    classes: dict[int, str],
) -> tuple[dict[str, list[Prompt]], list[str]]:
    """Return the prompts of a file by case, and what does not fit, each naming its line (row, for JSON).

    CSV with the columns ``case, class, slice, x0, y0, x1, y1`` and optionally ``unit`` (voxel, or mm from the first
    voxel's corner), or JSON with a list of such objects. Slices and axes are those of the canonical orientation.
    ``class`` is a number or a name. Raises PlanewiseError if the file itself cannot be read.
    """
    if not path.is_file():
        raise PlanewiseError(f"{path}: no such file; boxes are a CSV or JSON file with {', '.join(COLUMNS)}")
    try:
        if path.suffix.lower() == ".json":
            content: Any = read_json(path)
            if not isinstance(content, list):
                raise PlanewiseError(f"{path}: holds no list; it needs a list of objects with {', '.join(COLUMNS)}")
            rows: list[tuple[int, dict[str, Any]]] = list(enumerate(content, start=1))
        else:
            reader = spreadsheet_rows(table_text(path, f"it must be a CSV or JSON with {', '.join(COLUMNS)}"))
            missing = [name for name in COLUMNS if name not in (reader.fieldnames or [])]
            if missing:
                raise PlanewiseError(f"{path}: has no column {', '.join(missing)}; it needs {', '.join(COLUMNS)}")
            rows = [(reader.line_num, row) for row in reader]
    except (ValueError, csv.Error) as error:
        raise PlanewiseError(f"{path}: cannot be read as CSV or JSON ({error})") from error
    prompts: dict[str, list[Prompt]] = {}
    problems = []
    for line, row in rows:
        try:
            if not isinstance(row, dict):
                raise ValueError(f"is no object with {', '.join(COLUMNS)}")
            case = str(row["case"])
            if case not in shapes:
                raise ValueError(f"there is no case {case}")
            prompt = prompt_of(row, shapes[case], spacings_mm[case], classes)
        except (ValueError, TypeError, OverflowError) as error:
            problems.append(f"line {line}: {error}")
            continue
        except KeyError as error:
            problems.append(f"line {line}: has no {error.args[0]}")
            continue
        prompts.setdefault(case, []).append(prompt)
    return prompts, problems


def prompt_of(
    row: Mapping[str, Any],
    shape: tuple[int, int, int],
    spacing_mm: tuple[float, float, float],
    classes: dict[int, str],
) -> Prompt:
    """Return the prompt of a row, see ``read_prompts``. Raises ValueError, TypeError or KeyError if it does not fit."""
    numbers = {name: value for value, name in classes.items()}
    given = str(row["class"])
    label = numbers.get(given, int(given) if given.strip().isdecimal() else 0)
    if label not in classes:
        named = [f"{name} ({value})" for value, name in classes.items() if name != str(value)]
        there = f"there are {', '.join(named)}" if named else f"classes are numbers, {min(classes)} to {max(classes)}"
        raise ValueError(f"there is no class {given}; {there}")
    depth, height, width = shape
    dz, dy, dx = spacing_mm if str(row.get("unit") or "voxel") == "mm" else (1.0, 1.0, 1.0)
    z = int(float(row["slice"]) / dz)
    x0, y0, x1, y1 = (float(row[name]) / size for name, size in zip(COLUMNS[3:], (dx, dy, dx, dy)))
    if not 0 <= z < depth:
        raise ValueError(f"slice {z} is outside 0..{depth - 1}")
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise ValueError(f"box {x0:g} {y0:g} {x1:g} {y1:g} does not lie within 0 0 {width} {height}")
    return Prompt(label, z, (x0, y0, x1, y1))
