"""Grouping of pictures into videos, and frame numbers, from the names of files."""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from lsts_jax.data.convert.converted import Converted
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.text import split_number
from lsts_jax.data.video.pictures import natural_order
from lsts_jax.errors import UserError

# Roboflow appends the old suffix and a hash to names, as in clip_000012_jpg.rf.0a1b,
# and Label Studio begins names with 8 hexadecimal digits: 0a1b2c3d-clip_000012.
LABEL_STUDIO = re.compile(r"[0-9a-f]{8}-(?=.)")
ROBOFLOW = re.compile(r"(_(jpe?g|png|bmp|webp))?\.rf\.[0-9a-zA-Z]+$")


def split_name(file: str, *, is_prefixed: bool = False) -> tuple[str, int, str] | None:
    """Splits a file's name at its last number: text before it, the number, text after it.

    Args:
      is_prefixed: the name has Label Studio's prefix.
    """
    stem = ROBOFLOW.sub("", PurePosixPath(file).stem)
    return split_number(LABEL_STUDIO.sub("", stem, count=1) if is_prefixed else stem)


def sequence_files(tree: Tree, annotations: str, pictures: str) -> list[str]:
    """The .txt files, one per sequence, in folders named `annotations` that have a folder named
    `pictures` beside them."""
    return [
        file
        for file in tree.annotations
        if file.endswith(".txt")
        and (path := PurePosixPath(file)).parent.name == annotations
        and str(path.parents[1] / pictures) in tree.by_folder
    ]


def read_sequences(
    converted: Converted, tree: Tree, annotations: str, pictures: str
) -> Iterator[tuple[str, dict[int, int]]]:
    """Adds the pictures of every sequence, `pictures`/NAME for `annotations`/NAME.txt. Yields its
    annotation file and the positions of its pictures by number. Pictures of sequences without
    such a file are dropped."""
    folders = {}
    for file in sequence_files(tree, annotations, pictures):
        path = PurePosixPath(file)
        folders[str(path.parents[1] / pictures / path.stem)] = file
    for folder, file in tqdm(folders.items(), desc="sequences", delay=2.0, dynamic_ncols=True):
        yield file, add_sequence(converted, tree.by_folder.get(folder, ()), folder)
    for holder in {str(PurePosixPath(folder).parent) for folder in folders}:
        for file in tree.by_folder[holder]:
            if str(PurePosixPath(file).parent) not in folders:
                converted.counts.lose("picture of a sequence without annotations", file)


def check_numbers(frames: set[int], pictures: Mapping[int, int], where: str) -> None:
    """Raises `UserError` if annotated frames lack pictures, but all would have one with numbers one
    higher or lower."""
    if frames <= pictures.keys():
        return
    for shift in (-1, 1):
        if {frame + shift for frame in frames} <= pictures.keys():
            raise UserError(
                f"{where}: is of frames {min(frames)} to {max(frames)}, but its pictures are numbered "
                f"{min(pictures)} to {max(pictures)}; number both alike"
            )


def add_sequence(converted: Converted, files: Iterable[str], video: str) -> dict[int, int]:
    """Adds the pictures of one video and returns their positions by the number in their names. A
    picture without a number, or with the number of another picture, is dropped and counted."""
    found: dict[int, int] = {}
    for file in files:
        split = split_name(file)
        if split is None:
            converted.counts.lose("picture without a number in its name", file)
        elif split[1] in found:
            converted.counts.lose("picture with the number of another", file)
        else:
            found[split[1]] = converted.add_picture(file, video, split[1])
    return found


def with_neighbours(converted: Converted, tree: Tree, annotated: Iterable[str]) -> list[str]:
    """Annotated pictures and the other pictures of their folders, which have no objects. Pictures
    of folders without any annotation are dropped."""
    folders = {str(PurePosixPath(file).parent) for file in annotated}
    chosen = []
    for file in tree.pictures:
        if str(PurePosixPath(file).parent) in folders:
            chosen.append(file)
        else:
            converted.counts.lose("picture of a folder without annotations", file)
    return chosen


def add_pictures(
    converted: Converted, tree: Tree, files: Iterable[str], sizes: Mapping[str, tuple[int, int] | None]
) -> dict[str, int]:
    """Adds pictures that no file groups into videos, and returns their positions by name.

    Pictures of a folder whose names differ only in their last number are a video. All others are
    stills. If two names have the same number, as 7.jpg and 07.jpg, the frames of the video are
    counted in natural order.
    """
    by_folder: dict[str, list[str]] = defaultdict(list)
    for file in files:
        by_folder[str(PurePosixPath(file).parent)].append(file)
    splits, groups = {}, defaultdict(list)
    for folder, members in by_folder.items():
        prefixes = [LABEL_STUDIO.match(PurePosixPath(file).name) for file in members]
        are_dates = all(found and found[0][:-1].isdecimal() for found in prefixes)
        is_prefixed = all(prefixes) and not are_dates
        for file in members:
            splits[file] = split = split_name(file, is_prefixed=is_prefixed)
            groups[folder, split[0] + split[2] if split else file].append(file)
    videos = Counter(folder for (folder, _), members in groups.items() if len(members) > 1)
    positions = {}
    for (folder, prefix), members in groups.items():
        if len(members) == 1:
            positions[members[0]] = converted.add_picture(members[0], None, 0, sizes.get(members[0]))
            continue
        numbers = {file: splits[file][1] for file in members}
        if len(set(numbers.values())) < len(members):
            ordered = natural_order(map(Path, members))
            numbers = {path.as_posix(): place for place, path in enumerate(ordered)}
        video = tree.name_of(folder) if videos[folder] == 1 else str(PurePosixPath(folder, prefix))
        for file in sorted(members, key=lambda file: numbers[file]):
            positions[file] = converted.add_picture(file, video, numbers[file], sizes.get(file))
    return positions
