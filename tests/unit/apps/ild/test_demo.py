"""The demo of chest CT gives the same result whatever the number of the machine's cores."""

import torch

from planewise.apps.ild import run
from planewise.apps.ild.options import IldDemo
from planewise.device import one_thread


def test_the_demo_computes_with_one_thread(tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr(run, "write_chest_dataset", lambda *_, **__: None)
    monkeypatch.setattr(run, "run_ild", lambda job: threads.append(torch.get_num_threads()) or 0)
    with one_thread():  # which gives back what this test changes
        torch.set_num_threads(2)
        assert run.demo_ild(IldDemo(folder=tmp_path)) == 0
        assert (threads, torch.get_num_threads()) == ([1], 2)
