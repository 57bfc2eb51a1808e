"""Annotated video with the duration of its source, whatever the rate of the source."""

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.writer import VideoWriter

# Frames per second of the output if the rate of the source varies.
VARIABLE_FPS, MOST_FPS = 30.0, 120.0
# The rate varies if a frame is early, relative to the mean rate, by this share and by this many seconds.
TOLERANCE, ROUNDING = 0.05, 0.0015
# Longest time that a picture is shown, in seconds; limits the effect of a damaged timestamp.
LONGEST_PAUSE = 300.0


class PacedVideo:
    """Writes pictures with their times as an mp4 file of a constant rate; a context manager.

    A picture is repeated until the next one is due, and left out if the next is due at the same
    frame. Pictures of another shape than the first are scaled to fit into it. Without pictures
    there is no file.
    """

    def __init__(self, path: Path, fps: float | int, *, is_live: bool = False):
        """Args:
        fps: mean rate of the source.
        is_live: times are those of arrival and do not determine a rate."""
        self._path, self._fps, self._is_live = path, fps, is_live
        self._video: VideoWriter | None = None
        self._held: UInt8[ndarray, "H W 3"] | None = None  # shown until the next picture
        self._time = self._due = 0.0  # time of the shown picture, in seconds and in frames of the video
        self._written = 0

    def __enter__(self) -> "PacedVideo":
        return self

    def __exit__(self, *_: object) -> None:
        if self._held is not None:
            self._show(self._held, 1 / self._fps)
        if self._video is not None:
            self._video.__exit__()

    def write(self, time: float | int, picture: UInt8[ndarray, "H W 3"]) -> None:
        """Shows an RGB picture from `time` on, in seconds.

        Raises `UserError` if the file cannot be written.
        """
        if self._held is not None:
            self._show(self._held, time - self._time)
        self._held, self._time = picture, time

    def _show(self, held: UInt8[ndarray, "H W 3"], seconds: float | int) -> None:
        """Writes the shown picture as often as its duration needs."""
        if self._video is None:
            period = 1 / self._fps
            if 0 < seconds < min((1 - TOLERANCE) * period, period - ROUNDING) and not self._is_live:
                self._fps = max(self._fps, VARIABLE_FPS, min(1 / seconds, MOST_FPS))
            self._video = VideoWriter(self._path, self._fps, held.shape[:2])
        picture = fit(held, self._video.size)
        self._due += min(max(seconds, 0.0), LONGEST_PAUSE) * self._fps
        while self._written < round(self._due):
            self._video.write(picture)
            self._written += 1


def fit(picture: UInt8[ndarray, "H W 3"], size: tuple[int, int]) -> UInt8[ndarray, "_ _ 3"]:
    """Scales a picture into (height, width) without distortion, centred on black."""
    if picture.shape[:2] == size:
        return picture
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas = np.zeros((*size, 3), np.uint8)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas[top : top + height, left : left + width] = cv2.resize(
        picture, (width, height), interpolation=method
    )
    return canvas
