"""The common base of all commands' options."""

import errno
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo

from planewise.errors import PlanewiseError

Job = TypeVar("Job", bound="Options")

NAME_BYTES, PATH_BYTES = 255, 4095  # limits of file systems
SHOWN = 60  # characters of a value that an error repeats
LONG_NUMBER = re.compile(r"\d+\.\d{4,}(e-?\d+)?")  # which nobody has typed
ADDED_BYTES = 55  # that file names add to the name they are made from, including those of unfinished or hidden files


def _fits_file_systems(text: str) -> str:
    longest = max((len(os.fsencode(part)) for part in text.split("/")), default=0)
    if longest > NAME_BYTES or len(os.fsencode(text)) > PATH_BYTES:
        raise ValueError(f"is too long; no name may have more than {NAME_BYTES} bytes, no path more than {PATH_BYTES}")
    if printable(text) != text:
        raise ValueError("is a name that is not UTF-8, which tables, pages and readers of volumes need; rename it")
    return text


def _leads_somewhere(path: Path) -> None:
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise ValueError("is a link that leads to itself") from None


def printable(text: str) -> str:
    """Return text that can be printed and written, with bytes of a file name that are not UTF-8 escaped."""
    return text.encode(errors="backslashreplace").decode()


def as_name(text: str) -> str:
    if not re.fullmatch(r"[\w.-]+", text) or not text.strip("."):
        raise ValueError("must be a name of letters, digits, '_', '-' and '.', and not only of dots")
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


def real_path(path: Path) -> Path:
    """Return where a path leads, also if it is a link that leads to itself, which its reader reports."""
    return Path(os.path.realpath(path))


def given_twice(paths: Sequence[Path]) -> Path | None:
    """Return the first of ``paths`` that leads where an earlier one does, by whatever spelling; None if none does."""
    places = [real_path(path) for path in paths]
    return next((path for number, path in enumerate(paths) if places[number] in places[:number]), None)


PathText = Annotated[str, AfterValidator(_fits_file_systems)]  # a path, or one of our words in its place
Name = Annotated[str, AfterValidator(as_name)]  # of new files and folders
Folder = Annotated[Path, AfterValidator(as_folder)]  # that exists, or will be made


class Options(BaseModel):
    """A job's options: the command line, the Python arguments and the stored options are all this one object.

    A value that is not allowed raises a PlanewiseError that names the option. ``one_of``: options of which one is
    needed.
    """

    one_of: ClassVar[tuple[str, ...]] = ()

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), use_attribute_docstrings=True)

    def part(self, kind: type[Job], **more: Any) -> Job:
        """Return the options of another command: those that both have, and ``more``."""
        return kind(**({name: value for name, value in self if name in kind.model_fields} | more))

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_plainly(cls, values: Any, handler: ModelWrapValidatorHandler["Options"]) -> "Options":
        try:
            options = handler(values)
        except ValidationError as error:
            raise PlanewiseError("; ".join(_plain(cls, problem) for problem in error.errors())) from None
        for name, value in options:
            for path in value if isinstance(value, tuple) else (value,):
                if isinstance(path, Path):
                    try:
                        _fits_file_systems(str(path))
                        _leads_somewhere(path)
                    except ValueError as error:
                        typed = called(name, cls.model_fields[name])
                        raise PlanewiseError(f"--{typed} {shortened(path)}: {error}") from None
        return options


def called(name: str, info: FieldInfo) -> str:
    """Return the name by which an option is given, which is its field's unless that is taken."""
    return next((str(one.name) for one in info.metadata if getattr(one, "name", None)), name)


def as_typed(kind: type[Options], name: str, values: Sequence[Any]) -> tuple[str, list[str]]:
    """Return the flag of an option of ``kind``, and ``values`` of it, in JSON's types, as a user would type them."""
    info = kind.model_fields[name]
    switch = {"on", "off"} <= set(get_args(info.annotation))  # recorded as whether it is on
    words = {None: "not given", True: "on" if switch else "given", False: "off" if switch else "not given"}

    def typed(value: Any) -> str:
        if value is None or isinstance(value, bool):
            return words[value]
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    texts = [typed(value) for value in values]
    rounded = [LONG_NUMBER.sub(lambda number: f"{float(number[0]):.4g}", text) for text in texts]
    return f"--{called(name, info)}", rounded if len(set(rounded)) == len(set(texts)) else texts


def allowed(info: FieldInfo) -> str:
    """Return the values within the bounds of an option, as text: ``a number from 0 to 1``; empty if it has none."""
    kinds = ("ge", "gt", "le", "lt")
    bounds = {name: getattr(one, name) for one in info.metadata for name in kinds if hasattr(one, name)}
    if not bounds:
        return ""
    what = "a whole number" if int in (info.annotation, *get_args(info.annotation)) else "a number"
    if bounds.keys() == {"ge", "le"}:
        return f"{what} from {bounds['ge']:g} to {bounds['le']:g}"
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    return f"{what} {' and '.join(f'{words[name]} {bound:g}' for name, bound in bounds.items())}"


def _plain(kind: type[Options], problem: Any) -> str:
    """Return "--option value: reason"."""
    field = ".".join(str(part) for part in problem["loc"][:1])
    option = called(field, kind.model_fields[field]) if field in kind.model_fields else field
    value = problem["input"]
    shown = " ".join(map(str, value)) if isinstance(value, tuple | list) else value
    ours = problem["msg"].removeprefix("Value error, ")
    if isinstance(value, float):
        shown = f"{value:g}"
    given = "" if value is True else f" {shortened(shown)}"  # a switch has no value
    bounded = problem["type"].startswith(("greater_than", "less_than"))
    if bounded and (within := allowed(kind.model_fields[field])):
        return f"--{option}{given}: must be {within}"
    return f"--{option}{given}: {ours if problem['type'] == 'value_error' else ours.lower()}"


def shortened(value: Any) -> str:
    """Return a value, shortened for an error."""
    text = printable(str(value))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
