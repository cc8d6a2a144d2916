"""The formats of volumes: one module each, whose ``FORMAT`` has its endings and the functions that open and write
it."""

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path

from planewise.volumes.volume import Volume


@dataclass(frozen=True)
class Format:
    """A format of volumes.

    ``endings``: of its files' names; ``open``: takes the path and the channel, None if the file should have only one;
    ``write``: None if it is only read; ``results``: the ending of results for a volume of this format, "" for the
    volume's own ending, or a mapping by the volume's ending.
    """

    endings: tuple[str, ...]
    open: Callable[[Path, int | None], Volume]
    write: Callable[[Path, Volume], None] | None = None
    results: str | dict[str, str] = ""

    def writes(self, ending: str) -> bool:
        """Whether volumes of this ending are written."""
        return self.write is not None and not (isinstance(self.results, dict) and ending in self.results)


@cache
def formats() -> dict[str, Format]:
    """Return the formats by their endings, longest first."""
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    known = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    by_ending = {ending: format_ for format_ in known for ending in format_.endings}
    return {ending: by_ending[ending] for ending in sorted(by_ending, key=lambda ending: (-len(ending), ending))}


def endings(written: bool = False) -> str:
    """Return the endings of all formats, or of those that can be written, as text."""
    return ", ".join(ending for ending, format_ in formats().items() if format_.writes(ending) or not written)


def ending_of(path: Path) -> str:
    """Return the volume ending of ``path``, or an empty string if it has none that is known."""
    name = path.name.lower()
    return next((ending for ending in formats() if name.endswith(ending)), "")


def stem_of(path: Path) -> str:
    """Return the file's name without its volume ending."""
    return path.name[: len(path.name) - len(ending_of(path))]


def result_ending(image: Path) -> str:
    """Return the ending of results for ``image``: that of its own format, if it can be written."""
    ending = ending_of(image)
    if not ending:
        return ".tiff"
    results = formats()[ending].results
    return (results.get(ending) if isinstance(results, dict) else results) or ending
