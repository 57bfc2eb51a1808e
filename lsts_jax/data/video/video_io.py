"""Opens a source of video by its name."""

import errno
import glob
import logging
import os
import re
from collections.abc import Iterator
from functools import partial
from io import BufferedIOBase
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from lsts_jax.data.video.address import SCHEMES, has_scheme, is_address, is_finite, name_of
from lsts_jax.data.video.live_source import LiveFrames
from lsts_jax.data.video.opencv import open_capture
from lsts_jax.data.video.picture_files import open_pictures
from lsts_jax.data.video.pictures import SUFFIXES, files_in, is_hidden, natural_order, pictures_in
from lsts_jax.data.video.source import DEFAULT_FPS, SourceFrame, VideoSource
from lsts_jax.data.video.video_file import open_video
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".avi", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".ts"),
    *(".mts", ".m2ts", ".flv", ".3gp", ".ogv"),
)
ANIMATIONS = (".gif", ".apng")  # suffixes of videos that look like pictures to people
CAMERA = re.compile(r"/dev/video(\d+)|(\d+)")


def sources_in(text: str) -> list[str]:
    """The sources that a text names. The pictures of a folder or a pattern are one source, followed
    by its videos, one source per file. Any other text is one source, even if it does not exist."""
    path = Path(text)
    if _is_camera(text) or is_address(text) or os.path.isfile(text):
        return [text]
    if text and os.path.isdir(text):
        videos = files_in(path, VIDEO_SUFFIXES + ANIMATIONS)
        pictures = pictures_in(path) if videos else []
    else:
        found = matches(text)
        videos = [file for file in found if file.suffix.lower() in VIDEO_SUFFIXES + ANIMATIONS]
        pictures = [file for file in found if file.suffix.lower() in SUFFIXES]
    return ([text] if pictures or not videos else []) + [str(file) for file in videos]


def open_source(path: Path | str) -> VideoSource:
    """Opens a video file, a folder of pictures, a glob pattern of pictures (`frames/*.jpg`), a
    single picture, a camera (`0` or `/dev/video0`), or an address (`http://`, `https://`,
    `rtsp://`) of a video or a stream.

    Pictures come in natural order: frame2 before frame10. Hidden files are left out.

    Raises `UserError` if `path` does not exist, or has no frame that can be decoded.
    """
    text, path = str(path), Path(path)
    if not text:
        raise UserError("the name of a source is empty; name a video file or a folder of pictures")
    if _is_camera(text):
        index = int(re.sub(r"\D", "", text))
        return _open_live(index, open_capture(index))
    if is_address(text):
        return _open_address(text)
    if os.path.isdir(path):
        if not (files := pictures_in(path)):
            raise UserError(f"{path}: {_instead_of(path)}")
        return open_pictures(text, files)
    if os.path.isfile(path):
        if not os.access(path, os.R_OK):
            raise UserError(f"{path}: {os.strerror(errno.EACCES)}; make it readable")
        return open_pictures(text, [path]) if path.suffix.lower() in SUFFIXES else open_video(path)
    if os.path.exists(path):
        raise UserError(f"{path}: is a pipe or a device; name a file, or write raw frames to --source -")
    if glob.has_magic(text):
        return open_pictures(text, [file for file in matches(text) if file.suffix.lower() in SUFFIXES])
    raise UserError(f"{path}: no such file or folder; name a video file or a folder of pictures")


def matches(pattern: str) -> list[Path]:
    """The files that match a glob pattern, in natural order. Brackets in the names of existing
    folders are literal, and so are those of a pattern that would match nothing."""
    parts = Path(pattern).parts
    known = 0
    while known < len(parts) and os.path.exists(os.path.join(*parts[: known + 1])):
        known += 1
    folder, rest = glob.escape(str(Path(*parts[:known]))) if known else "", parts[known:]
    for one in (rest, [part.replace("[", "[[]") for part in rest]):
        found = glob.glob(os.path.join(folder, *one), recursive=True)
        if found:
            break
    return natural_order(path for path in map(Path, found) if os.path.isfile(path) and not is_hidden(path))


def open_raw(stream: BufferedIOBase, size: tuple[int, int], fps: float | None = None) -> VideoSource:
    """Reads frames as bytes, red, green, blue, row by row, as `ffmpeg -f rawvideo -pix_fmt rgb24 -`
    writes them."""
    return VideoSource("stdin", size, fps, None, partial(_read_raw, stream, size, fps or DEFAULT_FPS))


def _is_camera(text: str) -> bool:
    return bool(CAMERA.fullmatch(text)) and not os.path.isfile(text) and not os.path.isdir(text)


def _open_address(address: str) -> VideoSource:
    if not has_scheme(address):
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        raise UserError(f"{name_of(address)}: addresses of {known} are read; name a file by its path")
    scheme, colon, rest = address.partition(":")
    address = scheme.lower() + colon + rest
    capture = open_capture(address)
    if is_finite(address, capture):
        return open_video(address, capture)
    return _open_live(address, capture)


def _open_live(target: int | str, capture: cv2.VideoCapture) -> VideoSource:
    frames = LiveFrames(target, capture)
    read = partial(iter, frames)
    return VideoSource(frames.name, frames.size, frames.fps, None, read, is_live=True, close=frames.stop)


def _instead_of(folder: Path) -> str:
    """Advice what to name instead of a folder without pictures."""
    if videos := files_in(folder, VIDEO_SUFFIXES + ANIMATIONS):
        return f"holds {len(videos)} videos and no pictures; name one, such as {videos[0]}"
    inside = [path for path in natural_order(folder.iterdir()) if not is_hidden(path)]
    folders = [path for path in inside if path.is_dir()]
    if inner := [path for path in folders if pictures_in(path)]:
        return (
            f"there are no pictures in it, but in {len(inner)} of its folders; name one, such as {inner[0]}"
        )
    others = f", but {len(inside)} other files, such as {inside[0].name}" if inside else ""
    return f"there are no pictures ({', '.join(SUFFIXES)}) and no videos{others}; name a folder that has some"


def _read_raw(stream: BufferedIOBase, size: tuple[int, int], fps: float) -> Iterator[SourceFrame]:
    height, width = size
    for number in count():
        data = stream.read(height * width * 3)
        if len(data) < height * width * 3:
            if data:
                logger.warning("stdin: frame %d is cut short and left out; is its size %dx%d?", number, *size)
            return
        yield SourceFrame(number, number / fps, np.frombuffer(data, np.uint8).reshape(height, width, 3))
