import pytest

from planewise.errors import PlanewiseError
from planewise.inference.out_of_core.job import begin_work


def test_another_run_is_refused_by_the_first_value_that_differs(tmp_path):
    begin_work(tmp_path, {"vote": 2, "made from": {"min_size": "by the objects", "axes": ["xy"]}})
    begin_work(tmp_path, {"vote": 2, "made from": {"min_size": "by the objects", "axes": ["xy"]}})
    with pytest.raises(
        PlanewiseError, match=r"of a run with min_size by the objects, not 500; finish it as it was begun"
    ):
        begin_work(tmp_path, {"vote": 2, "made from": {"min_size": 500, "axes": ["xy"]}})
    with pytest.raises(PlanewiseError, match=r"of a run with vote 2, not 1; "):
        begin_work(tmp_path, {"vote": 1, "made from": {"min_size": 500}})
