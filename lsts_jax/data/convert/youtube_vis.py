"""YouTube-VIS and OVIS: a json of videos, whose annotations are objects with a box or a mask a frame.

    videos        id, file_names, height, width
    annotations   id, video_id, category_id, iscrowd, bboxes and segmentations (null where it is not seen)
    categories    id, name

The id of an annotation is the track. Frames are counted from 0 in the order of file_names. A box is taken
from bboxes and, where that has none, from around the mask. Objects with iscrowd are ignored regions. OVIS's
occlusion is not used.
"""

from typing import Any

from tqdm import tqdm

from lsts_jax.data.convert.coco_files import folder_of, load, names_by_id, one_of
from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.masks import box_of
from lsts_jax.data.convert.tree import Tree
from lsts_jax.errors import UserError

LOOKED_FOR = "json with file_names in its videos"


def find(tree: Tree) -> list[str]:
    wanted = {"videos", "file_names", "annotations"}
    return [file for file, fields in tree.json_fields.items() if wanted <= fields]


def read(tree: Tree) -> Converted:
    converted = Converted()
    file = one_of(find(tree), tree)
    content = load(tree, file, "videos", "annotations", "categories")
    where = str(tree.folder / file)
    categories = names_by_id(content["categories"], where)
    converted.categories |= dict.fromkeys(categories.values())
    videos = _add_videos(converted, tree, file, content["videos"])
    annotations = tqdm(content["annotations"], desc="objects", delay=2.0, dynamic_ncols=True)
    for number, item in enumerate(annotations):
        _add_object(converted, videos, categories, item, f"{where}: annotations[{number}]")
    return converted


def _add_videos(
    converted: Converted, tree: Tree, file: str, items: list[dict[str, Any]]
) -> dict[int, list[int | None]]:
    """Positions of the pictures of each video, None where the picture is missing."""
    where = f"{tree.folder / file}: videos"
    for number, item in enumerate(items):
        names = item.get("file_names")
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise UserError(f"{where}[{number}] has no list file_names of texts; repair it")
    prefix = folder_of(tree, file, [name for item in items for name in item["file_names"]])
    videos: dict[int, list[int | None]] = {}
    for number, item in enumerate(items):
        key = whole(item.get("id"), f"{where}[{number}]", "id")
        if key in videos:
            raise UserError(f"{where}[{number}] has the id of another; repair it")
        size = tuple(whole(item.get(side) or 0, f"{where}[{number}]", side) for side in ("height", "width"))
        paths = [prefix + name for name in item["file_names"]]
        video = paths[0].rpartition("/")[0] or str(key)
        videos[key] = [
            converted.add_picture(path, video, frame, size) if path in tree.picture_set else None
            for frame, path in enumerate(paths)
        ]
        missing = [path for path in paths if path not in tree.picture_set]
        converted.counts.lose("picture that is not there", next(iter(missing), ""), len(missing))
    return videos


def _add_object(
    converted: Converted,
    videos: dict[int, list[int | None]],
    categories: dict[int, str],
    item: dict[str, Any],
    where: str,
) -> None:
    pictures = videos.get(whole(item.get("video_id"), where, "video_id"))
    category = categories.get(whole(item.get("category_id"), where, "category_id"))
    boxes, masks = (item.get(field) or [] for field in ("bboxes", "segmentations"))
    if category is None:
        raise UserError(f"{where}: category {item['category_id']} is not in categories; repair it")
    if not isinstance(boxes, list) or not isinstance(masks, list) or not (boxes or masks):
        raise UserError(f"{where}: has no list of bboxes or segmentations; repair it")
    frames = max(len(boxes), len(masks)) if pictures is None else len(pictures)
    for name, found in (("bboxes", boxes), ("segmentations", masks)):
        if found and len(found) != frames:
            raise UserError(f"{where}: {name} is of {len(found)} frames, its video has {frames}; repair it")
    for frame in range(frames):
        sides = boxes[frame] if frame < len(boxes) else None
        if sides is None and frame < len(masks) and masks[frame] is not None:
            try:
                sides = box_of(masks[frame])
            except ValueError as error:
                raise UserError(f"{where}, frame {frame}: {error}; repair it") from error
        if sides is None:
            continue
        if not isinstance(sides, list | tuple):
            raise UserError(f"{where}, frame {frame}: the bbox is no list; repair it")
        picture = pictures[frame] if pictures is not None else None
        ignored = "iscrowd" if item.get("iscrowd") else ""
        converted.add_box(picture, category, sides, where, track=item.get("id"), ignored=ignored)
