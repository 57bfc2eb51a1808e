"""Parses a COCO-VID json; `coco_vid.py` describes the format."""

import json
from array import array
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float64, Int64
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.data.counts import Counts
from lsts_jax.data.formats.coco_images import (
    LARGEST,
    Ids,
    ImageItem,
    Images,
    arrange,
    check_image,
    join_videos,
)
from lsts_jax.data.formats.coco_objects import is_ignored, track_of
from lsts_jax.data.formats.text import read_text
from lsts_jax.errors import UserError

ROW = np.dtype([("image", "i8"), ("category", "i8"), ("track", "i4"), ("ignored", "?"), ("box", "f4", 4)])
NO_CATEGORY = -(1 << 60)  # category of regions that are ignored for every class; smaller than any id
COLUMNS = 8  # an annotation: image, category, track, ignored, x, y, w, h


class Content(NamedTuple):
    """Contents of a file."""

    categories: dict[int, str]  # names by id
    supercategories: dict[int, str]  # by id of the category, "" if it has none
    images: Images
    rows: ndarray  # [m] ROW, sorted by `image`, a position in the images; `category` is an id or NO_CATEGORY
    lost: Counts  # annotations that cannot be used


def read_json(file: Path, root: Path, ids: Ids) -> Content:
    """Parses a file; `ids` maps all ids to numbers except those of tracks.

    Files have hundreds of MB. Every annotation becomes numbers as soon as it is parsed, so that
    memory holds no more than the text, the images and the numbers.

    Raises `UserError` naming the file and the fault.
    """
    numbers, tracks = array("d"), Ids(LARGEST >> 1)
    try:
        with tqdm(desc=file.name, unit=" objects", delay=2.0, dynamic_ncols=True) as bar:

            def shrink(item: dict[str, Any]) -> Any:
                bar.update()
                if "image_id" in item:
                    numbers.extend(_numbers(item, len(numbers) // COLUMNS, ids, tracks))
                    return None
                return ImageItem(*map(item.get, ImageItem._fields)) if "file_name" in item else item

            content = json.loads(read_text(file), object_hook=shrink)
        for field in ("images", "annotations", "categories"):
            if not isinstance(content, dict) or not isinstance(content.get(field), list):
                raise ValueError(f"has no list {field!r}; is it a COCO json?")
        if any(item is not None for item in content["annotations"]):
            raise ValueError("has annotations without an image_id")
        if not isinstance(content.get("videos") or [], list):
            raise ValueError("'videos' is not a list")
        categories = _named(content["categories"], "categories", ids)
        table = np.frombuffer(numbers).reshape(-1, COLUMNS)
        checked = [check_image(item, f"images[{i}]", root, ids) for i, item in enumerate(content["images"])]
        videos = content.get("videos") or []
        images = arrange(join_videos(checked, table), _named(videos, "videos", ids), _attributes(videos, ids))
        wider = {
            key: str(item.get("supercategory") or "") if isinstance(item, dict) else ""
            for key, item in zip(categories, content["categories"], strict=True)
        }
        return Content(categories, wider, images, *_rows(file, table, categories, images.ids))
    # not json, or a fault in its contents
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise UserError(f"{file}: {error}; repair it") from error


def _numbers(item: dict[str, Any], number: int, ids: Ids, tracks: Ids) -> tuple[float, ...]:
    """The columns of an annotation. Raises ValueError."""
    where = f"annotation {str(item.get('id', number))[:40]}"
    image, category = ids(item["image_id"]), ids(item.get("category_id"))
    if image is None or category is None:
        field = "image_id" if image is None else "category_id"
        raise ValueError(f"{where} has no {field} that is a whole number or text")
    field, track = track_of(item)
    track = tracks(track) if field else -1
    if track is None or abs(track) >= LARGEST:
        raise ValueError(f"{where}: {field} is neither text nor a whole number of 31 bits")
    try:
        sides = tuple(map(float, item["bbox"]))
        if len(sides) != 4 or not all(abs(side) < LARGEST for side in sides):
            raise ValueError
        row = (image, category, track, is_ignored(item), *sides)
        return tuple(map(float, row))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{where} has no bbox of 4 finite numbers") from error


def _named(items: list[Any], field: str, ids: Ids) -> dict[int, str]:
    """Names by id. Raises ValueError."""
    names: dict[int, str] = {}
    for number, item in enumerate(items):
        item = item._asdict() if isinstance(item, ImageItem) else item  # some videos have a file_name
        key = ids(item.get("id")) if isinstance(item, dict) else None
        if key is None or key in names:
            raise ValueError(f"{field}[{number}] has no id of its own")
        names[key] = str(item.get("name") or item.get("file_name") or item["id"])
    return names


def _attributes(videos: list[Any], ids: Ids) -> dict[int, tuple[str, ...]]:
    """Attributes of videos by id, where they are a list of texts."""
    found = {}
    for item in videos:
        attributes = item.get("attributes") if isinstance(item, dict) else None
        if isinstance(attributes, list) and all(isinstance(each, str) for each in attributes):
            found[ids(item.get("id"))] = tuple(attributes)
    return found


def _rows(
    file: Path, table: Float64[ndarray, "m 8"], categories: dict[int, str], image_ids: Int64[ndarray, "n"]
) -> tuple[ndarray, Counts]:
    """The annotations as rows [m] ROW, sorted by `image`, and counts of the lost ones. Raises
    ValueError."""
    of_none = ~np.isin(table[:, 1], list(categories))
    strangers = np.flatnonzero(of_none & (table[:, 3] == 0))
    if len(strangers):
        raise ValueError(f"annotations[{strangers[0]}] is of a category that is not in categories")
    by_id = np.argsort(image_ids)
    nearest = by_id[np.searchsorted(image_ids, table[:, 0], sorter=by_id).clip(max=len(by_id) - 1)]
    belongs = image_ids[nearest] == table[:, 0]
    has_area = (table[:, 6:] > 0).all(axis=1)
    lost = Counts()
    for reason, wrong in (("of no image", ~belongs), ("of no area", belongs & ~has_area)):
        if wrong.any():
            lost.lose(reason, f"{file}: annotations[{np.argmax(wrong)}]", int(wrong.sum()))
    kept = belongs & has_area
    table, image = table[kept], nearest[kept]
    rows = np.zeros(len(table), ROW)
    rows["image"], rows["track"] = image, table[:, 2]
    rows["category"] = np.where(of_none[kept], NO_CATEGORY, table[:, 1])
    rows["ignored"] = table[:, 3] > 0
    rows["box"] = np.concatenate([table[:, 4:6], table[:, 4:6] + table[:, 6:] - 1], axis=1)
    return rows[np.argsort(image, kind="stable")], lost
