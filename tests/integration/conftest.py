"""What the tests of the command line share."""

import copy
from itertools import chain

import pytest
import torch


@pytest.fixture(scope="session")
def script_once():
    """``torch.jit.script`` that compiles one network of each make and gives the next one's tensors to its program.

    Compiling takes half a second, a third of a tiny training. What is written has tests of its own, which compile.
    """
    script, programs = torch.jit.script, {}

    def tensors(module):
        return dict(chain(module.named_parameters(), module.named_buffers()))

    def scripted(network):
        make = str(network), tuple(tensors(network))
        if make not in programs:
            programs[make] = script(copy.deepcopy(network))
        own = tensors(network)
        for name, tensor in tensors(programs[make]).items():
            tensor.data = own[name].data
        return programs[make]

    return scripted


@pytest.fixture(autouse=True)
def _scripted_once(monkeypatch, script_once):
    monkeypatch.setattr(torch.jit, "script", script_once)
