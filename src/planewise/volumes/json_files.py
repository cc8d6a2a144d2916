"""Reads JSON files of any origin, naming the file in errors, and writes JSON files."""

import json
import math
from pathlib import Path
from typing import Any

from planewise.errors import PlanewiseError, first_line
from planewise.volumes.atomic import atomic_path


def read_json(path: Path) -> Any:
    """Return the content of a JSON file, with or without a byte order mark.

    Raises PlanewiseError, naming the file, if it is missing, not JSON in UTF-8, nested too deeply, or contains invalid
    Unicode (half of a surrogate pair), which could not be printed.
    """
    try:
        content = json.loads(path.read_text("utf-8-sig"))
        json.dumps(content, ensure_ascii=False).encode("utf-8")
    except FileNotFoundError as error:
        raise PlanewiseError(f"{path}: no such file") from error
    except OSError as error:
        raise PlanewiseError(f"{path}: cannot be read ({error.strerror})") from error
    except RecursionError as error:
        raise PlanewiseError(f"{path}: is not a JSON file that can be read: it is nested too deeply") from error
    except UnicodeEncodeError as error:
        raise PlanewiseError(f"{path}: holds text that is no Unicode (a lone surrogate); save it again") from error
    except ValueError as error:
        raise PlanewiseError(f"{path}: is not a JSON file ({first_line(error)})") from error
    return content


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file, whole or not at all. Raises ValueError for NaN and infinity, which JSON does not know."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False), "utf-8")


def finite(value: Any) -> Any:
    """Return lists and mappings with None, JSON's null, in place of NaN and infinity."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
