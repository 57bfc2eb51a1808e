"""MOTChallenge: annotated sequences of people, and CVAT's export in this format, with any classes.

    ROOT/SEQUENCE/gt/gt.txt                 frames, corners and track ids count from 1
        frame, id, x, y, w, h, conf, X, Y, Z               MOT15
        frame, id, x, y, w, h, conf, class, visibility     MOT16 and later, class 1: pedestrian
    ROOT/SEQUENCE/gt/labels.txt             CVAT: names of the classes, one per line; corners count from 0
    ROOT/SEQUENCE/img1/*                    pictures with their frame numbers in their names, or, without
    ROOT/SEQUENCE/*.{avi,mp4,...}           such a folder, one video file, whose frames count from 1

A row belongs to the picture with its frame number as the last number in the name; pictures may be
missing, and numbers may start anywhere. A list names a sequence, or a range of its pictures,
counted from 0 in their order, end excluded, as in PETS09-S2L1:500-795. A range is a video of its
own: triplets do not reach across its ends.

Rows with conf 0 are ignored regions, and so are, from MOT16 on, rows of classes other than
pedestrian. With labels.txt, classes that `config.class_names` does not name are left out.

seqinfo.ini is not read: its frame rate can be wrong, and the files contain the rest.
"""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.counts import Counts
from lsts_jax.data.dataset import Objects, Sample, Video, number_samples
from lsts_jax.data.formats.jpeg_store import JpegStore
from lsts_jax.data.formats.mot_frames import PictureFrames, VideoFrames, open_frames, pair
from lsts_jax.data.formats.mot_rows import PEDESTRIAN, Rows, read_labels, read_rows
from lsts_jax.errors import UserError

PERSON = ("person",)


class MOTChallenge:
    """A `VideoDataset` of the sequences below `config.root`, or ranges of them, that `lists` name."""

    def __init__(self, config: DataConfig, lists: tuple[str, ...]):
        ranges = [find_sequence(Path(config.root), name) for name in lists]
        labels = {folder: read_labels(folder / "gt" / "labels.txt") for folder, _, _ in ranges}
        self.class_names = choose_classes(config, labels)
        self.counts, store = Counts(), JpegStore()
        sequences: dict[Path, tuple[PictureFrames | VideoFrames, list[Objects]]] = {}
        for folder, names in labels.items():
            frames, file = open_frames(folder, store, of_cvat=bool(names)), folder / "gt" / "gt.txt"
            sequences[folder] = frames, read_objects(file, frames, names, self.class_names, self.counts)
        self.videos: list[Video] = []
        self._frames: list[PictureFrames | VideoFrames] = []
        self._objects: list[list[Objects]] = []
        for name, (folder, start, stop) in zip(lists, ranges, strict=True):
            frames, objects = sequences[folder]
            stop = len(frames) if stop is None else stop
            if not start < stop <= len(frames):
                raise UserError(
                    f"{name}: {folder} has {len(frames)} frames; name a range within 0-{len(frames)} in the "
                    "list, end excluded"
                )
            self.videos.append(Video(name, stop - start))
            self._frames.append(frames.cut(start, stop))
            self._objects.append(objects[start:stop])
        self.samples = [Sample(i, t) for i, video in enumerate(self.videos) for t in range(video.num_frames)]
        self._global_ids = number_samples(self.samples)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        return self._frames[video].read(t)

    def objects(self, video: int, t: int) -> Objects:
        return self._objects[video][t]

    def frame_name(self, video: int, t: int) -> str:
        return self._frames[video].name(t)

    def global_id(self, video: int, t: int) -> int:
        return self._global_ids[Sample(video, t)]


