"""VisDrone-VID.

    sequences/NAME/0000001.jpg  frames from 1
    annotations/NAME.txt        frame, track, left, top, width, height, score, category, truncation, occlusion

Pixels count from 0. Rows with score 0 and the categories 0 (ignored regions) and 11 (others) are ignored
regions. Truncation and occlusion are not used.
"""

from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.sequences import check_numbers, read_sequences, sequence_files
from lsts_jax.data.convert.tree import Tree
from lsts_jax.errors import UserError

LOOKED_FOR = "annotations/NAME.txt beside sequences/NAME"
CATEGORIES = (
    "pedestrian", "people", "bicycle", "car", "van", "truck", "tricycle", "awning-tricycle", "bus", "motor",
)  # fmt: skip
IGNORED_REGION, OTHERS = 0, 11
NUMBERS = {0: "frame", 1: "track id", 6: "score", 7: "category"}
COLUMNS = 10


def find(tree: Tree) -> list[str]:
    return sequence_files(tree, "annotations", "sequences")


def read(tree: Tree) -> Converted:
    converted = Converted(CATEGORIES)
    for file, pictures in read_sequences(converted, tree, "annotations", "sequences"):
        frames = {_add_row(converted, pictures, row, where) for where, row in tree.rows(file, ",")}
        check_numbers(frames, pictures, str(tree.folder / file))
    return converted


def _add_row(converted: Converted, pictures: dict[int, int], row: list[str], where: str) -> int:
    """Adds the box of a row and returns its frame."""
    row = row[:-1] if len(row) == COLUMNS + 1 and not row[-1] else row  # some lines end in a comma
    if len(row) != COLUMNS:
        raise UserError(f"{where}: has {len(row)} columns, not the {COLUMNS} of VisDrone-VID; repair it")
    frame, track, score, category = (whole(row[i], where, what) for i, what in NUMBERS.items())
    if not 0 <= category <= OTHERS:
        raise UserError(f"{where}: category {category} is not one of 0 to {OTHERS}; repair it")
    name, reason = None, {IGNORED_REGION: "category ignored regions", OTHERS: "category others"}.get(category)
    if reason is None:
        name, reason = CATEGORIES[category - 1], "" if score else "score 0"
    converted.add_box(pictures.get(frame), name, row[2:6], where, track=track, ignored=reason)
    return frame
