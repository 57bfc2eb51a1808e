"""Picture files: decoding to RGB, and natural order."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.opencv import spell
from lsts_jax.errors import Missing, UserError

# A marker of JPEG: neither a stuffed byte of a scan, nor a fill byte, nor a restart (ITU T.81, B.1.1).
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
START_OF_SCAN, END_OF_IMAGE = 0xDA, 0xD9

PNG, END_OF_PNG = b"\x89PNG", b"IEND\xaeB`\x82"

# Some builds of OpenCV lack the last formats: their pictures then cannot be decoded.
SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"),
    *(".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".avif", ".heic", ".heif", ".jxl"),
)


def read_picture(path: Path, *, as_stored: bool = False) -> UInt8[ndarray, "H W 3"]:
    """Reads the RGB pixels of a file, as `decode_picture`. Raises `UserError` naming it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise Missing(f"{path}: no such picture; restore it or take it out of the list") from error
        raise UserError(f"{path}: {error.strerror}; restore it or take it out of the list") from error
    return decode_picture(data, str(path), as_stored=as_stored)


def decode_picture(data: bytes, name: str, *, as_stored: bool = False) -> UInt8[ndarray, "H W 3"]:
    """Decodes a picture to RGB pixels, also from grey or CMYK.

    The picture is turned upright by its EXIF orientation. `as_stored` ignores the orientation, as
    the authors do: their boxes for ImageNet are in the stored pixels.

    Raises `UserError` beginning with `name`, also for a JPEG that is cut off: OpenCV before 5 fills
    the missing part with grey. For a PNG that is cut off, libpng may report to stderr.
    """
    is_cut = data.startswith(PNG) and data.rfind(END_OF_PNG) < 0 and not _is_apng(data)
    if is_cut or (data.startswith(b"\xff\xd8") and not _is_complete(data)):
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
    """True if a JPEG has an end marker after its scans; any bytes may follow it."""
    position, scans = 2, 0
    while found := MARKER.search(jpeg, position):
        position, marker = found.end(), found[0][1]
        if marker == END_OF_IMAGE:
            return scans > 0
        scans += marker == START_OF_SCAN
        position += int.from_bytes(jpeg[position : position + 2], "big")  # of its header
    return False


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Sorts by folder, and within a folder by name, with numbers as numbers: frame2 before frame10."""
    return sorted(paths, key=lambda path: ([*map(_pieces, path.parent.parts)], _pieces(path.name), path))


def is_hidden(path: Path, below: Path | None = None) -> bool:
    """True if the name of a file, or of a folder that holds it somewhere `below` another, begins
    with a dot: files of desktops and editors are not data."""
    names = path.relative_to(below).parts if below else (path.name,)
    return any(name.startswith(".") for name in names)


def files_in(folder: Path, suffixes: Sequence[str]) -> list[Path]:
    """The files of a folder with one of these suffixes, in natural order, without hidden files.
    Raises `UserError` if the folder cannot be listed."""
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.is_dir()]
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; make it readable, or name another folder") from error
    paths = [folder / name for name in names]
    return natural_order(path for path in paths if path.suffix.lower() in suffixes and not is_hidden(path))


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of a folder in natural order, without hidden files."""
    return files_in(folder, SUFFIXES)


def is_animated(file: Path) -> bool:
    """True if the content of a PNG, WebP, AVIF or GIF file, whatever its suffix, declares several
    pictures."""
    with file.open("rb") as stream:
        head = stream.read(1 << 12)
    if head.startswith(b"RIFF"):
        return head[8:16] == b"WEBPVP8X" and bool(head[20] & 2)
    if head.startswith(b"GIF8"):
        return count_pictures(file) > 1
    return head[4:12] == b"ftypavis" or (head.startswith(PNG) and _is_apng(head))


def _is_apng(png: bytes) -> bool:
    return b"acTL" in png.partition(b"IDAT")[0]


def is_tiff(file: Path) -> bool:
    """True if the content of a file is TIFF, whatever its suffix."""
    with file.open("rb") as stream:
        return stream.read(4) in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def count_pictures(file: Path) -> int:
    """Number of pictures by the headers of a file."""
    with file.open("rb") as stream:
        if stream.read(12)[8:] == b"WEBP":  # OpenCV counts 0 in a damaged file
            return max(1, stream.read().count(b"ANMF"))
    try:
        return cv2.imcount(spell(file))
    except cv2.error:
        return 1


def printable(name: str) -> str:
    """A file's name in UTF-8, with other bytes written as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _pieces(name: str) -> list[str | int]:
    """Text and numbers in turn, beginning with text, so that any two lists can be compared."""
    pieces = re.split("([0-9]+)", name.casefold())
    return [int(piece) if i % 2 else piece for i, piece in enumerate(pieces)]
