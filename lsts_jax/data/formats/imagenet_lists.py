"""The lists in ImageSets: one video, frame or still per line, in the forms that imagenet_vid.py
shows.

A missing list is made from the tree if possible (imagenet_tree.py). An existing list is used
unchanged: remove it after changes of the classes or the tree.
"""

import logging
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lsts_jax.data.dataset import leads_out
from lsts_jax.data.formats.imagenet_tree import MAKERS
from lsts_jax.data.formats.text import read_text
from lsts_jax.errors import UserError, writing
from lsts_jax.files import write_whole

logger = logging.getLogger(__name__)

MOST_FRAMES = 1_000_000  # frames of a video: file names have six digits


class ListedFrame(NamedTuple):
    """A frame of a list, and the contents of its line."""

    path: str  # of the video or still, below Data/VID or Data/DET
    t: int
    num_frames: int  # of the video, as far as the line tells: at least t + 1
    global_id: int | None = None


def is_stills(name: str) -> bool:
    """True if a list is one of stills."""
    return PurePosixPath(name).name.startswith("DET_")


def open_list(root: Path, name: str, class_names: tuple[str, ...]) -> list[ListedFrame]:
    """The frames of ROOT/ImageSets/NAME.txt. If one of the lists above is missing, it is made and,
    if the folder is writable, saved. `class_names` select the stills of DET_train_30classes; if
    empty, those of `choose_classes`.

    Raises `UserError` if the list is missing and cannot be made, and as `read_list`.
    """
    file = root / "ImageSets" / f"{name}.txt"
    if name not in MAKERS or file.exists():
        return read_list(file)
    lines = MAKERS[name](root, class_names)
    if not lines:
        raise UserError(
            f"{file}: no such list, and {_reason(root, name)}; put it there, or leave it out of the config"
        )
    frames = parse_list(lines, file)
    _save(file, lines)
    return frames


def _reason(root: Path, name: str) -> str:
    """The reason why a list cannot be made."""
    if is_stills(name):
        return (
            f"no still in {root / 'Data/DET/train'} has an annotation in {root / 'Annotations/DET/train'} "
            "with an object of config.data.class_names"
        )
    return f"no folder in {root / 'Data/VID' / name.split('_')[1]} has frames 000000.JPEG, 000001.JPEG, …"


def _save(file: Path, lines: Sequence[str]) -> None:
    """Writes the list atomically."""
    try:
        with writing(file):
            file.parent.mkdir(exist_ok=True)
            with write_whole(file) as part:
                part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    except UserError as error:
        logger.warning("%s; the list is made again in every run", error)
    else:
        logger.info(
            "%s: no such list; made from the files below %s, %d lines", file, file.parents[1], len(lines)
        )


def default_lists(root: Path, names: Sequence[str]) -> tuple[str, ...]:
    """The default lists that the tree has, or has the data for: VID_train_15frames is made from
    Data/VID/train."""
    return tuple(
        name
        for name in names
        if (root / "ImageSets" / f"{name}.txt").exists()
        or (root / "Data").joinpath(*name.split("_")[:2]).is_dir()
    )


def read_list(file: Path) -> list[ListedFrame]:
    """The frames that a list names, in order. Raises `UserError` naming file and line."""
    if not file.name.startswith(("VID_", "DET_")):
        raise UserError(f"{file}: the name of a list begins with VID_ (videos) or DET_ (stills); rename it")
    try:
        text = read_text(file)
    except FileNotFoundError as error:
        there = ", ".join(sorted(other.stem for other in file.parent.glob("*.txt"))) or "none"
        raise UserError(
            f"{file}: no such list; put it there, or name others in --config.data.train_lists and val_lists "
            f"(there: {there})"
        ) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as text ({error}); restore it") from error
    return parse_list(text.splitlines(), file)


def parse_list(text: Sequence[str], file: Path) -> list[ListedFrame]:
    """The frames that the lines of a list name. Raises `UserError` naming file and line."""
    lines = [line.split() for line in text]
    if not any(lines):
        raise UserError(f"{file}: names no frame; add lines, or leave the list out of the config")
    is_still = is_stills(file.name)
    whole = _names_whole_videos(lines)
    frames = []
    for number, row in enumerate(lines, start=1):
        try:
            frames += _parse_row(row, is_still=is_still, whole=whole) if row else []
        except ValueError as error:
            forms = (
                "`still 1`" if is_still else "`video 1 frame frames`, `video id 0 frames`, `video/frame id`"
            )
            raise UserError(
                f"{file}, line {number}: {' '.join(row)[:80]!r} is not of the form {forms} with frames "
                "counted from 0; repair the line"
            ) from error
    return frames


def _names_whole_videos(lines: list[list[str]]) -> bool:
    """True if rows of four columns are `video id 0 frames`, False if they are `video 1 frame
    frames`."""
    rows = [row for row in lines if len(row) == 4]
    return all(row[2] == "0" for row in rows) and len({row[1] for row in rows}) == len(rows)


def _parse_row(row: list[str], *, is_still: bool, whole: bool) -> list[ListedFrame]:
    """The frames that a line names. Raises ValueError."""
    if leads_out(row[0]):
        raise ValueError("points out of the data set")
    match row:
        case [path, _] if is_still:
            return [ListedFrame(path, 0, 1)]
        case [path, global_id]:
            video, _, t = path.rpartition("/")
            frames = [ListedFrame(video, int(t), int(t) + 1, int(global_id))]
        case [path, first_id, _, num_frames] if whole:
            first, count = int(first_id), int(num_frames)
            if count > MOST_FRAMES:
                raise ValueError("out of range")
            frames = [ListedFrame(path, t, count, first + t) for t in range(count)]
        case [path, _, t, num_frames] if not is_still:
            frames = [ListedFrame(path, int(t), int(num_frames))]
        case _:
            raise ValueError("another number of columns")
    for path, t, num_frames, global_id in frames[:1]:
        if not path or not 0 <= t < num_frames or (global_id is not None and global_id < 1):
            raise ValueError("out of range")
    return frames
