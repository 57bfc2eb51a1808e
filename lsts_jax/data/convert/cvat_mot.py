"""CVAT's export "MOT 1.1", whose rows have a class; in a folder, or in several folders below it.

    img1/000001.jpg
    gt/gt.txt        frame, track, x, y, width, height, not ignored, class, visibility
    gt/labels.txt    one class per line, counted from 1

Rows and picture numbers are read as for MOTChallenge: `formats/mot_rows.py`, `mot_frames.py`.
"""

from pathlib import Path, PurePosixPath

from tqdm import tqdm

from lsts_jax.data.convert.converted import Converted
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.mot_frames import number_pictures, pair
from lsts_jax.data.formats.mot_rows import read_labels, read_rows

LOOKED_FOR = "gt/gt.txt with gt/labels.txt"


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
        folder, path = PurePosixPath(file).parents[1], tree.folder / file
        names = read_labels(path.with_name("labels.txt"))
        converted.categories |= dict.fromkeys(names)
        files = [Path(picture) for picture in tree.by_folder.get(str(folder / "img1"), ())]
        numbered, video = number_pictures(files, of_cvat=True), tree.name_of(str(folder))
        positions = [converted.add_picture(one.as_posix(), video, n) for n, one in numbered.items()]
        rows = read_rows(path, names)
        places = pair(rows, list(numbered), path)
        columns = (places, rows.classes, rows.tracks, rows.boxes, rows.is_ignored, rows.lines)
        for place, number, track, (x1, y1, x2, y2), ignored, line in zip(
            *(column.tolist() for column in columns), strict=True
        ):
            converted.add_box(
                positions[place] if place >= 0 else None,
                names[number - 1],
                (x1, y1, x2 - x1 + 1, y2 - y1 + 1),
                f"{path}, line {line}",
                track=track,
                ignored="not ignored = 0" if ignored else "",
            )
    return converted
