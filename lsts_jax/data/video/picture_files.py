"""Picture files as a source: a folder in natural order, or one file with several pictures."""

import logging
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.data.video.pictures import (
    SUFFIXES,
    count_pictures,
    is_animated,
    is_tiff,
    printable,
    read_picture,
)
from lsts_jax.data.video.source import DEFAULT_FPS, SourceFrame, VideoSource
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

# Number of pictures of one file that are decoded at a time at first, and their largest size in bytes.
CHUNK, LARGEST_CHUNK = 32, 1 << 25
MOST_FAILURES = 8  # undecodable pictures of one file in a row after which the rest is given up


def open_pictures(name: str, files: Sequence[Path]) -> VideoSource:
    """Upright frames from picture files, 25 per second. A single file with several pictures (an
    animated PNG or WebP, or a TIFF of several pages) is a video.

    Raises `UserError` if there are none, or none that can be decoded.
    """
    if not files:
        raise UserError(f"{name}: there are no pictures ({', '.join(SUFFIXES)}); name a folder that has some")
    problems = []
    for file in files:
        try:
            size = read_picture(file).shape[:2]
        except UserError as error:
            problems.append(error)
            continue
        if len(files) == 1 and _holds_several(file):
            return VideoSource(name, size, None, None, partial(_read_several, file, size))
        return VideoSource(name, size, None, len(files), partial(_read_pictures, files))
    if len(files) == 1:
        raise problems[0]
    raise UserError(f"{name}: none of the {len(files)} pictures can be decoded, such as {problems[0]}")


def _read_pictures(files: Sequence[Path]) -> Iterator[SourceFrame]:
    """Yields frames named by their files, relative to the folder that holds them all."""
    cut, folder = [], os.path.commonpath([file.absolute().parent for file in files])
    for number, file in enumerate(files):
        try:
            picture = read_picture(file)
        except UserError as error:
            logger.warning("frame %d is left out: %s", number, error)
            continue
        if len(files) > 1 and _holds_several(file):
            cut.append(file)
        name = printable(file.absolute().relative_to(folder).as_posix())
        yield SourceFrame(number, number / DEFAULT_FPS, picture, name)
    if cut:
        logger.warning(
            "%s: only the first picture is used, as in %d other files with several pictures; name "
            "a file itself to use all its pictures", cut[0], len(cut) - 1
        )  # fmt: skip


def _read_several(file: Path, size: tuple[int, int]) -> Iterator[SourceFrame]:
    """Yields the pictures of a file, with a warning at the end that counts those left out; `size`
    is that of the first."""
    data, promised = np.fromfile(file, np.uint8), count_pictures(file)
    fitting = max(1, LARGEST_CHUNK // (3 * size[0] * size[1]))
    number, time, chunk, lost, failed = 0, 0.0, min(CHUNK, fitting), [], 0
    while number < promised and failed < MOST_FAILURES:
        pictures = _pictures(file, data, number, min(chunk, promised - number))
        for picture, seconds in pictures:
            yield SourceFrame(number, time, picture, printable(file.name))
            number, time = number + 1, time + (seconds or 1 / DEFAULT_FPS)
        failed = 0 if pictures else failed + 1
        if pictures:
            # Every chunk of an animation is decoded from the first picture on, so few chunks are faster.
            chunk = min(2 * chunk, fitting)
        else:
            lost.append(number)
            number, time = number + 1, time + 1 / DEFAULT_FPS
    if lost:
        count = len(lost) + promised - number
        message = "%s: %d of its %d pictures cannot be decoded and are left out, the first is %d"
        logger.warning(message, file, count, promised, lost[0])


def _holds_several(file: Path) -> bool:
    """True if a picture file is a video; a TIFF is one if its first two pages have the same size."""
    if not is_tiff(file):
        return is_animated(file)
    if count_pictures(file) < 2:
        return False
    first = _pictures(file, np.fromfile(file, np.uint8), 0, 2)
    return len(first) < 2 or first[0][0].shape == first[1][0].shape


def _pictures(
    file: Path, data: UInt8[ndarray, "n"], start: int, count: int
) -> list[tuple[UInt8[ndarray, "H W 3"], float]]:
    """Decodes pictures start..start + count - 1 of a file, as far as they exist, and their times in
    seconds."""
    try:
        if is_tiff(file):
            pages = cv2.imdecodemulti(data, cv2.IMREAD_COLOR_RGB, range=(start, start + count))[1]
            return [(page, 0.0) for page in pages]
        animation = cv2.imdecodeanimation(data, start, count)[1]
    except cv2.error:
        return []
    pictures = [cv2.cvtColor(frame[..., :3], cv2.COLOR_BGR2RGB) for frame in animation.frames]
    return [(picture, ms / 1000) for picture, ms in zip(pictures, animation.durations, strict=True)]
