"""An annotated video plays as long as its source, whatever its times and shapes are."""

import numpy as np
import pytest

from lsts_jax.data.video.video_io import open_source
from lsts_jax.outputs.pace import PacedVideo, fit

VARIABLE = [
    *np.arange(6) * 0.1,
    *(2.5 + np.arange(6) * 0.05),
]  # with a pause; 12 frames in 2.75 s, 4.36 a second
CONSTANT = np.round(np.arange(40) / 29.97, 3)  # containers count milliseconds
GAP = np.delete(np.arange(10) / 10, [4, 5])


def played(tmp_path, times, fps, pictures=None):
    """Seconds, frames a second and frames of the video that is written."""
    with PacedVideo(tmp_path / "x.mp4", fps) as video:
        for k, time in enumerate(times):
            video.write(
                time, np.full((32, 48, 3), 20 * k % 256, np.uint8) if pictures is None else pictures[k]
            )
    found = open_source(tmp_path / "x.mp4")
    frames = [frame.picture for frame in found]
    return len(frames) / found.fps, found.fps, frames


@pytest.mark.parametrize(
    ("times", "fps", "rate", "count"),
    [(VARIABLE, 4.36, 30, None), (CONSTANT, 29.97, 29.97, 40), (GAP, 10, 10, 10)],
)
def test_a_video_plays_as_long_as_its_source(tmp_path, times, fps, rate, count):
    seconds, found, frames = played(tmp_path, times, fps)
    assert found == pytest.approx(rate, rel=1e-3)
    assert seconds == pytest.approx(times[-1] - times[0] + 1 / rate, abs=0.02)
    assert count is None or len(frames) == count
    if count == 10:  # the picture before the gap is shown in it
        assert [round(frame.mean() / 20) for frame in frames] == [0, 1, 2, 3, 3, 3, 4, 5, 6, 7]


def test_a_damaged_time_does_not_fill_the_disk(tmp_path):
    assert played(tmp_path, [0, 1e9, 1], 0.1)[0] <= 2 * 300 + 10


def test_pictures_of_other_shapes_are_not_distorted(tmp_path):
    lying, upright = np.full((32, 48, 3), 250, np.uint8), np.full((48, 32, 3), 250, np.uint8)
    _, _, frames = played(tmp_path, [0, 0.1], 10, [lying, upright])
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 2
    fitted = fit(upright, (32, 48))[..., 0] > 100
    assert (fitted.any(0).sum(), fitted.any(1).sum()) == (21, 32)
    assert frames[1][:, :10].max() < 30 < 200 < frames[1][8:24, 20:28].min()


def test_without_pictures_there_is_no_file(tmp_path):
    with PacedVideo(tmp_path / "x.mp4", 10):
        pass
    assert not (tmp_path / "x.mp4").exists()
