"""OpenCV's captures of files, cameras and streams, with the reporting left to this package."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# FFmpeg and OpenCV report to stderr by themselves unless told so, FFmpeg before OpenCV first uses it; what
# cannot be read or written is said here, once.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2

if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Frames a second beyond which the rate of a stream is no rate, and the highest of a file whose rate varies.
FASTEST = 240.0
TIMEOUT = 10.0  # seconds without a frame after which a connection counts as lost


def spell(path: Path) -> Any:
    """A path for OpenCV and FFmpeg: bytes, because a name that is no UTF-8 makes OpenCV crash, and absolute,
    because FFmpeg takes what stands before a colon for a protocol. Typed `Any`: OpenCV's stubs know no bytes.
    """
    return os.fsencode(path.absolute())


def open_capture(target: int | str | Path) -> cv2.VideoCapture:
    """Capture of a camera (index), an address (text) or a file (path), which may have failed to open."""
    if isinstance(target, Path):
        return cv2.VideoCapture(spell(target), cv2.CAP_FFMPEG)
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    milliseconds = int(1000 * TIMEOUT)
    limits = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)


def frame_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames a second by the header; None where it has none."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if math.isfinite(fps) and fps > 0 else None


def frame_count(capture: cv2.VideoCapture) -> int:
    """Frames by the header; 0 where it has none."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and count > 0 else 0


def packet_times(target: str | Path) -> Iterator[float]:
    """Seconds at which the encoded frames of a file or an address stand, in the order of the file, until the
    first that cannot be found. Nothing is decoded."""
    capture = _open_packets(target)
    try:
        while capture.grab():
            yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    finally:
        capture.release()


def codec_of(target: str | Path) -> str:
    """The four characters that name the codec of a file or an address, such as AV01, also of one that this
    build cannot decode; empty where there is no video."""
    capture = _open_packets(target)
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) if capture.isOpened() else 0
    capture.release()
    return code.to_bytes(4, "little").decode("latin-1").strip("\0 ") if code > 0 else ""


def _open_packets(target: str | Path) -> cv2.VideoCapture:
    """Capture whose frames are the codes of the frames: they are not decoded."""
    name: Any = spell(target) if isinstance(target, Path) else target
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
