import numpy as np

from planewise.evaluation.comparison import compare
from planewise.evaluation.pairs import Pair
from planewise.evaluation.result import Benchmark, Result
from planewise.evaluation.tolerance import Tolerance
from planewise.report import album
from planewise.volumes.labels import write_labels
from planewise.volumes.volume import Volume


def test_the_worst_cases_have_pictures_where_there_is_no_room_for_all(tmp_path, balls, monkeypatch):
    truth = tmp_path / "t.tiff"
    write_labels(truth, Volume(balls))
    pairs = []
    for case, labels in (("best", balls), ("worst", balls * (balls == 1)), ("middle", balls * (balls < 4))):
        write_labels(tmp_path / f"{case}.tiff", Volume(np.roll(labels, 1, 2)))
        pairs.append(Pair(case, tmp_path / f"{case}.tiff", truth))
    benchmark = Benchmark("d", {"m": pairs}, {}, {})
    monkeypatch.setattr(album, "CASE_BYTES", 1)  # the most wrong slice of each plane, and no more
    monkeypatch.setattr(album, "SOLIDS", 0)
    drawn = album.Album([benchmark])
    compare([benchmark], Tolerance(), drawn.draw)
    assert drawn.slides.keys() == {("d", "best"), ("d", "worst"), ("d", "middle")}
    sizes = {case: slides.size for (_, case), slides in drawn.slides.items()}
    monkeypatch.setattr(album, "PICTURE_BYTES", sizes["worst"] + sizes["middle"])
    drawn = album.Album([benchmark])
    compare([benchmark], Tolerance(), drawn.draw)
    assert drawn.slides.keys() == {("d", "worst"), ("d", "middle")}
    assert drawn.left_out == {("d", "best"): "the page would be too large"}


def test_a_case_where_nothing_is_there_is_none_of_the_worst(tmp_path, balls):
    """healthy has no score that is defined; alarm has false objects alone, whose F1 is 0."""
    of_cases = {"healthy": (0, 0), "alarm": (0, 1), "missed": (1, 0), "perfect": (1, 1)}
    pairs = []
    for case, (there, predicted) in of_cases.items():
        for of, kept in (("truth", there), ("predicted", predicted)):
            write_labels(tmp_path / of / f"{case}.tiff", Volume(balls * kept))
        pairs.append(Pair(case, tmp_path / "predicted" / f"{case}.tiff", tmp_path / "truth" / f"{case}.tiff"))
    results = compare([Benchmark("d", {"m": pairs}, {}, {})], Tolerance()).results
    assert {result.case: album.goodness([result]) for result in results} == {
        "healthy": 1, "alarm": 0, "missed": 0, "perfect": 1,
    }  # fmt: skip
    assert album.goodness([Result("d", "m", "unreadable", "", "objects", "the truth is damaged", {})]) == -1
