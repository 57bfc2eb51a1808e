"""Video in and out: a file or a folder of pictures as a sequence of frames, and frames as an mp4.

Frames are RGB uint8 arrays [H W 3], sizes (height, width).
"""

import glob
import logging
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from io import BufferedIOBase
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.live_source import LiveFrames
from lsts_jax.data.video.opencv import quiet
from lsts_jax.data.video.pictures import SUFFIXES, natural_order, pictures_in, read_picture
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts")
STREAMS = ("http://", "https://", "rtsp://")
# H.264, which browsers play, where this build of OpenCV can write it; MPEG-4 part 2 everywhere else.
CODECS = ("avc1", "mp4v")


@dataclass(frozen=True)
class VideoSource:
    """Numbered frames in order; can be iterated over more than once."""

    name: str
    size: tuple[int, int]  # height, width of the first frame
    fps: float | None  # None where unknown, as for pictures
    num_frames: int | None  # as the header has it, which may be wrong; None where it has none
    read: Callable[[], Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]]
    is_live: bool = False  # comes at its own pace, once, and may never end

    def __iter__(self) -> Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]:
        """(number, frame); a picture that cannot be decoded is left out with a warning."""
        return self.read()


def open_source(path: Path | str) -> VideoSource:
    """A video file, a folder of pictures, a glob pattern of pictures (`frames/*.jpg`), a single picture, the
    index of a camera (`0`), or the address of a stream (`http://`, `https://`, `rtsp://`).

    Pictures come in natural order: frame2 before frame10.

    Raises `UserError` if there is nothing at `path`, or no frame in it that can be decoded.
    """
    if str(path).isdecimal() and not Path(path).exists():
        return _open_live(f"camera{path}", int(path))
    if str(path).startswith(STREAMS):
        return _open_live(re.sub(r"\W+", "_", str(path).partition("://")[2]).strip("_"), str(path))
    path = Path(path)
    if path.is_dir():
        return _open_pictures(str(path), pictures_in(path))
    if path.is_file():
        return _open_pictures(str(path), [path]) if path.suffix.lower() in SUFFIXES else _open_video(path)
    if glob.has_magic(str(path)):
        found = (Path(file) for file in glob.glob(str(path), recursive=True))
        return _open_pictures(
            str(path), natural_order(file for file in found if file.suffix.lower() in SUFFIXES)
        )
    raise UserError(f"{path}: no such file or folder; name a video file or a folder of pictures")


def open_raw(stream: BufferedIOBase, size: tuple[int, int], fps: float | None = None) -> VideoSource:
    """Frames as bytes, red, green, blue, row by row, as `ffmpeg -f rawvideo -pix_fmt rgb24 -` writes them."""
    return VideoSource("stdin", size, fps, None, partial(_read_raw, stream, size))


def select(source: VideoSource, *, start: int, end: int | None, stride: int) -> VideoSource:
    """Frames start, start + stride, … before `end`, which keep their numbers."""

    def read():
        for number, image in source:
            if end is not None and number >= end:
                return
            if number >= start and (number - start) % stride == 0:
                yield number, image

    count = source.num_frames
    if end is not None:
        count = end if count is None else min(count, end)
    count = None if count is None else max(0, -(-(count - start) // stride))
    return replace(source, num_frames=count, read=read)


def _open_live(name: str, target: int | str) -> VideoSource:
    frames = LiveFrames(target)
    fps = frames.fps if math.isfinite(frames.fps) and 0 < frames.fps <= 1000 else None
    return VideoSource(name, frames.size, fps, None, partial(iter, frames), is_live=True)


def _read_raw(stream: BufferedIOBase, size: tuple[int, int]) -> Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]:
    height, width = size
    for number in count():
        data = stream.read(height * width * 3)
        if len(data) < height * width * 3:
            if data:
                logger.warning("stdin: frame %d is cut short and left out; is %dx%d its size?", number, *size)
            return
        yield number, np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _open_pictures(name: str, files: Sequence[Path]) -> VideoSource:
    if not files:
        raise UserError(f"{name}: there are no pictures ({', '.join(SUFFIXES)}); name a folder that has some")
    for file in files:
        try:
            size = read_picture(file).shape[:2]
        except UserError:
            continue
        return VideoSource(name, size, None, len(files), partial(_read_pictures, files))
    raise UserError(f"{name}: none of the {len(files)} pictures can be decoded; name another folder")


def _read_pictures(files: Sequence[Path]) -> Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]:
    for number, file in enumerate(files):
        try:
            image = read_picture(file)
        except UserError as error:
            logger.warning("frame %d is left out: %s", number, error)
        else:
            yield number, image


def _open_video(path: Path) -> VideoSource:
    with _capture(path) as video:
        fps = video.get(cv2.CAP_PROP_FPS)
        num_frames = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        found, image = video.read()
    if not found:
        raise UserError(f"{path}: not one frame can be decoded; is it a video, and is it complete?")
    return VideoSource(
        str(path),
        image.shape[:2],
        fps if math.isfinite(fps) and 0 < fps <= 1000 else None,
        num_frames if num_frames > 0 else None,
        partial(_read_video, path),
    )


def _read_video(path: Path) -> Iterator[tuple[int, UInt8[ndarray, "H W 3"]]]:
    with _capture(path) as video:
        promised = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
        number = 0
        while (frame := video.read())[0]:
            yield number, cv2.cvtColor(frame[1], cv2.COLOR_BGR2RGB)
            number += 1
    if number < 0.98 * promised - 1:  # some headers only estimate
        logger.warning("%s: ends after %d frames; its header promises %d", path, number, promised)


@contextmanager
def _capture(path: Path) -> Iterator[cv2.VideoCapture]:
    with quiet():
        video = cv2.VideoCapture(str(path))
    try:
        yield video
    finally:
        video.release()


class VideoWriter:
    """Writes an mp4 file; a context manager.

    Sides are even in mp4: the last row or column of an odd side is written twice.

    Raises `UserError` if the file cannot be written.
    """

    def __init__(self, path: Path | str, fps: float | int, size: tuple[int, int]):
        self.path, self.size = Path(path), size
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path.parent}: {error.strerror}; name another folder") from error
        padded = (size[1] + size[1] % 2, size[0] + size[0] % 2)
        for codec in CODECS:
            with quiet():
                self._writer = cv2.VideoWriter(
                    str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, padded
                )
            if self._writer.isOpened():
                return
        raise UserError(f"{path}: cannot be written; name an .mp4 file in a folder that you may write to")

    def __enter__(self) -> "VideoWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.release()

    def write(self, image: UInt8[ndarray, "H W 3"]) -> None:
        """Appends an RGB frame. Raises ValueError if it has not the size of the video."""
        if image.shape[:2] != self.size:
            raise ValueError(f"{self.path}: a frame of {image.shape[:2]} in a video of {self.size}")
        height, width = self.size
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._writer.write(np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), "edge"))
