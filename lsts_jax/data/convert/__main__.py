"""Converts a data set to COCO-VID: python -m lsts_jax.data.convert FOLDER FOLDER/train.json"""

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lsts_jax import cli
from lsts_jax.data.convert import cvat_coco, cvat_mot, kitti, visdrone, voc, yolo, youtube_vis
from lsts_jax.data.convert.coco_json import root_of, write_json
from lsts_jax.data.convert.converted import Converted
from lsts_jax.data.convert.sizes import fill_in_sizes
from lsts_jax.data.convert.table import to_text
from lsts_jax.data.convert.tree import Tree, list_tree
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

FORMATS = {
    "cvat_coco": cvat_coco,
    "cvat_mot": cvat_mot,
    "youtube_vis": youtube_vis,
    "yolo": yolo,
    "visdrone": visdrone,
    "kitti": kitti,
    "voc": voc,
}


@dataclass(frozen=True)
class Options:
    """Convert a data set to a COCO-VID json, for --config.data.format coco_vid. The pictures stay
    where they are. Reads the exports of CVAT (COCO, MOT), YouTube-VIS, OVIS, YOLO, VisDrone-VID,
    KITTI tracking, Pascal VOC."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="IN")]
    """Folder of the data set, or its annotation file if that is a json."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """The json to write, in IN or in a folder above it. An earlier conversion is replaced."""
    # a name in FORMATS
    format: Literal["recognise", *FORMATS] = "recognise"  # pyright: ignore[reportInvalidTypeForm]
    """Format of the data set; needed only if IN matches several formats."""
    videos: tuple[str, ...] = ("*",)
    """Convert only videos, and stills, with these names; * matches any text. Use it to separate
    training and validation."""


def run(arguments: Sequence[str]) -> None:
    print(convert(cli.parse(Options, arguments)))


def convert(options: Options) -> str:
    """Writes the json and returns the table and the options that train on it. Raises `UserError`."""
    tree = list_tree(options.source)
    root = root_of(tree.folder, options.out)
    name = recognise(tree, options.source) if options.format == "recognise" else options.format
    if not FORMATS[name].find(tree):
        raise UserError(f"--format {name}: {options.source} has no {FORMATS[name].LOOKED_FOR}")
    converted = FORMATS[name].read(tree)
    if not converted.pictures:
        raise UserError(f"{options.source}: has annotations, but none of their pictures; put them there")
    converted = fill_in_sizes(choose_videos(converted, options.videos), tree)
    if not any(not box.ignored for box in converted.boxes):
        logger.warning("no picture has an object; the data set cannot be used for training")
    cli.make_folder(options.out.parent)
    write_json(converted, tree.folder, root, options.out, name)
    list_name = Path(os.path.abspath(options.out)).relative_to(root).with_suffix("").as_posix()
    return (
        f"{options.source}: {name}\n{to_text(converted, len(tree.pictures))}\n"
        f"{options.out}: use it with --config.data.format coco_vid --config.data.root {root} "
        f"--config.data.train_lists {list_name}"
    )


def recognise(tree: Tree, source: Path) -> str:
    """Recognises the format of a folder. Raises `UserError` listing the formats if none or several
    match."""
    found = {name: files[0] for name, module in FORMATS.items() if (files := module.find(tree))}
    if other := _read_as_it_stands(tree):
        raise UserError(f"{source}: {other}")
    if not found:
        looked_for = "; ".join(f"{module.LOOKED_FOR} ({name})" for name, module in FORMATS.items())
        raise UserError(f"{source}: is in no known format; looked for: {looked_for}")
    if len(found) > 1:
        signs = ", ".join(f"{name} ({file})" for name, file in found.items())
        raise UserError(
            f"{source}: looks like {signs}; select one with --format, or name a folder with one format only"
        )
    return next(iter(found))


def _read_as_it_stands(tree: Tree) -> str:
    """Advice about a folder that needs no conversion, or cannot be converted; otherwise empty."""
    for file in tree.annotations:
        if f"/{file}".endswith("/gt/gt.txt") and file not in cvat_mot.find(tree):
            return f"{file} without labels.txt is MOTChallenge, which --config.data.format mot reads directly"
    if any(f"/{file}".find("/Annotations/VID/") >= 0 for file in tree.annotations):
        return "is in the layout of ILSVRC, which --config.data.format imagenet_vid reads directly"
    for file, fields in tree.json_fields.items():
        if {"images", "video_id"} <= fields and "file_names" not in fields:
            return f"{file} is COCO-VID, which --config.data.format coco_vid reads directly"
    if any(Path(file).name == "annotations.xml" for file in tree.annotations) and not any(
        module.find(tree) for module in FORMATS.values()
    ):
        return "annotations.xml is CVAT's own; export the task as COCO 1.0 or MOT 1.1"
    return ""


def choose_videos(converted: Converted, patterns: Sequence[str]) -> Converted:
    """Selects the videos and stills whose names match. Raises `UserError` if there are none."""
    chosen = [
        number
        for number, (file, video, *_) in enumerate(converted.pictures)
        if any(fnmatchcase(video or file, pattern) for pattern in patterns)
    ]
    if not chosen:
        there = ", ".join(dict.fromkeys(video or file for file, video, *_ in converted.pictures))
        raise UserError(f"--videos {' '.join(patterns)}: matches none of the names; there are {there}")
    result = converted.choose(chosen)
    if others := len(converted.pictures) - len(chosen):
        result.counts.dropped["picture of a video that was not chosen"] += others
    return result


if __name__ == "__main__":
    cli.main(run)
