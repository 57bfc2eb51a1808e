"""Picture files as a source: a folder of them in natural order, or one that holds several pictures."""

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

# Pictures of one file that are decoded at a time at first, and the most bytes of them.
CHUNK, LARGEST_CHUNK = 32, 1 << 25
MOST_FAILURES = 8  # pictures of one file that cannot be decoded in a row, after which the rest is lost


def open_pictures(name: str, files: Sequence[Path]) -> VideoSource:
    """Frames that are picture files, upright, at 25 a second. A single file that holds several pictures, an
    animated PNG or WebP or a TIFF of several pages, is a video of its own.

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
    """Frames that are called after their files, below the folder that holds them all."""
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
            "%s: of this file and %d others that hold several pictures only the first is taken; name a file "
            "itself to have them all", cut[0], len(cut) - 1
        )  # fmt: skip


def _read_several(file: Path, size: tuple[int, int]) -> Iterator[SourceFrame]:
    """The pictures of a file, with a warning at the end that counts those left out; `size` is that of the
    first."""
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
            # Each chunk of an animation is decoded from the first picture on: the fewer chunks, the better.
            chunk = min(2 * chunk, fitting)
        else:
            lost.append(number)
            number, time = number + 1, time + 1 / DEFAULT_FPS
    if lost:
        count = len(lost) + promised - number
        message = "%s: %d of its %d pictures cannot be decoded and are left out, the first is %d"
        logger.warning(message, file, count, promised, lost[0])


def _holds_several(file: Path) -> bool:
    """Whether a picture file is a video: a TIFF is where its first two pages have one size."""
    if not is_tiff(file):
        return is_animated(file)
    if count_pictures(file) < 2:
        return False
    first = _pictures(file, np.fromfile(file, np.uint8), 0, 2)
    return len(first) < 2 or first[0][0].shape == first[1][0].shape


def _pictures(
    file: Path, data: UInt8[ndarray, "n"], start: int, count: int
) -> list[tuple[UInt8[ndarray, "H W 3"], float]]:
    """Pictures start..start + count - 1 of an encoded file, as far as it has them, and their seconds."""
    try:
        if is_tiff(file):
            pages = cv2.imdecodemulti(data, cv2.IMREAD_COLOR_RGB, range=(start, start + count))[1]
            return [(page, 0.0) for page in pages]
        animation = cv2.imdecodeanimation(data, start, count)[1]
    except cv2.error:
        return []
    pictures = [cv2.cvtColor(frame[..., :3], cv2.COLOR_BGR2RGB) for frame in animation.frames]
    return [(picture, ms / 1000) for picture, ms in zip(pictures, animation.durations, strict=True)]
