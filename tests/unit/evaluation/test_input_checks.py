"""What is given to be scored by mistake: an image as labels, a mask as instances, the truth as its own prediction."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from planewise.cli import run
from planewise.errors import PlanewiseError
from planewise.evaluation.input_checks import ignore_mark, is_copy, refuse_image, truth_itself, unnumbered
from planewise.evaluation.overlap import overlap_table
from planewise.volumes.files import write_volume
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume

PATH = Path("a.tiff")


def test_grey_values_are_no_labels():
    image = np.random.default_rng(0).integers(1, 255, (8, 64, 64)).astype(np.uint8)
    with pytest.raises(PlanewiseError, match=r"a.tiff: is an image, not labels \(2\d\d values, and (99|100)% of"):
        refuse_image(Volume(image), PATH)


def test_dense_objects_are_labels():
    """Of objects of 8 x 8 voxels without background a pair in eight lies across a border; of 3 x 3 one in three."""
    ids = np.arange(1, 65, dtype=np.int32).reshape(1, 8, 8)
    assert refuse_image(Volume(np.tile(ids.repeat(8, 1).repeat(8, 2), (4, 1, 1))), PATH) == ""
    thin = np.arange(1, 26 * 26 + 1, dtype=np.int32).reshape(1, 26, 26).repeat(3, 1).repeat(3, 2)
    assert "may be an image rather than labels (676 values, and 32% of" in refuse_image(Volume(thin), PATH)


@pytest.mark.parametrize("what", [np.zeros, np.ones])
def test_masks_and_nothing_are_labels(what):
    assert refuse_image(Volume(what((1, 200, 200), np.uint8)), PATH) == ""


def test_few_voxels_tell_nothing():
    noise = np.random.default_rng(0).integers(1, 255, (4, 20, 20)).astype(np.uint8)
    assert refuse_image(Volume(noise), PATH) == ""


def test_the_image_itself_is_refused(tmp_path, balls):
    write_labels(tmp_path / "image.tiff", Volume(balls))
    shutil.copy(tmp_path / "image.tiff", tmp_path / "prediction.tiff")
    labels = Volume(balls)
    with pytest.raises(PlanewiseError, match=r"prediction.tiff: is the image .*image.tiff, not a prediction"):
        refuse_image(labels, tmp_path / "prediction.tiff", tmp_path / "image.tiff")
    assert "is the truth itself" in truth_itself(tmp_path / "prediction.tiff", tmp_path / "image.tiff")
    write_labels(tmp_path / "other.tiff", Volume(balls * 2))
    assert truth_itself(tmp_path / "other.tiff", tmp_path / "image.tiff") == ""


def test_an_empty_prediction_of_an_empty_truth_is_no_copy(tmp_path, balls):
    for name in ("truth", "prediction"):
        write_labels(tmp_path / f"{name}.tiff", Volume(balls * 0))
    assert truth_itself(tmp_path / "prediction.tiff", tmp_path / "truth.tiff") == ""
    assert "is the truth itself" in truth_itself(tmp_path / "truth.tiff", tmp_path / "truth.tiff")


def test_equal_voxels_with_other_ids_are_no_copy(balls):
    assert is_copy(overlap_table(balls, balls))
    assert not is_copy(overlap_table(balls, (6 - balls) * (balls > 0)))
    assert not is_copy(overlap_table(balls > 0, balls > 0))  # one object has the same id by chance
    assert not is_copy(overlap_table(balls * 0, balls * 0))


def counted(labels):
    values, counts = np.unique(labels[labels > 0], return_counts=True)
    return dict(zip(values.tolist(), counts.tolist()))


def marked(labels):
    return ignore_mark(Volume(labels), counted(labels))


def test_what_is_not_labelled_is_no_object(balls):
    some = np.where(balls > 3, 0, balls).astype(np.uint16)
    slab, sprinkled, strip = some.copy(), some.copy(), some.copy()
    slab[30:][some[30:] == 0] = 255
    assert marked(slab).startswith("value 255, the highest of its type, holds ")
    assert marked(slab).endswith("of all labelled voxels, and the other ids end at 3")
    strip[0, 0, :5] = 65_535  # few voxels, beside ids without a gap
    assert "value 65535, the highest of its type, holds 0%" in marked(strip)
    sprinkled[::2][some[::2] == 0] = 9
    assert marked(sprinkled).startswith("value 9 holds ")
    assert marked(sprinkled).endswith("unconnected pieces")


def test_objects_of_any_size_and_id_are_no_mark(balls):
    some = np.where(balls > 3, 0, balls).astype(np.uint16)
    assert marked(some) == marked(some * 85) == ""  # the last is 255, as ids that are spread may be
    large = some.copy()
    large[20:, 20:][some[20:, 20:] == 0] = 4  # one network among small ones
    assert marked(large) == ""
    assert marked(np.where(some == 1, 255, 0)) == marked(some * 0) == ""


def test_a_mask_is_not_numbered(balls):
    mask = (balls > 0) * np.uint8(255)
    assert "a.tiff has one id for 5 separate pieces, counted as 1 object;" in unnumbered(Volume(mask), PATH, 1)
    classes = np.where(balls > 3, 2, balls > 0)
    assert "has 2 ids for 5 separate pieces" in unnumbered(Volume(classes), PATH, 2)
    assert unnumbered(Volume(balls), PATH, 5) == ""
    assert unnumbered(Volume((balls == 1) * np.uint8(1)), PATH, 1) == ""
    assert unnumbered(Volume(balls * 0), PATH, 0) == ""


@pytest.fixture
def dataset(tmp_path, balls):
    """An image, its instances, and as predictions of three methods: the image, a mask, the truth."""
    rng = np.random.default_rng(0)
    image = rng.integers(1, 255, balls.shape).astype(np.uint8)
    write_volume(tmp_path / "imagesTs" / "a_0000.tiff", Volume(image))
    write_labels(tmp_path / "instancesTs" / "a.tiff", Volume(balls))
    write_volume(tmp_path / "imagesTs_image" / "a.tiff", Volume(image + np.uint16(1)))  # another file
    write_labels(tmp_path / "imagesTs_mask" / "a.tiff", Volume((balls > 0) * np.uint8(255)))
    (tmp_path / "imagesTs_copy").mkdir()
    shutil.copy(tmp_path / "instancesTs" / "a.tiff", tmp_path / "imagesTs_copy")
    write_labels(tmp_path / "imagesTs_again" / "a.tiff", Volume(balls.astype(np.uint16)))
    return tmp_path


@pytest.mark.parametrize(
    ("method", "code", "words"),
    [
        ("image", 1, "is an image, not labels"),
        ("mask", 0, "has one id for 5 separate pieces"),
        ("copy", 0, "is the truth itself"),
        ("again", 0, "a equals the truth, ids included: it is a copy"),
    ],
)
def test_evaluate_says_it_and_its_summary_too(dataset, capsys, method, code, words):
    for _ in range(2):  # also where it is done already
        assert run(["mito", "evaluate", str(dataset / f"imagesTs_{method}"), str(dataset / "instancesTs")]) == code
        printed = capsys.readouterr()
        assert words in printed.out + printed.err
    (summary,) = (dataset / f"imagesTs_{method}" / "evaluation").glob("*.txt")
    assert words in summary.read_text()


def test_compare_says_it_on_the_page(dataset, capsys):
    assert run(["compare", str(dataset), "--output", str(dataset / "report")]) == 1
    page = (dataset / "report" / "report.html").read_text()
    printed = capsys.readouterr()
    for words in ("is an image, not labels", "has one id for 5 separate pieces", "is the truth itself"):
        assert words in printed.out + printed.err
        assert words in page


def test_an_image_as_the_truth_is_refused(dataset, capsys):
    assert run(["mito", "evaluate", str(dataset / "imagesTs_mask"), str(dataset / "imagesTs_image")]) == 1
    printed = capsys.readouterr().out
    assert "imagesTs_image/a.tiff" in printed
    assert "is an image, not labels" in printed
