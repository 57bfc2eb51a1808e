"""OpenCV, told to leave the reporting to this package."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

# FFmpeg reports to stderr by itself unless told so before OpenCV first uses it; what cannot be read or
# written is said here, once.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

import cv2


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps OpenCV from reporting attempts that fail."""
    log = cv2.utils.logging
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
