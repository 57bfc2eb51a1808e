"""CVAT's export "COCO 1.0", and other COCO files for detection whose images have no video_id.

    annotations/instances_default.json      one file per subset
    images/frame_000000.PNG                 or images/SUBSET/...

Pictures of a folder whose names differ only in their last number are a video, all others stills. A
track is instance_id, track_id or, as in CVAT, attributes.track_id. Objects with ignore or iscrowd
are ignored regions, unless they have a track of CVAT, which marks every mask with iscrowd. Pictures
that the json names are kept, also without objects; others are left out.
"""

from typing import Any

from tqdm import tqdm

from lsts_jax.data.convert.coco_files import (
    category_of,
    folder_of,
    id_of,
    load,
    names_by_id,
    one_of,
    path_of,
    sides_of,
    size_of,
)
from lsts_jax.data.convert.converted import LARGEST, Converted
from lsts_jax.data.convert.sequences import add_pictures
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.coco_images import Ids
from lsts_jax.data.formats.coco_objects import is_ignored, track_of
from lsts_jax.errors import UserError

LOOKED_FOR = "json with images that have no video_id"


def find(tree: Tree) -> list[str]:
    wanted = {"images", "annotations", "categories"}
    return [
        file for file, fields in tree.json_fields.items() if wanted <= fields and "video_id" not in fields
    ]


def read(tree: Tree) -> Converted:
    file = one_of(find(tree), tree)
    content = load(tree, file, "images", "annotations", "categories")
    where, ids, tracks = str(tree.folder / file), Ids(), Ids(LARGEST >> 1)
    names = names_by_id(content["categories"], where, ids)
    converted = Converted(names.values())
    pictures = _add_images(converted, tree, file, content["images"], ids)
    annotations = tqdm(content["annotations"], desc="boxes", delay=2.0, dynamic_ncols=True)
    for number, item in enumerate(annotations):
        place = f"{where}: annotations[{number}]"
        picture = pictures.get(id_of(ids, item.get("image_id"), f"{place}: image_id"))
        category = category_of(item, names, ids, place)
        _, track = track_of(item)
        track = None if track is None else id_of(tracks, track, f"{place}: the track id")
        sides = sides_of(item.get("bbox") or None, item.get("segmentation") or None, place)
        if sides is None:
            raise UserError(f"{place}: has no bbox; repair it")
        reason = "iscrowd" if item.get("iscrowd") else "ignore"
        ignored = reason if is_ignored(item) else ""
        converted.add_box(picture, category, sides, place, track=track, ignored=ignored)
    return converted


def _add_images(
    converted: Converted, tree: Tree, file: str, items: list[dict[str, Any]], ids: Ids
) -> dict[int, int | None]:
    """Positions of the pictures by the id of the image, None where the picture is missing."""
    where = f"{tree.folder / file}: images"
    for number, item in enumerate(items):
        if not isinstance(item.get("file_name"), str) or not item["file_name"]:
            raise UserError(f"{where}[{number}] has no file_name; repair it")
    names = [path_of(item["file_name"], tree.folder) for item in items]
    prefix = folder_of(tree, file, names)
    paths, sizes = {}, {}
    for number, (item, name) in enumerate(zip(items, names, strict=True)):
        key = id_of(ids, item.get("id"), f"{where}[{number}]: the id")
        if key in paths or prefix + name in sizes:
            raise UserError(f"{where}[{number}] has the id or the file_name of another; repair it")
        paths[key] = prefix + name
        sizes[prefix + name] = size_of(item, f"{where}[{number}]")
    missing = [path for path in paths.values() if path not in tree.picture_set]
    converted.counts.lose("missing picture", next(iter(missing), ""), len(missing))
    there = [path for path in paths.values() if path in tree.picture_set]
    positions = add_pictures(converted, tree, there, sizes)
    return {key: positions.get(path) for key, path in paths.items()}
