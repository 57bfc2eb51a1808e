"""KITTI tracking.

    image_02/0000/000000.png  frames from 0
    label_02/0000.txt         frame, track, type, truncated, occluded, alpha, left, top, right, bottom, and 3D

Pixels count from 0, and right and bottom are pixels of the object. DontCare is an ignored region. Truncated
and occluded are not used.
"""

from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.sequences import check_numbers, read_sequences, sequence_files
from lsts_jax.data.convert.tree import Tree
from lsts_jax.errors import UserError

LOOKED_FOR = "label_02/NAME.txt beside image_02/NAME"
CATEGORIES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Person", "Cyclist", "Tram", "Misc")
DONT_CARE = "DontCare"
COLUMNS = (17, 18)  # 18: with a score


def find(tree: Tree) -> list[str]:
    return sequence_files(tree, "label_02", "image_02")


def read(tree: Tree) -> Converted:
    converted = Converted()
    for file, pictures in read_sequences(converted, tree, "label_02", "image_02"):
        frames = {_add_row(converted, pictures, row, where) for where, row in tree.rows(file, None)}
        check_numbers(frames, pictures, str(tree.folder / file))
    there = converted.categories
    converted.categories = dict.fromkeys([name for name in CATEGORIES if name in there] + list(there))
    return converted


def _add_row(converted: Converted, pictures: dict[int, int], row: list[str], where: str) -> int:
    """Adds the box of a row and returns its frame."""
    if len(row) not in COLUMNS:
        raise UserError(f"{where}: has {len(row)} columns, not the 17 of KITTI's tracking; repair it")
    frame = whole(row[0], where, "frame")
    try:
        left, top, right, bottom = map(float, row[6:10])
    except ValueError as error:
        raise UserError(
            f"{where}: {' '.join(row[6:10])[:80]!r} is not a box of 4 numbers; repair it"
        ) from error
    sides = (left, top, right - left + 1, bottom - top + 1)
    name, reason = (None, DONT_CARE) if row[2] == DONT_CARE else (row[2], "")
    converted.add_box(pictures.get(frame), name, sides, where, track=row[1], ignored=reason)
    return frame
