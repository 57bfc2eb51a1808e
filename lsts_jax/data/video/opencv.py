"""OpenCV captures of files, cameras and streams, without FFmpeg's and OpenCV's own reports."""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# By default FFmpeg and OpenCV report to stderr. FFmpeg reads its setting before OpenCV first uses it. What
# cannot be read or written is reported by this package, once.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2
from jaxtyping import UInt8
from numpy import ndarray

if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# Frames per second above which a stream's rate is invalid; also the highest rate of a file whose rate varies.
FASTEST = 240.0
TIMEOUT = 10.0  # seconds without a frame after which a connection counts as lost


def spell(path: Path) -> Any:
    """A path for OpenCV and FFmpeg: bytes, because names that are not UTF-8 crash OpenCV, and
    absolute, because FFmpeg takes text before a colon for a protocol. Typed `Any`, because
    OpenCV's stubs do not allow bytes."""
    return os.fsencode(path.absolute())


def open_capture(target: int | str | Path) -> cv2.VideoCapture:
    """Opens a camera (index), an address (text) or a file (path). The capture may have failed to
    open."""
    if isinstance(target, Path):
        return cv2.VideoCapture(spell(target), cv2.CAP_FFMPEG)
    if isinstance(target, int):
        return cv2.VideoCapture(target)
    milliseconds = int(1000 * TIMEOUT)
    limits = cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds, cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds
    return cv2.VideoCapture(target, cv2.CAP_FFMPEG, limits)


def frame_rate(capture: cv2.VideoCapture) -> float | None:
    """Frames per second in the header; None if it has none."""
    fps = capture.get(cv2.CAP_PROP_FPS)
    return fps if math.isfinite(fps) and fps > 0 else None


def frame_count(capture: cv2.VideoCapture) -> int:
    """Number of frames in the header; 0 if it has none."""
    count = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    return int(count) if math.isfinite(count) and count > 0 else 0


def read_next(capture: cv2.VideoCapture) -> UInt8[ndarray, "H W 3"] | None:
    """The next picture (BGR); None if it cannot be decoded, or at the end."""
    try:
        return capture.read()[1]
    except cv2.error:  # more pixels than there is memory for
        return None


def packet_times(target: str | Path) -> Iterator[float]:
    """Times, in seconds, of the encoded frames of a file or an address, in file order, up to the
    first frame that cannot be read. Nothing is decoded."""
    capture = _open_packets(target)
    try:
        while capture.grab():
            yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
    finally:
        capture.release()


def codec_of(target: str | Path) -> str:
    """The four characters that name the codec of a file or an address, such as AV01, even if this
    build cannot decode it; empty if there is no video."""
    capture = _open_packets(target)
    code = int(capture.get(cv2.CAP_PROP_FOURCC)) if capture.isOpened() else 0
    capture.release()
    return code.to_bytes(4, "little").decode("latin-1").strip("\0 ") if code > 0 else ""


def _open_packets(target: str | Path) -> cv2.VideoCapture:
    """Capture that returns encoded frames without decoding them."""
    name: Any = spell(target) if isinstance(target, Path) else target
    return cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
