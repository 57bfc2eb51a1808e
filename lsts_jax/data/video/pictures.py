"""Picture files: decoding to RGB, and the order in which people number them."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.errors import Missing, UserError

# A marker of JPEG: neither a stuffed byte of a scan, nor a fill byte, nor a restart (ITU T.81, B.1.1).
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


def read_picture(path: Path, *, as_stored: bool = False) -> UInt8[ndarray, "H W 3"]:
    """The RGB pixels of a file, as `decode_picture` has them. Raises `UserError` naming it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise Missing(f"{path}: no such picture; restore it or take it out of the list") from error
        raise UserError(f"{path}: {error.strerror}; restore it or take it out of the list") from error
    return decode_picture(data, str(path), as_stored=as_stored)


def decode_picture(data: bytes, name: str, *, as_stored: bool = False) -> UInt8[ndarray, "H W 3"]:
    """The RGB pixels of an encoded picture, whose grey or CMYK becomes RGB.

    The picture is upright as people see it: its EXIF orientation is followed. `as_stored` ignores it, as the
    authors do, whose boxes for ImageNet are those of the stored pixels.

    Raises `UserError` beginning with `name`, also for a JPEG that is cut off: OpenCV before 5 fills up what
    is missing with grey.
    """
    if data.startswith(b"\xff\xd8") and not _is_complete(data):
        raise UserError(f"{name}: is cut off; restore it or take it out of the list")
    flags = cv2.IMREAD_COLOR_RGB | (cv2.IMREAD_IGNORE_ORIENTATION if as_stored else 0)
    try:
        rgb = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
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


def is_hidden(path: Path, below: Path | None = None) -> bool:
    """Whether a file's name begins with a dot, or that of a folder that holds it somewhere `below` another:
    what desktops and editors leave behind is no data."""
    names = path.relative_to(below).parts if below else (path.name,)
    return any(name.startswith(".") for name in names)


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder with one of these suffixes, in natural order; hidden ones are left out."""
    return natural_order(
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_hidden(path)
    )


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order; hidden ones are left out."""
    return files_in(folder, SUFFIXES)


def is_animated(file: Path) -> bool:
    """Whether a PNG or WebP file says in its first kilobytes that it holds several pictures."""
    with file.open("rb") as stream:
        head = stream.read(1 << 12)
    if head.startswith(b"RIFF"):
        return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
    return head.startswith(b"\x89PNG") and b"acTL" in head.partition(b"IDAT")[0]


def printable(name: str) -> str:
    """A file's name in UTF-8, in which bytes that are none are written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _pieces(name: str) -> list[str | int]:
    """Text and numbers by turns, beginning with text, so that any two lists can be compared."""
    pieces = re.split("([0-9]+)", name.casefold())
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]
