"""MitoNet's networks, which are also recognised from their weights."""

from functools import partial

from planewise.models.panoptic_deeplab import ARCHITECTURES, build

NETWORKS = {name: partial(build, name) for name in ARCHITECTURES}
