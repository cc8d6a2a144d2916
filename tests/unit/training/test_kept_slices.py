import pytest
from test_slice_folder import make_case

from planewise.data.preparation import RECORD, MadeFrom, read_record
from planewise.errors import PlanewiseError, Problem
from planewise.training.kept_slices import folders_for, keep_slices, kept_slices
from planewise.training.slice_folder import read_slice_folder, write_slice_folder

XY = MadeFrom({"planes": ["xy"]}, {"a": "1"})
XZ = MadeFrom({"planes": ["xz"]}, {"a": "1"})


@pytest.fixture
def cut(tmp_path):
    """What cuts a small case, in a folder of its own."""
    (tmp_path / "data").mkdir()
    case = make_case(tmp_path / "data", "a", (8, 9, 40))

    def cutting(planes=("xy",), problems=()):
        def write(folder):
            write_slice_folder([case], folder, planes, lambda name: None)
            return list(problems)

        return write

    return cutting


def refuse(folder):
    raise AssertionError("the slices are there")


def planes_in(folder):
    return {pair.source for pair in read_slice_folder(folder, "train")}


def test_slices_made_from_the_same_are_used_again(tmp_path, cut, capsys):
    base = tmp_path / "d_2d"
    problem = Problem("b.tiff", "cannot be trained on")
    assert keep_slices(folders_for(base, XY), XY, cut(problems=[problem])) == (base, [problem])
    assert read_record(base / RECORD).made_from.key == XY.key
    capsys.readouterr()
    assert keep_slices(folders_for(base, XY), XY, refuse) == (base, [problem])  # a case left out is said again
    assert "made from the same data and options" in capsys.readouterr().err
    assert kept_slices(folders_for(base, XY), XY)[0] == base


def test_others_get_a_folder_of_their_own_and_nothing_is_deleted(tmp_path, cut, capsys):
    base = tmp_path / "d_2d"
    keep_slices(folders_for(base, XY), XY, cut())
    folder, _ = keep_slices(folders_for(base, XZ), XZ, cut(("xz",)))
    assert "planes: xy -> xz" in capsys.readouterr().err
    assert folder == tmp_path / f"d_2d_{XZ.key[:8]}"
    assert planes_in(base) == {"a_xy"}
    assert planes_in(folder) == {"a_xz"}
    assert keep_slices(folders_for(base, XZ), XZ, refuse)[0] == folder
    assert kept_slices(folders_for(base, XZ), XZ)[0] == folder
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d_2d", folder.name, "data"]


def test_a_folder_without_a_record_is_left_as_it_is(tmp_path, cut):
    base = tmp_path / "d_2d"
    cut()(base)  # as published
    folder, _ = keep_slices(folders_for(base, XZ), XZ, cut(("xz",)))
    assert folder.name.endswith(XZ.key[:8])
    assert planes_in(base) == {"a_xy"}
    assert not (base / RECORD).exists()


def test_an_empty_folder_is_free(tmp_path, cut):
    base = tmp_path / "d_2d"
    base.mkdir()
    assert keep_slices((base,), XY, cut())[0] == base
    assert planes_in(base) == {"a_xy"}


@pytest.mark.parametrize("name", ["train/images/mine.tiff", "notes.txt"])
def test_a_folder_that_was_chosen_is_never_replaced(tmp_path, cut, name):
    (tmp_path / "out" / name).parent.mkdir(parents=True)
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(PlanewiseError, match="--output_data_path"):
        keep_slices((tmp_path / "out",), XY, refuse)
    assert (tmp_path / "out" / name).read_text() == "mine"
    keep_slices((tmp_path / "2d",), XY, cut())
    with pytest.raises(PlanewiseError, match="planes: xy -> xz"):
        keep_slices((tmp_path / "2d",), XZ, refuse)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PlanewiseError, match="--output_data_path"):
        keep_slices((tmp_path / "file",), XY, refuse)


def test_only_slices_made_from_the_same_are_kept_slices(tmp_path, cut):
    keep_slices((tmp_path / "2d",), XY, cut())
    with pytest.raises(PlanewiseError, match=r"--skip_conversion.*planes: xy -> xz"):
        kept_slices((tmp_path / "2d",), XZ)


def test_slices_that_are_not_all_there_are_not_used(tmp_path, cut):
    folder, _ = keep_slices((tmp_path / "2d",), XY, cut())
    next((folder / "train" / "images").iterdir()).unlink()
    with pytest.raises(PlanewiseError, match="holds 31 images and labels, and its record says 32"):
        keep_slices((folder,), XY, refuse)


def test_two_trainings_at_the_same_time_do_not_replace_each_other(tmp_path, cut):
    base = tmp_path / "d_2d"

    def cut_while_another_does(folder):
        keep_slices(folders_for(base, XY), XY, cut())
        return cut(("xz",))(folder)

    folder, _ = keep_slices(folders_for(base, XZ), XZ, cut_while_another_does)
    assert planes_in(base) == {"a_xy"}
    assert planes_in(folder) == {"a_xz"}

    def cut_while_another_cuts_the_same(folder):
        keep_slices((tmp_path / "same",), XY, cut())
        return cut()(folder)

    assert keep_slices((tmp_path / "same",), XY, cut_while_another_cuts_the_same)[0] == tmp_path / "same"


def test_an_interrupted_cutting_leaves_nothing(tmp_path, cut):
    def stop(folder):
        cut()(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        keep_slices((tmp_path / "out" / "2d",), XY, stop)
    assert list((tmp_path / "out").iterdir()) == []


def test_where_it_cannot_be_written_the_folder_and_the_option_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlanewiseError, match=rf"{tmp_path}/file/2d: cannot be written .* --output_data_path"):
        keep_slices((tmp_path / "file" / "2d",), XY, refuse)

    def fail(folder):
        raise PlanewiseError(f"{folder}: cannot be written (disk full)")

    with pytest.raises(PlanewiseError, match=rf"^{tmp_path}/2d: cannot be written \(disk full\)"):
        keep_slices((tmp_path / "2d",), XY, fail)
