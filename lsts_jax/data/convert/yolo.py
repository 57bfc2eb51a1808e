"""YOLO: one text file per picture with one object per line, in shares of the picture's sides.

    images/train/clip_000000.jpg    labels/train/clip_000000.txt    or train/images and train/labels,
    data.yaml                       names of the classes            or the text beside the picture

    class x y width height                  the centre and the sides of a box
    class x y width height track            with a track, as CVAT and Ultralytics write it
    class x1 y1 x2 y2 x3 y3 ... [track]     a polygon, which becomes its box

Classes are counted from 0. Their names come from a yaml with `names`, else from classes.txt, else
from a .names file. Pictures of a folder whose names differ only in their last number are a video,
all others stills; pictures without a text file are kept, without objects. If the yaml has
`kpt_shape`, keypoints after the box are ignored.
"""

import re
from collections.abc import Collection, Sequence
from itertools import islice
from pathlib import PurePosixPath

from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.sequences import add_pictures, with_neighbours
from lsts_jax.data.convert.sizes import UNREADABLE, Size, read_sizes
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.convert.yolo_names import read_names
from lsts_jax.errors import UserError

NUMBER = re.compile(r"-?[0-9]+(\.[0-9]*)?(e-?[0-9]+)?")
LOOKED_FOR = "labels/NAME.txt for images/NAME.jpg, or NAME.txt beside NAME.jpg"


def find(tree: Tree) -> list[str]:
    return sorted(_labels(tree).values())


def read(tree: Tree) -> Converted:
    names, points = read_names(tree)
    labels = _labels(tree)
    converted = Converted(names)
    sizes = read_sizes(tree, list(labels))
    damaged = {file for file, size in sizes.items() if size is None}
    for file in sorted(damaged):
        converted.counts.lose(UNREADABLE, file)
    pictures = [file for file in with_neighbours(converted, tree, labels) if file not in damaged]
    positions = add_pictures(converted, tree, pictures, sizes)
    for picture, file in labels.items():
        for where, row in tree.rows(file, None):
            name, sides, track = parse_row(row, names, points, sizes[picture] or (1, 1), where)
            converted.add_box(positions.get(picture), name, sides, where, track=track)
    matched = set(labels.values())
    folders = {PurePosixPath(file).parent for file in matched}
    for file in tree.annotations:
        if file not in matched and _is_label(tree, file, folders):
            converted.counts.lose("text file without a picture", file)
    return converted


def _labels(tree: Tree) -> dict[str, str]:
    """The text file of every picture that has one."""
    texts = {file for file in tree.annotations if file.endswith(".txt")}
    found = {}
    for picture in tree.pictures:
        stem = PurePosixPath(picture).with_suffix("")
        head, images, tail = f"/{stem}".rpartition("/images/")
        moved = f"{head}/labels/{tail}".removeprefix("/") if images else ""
        for file in (f"{moved}.txt", f"{stem}.txt"):
            if file in texts:
                found[picture] = file
                break
    return found


def _is_label(tree: Tree, file: str, folders: Collection[PurePosixPath]) -> bool:
    """True if a text file is in a folder named labels, or is beside pictures and begins with a row
    of numbers."""
    path = PurePosixPath(file)
    if path.suffix != ".txt" or path.name == "classes.txt":
        return False
    if "labels" in path.parts[:-1] or path.parent not in folders:
        return "labels" in path.parts[:-1]
    return all(NUMBER.fullmatch(word) for _, row in islice(tree.rows(file, None), 1) for word in row)


def parse_row(
    row: Sequence[str], names: Sequence[str], points: bool, size: Size, where: str
) -> tuple[str, tuple[float, ...], str | None]:
    """Class name, x, y, width, height in pixels, and track of a line. Raises `UserError`."""
    number = whole(row[0], where, "class")
    if not 0 <= number < len(names):
        raise UserError(
            f"{where}: class {number} is not one of the {len(names)} that have names; add its name"
        )
    try:
        values = [float(value) for value in row[1:]]
    except ValueError as error:
        raise UserError(f"{where}: {' '.join(row)[:80]!r} has text for a number; repair it") from error
    track = None
    if points:
        values = values[:4]
    elif len(row) == 7 and row[-1].isdecimal() and values[-1] > 1:  # box, confidence, track
        values, track = values[:4], row[-1]
    elif len(row) > 5 and len(row) % 2 == 0:  # a number after a box or pairs is the track, or a confidence
        track = row[-1] if row[-1].lstrip("-").isdecimal() else None
        values = values[:-1]
    if len(values) < 4 or len(values) % 2:
        raise UserError(f"{where}: has {len(row)} columns, not class, x, y, width, height; repair it")
    if len(values) == 4:
        x, y, w, h = values
        left, top = x - w / 2, y - h / 2
    else:
        left, top = min(values[::2]), min(values[1::2])
        w, h = max(values[::2]) - left, max(values[1::2]) - top
    height, width = size
    return names[number], (left * width, top * height, w * width, h * height), track
