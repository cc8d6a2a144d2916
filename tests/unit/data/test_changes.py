"""What has changed, in words that name no key of a manifest."""

from planewise.data.changes import changes
from planewise.data.manifest import CaseRecord


def record(files, **options):
    """A record of ``files``, (fingerprint, what, case) by path."""
    inputs = {path: made for path, (made, *_) in files.items()}
    about = {path: [what, case] for path, (_, what, case) in files.items()}
    return CaseRecord(inputs, {}, {"options": {"--vote": 2, "the patients in D": {}} | options, "files": about})


FILES = {"p/c.tif": ("1", "the prediction", "c"), "t/c.tif": ("2", "the truth", "c")}
BEFORE = record(FILES)


def test_nothing_has_changed():
    assert changes(BEFORE, record(FILES)) == ""


def test_options_are_named_with_their_values_and_other_facts_by_their_names():
    now = record(FILES, **{"--vote": [], "the patients in D": {"c": "P1"}})
    assert changes(BEFORE, now) == "--vote: 2 -> none; the patients in D"
    assert changes(BEFORE, record(FILES, **{"the patients in E": {}})) == "which datasets or classes are scored"


def test_files_are_named_by_what_they_are_and_many_are_counted():
    new = {f"p/{case}.tif": ("1", "the prediction", case) for case in "defg"}
    files = FILES | new | {"t/c.tif": ("3", "the truth", "c")}
    assert changes(BEFORE, record(files)) == "the truth of c; the prediction of 4 cases, not there before"
    assert changes(record(files), record(files | {"p/d.tif": ("9", "the prediction", "d")})) == "the prediction of d"
    assert changes(BEFORE, record({"p/c.tif": FILES["p/c.tif"]})) == "the truth of c, no longer there"
    moved = {"q/c_pred.tif": FILES["p/c.tif"], "t/c.tif": FILES["t/c.tif"]}
    assert changes(BEFORE, record(moved)) == "the prediction of c, by another path"


def test_a_file_that_is_now_another_thing():
    swapped = {"p/c.tif": ("1", "the truth", "c"), "t/c.tif": ("2", "the prediction", "c")}
    assert changes(BEFORE, record(swapped)) == "the prediction of c; the truth of c"


def test_two_files_that_are_the_same_thing():
    both = FILES | {"p/classes/c.tif": ("5", "the prediction", "c")}
    for path in ("p/c.tif", "p/classes/c.tif"):
        now = both | {path: ("6", "the prediction", "c")}
        assert changes(record(both), record(now)) == "the prediction of c"


def test_a_record_that_does_not_say_what_files_are():
    assert changes(CaseRecord({"p/c.tif": "1"}, {}, {"options": {}}), BEFORE) == "an older planewise made it"
