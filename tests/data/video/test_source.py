"""What a text names as sources, and which frames of a source are chosen."""

import errno
import io
import os

import numpy as np
import pytest

from lsts_jax.data.video.source import select
from lsts_jax.data.video.video_io import open_raw, open_source, sources_in
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_picture
from tests.data.video.clips import write_clip


@pytest.fixture
def tree(tmp_path):
    """clips/a.mp4, b10.gif, b9.avi, hidden and other files; cam [1]/0.png .. 2.png; nested/seq."""
    for name in ("a.mp4", "b10.gif", "b9.avi", "._a.mp4", "notes.txt"):
        (tmp_path / "clips").mkdir(exist_ok=True)
        (tmp_path / "clips" / name).touch()
    for t in range(3):
        write_picture(tmp_path / "cam [1]" / f"{t}.png", picture(t))
        write_picture(tmp_path / "nested" / "seq" / f"take [2] {t}.png", picture(t))
    return tmp_path


def test_the_videos_of_a_folder_are_sources_of_their_own(tree):
    found = [str(tree / "clips" / name) for name in ("a.mp4", "b9.avi", "b10.gif")]
    assert sources_in(str(tree / "clips")) == found
    assert sources_in(str(tree / "clips" / "*")) == found
    assert sources_in(str(tree / "clips" / "b*.*")) == found[1:]
    write_picture(tree / "clips" / "1.png", picture(0))
    assert sources_in(str(tree / "clips")) == [str(tree / "clips"), *found]  # nothing is left out


@pytest.mark.parametrize("text", ["clips/a.mp4", "cam [1]", "cam [1]/*.png", "nested", "gone", "gone/*.mp4"])
def test_anything_else_is_one_source(tree, text):
    assert sources_in(str(tree / text)) == [str(tree / text)]


@pytest.mark.parametrize("text", ["0", "/dev/video7", "http://x/v.mp4", "rtsp://x/[a]*", "-"])
def test_cameras_and_addresses_are_no_patterns(text):
    assert sources_in(text) == [text]


@pytest.mark.parametrize(
    "pattern, count",
    [
        ("cam [1]/*.png", 3),
        ("cam [1]/[0-1].png", 2),  # brackets of a file are a pattern
        ("nested/seq/take [2] *.png", 3),  # unless that matches nothing
        ("*/[12].png", 2),
        ("nested/**/*.png", 3),
    ],
)
def test_patterns_with_brackets(tree, pattern, count):
    assert len(list(open_source(str(tree / pattern)))) == count


def test_a_relative_pattern(tree, monkeypatch):
    monkeypatch.chdir(tree / "cam [1]")
    assert len(list(open_source("*.png"))) == 3
    monkeypatch.chdir(tree)
    assert len(list(open_source("cam [1]/*.png"))) == 3


@pytest.mark.parametrize(
    "path, advice",
    [
        ("clips", r"clips: holds 3 videos and no pictures; name one, such as .*a\.mp4"),
        ("nested", r"nested: there are no pictures in it, but in 1 of its folders; name one, such as .*seq"),
        ("cam [1]/*.jpg", "there are no pictures"),
    ],
)
def test_folders_without_pictures_say_what_to_name(tree, path, advice):
    with pytest.raises(UserError, match=advice):
        open_source(str(tree / path))


@pytest.mark.parametrize("text, name", [("97", "camera 97"), ("/dev/video97", "camera 97")])
def test_a_camera_that_is_not_there(text, name):
    with pytest.raises(UserError, match=f"^{name}: no frame can be read"):
        open_source(text)


@pytest.mark.parametrize("text", ["x" * 300, "x" * 300 + "/*.png", "[" + "x" * 300, "~/clip.mp4"])
def test_a_name_that_no_system_has_is_no_source(text):
    assert sources_in(text) == [text]
    with pytest.raises(UserError, match=r"no such file|there are no pictures"):
        open_source(text)


def test_what_is_neither_file_nor_folder_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/null"):
        with pytest.raises(UserError, match=f"{path}: is a pipe or a device; .*--source -"):
            open_source(path)
    with pytest.raises(UserError, match="the name of a source is empty"):
        open_source("")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_1.cr2").touch()
    with pytest.raises(UserError, match=r"no videos, but 1 other files, such as IMG_1\.cr2"):
        open_source(tmp_path / "photos")


def test_what_may_not_be_read_is_named(tree, monkeypatch):
    (tree / "clips" / "a.mp4").write_bytes(b"")
    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"a\.mp4: Permission denied; make"):
        patched.setattr(os, "access", lambda *_: False)
        open_source(tree / "clips" / "a.mp4")

    def refuse(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UserError, match=r"cam \[1\]: Permission denied; make it readable"):
        open_source(tree / "cam [1]")


def test_a_selection_keeps_the_numbers_and_times(tmp_path):
    source = open_source(write_clip(tmp_path / "v.mp4", 12))
    chosen = select(source, start=2, end=10, stride=3)
    assert [(frame.number, round(frame.time, 3)) for frame in chosen] == [(2, 0.2), (5, 0.5), (8, 0.8)]
    assert chosen.num_frames == 3
    assert list(select(source, start=20, end=None, stride=1)) == []


def test_raw_frames(caplog):
    frames = np.random.default_rng(0).integers(0, 256, (3, 4, 5, 3), np.uint8)
    found = list(open_raw(io.BytesIO(frames.tobytes() + b"cut"), (4, 5), 12.0))
    assert [(frame.number, frame.time) for frame in found] == [(0, 0), (1, 1 / 12), (2, 2 / 12)]
    np.testing.assert_array_equal([frame.picture for frame in found], frames)
    assert "frame 3 is cut short" in caplog.text
