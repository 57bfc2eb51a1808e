"""Videos and folders of pictures as frames, and frames as mp4."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from lsts_jax.data.video.video_io import open_source
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_picture


def write_video(path, count, size=(48, 64), fps=12.5):
    with VideoWriter(path, fps, size) as video:
        for t in range(count):
            video.write(picture(min(15 * t, 255), size))
    return path


def test_a_video_comes_back(tmp_path):
    source = open_source(write_video(tmp_path / "new folder" / "v.mp4", 12))
    assert (source.size, source.fps, source.num_frames) == ((48, 64), 12.5, 12)
    for _ in range(2):  # it can be read again
        frames = list(source)
        assert [frame.number for frame in frames] == list(range(12))
        np.testing.assert_allclose([frame.time for frame in frames], np.arange(12) / 12.5, atol=0.001)
        for frame in frames:
            error = np.abs(frame.picture.reshape(-1, 3).mean(0) - [15 * frame.number, 100, 50])  # in order
            assert error.max() < 7


def test_pictures_come_in_natural_order(tmp_path):
    for t in (10, 2, 1):
        write_picture(tmp_path / f"frame{t}.png", picture(10 * t))
    (tmp_path / "notes.txt").write_text("no picture")
    for path in (tmp_path, str(tmp_path / "*"), str(tmp_path / "frame*.png")):
        source = open_source(path)
        assert (source.size, source.fps, source.num_frames) == ((48, 64), None, 3)
        assert [(frame.number, int(frame.picture[0, 0, 0])) for frame in source] == [
            (0, 10),
            (1, 20),
            (2, 100),
        ]
    assert open_source(tmp_path / "frame2.png").num_frames == 1  # not a sequence that begins there


def test_a_broken_picture_is_skipped_and_keeps_its_number(tmp_path, caplog):
    for t in range(4):
        write_picture(tmp_path / f"{t}.png", picture(10 * t))
    (tmp_path / "0.png").write_bytes(b"broken")
    (tmp_path / "2.png").write_bytes(b"")
    source = open_source(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert [(frame.number, int(frame.picture[0, 0, 0])) for frame in source] == [(1, 10), (3, 30)]
    assert [record.getMessage().split(" cannot")[0] for record in caplog.records] == [
        f"frame {t} is left out: {tmp_path / f'{t}.png'}:" for t in (0, 2)
    ]
    assert source.num_frames == 4


def test_what_is_no_source_is_named(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "v.mp4").write_bytes(b"no video" * 100)
    (tmp_path / "empty.mp4").touch()
    write_picture(tmp_path / "bad" / "1.png", picture(0))
    (tmp_path / "bad" / "1.png").write_bytes(b"broken")
    for path, reason in [
        ("gone.mp4", "no such file or folder"),
        ("folder", "there are no pictures"),
        ("folder/*.jpg", "there are no pictures"),
        ("v.mp4", "not one frame can be decoded"),
        ("empty.mp4", "not one frame can be decoded"),
        ("bad", "1.png: cannot be decoded"),
    ]:
        with pytest.raises(UserError) as caught:
            open_source(tmp_path / path)
        assert str(tmp_path / path) in str(caught.value) and reason in str(caught.value)
        assert "\n" not in str(caught.value)


def test_opencv_and_ffmpeg_keep_quiet(tmp_path):
    """Codecs that are tried in vain and files that are no videos leave no noise on stderr."""
    script = f"""
from lsts_jax.data.video.source import select
from lsts_jax.data.video.video_io import open_raw, open_source
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.errors import UserError
import numpy as np
with VideoWriter({str(tmp_path / "v.mp4")!r}, 10, (48, 64)) as video:
    video.write(np.zeros((48, 64, 3), np.uint8))
open({str(tmp_path / "w.mp4")!r}, "wb").write(b"no video")
try:
    open_source({str(tmp_path / "w.mp4")!r})
except UserError:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("refused\n", "")
