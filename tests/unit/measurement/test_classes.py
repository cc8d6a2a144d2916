import pytest

from planewise.errors import PlanewiseError
from planewise.measurement.classes import choose_classes, named_by_options

KNOWN = {1: "ground_glass", 2: "Reticulation", 3: "honeycombing", 7: "Traction bronchiectasis"}


def test_all_are_measured_and_fibrosis_is_what_is_so_called():
    chosen = choose_classes(KNOWN, (), ())
    assert chosen.names == KNOWN
    assert chosen.fibrosis == (2, 3)
    assert chosen.groups() == {
        "ground_glass": (1,),
        "reticulation": (2,),
        "honeycombing": (3,),
        "traction_bronchiectasis": (7,),
        "total_fibrosis": (2, 3),
        "total_extent": (1, 2, 3, 7),
    }


def test_names_are_chosen_whatever_their_case_and_spaces():
    chosen = choose_classes(KNOWN, ("Ground glass", "traction_bronchiectasis"), ("traction bronchiectasis",))
    assert chosen.names == {1: "ground_glass", 7: "Traction bronchiectasis"}
    assert chosen.known == (1, 2, 3, 7)
    assert chosen.fibrosis == (7,)


def test_without_such_names_nothing_is_fibrosis():
    chosen = choose_classes({1: "tumour"}, (), ())
    assert chosen.fibrosis == ()
    assert "total_fibrosis" not in chosen.groups()


@pytest.mark.parametrize(
    ("known", "wanted", "fibrosis", "printed"),
    [
        (KNOWN, ("nodule",), (), "--classes nodule: no such class is measured; there are ground_glass"),
        (KNOWN, (), ("scar",), "--fibrosis scar: no such class"),
        (KNOWN, ("ground_glass",), ("reticulation",), "--fibrosis reticulation: no such class is measured"),
        ({1: "a b", 2: "A_B"}, (), (), "class 2, 'A_B'"),
        ({1: "lungs"}, (), (), "rename it"),
        ({1: "total extent"}, (), (), "rename it"),
        ({1: "net", 2: "net_left"}, (), (), "class 2, 'net_left'"),
        ({1: "--"}, (), (), "which is empty"),
    ],
)
def test_names_that_are_not_there_or_cannot_be_told_apart(known, wanted, fibrosis, printed):
    with pytest.raises(PlanewiseError) as error:
        choose_classes(known, wanted, fibrosis)
    assert printed in str(error.value)


def test_classes_named_by_options():
    assert named_by_options(("net=2", "glass=1")).classes == {1: "glass", 2: "net"}
    for texts in (("net",), ("net=",), ("=1",), ("net=0",), ("net=-1",), ("net=1", "glass=1")):
        with pytest.raises(PlanewiseError, match="--classes"):
            named_by_options(texts)
