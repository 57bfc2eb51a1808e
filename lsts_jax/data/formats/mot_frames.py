"""The frames of a sequence, with the numbers that rows of gt.txt use for them."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from lsts_jax.data.formats.jpeg_store import JpegStore
from lsts_jax.data.formats.mot_rows import Rows
from lsts_jax.data.formats.stored_video import StoredVideo
from lsts_jax.data.formats.text import split_number
from lsts_jax.data.video.opencv import packet_times
from lsts_jax.data.video.pictures import files_in, natural_order, pictures_in, read_picture
from lsts_jax.data.video.video_io import VIDEO_SUFFIXES, open_source
from lsts_jax.errors import UserError


class PictureFrames:
    """Frames that are picture files, in the order of their numbers."""

    def __init__(self, files: Sequence[Path], numbers: Sequence[int], size: tuple[int, int]):
        self.files, self.numbers, self.size = files, numbers, size

    def __len__(self) -> int:
        return len(self.files)

    def read(self, t: int) -> UInt8[ndarray, "H W 3"]:
        return read_picture(self.files[t])

    def name(self, t: int) -> str:
        return str(self.files[t])

    def cut(self, start: int, stop: int) -> "PictureFrames":
        return PictureFrames(self.files[start:stop], self.numbers[start:stop], self.size)


class VideoFrames(StoredVideo):
    """Frames start..stop - 1 of a video file, with random access; their numbers count from 1."""

    def __init__(self, file: Path, start: int, stop: int, store: JpegStore, size: tuple[int, int]):
        super().__init__(file, start, stop, store)
        self.size, self.numbers = size, range(start + 1, stop + 1)

    def __reduce__(self):
        return VideoFrames, (self.file, self.start, self.stop, self._store, self.size)

    def cut(self, start: int, stop: int) -> "VideoFrames":
        return VideoFrames(self.file, self.start + start, self.start + stop, self._store, self.size)


def open_frames(folder: Path, store: JpegStore, *, of_cvat: bool) -> PictureFrames | VideoFrames:
    """Opens all frames of a sequence; those of a video file are decoded into the store on first
    access.

    Raises `UserError` if there are none, or if the number of a picture is ambiguous.
    """
    if (folder / "img1").is_dir():
        files = pictures_in(folder / "img1")
        if not files:
            raise UserError(f"{folder / 'img1'}: there are no pictures; put them there")
        numbered = number_pictures(files, of_cvat=of_cvat)
        return PictureFrames(list(numbered.values()), list(numbered), _size(list(numbered.values())))
    files = files_in(folder, VIDEO_SUFFIXES)
    if len(files) != 1:
        raise UserError(
            f"{folder}: holds no folder img1 and {len(files)} video files; a sequence has pictures in img1 "
            "or one video file"
        )
    source = open_source(files[0])
    # Headers may give a wrong number of frames; counting encoded frames decodes none of them.
    count = sum(1 for _ in packet_times(files[0])) or source.num_frames or 1
    return VideoFrames(files[0], 0, count, store, source.size)


def number_pictures(files: Sequence[Path], *, of_cvat: bool) -> dict[int, Path]:
    """Pictures by number, in rising order. The number is the last one in a picture's name; with
    `of_cvat`, pictures are counted from 1 in natural order unless all names are plain numbers.

    Raises `UserError` if two pictures have the same number, or one has none.
    """
    if of_cvat and not all(re.fullmatch("[0-9]+", file.stem) for file in files):
        return dict(enumerate(natural_order(files), start=1))
    numbered: dict[int, Path] = {}
    for file in files:
        split = split_number(file.stem)
        if split is None:
            raise UserError(
                f"{file}: has no number in its name, which rows of gt.txt refer to; name it after its "
                "frame, such as 000001.jpg"
            )
        other = numbered.setdefault(split[1], file)
        if other != file:
            raise UserError(
                f"{other} and {file.name} have the same number in their names, which rows of "
                f"gt.txt refer to; rename or remove one"
            )
    return dict(sorted(numbered.items()))


def pair(rows: Rows, numbers: Sequence[int], file: Path) -> Int64[ndarray, "n"]:
    """Position of the frame with every row's number, -1 if there is none; `numbers` are those of
    the frames in rising order.

    Raises `UserError` naming the file and a line if no row has a frame, or if all rows would have
    one with numbers one higher or lower.
    """
    known = np.array(numbers, np.int64)
    if not len(known):
        return np.full(len(rows.frames), -1)
    found = np.isin(rows.frames, known)
    off_by_one = any(np.isin(rows.frames + shift, known).all() for shift in (-1, 1))
    if not found.all() and (off_by_one or not found.any()):
        first = np.argmin(found)
        raise UserError(
            f"{file}, line {rows.lines[first]}: no picture has the number {rows.frames[first]}; rows are "
            f"of frames {rows.frames.min()} to {rows.frames.max()}, pictures are numbered {known[0]} to "
            f"{known[-1]}: number both alike"
        )
    return np.where(found, np.searchsorted(known, rows.frames), -1)


def _size(files: Sequence[Path]) -> tuple[int, int]:
    """Size of the first picture that can be read. Raises `UserError` if none can."""
    for file in files[:-1]:
        with suppress(UserError):
            return read_picture(file).shape[:2]
    return read_picture(files[-1]).shape[:2]
