"""YouTube-VIS and OVIS: a json of videos, whose annotations are objects with one box or mask per
frame.

    videos        id, file_names, height, width
    annotations   id, video_id, category_id, iscrowd, bboxes and segmentations (null where not visible)
    categories    id, name

The id of an annotation is the track. Frames are counted from 0 in the order of file_names. A box
comes from bboxes or, if that has none, from the mask. Objects with iscrowd are ignored regions.
OVIS's occlusion is not used.
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
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.coco_images import Ids
from lsts_jax.errors import UserError

LOOKED_FOR = "json with file_names in its videos"
Pictures = list[int | None]  # positions of the pictures of a video; None for a missing picture


def find(tree: Tree) -> list[str]:
    wanted = {"videos", "file_names", "annotations"}
    return [file for file, fields in tree.json_fields.items() if wanted <= fields]


def read(tree: Tree) -> Converted:
    file = one_of(find(tree), tree)
    content = load(tree, file, "videos", "annotations", "categories")
    where, ids, tracks = str(tree.folder / file), Ids(), Ids(LARGEST >> 1)
    names = names_by_id(content["categories"], where, ids)
    converted = Converted(names.values())
    videos = _add_videos(converted, tree, file, content["videos"], ids)
    annotations = tqdm(content["annotations"], desc="objects", delay=2.0, dynamic_ncols=True)
    for number, item in enumerate(annotations):
        place = f"{where}: annotations[{number}]"
        pictures = videos.get(id_of(ids, item.get("video_id"), f"{place}: video_id"))
        category = category_of(item, names, ids, place)
        track = id_of(tracks, item.get("id"), f"{place}: the id")
        for frame, sides in _boxes(item, pictures, place):
            picture = pictures[frame] if pictures is not None else None
            ignored = "iscrowd" if item.get("iscrowd") else ""
            converted.add_box(picture, category, sides, place, track=track, ignored=ignored)
    return converted


def _add_videos(
    converted: Converted, tree: Tree, file: str, items: list[dict[str, Any]], ids: Ids
) -> dict[int, Pictures]:
    where = f"{tree.folder / file}: videos"
    names = [_file_names(item, tree, f"{where}[{number}]") for number, item in enumerate(items)]
    prefix = folder_of(tree, file, [name for files in names for name in files])
    videos: dict[int, Pictures] = {}
    for number, item in enumerate(items):
        key = id_of(ids, item.get("id"), f"{where}[{number}]: the id")
        if key in videos:
            raise UserError(f"{where}[{number}] has the id of another; repair it")
        size = size_of(item, f"{where}[{number}]")
        paths = [prefix + name for name in names[number]]
        video = paths[0].rpartition("/")[0] or str(key)
        videos[key] = [
            converted.add_picture(path, video, frame, size) if path in tree.picture_set else None
            for frame, path in enumerate(paths)
        ]
        missing = [path for path in paths if path not in tree.picture_set]
        converted.counts.lose("missing picture", next(iter(missing), ""), len(missing))
    return videos


def _file_names(item: dict[str, Any], tree: Tree, where: str) -> list[str]:
    names = item.get("file_names")
    if not names or not isinstance(names, list) or not all(isinstance(one, str) and one for one in names):
        raise UserError(f"{where} has no list file_names of texts; repair it")
    return [path_of(name, tree.folder) for name in names]


def _boxes(item: dict[str, Any], pictures: Pictures | None, where: str) -> list[tuple[int, Any]]:
    """The boxes of an object, with their frames; frames without the object are left out."""
    boxes, masks = (item.get(field) or [] for field in ("bboxes", "segmentations"))
    if not isinstance(boxes, list) or not isinstance(masks, list) or not (boxes or masks):
        raise UserError(f"{where}: has no list of bboxes or segmentations; repair it")
    frames = max(len(boxes), len(masks)) if pictures is None else len(pictures)
    for name, found in (("bboxes", boxes), ("segmentations", masks)):
        if found and len(found) != frames:
            raise UserError(f"{where}: {name} is of {len(found)} frames, its video has {frames}; repair it")
    pairs = zip(boxes or [None] * frames, masks or [None] * frames, strict=True)
    found = [sides_of(box, mask, f"{where}, frame {frame}") for frame, (box, mask) in enumerate(pairs)]
    return [(frame, sides) for frame, sides in enumerate(found) if sides is not None]
