"""The cores that a process may run on decide how many processes prepare data, unless somebody says how many."""

import subprocess
import sys

import pytest

from planewise.volumes.machine import CORES, cores_of_each, machine_cores, use_cores

ON_ONE_CORE = """
import os
os.sched_setaffinity(0, list(os.sched_getaffinity(0))[:1])
from planewise.apps.ild.options import IldPrepare, IldTrain
from planewise.apps.mito.train_options import MitoTrain
from planewise.volumes.machine import machine_cores
print(machine_cores(), *(options.model_fields["num_workers"].default for options in (MitoTrain, IldPrepare, IldTrain)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="binds a process to one core")
def test_on_one_core_one_process_prepares_data():
    result = subprocess.run([sys.executable, "-c", ON_ONE_CORE], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["1"] * 4


def test_cores_are_counted_where_none_can_be_bound(monkeypatch):
    monkeypatch.delattr("os.sched_getaffinity", raising=False)
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert machine_cores() == 6


@pytest.mark.parametrize("share", ["", "0", "many", "-1"])
def test_a_share_that_is_no_number_of_cores_is_none(monkeypatch, share):
    monkeypatch.delenv(CORES, raising=False)
    cores = machine_cores()
    monkeypatch.setenv(CORES, share)
    assert machine_cores() == cores


def test_workers_share_the_cores(monkeypatch):
    monkeypatch.setenv(CORES, "8")
    assert [cores_of_each(count) for count in (1, 3, 16)] == [8, 2, 1]
    use_cores(2)
    assert machine_cores() == 2
