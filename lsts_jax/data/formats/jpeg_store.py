"""Decoded pictures outside memory: as JPEG in a temporary file, which the operating system removes
at the end."""

import os
import tempfile
import weakref
from threading import Lock
from typing import Any, NamedTuple

import cv2
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.pictures import decode_picture
from lsts_jax.errors import UserError

QUALITY = 95


class Place(NamedTuple):
    """Offset of a picture in the file, and its number of bytes."""

    begin: int
    length: int


class JpegStore:
    """Store of pictures, for use from any thread. A copy in another process starts empty."""

    def __init__(self):
        self._file: Any = None
        self._lock = Lock()

    def __reduce__(self):
        return JpegStore, ()

    def put(self, picture: UInt8[ndarray, "H W 3"]) -> Place:
        """Stores an RGB picture. Raises `UserError` if the folder of temporary files is full."""
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1].tobytes()
        try:
            with self._lock:
                if self._file is None:
                    self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115
                    weakref.finalize(self, self._file.close)
                place = Place(self._file.seek(0, os.SEEK_END), len(data))
                while data:  # a nearly full disk takes a part
                    data = data[self._file.write(data) :]
        except OSError as error:
            raise UserError(
                f"{tempfile.tempdir or 'TMPDIR'}: {error.strerror or error}; the frames of videos are kept "
                "there once they are decoded; set the variable TMPDIR to a folder with room for them"
            ) from error
        return place

    def get(self, place: Place, name: str) -> UInt8[ndarray, "H W 3"]:
        """The picture at a place, as `decode_picture` returns it."""
        with self._lock:
            self._file.seek(place.begin)
            data = self._file.read(place.length)
        return decode_picture(data, name)
