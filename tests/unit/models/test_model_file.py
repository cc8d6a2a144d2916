import pytest
import yaml

from planewise.errors import PlanewiseError
from planewise.models.model_file import SHIPPED, ObjectSizes, read_model_file


@pytest.mark.parametrize(
    "edited",
    [
        {"voxels": float("inf")},
        {"um3": float("inf")},
        {"um3": float("nan")},
        {"voxels": 0},
        {"voxels": "many"},
        {"objects": 0},
        {"objects": None},
    ],
    ids=str,
)
def test_sizes_of_objects_that_make_no_sense_are_refused(tmp_path, edited):
    text = yaml.safe_load((SHIPPED / "MitoNet_small.yaml").read_text())
    sizes = {"voxels": 40.0, "um3": 0.006, "objects": 9, "whole": True}
    path = tmp_path / "M.yaml"
    path.write_text(yaml.safe_dump(text | {"object_sizes": sizes}))
    assert read_model_file(path).object_sizes == ObjectSizes(**sizes)
    path.write_text(yaml.safe_dump(text | {"object_sizes": sizes | edited}))
    with pytest.raises(PlanewiseError, match=rf"M\.yaml.*object_sizes\.{next(iter(edited))}"):
        read_model_file(path)


def test_of_objects_far_larger_than_any_volume_the_least_size_is_the_most():
    assert ObjectSizes(voxels=1.0, um3=1e300, objects=9, whole=True).least(1e-9, 500) == 500
