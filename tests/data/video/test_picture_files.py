"""Pictures as people have them: animated, of several shapes, turned, with odd names, beside other files."""

import logging
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsts_jax.data.video import picture_files
from lsts_jax.data.video.video_io import open_source, sources_in
from tests.data.trees import picture, write_picture, write_turned_photo
from tests.data.video.clips import write_animation


@pytest.mark.parametrize("name", ["a.webp", "a.png", "a.gif", "a.apng"])
def test_an_animated_picture_is_a_video(tmp_path, name):
    file = write_animation(tmp_path / name.replace(".apng", ".png")).rename(tmp_path / name)
    source = open_source(file)
    assert source.size == (48, 64)
    for _ in range(2):
        frames = list(source)
        assert [frame.number for frame in frames] == list(range(5))
        reds = [float(frame.picture[..., 0].mean()) for frame in frames]
        np.testing.assert_allclose(reds, [0, 40, 80, 120, 160], atol=5)
        np.testing.assert_allclose([frame.time for frame in frames], [0, 0.1, 0.3, 0.35, 0.4], atol=0.001)


def test_the_pages_of_a_tiff_are_a_video(tmp_path):
    pages = [picture(6 * t)[..., ::-1].copy() for t in range(40)]
    assert cv2.imwritemulti(str(tmp_path / "a.tif"), pages)
    frames = list(open_source(tmp_path / "a.tif"))
    assert [(frame.number, int(frame.picture[0, 0, 0])) for frame in frames] == [
        (t, 6 * t) for t in range(40)
    ]
    thumbnail = cv2.resize(pages[0], (16, 12))
    assert cv2.imwritemulti(str(tmp_path / "b.tif"), [pages[0], thumbnail])
    assert len(list(open_source(tmp_path / "b.tif"))) == 1


def test_of_an_animated_picture_in_a_folder_the_first_is_taken_and_said(tmp_path, caplog):
    write_animation(tmp_path / "1.webp")
    write_picture(tmp_path / "2.png", picture(7))
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(tmp_path))
    assert [(frame.number, frame.name) for frame in frames] == [(0, "1.webp"), (1, "2.png")]
    (record,) = caplog.records
    assert record.getMessage().startswith(
        f"{tmp_path / '1.webp'}: only the first picture is used, as in 0 other"
    )


@pytest.mark.parametrize("wrong, right", [("a.jpg", ".webp"), ("a.webp", ".png"), ("a.png", ".gif")])
def test_an_animated_picture_is_known_by_its_content(tmp_path, wrong, right):
    file = write_animation(tmp_path / f"x{right}").rename(tmp_path / wrong)
    assert len(list(open_source(file))) == 5


@pytest.mark.parametrize("name", ["a.pgm", "a.jpe", "a.jfif", "a.dib", "a.PNM"])
def test_rare_suffixes_are_pictures_too(tmp_path, name):
    kind = {".jfif": ".jpg", ".PNM": ".pnm"}.get(name[1:], name[1:])
    image = picture(200)[..., 0] if name.endswith("pgm") else picture(200)
    (tmp_path / name).write_bytes(cv2.imencode(kind, image)[1].tobytes())
    write_picture(tmp_path / "b.png", picture(1))
    assert [frame.name for frame in open_source(tmp_path)] == [name, "b.png"]


def test_a_photo_that_this_build_cannot_read_keeps_its_number(tmp_path, caplog):
    (tmp_path / "1.heic").write_bytes(b"\0\0\0\x18ftypheic")
    write_picture(tmp_path / "2.jpg", picture(1))
    assert [(frame.number, frame.name) for frame in open_source(tmp_path)] == [(1, "2.jpg")]
    assert "frame 0 is left out: " in caplog.text and "1.heic: cannot be decoded" in caplog.text


def test_pictures_of_several_folders_come_folder_by_folder_and_have_names_of_their_own(tmp_path):
    for name in ("part2/1.png", "part10/1.png", "part2/2.png", "part10/0.png"):
        write_picture(tmp_path / name, picture(1))
    names = [frame.name for frame in open_source(str(tmp_path / "part*/*.png"))]
    assert names == ["part2/1.png", "part2/2.png", "part10/0.png", "part10/1.png"]


def test_a_folder_with_the_name_of_a_picture_is_none(tmp_path):
    write_picture(tmp_path / "b.png", picture(1))
    for name in ("a.png", "c.mp4"):
        (tmp_path / name).mkdir()
    assert sources_in(str(tmp_path)) == [str(tmp_path)]
    assert [(frame.number, frame.name) for frame in open_source(tmp_path)] == [(0, "b.png")]


def test_pictures_of_several_shapes_keep_them(tmp_path):
    shapes = [(48, 64), (64, 48), (12, 16)]
    for t, shape in enumerate(shapes):
        write_picture(tmp_path / f"{t}.png", picture(t, shape))
    source = open_source(tmp_path)
    assert source.size == shapes[0]
    assert [frame.picture.shape[:2] for frame in source] == shapes


def test_a_turned_photo_is_upright(tmp_path):
    write_turned_photo(tmp_path / "a.jpg", picture(9))
    source = open_source(tmp_path)
    assert source.size == (64, 48) and next(iter(source)).picture.shape == (64, 48, 3)


def test_hidden_files_are_no_frames(tmp_path, caplog):
    for t in range(3):
        write_picture(tmp_path / f"frame_{t}.png", picture(t))
        (tmp_path / f"._frame_{t}.png").write_bytes(b"\0\5\x16\7Mac OS X")
    write_picture(tmp_path / ".frame_3.png", picture(3))
    for name in (tmp_path, tmp_path / "*", tmp_path / "*.png", tmp_path / "**" / "*.png"):
        frames = list(open_source(str(name)))
        assert [(frame.number, frame.time) for frame in frames] == [(0, 0), (1, 1 / 25), (2, 2 / 25)]
    assert not caplog.records


def test_names_that_are_no_text(tmp_path):
    try:
        write_picture(Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")), picture(1))
    except OSError:
        pytest.skip("this file system wants UTF-8")
    write_picture(tmp_path / "é 日本.png", picture(2))
    names = {frame.name for frame in open_source(tmp_path)}
    assert names == {"caf\\xe9.png", "é 日本.png"}


def test_damage_in_a_file_of_several_pictures_is_told(tmp_path, caplog):
    file = write_animation(tmp_path / "a.png")
    data = file.read_bytes()
    file.write_bytes(data[: data.find(b"fdAT", data.find(b"fdAT") + 1) + 60])  # in the third picture
    with caplog.at_level(logging.WARNING):
        numbers = [frame.number for frame in open_source(file)]
    assert numbers == [0, 1]
    assert "a.png: 3 of its 5 pictures cannot be decoded and are left out, the first is 2" in caplog.text


def test_an_animation_is_decoded_a_few_times_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_files, "CHUNK", 1)
    decoded = []
    decode = cv2.imdecodeanimation

    def counted(data, start, count):
        decoded.append(start)
        return decode(data, start, count)

    monkeypatch.setattr(cv2, "imdecodeanimation", counted)
    assert len(list(open_source(write_animation(tmp_path / "a.webp")))) == 5
    assert decoded == [0, 1, 3]


def test_pages_are_looked_for_without_decoding(tmp_path, monkeypatch):
    for name in ("a.tif", "b.tif"):
        write_picture(tmp_path / name, picture(10))
    monkeypatch.setattr(cv2, "imdecodemulti", None)
    assert len(list(open_source(tmp_path))) == 2
