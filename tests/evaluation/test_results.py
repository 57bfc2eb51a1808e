"""A folder of results: only what an evaluation wrote is removed, and nothing that is read."""

import pytest

from lsts_jax.errors import UserError
from lsts_jax.evaluation.results import remove_results


def test_files_of_others_are_not_removed(tmp_path):
    (tmp_path / "report.html").write_text("a page of somebody")
    with pytest.raises(UserError, match=r"report.html: not written by an evaluation"):
        remove_results(tmp_path)
    assert (tmp_path / "report.html").read_text() == "a page of somebody"


def test_results_of_an_earlier_evaluation_are_removed(tmp_path):
    remove_results(tmp_path)
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "notes.txt").write_text("of somebody")
    remove_results(tmp_path)
    assert not (tmp_path / "metrics.json").exists()
    assert (tmp_path / "notes.txt").exists()


@pytest.mark.parametrize("named", ["", "detections.txt"])
def test_detections_that_are_read_are_not_removed(tmp_path, named):
    folder = tmp_path / "eval"
    folder.mkdir()
    (folder / "detections.txt").write_text("1 1 0.5 1 1 2 2\n")
    with pytest.raises(UserError, match=r"detections.txt: is an input and would be removed"):
        remove_results(folder, [folder / named])
    assert (folder / "detections.txt").exists()
