"""Shared by the formats that resemble COCO: reading the json, and finding its pictures."""

import json
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from lsts_jax.data.convert.converted import whole
from lsts_jax.data.convert.masks import box_of
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.coco_images import Ids, relative_to_root
from lsts_jax.errors import UserError

PROBES = 50  # number of pictures by which the folder is found


def one_of(files: Sequence[str], tree: Tree) -> str:
    """The only json of a format. Raises `UserError` if there are several: they are splits, and
    training and validation need separate results."""
    first, *others = files
    if others:
        raise UserError(
            f"{tree.folder}: has {', '.join(files)}; name the one to convert, instead of the folder"
        )
    return first


def load(tree: Tree, file: str, *lists: str) -> dict[str, list[dict[str, Any]]]:
    """These fields of a json, which are lists of objects. Raises `UserError`."""
    path = tree.folder / file
    try:
        content = json.loads(tree.text(file))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is not valid json ({error}); repair it") from error
    for name in lists:
        items = content.get(name) if isinstance(content, dict) else None
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise UserError(f"{path}: has no list {name!r} of objects; repair it")
    return {name: content[name] for name in lists}


def id_of(ids: Ids, value: Any, where: str) -> int:
    """The number of an id. Raises `UserError`."""
    number = ids(value)
    if number is None:
        raise UserError(f"{where} is {str(value)[:80]!r}, neither a whole number nor text; repair it")
    return number


def names_by_id(items: list[dict[str, Any]], where: str, ids: Ids) -> dict[int, str]:
    """The names of the categories, in the order of their ids; adds the ids to `ids`. Raises
    `UserError`."""
    names = {}
    for number, item in enumerate(items):
        place = f"{where}: categories[{number}]"
        if not isinstance(item.get("name"), str) or not item["name"]:
            raise UserError(f"{place} has no name; repair it")
        names[id_of(ids, item.get("id"), f"{place}: the id")] = item["name"]
    return dict(sorted(names.items()))


def category_of(item: dict[str, Any], names: dict[int, str], ids: Ids, where: str) -> str:
    """The name of the category of an annotation. Raises `UserError`."""
    name = names.get(id_of(ids, item.get("category_id"), f"{where}: category_id"))
    if name is None:
        raise UserError(f"{where}: category {str(item['category_id'])[:80]} is not in categories; repair it")
    return name


def path_of(name: str, folder: Path) -> str:
    """A file name in the form of a tree's paths: with slashes, without "./", and relative to the
    folder if it is an absolute path below it."""
    return PurePosixPath(relative_to_root(name.replace("\\", "/"), folder)).as_posix()


def size_of(item: dict[str, Any], where: str) -> tuple[int, int]:
    """Height and width; 0 if the item has none. Raises `UserError`."""
    height, width = (whole(item.get(side) or 0, where, side) for side in ("height", "width"))
    return height, width


def sides_of(box: Any, mask: Any, where: str) -> Sequence[Any] | None:
    """The box, or, if there is none, the box around the mask; None if there is neither, or the mask
    is empty. Raises `UserError`."""
    if box is None and mask is not None:
        try:
            return box_of(mask)
        except ValueError as error:
            raise UserError(f"{where}: {error}; repair it") from error
    if box is not None and not isinstance(box, list):
        raise UserError(f"{where}: bbox is not a list of 4 numbers; repair it")
    return box


def folder_of(tree: Tree, file: str, names: Sequence[str]) -> str:
    """The prefix, such as "images/", of the folder that holds most of PROBES pictures of the json.
    Among several folders the one named after the json's split, as Train for
    instances_Train.json, or after its folder.

    Raises `UserError` if there is none, or if several match equally well.
    """
    chosen = {names[i * (len(names) - 1) // max(PROBES - 1, 1)] for i in range(PROBES)} if names else set()
    hits: dict[str, int] = {}
    endings = {PurePosixPath(name).name for name in chosen}
    for picture in tree.pictures:
        if picture.rpartition("/")[2] not in endings:
            continue
        for name in chosen:
            if name and f"/{picture}".endswith(f"/{name}"):
                prefix = picture.removesuffix(name)
                hits[prefix] = hits.get(prefix, 0) + 1
    if not hits:
        example = f", such as {names[0]!r}" if names else ""
        raise UserError(
            f"{tree.folder / file}: its pictures{example}, are not below {tree.folder}; put them there"
        )
    path = PurePosixPath(file)
    split = path.stem.rpartition("_")[2].lower()

    def claim(prefix: str) -> tuple[int, bool, bool]:
        near = prefix.startswith("" if str(path.parent) == "." else f"{path.parent}/")
        return hits[prefix], split in prefix.lower().split("/"), near

    best = max(map(claim, hits))
    first, *others = sorted(prefix for prefix in hits if claim(prefix) == best)
    if others:
        raise UserError(
            f"{tree.folder / file}: its pictures are in {first or '.'} and in {others[0] or '.'}; "
            "keep one of the two folders"
        )
    return first
