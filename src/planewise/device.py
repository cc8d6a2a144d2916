"""Which device and which precision a job runs on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from planewise.errors import PlanewiseError
from planewise.progress import say

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
PrecisionName = Literal["auto", "32", "bf16"]


def choose_device(name: DeviceName) -> str:
    """Return cpu, cuda or mps; ``auto`` chooses a GPU if there is one. Raises PlanewiseError if it is missing."""
    import torch

    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if present[device])
    if not present[name]:
        available = ", ".join(device for device, there in present.items() if there)
        raise PlanewiseError(f"--device {name}: PyTorch finds no such device on this machine; it finds {available}")
    return name


def choose_precision(name: PrecisionName, device: str, predicting: bool = False) -> Literal["32", "bf16"]:
    """Return the precision of a job: ``auto`` is bf16 on a GPU that computes in it, else 32 bits.

    For predicting, also on a CPU that does (AVX-512 BF16 or AMX). Other CPUs of its kind only emulate bf16; if it is
    asked for, a message says so.
    """
    import torch

    if name == "32":
        return name
    if device == "cuda":
        has_it = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        capabilities = torch.cpu.get_capabilities()
        has_it = device == "cpu" and bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
        if name == "bf16" and device == "cpu" and not has_it and capabilities.get("architecture") == "x86_64":
            say("--precision bf16: this CPU only emulates it, which is several times slower than --precision 32")
    if name == "bf16":
        return name
    return "bf16" if has_it and (predicting or device == "cuda") else "32"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute with one thread in here: sums in another order would change a training."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
