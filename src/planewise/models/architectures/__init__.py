"""The networks that a model's YAML names under ``architecture``: each module of this folder lists its ``NETWORKS``.

Each is a ``PanopticNetwork``: whatever its encoder and decoder, its outputs are trained and used as MitoNet's are.
"""

import pkgutil
from collections.abc import Callable
from functools import cache
from importlib import import_module

from planewise.models.panoptic_deeplab import PanopticNetwork


@cache
def architectures() -> dict[str, Callable[..., PanopticNetwork]]:
    """Return the functions that make the networks, with random weights, by name.

    Each function takes ``outputs``, the channels of the semantic head; see ``PanopticNetwork.forward``.
    """
    modules = (import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return {name: make for module in modules for name, make in module.NETWORKS.items()}
