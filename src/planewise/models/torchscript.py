"""Read the tensors of a TorchScript archive without running any of its code.

``torch.jit.load`` compiles an archive's code and calls its ``__setstate__`` while it loads, and TorchScript can write
files. An archive is a zip: ``NAME/data.pkl`` is a pickle of the modules by name, ``NAME/data/N`` are the bytes of its
tensors, and ``NAME/code/`` is the program, of which only each class's lists of parameters and buffers are read.
"""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from planewise.errors import PlanewiseError

MODULES = 100_000  # most modules of an archive; exceeded by one that refers to the same modules repeatedly
SOURCE_BYTES = 10**7  # most bytes of a code file, the only kind of file that is compressed
STORAGES = {
    "DoubleStorage": torch.float64, "FloatStorage": torch.float32, "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16, "LongStorage": torch.int64, "IntStorage": torch.int32,
    "ShortStorage": torch.int16, "CharStorage": torch.int8, "ByteStorage": torch.uint8, "BoolStorage": torch.bool,
}  # fmt: skip
LISTS = ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")


def is_torchscript(path: Path) -> bool:
    """Whether the file is a TorchScript archive: a zip with a folder ``code``."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def read_torchscript(path: Path) -> dict[str, Tensor]:
    """Return the tensors of an archive's modules by name, as ``torch.jit.load(path).state_dict()`` has them.

    Raises PlanewiseError if it holds parts that only its code could assemble, such as quantized layers; errors of
    zipfile and pickle for a damaged file are passed on.
    """
    with zipfile.ZipFile(path) as archive:
        (record,) = (name for name in archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl"))
        content = _Unpickler(path, archive, record.removesuffix("data.pkl")).load()
    return dict(_tensors(path, content))


class _Storage(NamedTuple):
    values: Tensor  # flat


class _Module:
    """A module of an archive: its attributes, as stored, without its class's code."""

    kept: frozenset[str]  # names of its parameters and buffers
    state: Any = None

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    """Makes modules, tensors, lists and numbers, and nothing else."""

    def __init__(self, path: Path, archive: zipfile.ZipFile, folder: str) -> None:
        super().__init__(archive.open(f"{folder}data.pkl"))
        self.path, self.archive, self.folder = path, archive, folder
        self.storages: dict[str, Tensor] = {}
        self.sources: dict[str, str] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "__torch__" or module.startswith("__torch__."):
            # A new class each time, since a pickle can set attributes of a class.
            return type("_Module", (_Module,), {"kept": self._kept(module.replace(".", "/"), name)})
        known: dict[tuple[str, str], Callable[..., Any]] = {
            ("torch._utils", "_rebuild_tensor_v2"): lambda *parts: _tensor(*parts[:4]),
            ("collections", "OrderedDict"): lambda: OrderedDict(),
            ("torch.jit._pickle", "restore_type_tag"): lambda value, tag: value,
            **{("torch.jit._pickle", kind): lambda values: list(values) for kind in LISTS},
        }
        if (module, name) in known:
            return known[module, name]
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        raise PlanewiseError(
            f"{self.path}: is TorchScript with {module}.{name}, which only its code could read, but the code of a file "
            "is not run; give weights that are not quantized, or a state_dict"
        )

    def _kept(self, source: str, name: str) -> frozenset[str]:
        if source not in self.sources:
            info = self.archive.getinfo(f"{self.folder}code/{source}.py")
            if info.file_size > SOURCE_BYTES:
                raise PlanewiseError(
                    f"{self.path}: {info.filename} has {info.file_size} bytes; it is not a network that planewise reads"
                )
            self.sources[source] = self.archive.read(info).decode()
        lists = r"\(Module\):\s+__parameters__ = \[([^\]]*)\]\s+__buffers__ = \[([^\]]*)\]"
        match = re.search(rf"^class {re.escape(name)}{lists}", self.sources[source], re.MULTILINE)
        return frozenset(re.findall(r'"([^"]+)"', match[1] + match[2])) if match else frozenset()

    def persistent_load(self, pid: Any) -> _Storage:
        _, dtype, key, _, count = pid
        if key not in self.storages:
            info = self.archive.getinfo(f"{self.folder}data/{key}")
            if info.compress_type != zipfile.ZIP_STORED:
                raise PlanewiseError(f"{self.path}: {info.filename} is compressed, as PyTorch never writes tensors")
            content = bytearray(self.archive.read(info))
            self.storages[key] = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
        if len(self.storages[key]) < count:
            raise PlanewiseError(f"{self.path}: is damaged, data/{key} is shorter than it should be")
        return _Storage(self.storages[key])


def _tensor(storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> Tensor:
    return storage.values.as_strided(shape, strides, offset)  # raises an error outside of the storage


def _tensors(path: Path, content: Any) -> Iterator[tuple[str, Tensor]]:
    waiting = [("", content)]
    for _ in range(MODULES):
        if not waiting:
            return
        prefix, module = waiting.pop()
        if not isinstance(module, _Module) or not isinstance(module.state, dict):
            raise PlanewiseError(
                f"{path}: is TorchScript in which {prefix.rstrip('.') or 'everything'} is assembled by code, but the "
                "code of a file is not run; give a state_dict"
            )
        for name, value in module.state.items():
            if isinstance(value, Tensor) and name in module.kept:
                yield f"{prefix}{name}", value
            elif isinstance(value, _Module):
                waiting.append((f"{prefix}{name}.", value))
    raise PlanewiseError(f"{path}: has more than {MODULES} modules; it is not a network that planewise reads")
