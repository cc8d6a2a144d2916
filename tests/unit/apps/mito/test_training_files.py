import pytest

from planewise.apps.mito.training_files import TrainingFiles
from planewise.data.preparation import RECORD
from planewise.errors import PlanewiseError
from planewise.training.loop import LAST
from planewise.training.metrics_file import METRICS


@pytest.fixture
def files(tmp_path):
    return TrainingFiles(tmp_path / "models", "M")


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("content")


def test_an_empty_folder_is_free_and_there_is_nothing_to_resume(files):
    files.check_free(resume=False, overwrite=False)
    with pytest.raises(PlanewiseError, match="no checkpoint to resume from"):
        files.check_free(resume=True, overwrite=False)


def test_a_model_or_a_training_is_kept_unless_it_is_to_be_replaced_or_resumed(files):
    write(files.training / LAST)
    with pytest.raises(PlanewiseError, match="holds an unfinished training called M; go on with --resume"):
        files.check_free(resume=False, overwrite=False)
    write(files.yaml)
    with pytest.raises(PlanewiseError, match="holds a finished model called M"):
        files.check_free(resume=False, overwrite=False)
    files.check_free(resume=True, overwrite=False)
    files.check_free(resume=False, overwrite=True)


def test_what_is_no_model_of_ours_is_kept_whatever_is_asked(files):
    write(files.weights)
    for overwrite in (False, True):
        with pytest.raises(PlanewiseError, match=r"M\.pth: already exists, without a model or training of planewise"):
            files.check_free(resume=False, overwrite=overwrite)


def test_a_training_that_was_stopped_before_its_first_checkpoint_is_begun_anew(files, capsys):
    write(files.training / RECORD)
    write(files.training / METRICS)
    files.check_free(resume=False, overwrite=False)
    assert "stopped before its first checkpoint; it begins anew" in capsys.readouterr().err
    write(files.training / "notes.txt")
    with pytest.raises(PlanewiseError, match="M_training: already exists, without a model or training of planewise"):
        files.check_free(resume=False, overwrite=False)


def test_clearing_leaves_predictions_and_other_models(files):
    for path in (files.yaml, files.weights, files.training / LAST, files.worklist, files.predictions / "a.tiff"):
        write(path)
    write(files.folder / "N.yaml")
    files.clear()
    assert sorted(path.name for path in files.folder.iterdir()) == ["M_predictions", "M_worklist.csv", "N.yaml"]
