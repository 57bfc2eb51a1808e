"""Pascal VOC: one XML file per picture.

    JPEGImages/clip_000001.jpg      or images/..., or beside the XML
    Annotations/clip_000001.xml     size; object: name, bndbox, difficult

Subfolders are kept. Pictures of a folder whose names differ only in their last number are a video,
all others stills; pictures without an XML file are kept, without objects. Difficult objects are
ignored regions, as in VOC's metric; truncated and occluded are not used. The track is an object's
trackid or track_id, also among CVAT's attributes. VOC counts pixels from 1, with both corners
included, but some tools differ: see `_shift`.
"""

from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element

from tqdm import tqdm

from lsts_jax.data.convert.converted import Converted, whole
from lsts_jax.data.convert.sequences import add_pictures, with_neighbours
from lsts_jax.data.convert.tree import Tree
from lsts_jax.data.formats.imagenet_xml import parse_root
from lsts_jax.errors import UserError

LOOKED_FOR = "Annotations/NAME.xml for JPEGImages/NAME.jpg, or NAME.xml beside NAME.jpg"
PICTURES = ("JPEGImages", "images", "Images")
TRACK = ("trackid", "track_id")


class Object(NamedTuple):
    picture: str | None
    name: str
    corners: tuple[float, float, float, float]
    track: str | None
    difficult: bool
    where: str


def find(tree: Tree) -> list[str]:
    """XML files beside pictures or in a folder Annotations, without CVAT's own annotations.xml."""
    return [
        file
        for file in tree.annotations
        if file.lower().endswith(".xml")
        and (any(name in tree.by_stem for name in _stems(file)) or "annotations/" in f"/{file}".lower())
        and PurePosixPath(file).name != "annotations.xml"
    ]


def read(tree: Tree) -> Converted:
    converted = Converted()
    sizes: dict[str, tuple[int, int] | None] = {}
    objects: list[Object] = []
    for file in tqdm(find(tree), desc="XML files", unit="file", delay=2.0, dynamic_ncols=True):
        where = str(tree.folder / file)
        root = parse_root(tree.data(file), where)
        picture = _picture_of(tree, file, root.findtext("filename") or "")
        if picture is None:
            converted.counts.lose("XML file without a picture", where)
        elif picture in sizes:
            raise UserError(f"{where}: {picture} has another XML file; keep one")
        else:
            height, width = (root.findtext(f"size/{side}") or 0 for side in ("height", "width"))
            sizes[picture] = whole(height, where, "size"), whole(width, where, "size")
        objects += [_object(item, picture, where) for item in root.iterfind("object")]
    positions = add_pictures(converted, tree, with_neighbours(converted, tree, sizes), sizes)
    converted.categories = dict.fromkeys(sorted({one.name for one in objects}))
    origin, extent = _shift([one.corners for one in objects])
    if objects:
        converted.notes.append(f"corners from {origin}, {'included' if extent else 'not on whole pixels'}")
    for one in objects:
        x1, y1, x2, y2 = one.corners
        sides = (x1 - origin, y1 - origin, x2 - x1 + extent, y2 - y1 + extent)
        position = None if one.picture is None else positions[one.picture]
        ignored = "difficult" if one.difficult else ""
        converted.add_box(position, one.name, sides, one.where, track=one.track, ignored=ignored)
    return converted


def _shift(corners: list[tuple[float, float, float, float]]) -> tuple[int, int]:
    """The number of the first pixel, and the number to add to the difference of two corners.

    Corners that are not whole numbers are points between pixels, from 0. Whole numbers are pixels:
    counted from 1, as in VOC, unless there is a 0.
    """
    if any(side != round(side) for box in corners for side in box if abs(side) < 1 << 31):
        return 0, 0
    return (0 if any(min(x1, y1) < 1 for x1, y1, _, _ in corners) else 1), 1


def _object(item: Element, picture: str | None, where: str) -> Object:
    name = (item.findtext("name") or "").strip()
    try:
        x1, y1, x2, y2 = (
            float(item.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax")
        )
    except ValueError as error:
        raise UserError(f"{where}: an object has no bndbox of 4 numbers; repair it") from error
    if not name:
        raise UserError(f"{where}: an object has no name; repair it")
    tracks = [item.findtext(field) for field in TRACK]
    tracks += [
        one.findtext("value")
        for one in item.iterfind("attributes/attribute")
        if one.findtext("name") in TRACK
    ]
    track = next((text for text in tracks if text and text.strip()), None)
    difficult = (item.findtext("difficult") or "").strip() == "1"
    return Object(picture, name, (x1, y1, x2, y2), track, difficult, where)


def _picture_of(tree: Tree, file: str, filename: str) -> str | None:
    """The picture of an XML file: the one of the same name, or else the one that the file names."""
    path = PurePosixPath(file)
    for stem in [
        *_stems(file),
        *_stems(str(path.with_name(Path(filename.replace("\\", "/")).stem or path.stem))),
    ]:
        if stem in tree.by_stem:
            return tree.by_stem[stem]
    return None


def _stems(file: str) -> list[str]:
    """Paths without suffix at which the picture of an XML file can be."""
    stem = PurePosixPath(file).with_suffix("")
    places = [place for place, part in enumerate(stem.parts[:-1]) if part.lower() == "annotations"]
    elsewhere = [
        str(PurePosixPath(*stem.parts[:place], folder, *stem.parts[place + 1 :]))
        for place in places
        for folder in (*PICTURES, "")
    ]
    return [str(stem), *elsewhere]
