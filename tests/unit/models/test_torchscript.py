import os
import pickle
import zipfile

import pytest
import torch
from torch import nn

from planewise.errors import PlanewiseError
from planewise.models.panoptic_deeplab import ARCHITECTURES, build
from planewise.models.torchscript import is_torchscript, read_torchscript
from planewise.models.weights import export_torchscript, load_network, read_state
from reference.published import published

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


class Kinds(nn.Module):
    """Everything that a module's state can hold: what is no parameter and no buffer is not in its state_dict."""

    def __init__(self):
        super().__init__()
        self.plain = torch.ones(2)
        self.lstm = nn.LSTM(2, 3, bidirectional=True)
        self.again = self.lstm
        self.named = {"a": torch.ones(1)}
        self.places = [1.5, 2.0]
        self.register_buffer("transposed", torch.arange(6).reshape(2, 3).T)
        self.halves = nn.Parameter(torch.ones(3, dtype=torch.bfloat16))
        self.part = nn.Parameter(torch.arange(10.0)[3:7])
        self.empty = nn.Parameter(torch.empty(0))
        self.flags = nn.Parameter(torch.tensor([True, False]), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0] + self.plain[0] + self.places[0]


def same_as_torch(path):
    """Hold what is read from ``path`` against what torch loads, and return the latter."""
    expected = torch.jit.load(path).state_dict()
    result = read_torchscript(path)
    assert set(result) == set(expected)
    for name, value in expected.items():
        assert result[name].dtype == value.dtype
        assert result[name].shape == value.shape
        assert torch.equal(result[name], value)
    return expected


@pytest.mark.parametrize("name", [*ARCHITECTURES])
def test_exports_have_the_published_keys_and_are_read_as_torch_loads_them(tmp_path, name):
    torch.manual_seed(0)
    export_torchscript(build(name), tmp_path / "w.pth")
    assert is_torchscript(tmp_path / "w.pth")
    state = same_as_torch(tmp_path / "w.pth")
    assert len(state) > 70
    if name in ("mitonet_v1", "mitonet_v1_mini"):
        keys = str(published("mitonet_forward", name)["fused_keys"]).splitlines()
        assert sorted(f"{key}\t{tuple(value.shape)}" for key, value in state.items()) == sorted(keys)


def test_every_kind_of_attribute(tmp_path):
    torch.jit.script(Kinds()).save(tmp_path / "w.pth")
    assert len(same_as_torch(tmp_path / "w.pth")) == 21
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).eval()
    torch.jit.trace(network, torch.ones(1, 2)).save(tmp_path / "traced.pth")
    assert len(same_as_torch(tmp_path / "traced.pth")) == 7


class Writes(nn.Module):
    """TorchScript whose code writes a file when it is loaded."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x

    @torch.jit.export
    def __getstate__(self) -> tuple[torch.Tensor, bool]:
        return (self.weight, self.training)

    @torch.jit.export
    def __setstate__(self, state: tuple[torch.Tensor, bool]) -> None:
        self.weight = state[0]
        self.training = state[1]
        torch.ops.aten.save(state[0], "written")


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


def test_code_in_an_archive_is_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.jit.script(Writes()).save("w.pth")
    assert listed(tmp_path) == ["w.pth"]
    for load in (read_state, load_network):
        with pytest.raises(PlanewiseError, match=r"w\.pth: is TorchScript in which .* code of a file is not run"):
            load(tmp_path / "w.pth")
        assert listed(tmp_path) == ["w.pth"]
    torch.jit.load("w.pth")  # the file does what it was made for, where it is run
    assert listed(tmp_path) == ["w.pth", "written"]


class Calls:
    def __reduce__(self):
        return os.mkdir, ("made",)


def archive_of(path, content, code="class M(Module):\n  __parameters__ = []\n  __buffers__ = []\n"):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/code/__torch__.py", code)
        archive.writestr("w/data.pkl", content)


def test_a_pickle_in_an_archive_calls_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive_of(tmp_path / "w.pth", pickle.dumps({"x": Calls()}, 2))
    with pytest.raises(PlanewiseError, match=r"w\.pth: is TorchScript with \w+\.mkdir"):
        read_state(tmp_path / "w.pth")
    assert listed(tmp_path) == ["w.pth"]


def nested(depth, last):
    """The pickle of a module whose modules a and b are one, which has modules a and b that are one, and so on."""
    new = b"c__torch__\nM\n)\x81}"
    inner = new + b"b"
    for i in range(depth):
        memo = i.to_bytes(4, "little")
        inner = new + b"(X\x01\0\0\0a" + inner + b"r" + memo + b"X\x01\0\0\0bj" + memo + b"ub"
    return b"\x80\x02" + inner + last


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as PyTorch weights"),
        (b"\x80\x02}.", "everything is assembled by code"),
        (nested(40, b"."), "more than 100000 modules"),
        (nested(3, b""), "cannot be read as PyTorch weights"),
    ],
    ids=["empty", "no module", "modules without end", "cut"],
)
def test_archives_that_are_no_networks(tmp_path, content, words):
    archive_of(tmp_path / "w.pth", content)
    with pytest.raises(PlanewiseError, match=rf"w\.pth: .*{words}"):
        read_state(tmp_path / "w.pth")


def test_a_tensor_beyond_its_bytes_is_refused(tmp_path):
    torch.jit.script(nn.Linear(2, 3)).save(tmp_path / "w.pth")
    with zipfile.ZipFile(tmp_path / "w.pth") as whole, zipfile.ZipFile(tmp_path / "cut.pth", "w") as cut:
        for name in whole.namelist():
            content = whole.read(name)
            cut.writestr(name, content[:8] if name.endswith("/data/0") else content)
    with pytest.raises(PlanewiseError, match="is damaged, data/0 is shorter"):
        read_state(tmp_path / "cut.pth")
