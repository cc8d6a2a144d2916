"""What the options of every command have in common."""

import errno
import os
import re
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from planewise.errors import PlanewiseError

Job = TypeVar("Job", bound="Options")

NAME_BYTES, PATH_BYTES = 255, 4095  # the most that file systems take
SHOWN = 60  # characters of a value that an error repeats
ADDED_BYTES = 55  # that names of files have beside the name they are made of, with what is unfinished or hidden


def _fits_file_systems(text: str) -> str:
    longest = max((len(os.fsencode(part)) for part in text.split("/")), default=0)
    if longest > NAME_BYTES or len(os.fsencode(text)) > PATH_BYTES:
        raise ValueError(f"is too long; no name may have more than {NAME_BYTES} bytes, no path more than {PATH_BYTES}")
    if printable(text) != text:
        raise ValueError("is a name that is no UTF-8, which tables, pages and readers of volumes need; rename it")
    return text


def _leads_somewhere(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("is a link that leads to itself") from None


def printable(text: str) -> str:
    """Return text that can be printed and written: bytes of a file's name that are no UTF-8 as escapes."""
    return text.encode(errors="backslashreplace").decode()


def as_name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text) or not text.strip("."):
        raise ValueError("must be a name of letters, digits, '_', '-' and '.', and not of dots alone")
    if len(os.fsencode(text)) > NAME_BYTES - ADDED_BYTES:
        raise ValueError(f"is too long; at most {NAME_BYTES - ADDED_BYTES} bytes")
    return text


def as_folder(path: Path) -> Path:
    _fits_file_systems(str(path))
    for place in (path, *path.parents):
        if place.exists():
            if not place.is_dir():
                raise ValueError(f"{'is' if place == path else f'is below {place},'} a file; give a folder")
            break
    return path


PathText = Annotated[str, AfterValidator(_fits_file_systems)]  # a path, or a word of ours instead of one
Name = Annotated[str, AfterValidator(as_name)]  # of files and folders that are made
Folder = Annotated[Path, AfterValidator(as_folder)]  # that is there, or will be made


class Options(BaseModel):
    """A job's options: the command line, Python's argument and what is stored are this one object.

    A value that is not allowed is a PlanewiseError that names the option.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    def part(self, kind: type[Job], **more: Any) -> Job:
        """Return the options of another command: those of these that it has too, and ``more``."""
        return kind(**({name: value for name, value in self if name in kind.model_fields} | more))

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_plainly(cls, values: Any, handler: ModelWrapValidatorHandler["Options"]) -> "Options":
        try:
            options = handler(values)
        except ValidationError as error:
            raise PlanewiseError("; ".join(_plain(problem) for problem in error.errors())) from None
        for name, value in options:
            for path in value if isinstance(value, tuple) else (value,):
                if isinstance(path, Path):
                    try:
                        _fits_file_systems(str(path))
                        _leads_somewhere(path)
                    except ValueError as error:
                        raise PlanewiseError(f"--{name} {shortened(path)}: {error}") from None
        return options


def _plain(problem: Any) -> str:
    """Return "--option value: reason"."""
    option = ".".join(str(part) for part in problem["loc"][:1])
    value = problem["input"]
    shown = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
    ours = problem["msg"].removeprefix("Value error, ")
    given = "" if value is True else f" {shortened(shown)}"  # a switch is given without a value
    return f"--{option}{given}: {ours if problem['type'] == 'value_error' else ours.lower()}"


def shortened(value: Any) -> str:
    """Return a value as an error repeats it."""
    text = printable(str(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
