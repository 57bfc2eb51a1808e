"""CVAT's export "MOT 1.1", whose rows have a class; in a folder, or in several below it.

    img1/000001.jpg
    gt/gt.txt        frame, track, x, y, width, height, not ignored, class, visibility
    gt/labels.txt    a class a line, counted from 1

Frames count from 1. CVAT takes the number from the name of a picture that is nothing but a number, and counts
the pictures where names are others. Corners count from 0, unlike MOTChallenge's. Visibility is not used.
"""

from pathlib import Path, PurePosixPath

from tqdm import tqdm

from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.sequences import add_sequence, check_numbers
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.video.pictures import natural_order
from lsts_jax.errors import UserError

LOOKED_FOR = "gt/gt.txt with gt/labels.txt"
COLUMNS = (9, 10)


def find(tree: Tree) -> list[str]:
    files = set(tree.annotations)
    return [
        file
        for file in tree.annotations
        if f"/{file}".endswith("/gt/gt.txt") and file.removesuffix("gt.txt") + "labels.txt" in files
    ]


def read(tree: Tree) -> Converted:
    converted = Converted()
    for file in tqdm(find(tree), desc="sequences", delay=2.0, dynamic_ncols=True):
        folder = PurePosixPath(file).parents[1]
        names = [line.strip() for line in tree.text(f"{folder}/gt/labels.txt").splitlines() if line.strip()]
        converted.categories |= dict.fromkeys(names)
        files = tree.by_folder.get(str(folder / "img1"), [])
        pictures = _add_pictures(converted, files, tree.name_of(str(folder)))
        frames = {_add_row(converted, pictures, names, row, where) for where, row in tree.rows(file, ",")}
        check_numbers(frames, pictures, str(tree.folder / file))
    return converted


def _add_pictures(converted: Converted, files: list[str], video: str) -> dict[int, int]:
    """Positions by CVAT's frame number."""
    if all(PurePosixPath(file).stem.isdecimal() for file in files):
        return add_sequence(converted, files, video)
    ordered = natural_order(map(Path, files))
    return {n: converted.add_picture(path.as_posix(), video, n) for n, path in enumerate(ordered, start=1)}


def _add_row(
    converted: Converted, pictures: dict[int, int], names: list[str], row: list[str], where: str
) -> int:
    """Adds the box of a row; gives its frame."""
    if len(row) not in COLUMNS:
        raise UserError(f"{where}: has {len(row)} columns, not the 9 of CVAT's MOT; repair it")
    frame, number = whole(row[0], where, "frame"), whole(row[7], where, "class")
    if not 0 < number <= len(names):
        raise UserError(f"{where}: class {number} is not in labels.txt, which has {len(names)}; repair it")
    ignored = "" if whole(row[6], where, "column 'not ignored'") else "not ignored = 0"
    converted.add_box(pictures.get(frame), names[number - 1], row[2:6], where, track=row[1], ignored=ignored)
    return frame
