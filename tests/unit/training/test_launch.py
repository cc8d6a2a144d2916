import errno
from pathlib import Path

import pytest
from torch.multiprocessing import ProcessExitedException

from planewise.errors import PlanewiseError, WorkFailed
from planewise.training.launch import fabric_of, launch, training_alone
from planewise.training.loop_options import LoopOptions


def options(**given):
    return LoopOptions(
        iterations=1, batch_size=4, learning_rate=0.003, seed=0, checkpoint_interval=1, accelerator="cpu",
        precision="32", num_workers=0, identity={}, **given,
    )  # fmt: skip


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(PlanewiseError, match="--batch_size 4 cannot be shared by --devices 3"):
        fabric_of(options(devices=3))


def test_several_nodes_are_started_from_outside(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with pytest.raises(PlanewiseError, match=r"2 processes are needed, .* torchrun"):
        fabric_of(options(devices=1, num_nodes=2))
    with pytest.raises(PlanewiseError, match="--batch_size 4 cannot be shared by --devices 1 on --num_nodes 3"):
        fabric_of(options(devices=1, num_nodes=3))


class Dies:
    """A Fabric whose process dies in ``launch``."""

    def launch(self, work):
        raise ProcessExitedException("", error_index=1, error_pid=7, exit_code=-9, signal_name="SIGKILL")


@pytest.mark.parametrize(
    ("saved", "words"),
    [(True, "; go on with --resume, or"), (False, "; nothing was saved before: begin anew without --resume, or")],
)
def test_a_process_that_died_leads_to_resuming_only_what_was_saved(saved, words, tmp_path):
    if saved:
        (tmp_path / "last.ckpt").touch()
    with pytest.raises(WorkFailed, match=rf"died \(SIGKILL.*{words}"):
        launch(Dies(), options(devices=1), lambda fabric: None, tmp_path / "last.ckpt")


def test_a_folder_that_none_may_look_into_is_refused(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("stat", "mkdir"):
        monkeypatch.setattr(Path, name, refused)
    folder = tmp_path / "closed" / "models"
    with (
        pytest.raises(PlanewiseError, match=r"models: cannot be written \(Permission denied\); give another folder"),
        training_alone(folder, "cells", "--model_name"),
    ):
        pass
