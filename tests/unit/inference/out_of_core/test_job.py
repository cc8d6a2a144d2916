import pytest

from planewise.errors import PlanewiseError
from planewise.inference.out_of_core.job import begin_work


def test_another_run_is_refused_by_the_values_that_differ(tmp_path):
    begin_work(tmp_path, {"vote": 2, "made from": {"min_size": "by the objects", "axes": ["xy"]}})
    begin_work(tmp_path, {"vote": 2, "made from": {"min_size": "by the objects", "axes": ["xy"]}})
    words = r"a run with other options \(made from min_size: by the objects -> 500\); finish it as it was begun"
    with pytest.raises(PlanewiseError, match=words):
        begin_work(tmp_path, {"vote": 2, "made from": {"min_size": 500, "axes": ["xy"]}})
    with pytest.raises(PlanewiseError, match=r"a run with other options \(vote: 2 -> 1; "):
        begin_work(tmp_path, {"vote": 1, "made from": {"min_size": 500}})
