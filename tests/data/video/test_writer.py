"""mp4 files: frames of odd sizes, frames at times of their own, what cannot be written."""

import os
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.data.video.video_io import open_source
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.errors import UserError
from tests.data.trees import picture


@pytest.mark.parametrize("size", [(47, 64), (48, 63), (47, 63)])
def test_odd_sides_lose_nothing(tmp_path, size):
    image = np.zeros((*size, 3), np.uint8)
    image[-16:, -16:] = 255
    with VideoWriter(tmp_path / "v.mp4", 10, size) as video:
        video.write(image)
    ((_, _, back, _),) = open_source(tmp_path / "v.mp4")
    assert back.shape == (48, 64, 3)
    assert back[-12:, -12:].min() > 200 and back[:20, :20].max() < 40
    with pytest.raises(ValueError, match=r"\(9, 9\)"), VideoWriter(tmp_path / "w.mp4", 10, size) as video:
        video.write(np.zeros((9, 9, 3), np.uint8))


def test_red_stays_red(tmp_path):
    with VideoWriter(tmp_path / "v.mp4", 10, (48, 64)) as video:
        video.write(np.full((48, 64, 3), (220, 20, 20), np.uint8))
    ((_, _, back, _),) = open_source(tmp_path / "v.mp4")
    np.testing.assert_allclose(back.mean((0, 1)), (220, 20, 20), atol=15)


def test_where_no_video_can_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file"):
        VideoWriter(tmp_path / "file" / "v.mp4", 10, (48, 64))
    (tmp_path / "v.mp4").mkdir()
    with pytest.raises(UserError, match=r"v\.mp4: cannot be written"):
        VideoWriter(tmp_path / "v.mp4", 10, (48, 64))


def test_a_name_that_is_no_text(tmp_path):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    with VideoWriter(file, 10, (48, 64)) as video:
        video.write(picture(0))
    assert file.stat().st_size > 0


def test_a_name_with_a_colon(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with VideoWriter("take 2: café.mp4", 10, (48, 64)) as video:
        video.write(picture(0))
    assert len(list(open_source("take 2: café.mp4"))) == len(list(open_source(Path("take 2: café.mp4")))) == 1
    Path("take:3.mp4").write_bytes(Path("take 2: café.mp4").read_bytes())
    assert len(list(open_source("take:3.mp4"))) == 1