def find_sequence(root: Path, name: str) -> tuple[Path, int, int | None]:
    """Folder, first frame and end of the frames that a list names; the end is None for a whole
    sequence.

    Raises `UserError` if there is no such sequence.
    """
    match = re.fullmatch(r"(.*?)(?::(\d+)-(\d+))?", name, re.DOTALL)
    sequence, start, stop = match.groups() if match else ("", None, None)
    if not sequence or not (root / sequence).is_dir():
        there = ", ".join(sorted(file.parent.parent.name for file in root.glob("*/gt/gt.txt"))) or "none"
        raise UserError(
            f"{root / sequence}: no such sequence; name another in --config.data.train_lists and val_lists, "
            f"optionally with a range, as in NAME:0-500 (there: {there})"
        )
    return root / sequence, int(start or 0), int(stop) if stop else None


def choose_classes(config: DataConfig, labels: dict[Path, tuple[str, ...]]) -> tuple[str, ...]:
    """The classes of the config, or all classes of the sequences if the config names none.

    Raises `UserError` if no sequence has one of them, or if a sequence without labels.txt would
    have several.
    """
    there = tuple(dict.fromkeys(name for names in labels.values() for name in names))
    class_names = config.class_names or there or PERSON
    unlabelled = [folder for folder, names in labels.items() if not names]
    if unlabelled and len(class_names) != 1:
        raise UserError(
            f"config.data.class_names names {len(class_names)} classes, but {unlabelled[0]} has no "
            f'gt/labels.txt: it annotates only people; name one class, such as ("person",)'
        )
    if not unlabelled and not set(class_names) & set(there):
        raise UserError(
            f"{config.root}: no class of gt/labels.txt is in config.data.class_names; name some "
            f"of them, or leave it empty for all (there: {', '.join(there)})"
        )
    return class_names


def read_objects(
    file: Path,
    frames: PictureFrames | VideoFrames,
    labels: tuple[str, ...],
    class_names: tuple[str, ...],
    counts: Counts,
) -> list[Objects]:
    """The objects of every frame in gt.txt. Adds its rows to `counts`.

    Raises `UserError` naming file and line.
    """
    rows = read_rows(file, labels)
    places = pair(rows, frames.numbers, file)
    has_area = (rows.boxes[:, 2:] >= rows.boxes[:, :2]).all(axis=1)
    for reason, wrong in (("of no picture", places < 0), ("of no area", (places >= 0) & ~has_area)):
        if wrong.any():
            first = np.argmax(wrong)
            counts.lose(
                reason, f"{file}, line {rows.lines[first]} (frame {rows.frames[first]})", int(wrong.sum())
            )
    classes = _classify(rows, (places >= 0) & has_area, labels, class_names, counts)
    chosen = np.flatnonzero(classes >= 0)
    order = chosen[np.argsort(places[chosen], kind="stable")]
    ends = np.searchsorted(places[order], np.arange(len(frames) + 1))
    return [_objects(rows, classes, order[start:stop], frames.size) for start, stop in pairwise(ends)]


def _classify(
    rows: Rows, usable: ndarray, labels: tuple[str, ...], class_names: tuple[str, ...], counts: Counts
) -> Int64[ndarray, "n"]:
    """Class of every row: 1..N, 0 for an ignored region, -1 for a row that is left out."""
    classes = np.full(len(rows.classes), -1)
    for number in np.unique(rows.classes[usable]).tolist():
        found = usable & (rows.classes == number)
        name = labels[number - 1] if labels else class_names[0]
        if name not in class_names:
            counts.dropped[f"class {name}"] += int(found.sum())
            continue
        is_other = not labels and number != PEDESTRIAN
        ignored = found & (rows.is_ignored | is_other)
        classes[found] = class_names.index(name) + 1
        classes[ignored] = 0
        reason = f"class {number}, not pedestrian" if is_other else "conf 0"
        for counter, key, mask in ((counts.read, name, found & ~ignored), (counts.ignored, reason, ignored)):
            if mask.any():
                counter[key] += int(mask.sum())
    return classes


def _objects(rows: Rows, classes: Int64[ndarray, "n"], chosen: ndarray, size: tuple[int, int]) -> Objects:
    return Objects(
        rows.boxes[chosen].astype(np.float32),
        classes[chosen].astype(np.int32),
        rows.tracks[chosen].astype(np.int32),
        classes[chosen] == 0,
        size,
    )
