import pytest

from planewise.errors import PlanewiseError
from planewise.training.metrics_file import METRICS, MetricsFile, score_at_end


def test_the_score_at_the_end_is_the_last_and_nothing_scored_is_0(tmp_path):
    (tmp_path / "metrics.csv").write_text("step,total,val_score\n1,2.0,0.4\n2,1.0,\n3,1.5,0.25\n4,1.0,\n")
    assert score_at_end(tmp_path) == 0.25
    (tmp_path / "metrics.csv").write_text("step,total\n1,2.0\n")
    assert score_at_end(tmp_path) == 0.0


def test_metrics_that_are_gone_are_named(tmp_path):
    with pytest.raises(PlanewiseError, match=r"metrics\.csv: is gone"):
        score_at_end(tmp_path)


def test_what_was_logged_after_the_checkpoint_is_written_anew(tmp_path):
    metrics = MetricsFile(tmp_path / METRICS, 0)
    for step in (1, 2, 3):
        metrics.add({"step": step, "total": 1 / step})
    resumed = MetricsFile(tmp_path / METRICS, 2)
    resumed.add({"step": 3, "total": 0.25, "val_score": 0.5})
    lines = (tmp_path / METRICS).read_text().split()
    assert lines == [
        "step,learning_rate,total,images_per_second,val_score",
        "1,,1,,", "2,,0.5,,", "3,,0.25,,0.5",
    ]  # fmt: skip
