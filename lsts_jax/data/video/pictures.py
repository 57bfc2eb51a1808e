"""Picture files: decoding to RGB, and the order in which people number them."""

import re
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.errors import UserError

# A marker of JPEG: neither a stuffed byte of a scan, nor a fill byte, nor a restart (ITU T.81, B.1.1).
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9

FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def read_picture(path: Path) -> UInt8[ndarray, "H W 3"]:
    """The RGB pixels of a file. Raises `UserError` naming it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        reason = "no such picture" if isinstance(error, FileNotFoundError) else error.strerror
        raise UserError(f"{path}: {reason}; restore it or take it out of the list") from error
    return decode_picture(data, str(path))


def decode_picture(data: bytes, name: str) -> UInt8[ndarray, "H W 3"]:
    """The RGB pixels of an encoded picture, whose grey or CMYK becomes RGB and whose EXIF rotation is
    ignored (authors). Raises `UserError` beginning with `name`, also for a JPEG that is cut off: OpenCV
    before 5 fills up what is missing with grey."""
    if data.startswith(b"\xff\xd8") and not _is_complete(data):
        raise UserError(f"{name}: is cut off; restore it or take it out of the list")
    try:
        rgb = cv2.imdecode(np.frombuffer(data, np.uint8), FLAGS)
    except cv2.error:  # no bytes, or more pixels than OpenCV allows
        rgb = None
    if rgb is None:
        raise UserError(f"{name}: cannot be decoded; restore it or take it out of the list")
    return rgb


def _is_complete(jpeg: bytes) -> bool:
    """Whether a JPEG has an end after its scans; anything may follow it."""
    position, scans = 2, 0
    while found := MARKER.search(jpeg, position):
        position, marker = found.end(), found[0][1]
        if marker == END_OF_IMAGE:
            return scans > 0
        scans += marker == START_OF_SCAN
        position += int.from_bytes(jpeg[position : position + 2], "big")  # of its header
    return False


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorted by name with numbers as numbers: frame2 comes before frame10."""
    return sorted(paths, key=lambda path: (_pieces(path.name), path.name, path))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order."""
    return natural_order(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _pieces(name: str) -> list[str | int]:
    """Text and numbers by turns, beginning with text, so that any two lists can be compared."""
    pieces = re.split("([0-9]+)", name.casefold())
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]
