"""Makes the lists and class names that ILSVRC2015 lacks from its tree.

    VID_train_15frames    15 equally spaced frames of every video below Data/VID/train, or all if it has fewer
    VID_val_videos        the videos below Data/VID/val, with consecutive frame numbers from 1
    VID_val_frames        the same, one line per frame
    DET_train_30classes   stills below Data/DET/train with an object of the classes, 2000 per class

The published lists come from third parties, and their links die. The lists made here have the same
numbers of val frames; frames for training differ by one in 405 of the 3,862 videos; the stills are
others, since their selection is unknown. An existing list is used unchanged: remove it after
changes of the classes or the tree.

A video is a folder with frames 000000.JPEG, 000001.JPEG and so on, at any depth. It ends before the
first missing number, with a warning, because frames of a video must be consecutive.
"""

import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

from lsts_jax.data.formats.imagenet_xml import WNIDS, choose_classes, number_classes, read_names
from lsts_jax.data.video.pictures import is_hidden
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Number of threads that read files; mostly they wait for the disk.
THREADS = 8
# Number of annotations that a thread takes at once.
CHUNK = 64

TRAIN_FRAMES = 15
# DET has dogs and birds by the ten thousands; the published list has 53,639 stills in all.
STILLS_PER_CLASS = 2000


def make_train_frames(root: Path, class_names: tuple[str, ...]) -> list[str]:
    """VID_train_15frames: video 1 frame number_of_frames."""
    return [
        f"{video} 1 {t} {frames}"
        for video, frames in find_videos(root, "train")
        for t in spread(range(frames), TRAIN_FRAMES)
    ]


def make_val_videos(root: Path, class_names: tuple[str, ...]) -> list[str]:
    """VID_val_videos: video global_id_of_frame_0 0 number_of_frames."""
    lines, global_id = [], 1
    for video, frames in find_videos(root, "val"):
        lines.append(f"{video} {global_id} 0 {frames}")
        global_id += frames
    return lines


def make_val_frames(root: Path, class_names: tuple[str, ...]) -> list[str]:
    """VID_val_frames: video/frame global_id."""
    names = (f"{video}/{t:06d}" for video, frames in find_videos(root, "val") for t in range(frames))
    return [f"{name} {global_id}" for global_id, name in enumerate(names, start=1)]


def make_stills(root: Path, class_names: tuple[str, ...]) -> list[str]:
    """DET_train_30classes: still 1. At most STILLS_PER_CLASS stills per class, equally spaced in
    their order."""
    base = root / "Annotations" / "DET"
    files = sorted(file for file in (base / "train").rglob("*.xml") if not is_hidden(file, base))
    stills = [file.relative_to(base).with_suffix("").as_posix() for file in files]
    found = list(read_all_names(files))
    ids = number_classes(class_names or choose_classes(set().union(*found)))
    by_class: dict[int, list[str]] = {}
    for still, names in zip(stills, found, strict=True):
        if (root / "Data" / "DET" / f"{still}.JPEG").is_file():
            for number in {ids[name] for name in names if name in ids}:
                by_class.setdefault(number, []).append(still)
    chosen = {still for stills in by_class.values() for still in spread(stills, STILLS_PER_CLASS)}
    return [f"{_listable(still)} 1" for still in sorted(chosen)]


MAKERS: dict[str, Callable[[Path, tuple[str, ...]], list[str]]] = {
    "VID_train_15frames": make_train_frames,
    "VID_val_videos": make_val_videos,
    "VID_val_frames": make_val_frames,
    "DET_train_30classes": make_stills,
}


def spread(items: Sequence[T], number: int) -> list[T]:
    """`number` items, equally spaced, or all if there are fewer."""
    n = len(items)
    return list(items) if n < number else [items[(2 * i + 1) * n // (2 * number)] for i in range(number)]


def find_videos(root: Path, split: str) -> list[tuple[str, int]]:
    """(path below Data/VID, number of frames) of the videos of a split, sorted by path."""
    base = root / "Data" / "VID"
    frames: dict[Path, set[int]] = {}
    level = [base / split] if (base / split).is_dir() else []
    with ThreadPoolExecutor(THREADS) as pool, _bar(f"frames of {split}", "folder") as bar:
        while level:
            bar.total = (bar.total or 0) + len(level)
            deeper = []
            for folder, (folders, numbers) in zip(level, pool.map(_scan, level), strict=True):
                deeper += folders
                if numbers:
                    frames[folder] = numbers
                bar.update()
            level = deeper
    counts = {
        _listable(folder.relative_to(base).as_posix()): _length(found) for folder, found in frames.items()
    }
    gaps = [f for f, found in frames.items() if _length(found) < len(found)]
    if gaps:
        first = min(gaps)
        logger.warning(
            "%d videos lack frames and are used up to the first gap, such as %s, which has no %06d.JPEG; "
            "to use all, restore the frames and remove the list", len(gaps), first, _length(frames[first])
        )  # fmt: skip
    return sorted((video, length) for video, length in counts.items() if length)


def _scan(folder: Path) -> tuple[list[Path], set[int]]:
    """Folders in a folder, and the numbers of the folder's frames. Raises `UserError` if it cannot
    be listed."""
    folders, numbers = [], set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if match := re.fullmatch(r"(\d{6,})\.JPEG", entry.name):
                    numbers.add(int(match[1]))
                elif entry.is_dir() and not is_hidden(Path(entry.name)):
                    folders.append(folder / entry.name)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; make it readable") from error
    return folders, numbers


def _length(numbers: set[int]) -> int:
    """Number of frames before the first gap."""
    return next(t for t in count() if t not in numbers)


def _listable(path: str) -> str:
    """Returns the path if a line of a list can hold it. Raises `UserError` if not."""
    if " " in path or not path.isprintable():
        raise UserError(f"{path!r}: rename it without spaces, which separate the columns of lists")
    return path


def find_class_names(files: Iterable[Path]) -> tuple[str, ...]:
    """The classes of annotations, as `choose_classes` selects them. Raises `UserError` if there is
    no object."""
    files = list(files)
    found: set[str] = set()
    for names in read_all_names(files):
        found.update(names)
        if not found.isdisjoint(WNIDS):
            break
    if not found:
        raise UserError(
            f"{files[0]} and the other {len(files) - 1} annotations of the lists have no object "
            f"to take class names from (config.data.class_names is empty); name the classes, or other lists"
        )
    return choose_classes(found)


def read_all_names(files: Sequence[Path]) -> Iterator[Counter[str]]:
    """The object names in every annotation; none if it cannot be read, with a warning at the end."""
    chunks = [files[i : i + CHUNK] for i in range(0, len(files), CHUNK)]
    damaged = []
    with ThreadPoolExecutor(THREADS) as pool, _bar("classes", "file", len(files)) as bar:
        results: Any = pool.map(_read_names, chunks)  # a generator
        try:
            for chunk in results:
                damaged += [names for names in chunk if isinstance(names, UserError)]
                yield from (Counter() if isinstance(names, UserError) else names for names in chunk)
                bar.update(len(chunk))
        finally:
            results.close()  # cancels reads that have not begun
    if damaged:
        logger.warning("%d annotations cannot be read, such as %s", len(damaged), damaged[0])


def _read_names(files: Sequence[Path]) -> list[Counter[str] | UserError]:
    found: list[Counter[str] | UserError] = []
    for file in files:
        try:
            found.append(read_names(file))
        except UserError as error:
            found.append(error)
    return found


def _bar(description: str, unit: str, total: int | None = None) -> tqdm:
    return tqdm(desc=description, total=total, unit=unit, delay=2.0, dynamic_ncols=True)
