"""What is in the output folder stays, unless an earlier run of predict.py wrote it."""

import os

import pytest

from lsts_jax.errors import UserError
from lsts_jax.outputs.folder import begin, claim
from lsts_jax.outputs.manifest import MANIFEST
from lsts_jax.outputs.names import Origin, places

FORMATS = ("video", "jsonl", "crops")


def run(output, *names, formats=FORMATS, read=()):
    """Everything that a run writes, with a text of its own in each file."""
    placed = places(output, [Origin((name,), "mp4") for name in names])
    with begin(claim(output, placed, formats, read)):
        for place in placed:
            for kind in formats:
                file = place.path(kind)
                if kind == "crops":
                    file /= "dog/000000_0.jpg"
                    file.parent.mkdir(parents=True, exist_ok=True)
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
    with pytest.raises(UserError, match=r"a(\.mp4)?: (is a link|exists, but no earlier run)"):
        run(output, "a", "b", read=[outside / "mine.mp4"])
    assert tree(tmp_path) == before


def test_results_of_an_earlier_run_that_are_read_stay(tmp_path):
    run(tmp_path, "clip")
    before = tree(tmp_path)
    for file in ("clip.mp4", "crops/dog/000000_0.jpg"):
        with pytest.raises(UserError, match="is the source"):
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


@pytest.mark.parametrize("file", ["clip.mp4", "crops/dog/000000_0.jpg"])
@pytest.mark.parametrize("size", ["another size", "another time"])
def test_a_file_that_was_changed_since_is_not_the_runs_any_more(tmp_path, file, size):
    run(tmp_path, "clip")
    text = "mine" if size == "another size" else (tmp_path / file).read_text()
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(text)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=f"{file}: exists, but no earlier run"):
        run(tmp_path, "clip")
    assert tree(tmp_path) == before
    run(tmp_path, "other", formats=("jsonl",))  # into another file
    assert tree(tmp_path)[file] == text


def test_crops_of_the_user_stay(tmp_path):
    run(tmp_path, "clip")
    mine = tmp_path / "crops" / "dog" / "000007_1.jpg"
    mine.write_text("mine")
    with pytest.raises(UserError, match=r"000007_1\.jpg: exists"):
        run(tmp_path, "clip")
    mine.rename(mine.with_name("kept.jpg"))
    run(tmp_path, "clip")
    assert tree(tmp_path)["crops/dog/kept.jpg"] == "mine"


def test_crops_are_not_written_through_linked_folders(tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("new", "used"):
        if name == "used":
            run(tmp_path / name, "clip")
            (tmp_path / name / "crops" / "dog" / "000000_0.jpg").unlink()
            (tmp_path / name / "crops" / "dog").rmdir()
        (tmp_path / name / "crops").mkdir(parents=True, exist_ok=True)
        (tmp_path / name / "crops" / "dog").symlink_to(tmp_path / "photos")
        with pytest.raises(UserError, match="crops/dog: is a link"):
            run(tmp_path / name, "clip")
    assert not any((tmp_path / "photos").iterdir())


def test_a_run_that_was_killed_owns_what_it_wrote(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    placed = places(tmp_path, [Origin(("clip",), "mp4")])
    running = begin(claim(tmp_path, placed, FORMATS, ()))
    running.__enter__()
    (tmp_path / "clip.mp4").write_text("half")
    (tmp_path / "crops" / "dog").mkdir(parents=True)
    (tmp_path / "crops" / "dog" / "000000_0.jpg").write_text("half")
    old = tmp_path / "detections.jsonl"  # moved there after the kill
    old.write_text("mine")
    os.utime(old, (1, 1))
    with pytest.raises(UserError, match=r"detections\.jsonl: exists"):
        run(tmp_path, "clip")
    old.unlink()
    run(tmp_path, "clip")
    assert tree(tmp_path)["clip.mp4"] == tree(tmp_path)["crops/dog/000000_0.jpg"] == "of ('clip',)"
