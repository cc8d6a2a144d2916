"""planewise fine-tunes 2D foundation models plane by plane to segment volumes.

The table of contents of the Python interface is ``__init__.pyi``. Each name is imported when it is first used, so that
importing the package costs nothing.
"""

from importlib.metadata import version as _version
from typing import Any

import lazy_loader

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return _version(__name__) if name == "__version__" else _load(name)
