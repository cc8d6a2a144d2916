"""Estimates, before any work, the memory that predicting a volume needs."""

import math
from dataclasses import dataclass

from planewise.volumes.slices import AXIS, Plane
from planewise.volumes.volume import Volume, access

OBJECT_BYTES = 0.5  # for a voxel and plane: the runs of crowded slices
WAITING_BATCHES = 6  # batches being read, predicted or grouped at a time, as float32
NETWORK_BYTES = 270  # for a pixel of a batch in the network's input: MitoNet_v1 on a CPU, bf16, 2048 x 2048


@dataclass(frozen=True)
class Need:
    """The approximate peak memory of a job in bytes: its ``volume`` as read, its ``objects``, and the ``network``.

    The network's part depends on the batch; streaming does not reduce it.
    """

    volume: int
    objects: int
    network: int

    @property
    def beside_network(self) -> int:
        """What grows with the volume."""
        return self.volume + self.objects

    @property
    def total(self) -> int:
        """All together."""
        return self.beside_network + self.network

    def __str__(self) -> str:
        parts = (("the volume", self.volume), ("its objects", self.objects), ("the network", self.network))
        listed = ", ".join(f"{what} {count / 1e9:.2g}" for what, count in parts)
        return f"about {self.total / 1e9:.2g} GB of memory ({listed})"


def need_in_memory(
    volume: Volume, planes: tuple[Plane, ...], batch_size: int, downsampling: int, device: str, outputs: int = 1
) -> Need:
    """Return what predicting ``volume`` in memory needs. On a GPU the network's memory is the GPU's.

    ``outputs``: channels of the network's semantic head.
    """
    voxels = math.prod(volume.shape)
    times = 2 if access(volume.voxels) == "whole" else 1  # its library's own copy, of the volume or of a result
    pixels = max(voxels // max(1, volume.shape[AXIS[plane]]) for plane in planes)
    network = NETWORK_BYTES * batch_size * pixels // downsampling**2 if device == "cpu" else 0
    return Need(
        volume=times * voxels * volume.voxels.dtype.itemsize,
        objects=int(OBJECT_BYTES * voxels * len(planes)),
        network=network + WAITING_BATCHES * batch_size * pixels * 4 * outputs,
    )
