"""Writes a converted data set as a COCO-VID json, which `data/formats/coco_vid.py` reads."""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from lsts_jax.data.convert.converted import Converted
from lsts_jax.errors import UserError
from lsts_jax.files import write_whole

OURS = '{"info": {"description": "converted by lsts_jax'  # beginning of the file
NO_CATEGORY = 0  # category of regions that are ignored for every class; others count from 1


def is_ours(file: Path) -> bool:
    """True if the file is an earlier conversion. Raises `UserError` if it cannot be read."""
    try:
        with file.open("rb") as opened:
            return opened.read(len(OURS)) == OURS.encode()
    except OSError as error:
        raise UserError(f"{file}: {error.strerror}; restore it, or remove it") from error


def root_of(folder: Path, out: Path) -> Path:
    """The folder to use as config.data.root: it holds the json and, in `folder` below it, the
    pictures.

    Raises `UserError` if `out` is not a json in `folder` or in a folder above it, or exists and is
    not an earlier conversion.
    """
    if out.suffix != ".json":
        raise UserError(f"{out}: the result is a json file; name it NAME.json")
    folder, file = (Path(os.path.abspath(path)) for path in (folder, out))  # without its ".."
    if not (folder.is_relative_to(file.parent) or file.is_relative_to(folder)):
        raise UserError(
            f"{out}: file names in it are relative to one folder that holds it and the pictures; "
            f"name a file in {folder} or in a folder above it"
        )
    if out.is_dir() or (out.exists() and not is_ours(out)):
        raise UserError(f"{out}: exists but is not an earlier conversion; name another file")
    return file.parent if folder.is_relative_to(file.parent) else folder


def write_json(converted: Converted, folder: Path, root: Path, out: Path, source: str) -> None:
    """Writes `out` atomically.

    Args:
      folder: file names in `converted` are relative to it.
      root: folder at or above `folder`; file names in the json are relative to it.
      source: name of the format.
    """
    inside = Path(os.path.abspath(folder)).relative_to(root).as_posix()
    prefix = "" if inside == "." else f"{inside}/"
    videos = {
        name: i for i, name in enumerate(dict.fromkeys(one.video for one in converted.pictures)) if name
    }
    categories = {name: i for i, name in enumerate(converted.categories, start=1)}
    with write_whole(out) as part, part.open("w", encoding="utf-8") as file:
        file.write(f'{OURS}, from {source}"}},\n"categories": ')
        _write_list(file, ({"id": i, "name": name} for name, i in categories.items()))
        file.write(',\n"videos": ')
        _write_list(file, ({"id": i, "name": name} for name, i in videos.items()))
        file.write(',\n"images": ')
        _write_list(file, _images(converted, videos, prefix))
        file.write(',\n"annotations": ')
        _write_list(file, _annotations(converted, categories))
        file.write("}\n")


def _images(converted: Converted, videos: dict[str, int], prefix: str) -> Iterator[dict[str, Any]]:
    for number, (name, video, frame, size) in enumerate(converted.pictures, start=1):
        image = {"id": number, "file_name": prefix + name}
        if video is not None:
            image |= {"video_id": videos[video], "frame_id": frame}
        if size:
            image |= {"height": size[0], "width": size[1]}
        yield image


def _annotations(converted: Converted, categories: dict[str, int]) -> Iterator[dict[str, Any]]:
    for number, box in enumerate(converted.boxes, start=1):
        category = NO_CATEGORY if box.category is None else categories[box.category]
        area = round(box.sides[2] * box.sides[3], 3)
        found = {
            "id": number,
            "image_id": box.picture + 1,
            "category_id": category,
            "bbox": box.sides,
            "area": area,
        }
        found["iscrowd"] = int(bool(box.ignored))
        yield found if box.track < 0 else found | {"instance_id": box.track}


def _write_list(file: Any, items: Iterable[dict[str, Any]]) -> None:
    """Writes one item per line."""
    file.write("[")
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(item))
    file.write("]")
