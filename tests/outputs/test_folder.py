"""What is in the output folder stays, unless an earlier run of predict.py wrote it."""

import os

import pytest

from lsts_jax.errors import UserError
from lsts_jax.outputs.folder import MANIFEST, begin, claim
from lsts_jax.outputs.names import Origin, places

FORMATS = ("video", "jsonl", "crops")


def run(output, *names, formats=FORMATS, read=()):
    """Everything that a run writes, with a text of its own in each file."""
    placed = places(output, [Origin((name,), "mp4") for name in names])
    begin(claim(output, placed, formats, read))
    for place in placed:
        for kind in formats:
            file = place.path(kind)
            if kind == "crops":
                file /= "dog/000000_0.jpg"
                file.parent.mkdir(parents=True)
            file.write_text(f"of {names}")


def tree(folder):
    return {
        file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()
    }


def test_a_folder_used_twice_holds_the_results_of_one_run(tmp_path):
    run(tmp_path, "a", "b")
    (tmp_path / "a" / "notes.txt").write_text("mine")
    (tmp_path / "a" / "crops" / "dog" / "mine.jpg").write_text("mine")
    run(tmp_path, "c", formats=("jsonl",))
    found = tree(tmp_path)
    assert found.pop(MANIFEST)
    assert found == {
        "a/notes.txt": "mine",
        "a/crops/dog/mine.jpg": "mine",
        "detections.jsonl": "of ('c',)",
    }
    assert not (tmp_path / "b").exists()
    run(tmp_path, "c")
    assert tree(tmp_path)["c.mp4"] == "of ('c',)"


@pytest.mark.parametrize("file", ["clip.mp4", "detections.jsonl", "crops/dog/000000_0.jpg"])
def test_a_file_of_somebody_else_is_in_the_way(tmp_path, file):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text("mine")
    with pytest.raises(UserError, match=file.split("/")[0]):
        run(tmp_path, "clip")
    assert tree(tmp_path) == {file: "mine"}


@pytest.mark.parametrize("kind", ["symlink", "dangling", "hard link", "folder"])
def test_nothing_is_written_through_links(tmp_path, kind):
    outside, output = tmp_path / "outside", tmp_path / "out"
    output.mkdir()
    outside.mkdir()
    (outside / "mine.mp4").write_text("mine")
    run(output, "a", "b")  # which an earlier run has written
    (output / "a" / "a.mp4").unlink()
    match kind:
        case "symlink":
            (output / "a" / "a.mp4").symlink_to(outside / "mine.mp4")
        case "dangling":
            (output / "a" / "a.mp4").symlink_to(outside / "new.mp4")
        case "hard link":
            os.link(outside / "mine.mp4", output / "a" / "a.mp4")
        case "folder":
            (output / "a").rename(outside / "a")
            (output / "a").symlink_to(outside / "a")
    before = tree(tmp_path)
    with pytest.raises(UserError, match=r"a(\.mp4)?: (is a link|would be replaced)"):
        run(output, "a", "b", read=[outside / "mine.mp4"])
    assert tree(tmp_path) == before


def test_results_of_an_earlier_run_that_are_read_stay(tmp_path):
    run(tmp_path, "clip")
    before = tree(tmp_path)
    for file in ("clip.mp4", "crops/dog/000000_0.jpg"):
        with pytest.raises(UserError, match="is a source"):
            run(tmp_path, "other", read=[tmp_path / file])
    assert tree(tmp_path) == before


@pytest.mark.parametrize("content", ["", "[]", '{"written_by": "predict.py of lsts_jax", "files": ["../x"]}'])
def test_a_list_that_is_not_ours_removes_nothing(tmp_path, content):
    (tmp_path / "x").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / MANIFEST).write_text(content)
    with pytest.raises(UserError, match=MANIFEST):
        run(tmp_path / "out", "clip")
    assert (tmp_path / "x").read_text() == "mine"


def test_an_output_that_is_a_file(tmp_path):
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UserError, match="out"):
        run(tmp_path / "out", "clip")
