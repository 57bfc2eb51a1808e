"""CVAT's export "COCO 1.0", and other files of COCO for detection whose images have no video_id.

    annotations/instances_default.json      a file a subset
    images/frame_000000.PNG                 or images/SUBSET/...

Pictures of a folder whose names differ in their last number only are a video, all others stills. The track is
attributes.track_id (or track_id, instance_id). Objects with iscrowd are ignored regions, unless they have a
track: CVAT marks every mask so. Pictures that the json names and that have no object are kept; others are not
taken.
"""

from typing import Any

from tqdm import tqdm

from lsts_jax.data.convert.coco_files import folder_of, load, names_by_id, one_of
from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.masks import box_of
from lsts_jax.data.convert.sequences import add_pictures
from lsts_jax.data.convert.tree import Tree
from lsts_jax.errors import UserError

LOOKED_FOR = "json with images that have no video_id"


def find(tree: Tree) -> list[str]:
    wanted = {"images", "annotations", "categories"}
    return [
        file for file, fields in tree.json_fields.items() if wanted <= fields and "video_id" not in fields
    ]


def read(tree: Tree) -> Converted:
    converted = Converted()
    file = one_of(find(tree), tree)
    content = load(tree, file, "images", "annotations", "categories")
    where = str(tree.folder / file)
    categories = names_by_id(content["categories"], where)
    converted.categories |= dict.fromkeys(categories.values())
    pictures = _add_images(converted, tree, file, content["images"])
    annotations = tqdm(content["annotations"], desc="boxes", delay=2.0, dynamic_ncols=True)
    for number, item in enumerate(annotations):
        _add_box(converted, pictures, categories, item, f"{where}: annotations[{number}]")
    return converted


def _add_images(
    converted: Converted, tree: Tree, file: str, items: list[dict[str, Any]]
) -> dict[int, int | None]:
    """Positions of the pictures by the id of the image, None where the picture is missing."""
    where = f"{tree.folder / file}: images"
    for number, item in enumerate(items):
        if not isinstance(item.get("file_name"), str) or not item["file_name"]:
            raise UserError(f"{where}[{number}] has no file_name; repair it")
    prefix = folder_of(tree, file, [item["file_name"] for item in items])
    paths, sizes = {}, {}
    for number, item in enumerate(items):
        key = whole(item.get("id"), f"{where}[{number}]", "id")
        path = prefix + item["file_name"]
        if key in paths or path in sizes:
            raise UserError(f"{where}[{number}] has the id or the file_name of another; repair it")
        paths[key] = path
        size = (whole(item.get(side) or 0, f"{where}[{number}]", side) for side in ("height", "width"))
        sizes[path] = tuple(size)
    missing = [path for path in paths.values() if path not in tree.picture_set]
    converted.counts.lose("picture that is not there", next(iter(missing), ""), len(missing))
    there = [path for path in paths.values() if path in tree.picture_set]
    positions = add_pictures(converted, tree, there, sizes)
    return {key: positions.get(path) for key, path in paths.items()}


def _add_box(
    converted: Converted,
    pictures: dict[int, int | None],
    categories: dict[int, str],
    item: dict[str, Any],
    where: str,
) -> None:
    picture = pictures.get(whole(item.get("image_id"), where, "image_id"))
    category = categories.get(whole(item.get("category_id"), where, "category_id"))
    if category is None:
        raise UserError(f"{where}: category {item['category_id']} is not in categories; repair it")
    attributes = item.get("attributes")
    attributes = attributes if isinstance(attributes, dict) else {}
    track = attributes.get("track_id", item.get("track_id", item.get("instance_id")))
    sides = item.get("bbox")
    if not sides and item.get("segmentation"):
        try:
            sides = box_of(item["segmentation"])
        except ValueError as error:
            raise UserError(f"{where}: {error}; repair it") from error
    if not isinstance(sides, list | tuple):
        raise UserError(f"{where}: has no bbox; repair it")
    ignored = "iscrowd" if item.get("iscrowd") and track is None else ""
    converted.add_box(picture, category, sides, where, track=track, ignored=ignored)
