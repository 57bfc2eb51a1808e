"""Annotations of ImageNet VID and DET: one XML file per frame, and the names of the classes."""

from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from lsts_jax.config import IMAGENET_VID_CLASSES
from lsts_jax.data.dataset import Objects
from lsts_jax.errors import Missing, UserError

# WordNet ids of the 30 classes of ImageNet VID, in the order of IMAGENET_VID_CLASSES.
WNIDS = (
    "n02691156", "n02419796", "n02131653", "n02834778", "n01503061", "n02924116", "n02958343", "n02402425",
    "n02084071", "n02121808", "n02503517", "n02118333", "n02510455", "n02342885", "n02374451", "n02129165",
    "n01674464", "n02484322", "n03790512", "n02324045", "n02509815", "n02411705", "n01726692", "n02355227",
    "n02129604", "n04468005", "n01662784", "n04530566", "n02062744", "n02391049",
)  # fmt: skip

MEND = "repair it or take the frame out of the list"


def number_classes(class_names: tuple[str, ...]) -> dict[str, int]:
    """Class ids, 1..N, by name and, for the 30 classes of ImageNet VID, by WordNet id."""
    ids = {name: number for number, name in enumerate(class_names, start=1)}
    names = zip(WNIDS, IMAGENET_VID_CLASSES, strict=True)
    return {wnid: ids[name] for wnid, name in names if name in ids} | ids


def choose_classes(found: set[str]) -> tuple[str, ...]:
    """All 30 classes of ImageNet VID if any WordNet id is among the names, else the names, sorted."""
    return tuple(sorted(found)) if found.isdisjoint(WNIDS) else IMAGENET_VID_CLASSES


def read_annotation(file: Path, class_ids: dict[str, int]) -> Objects:
    """The objects of an XML file whose name is in `class_ids`. Raises `UserError` naming the file
    if it is missing, and as `parse_annotation`."""
    return parse_annotation(_read(file), str(file), class_ids)


def parse_annotation(data: bytes, name: str, class_ids: dict[str, int]) -> Objects:
    """The objects in XML text whose name is in `class_ids`.

    Raises `UserError` beginning with `name` if the text cannot be parsed or lacks a box, or if it
    declares a document type: entities can grow without bound, and annotations do not need them.
    """
    root = parse_root(data, name)
    try:
        return _objects(root, class_ids)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{name}: {error}; {MEND}") from error


def read_names(file: Path) -> Counter[str]:
    """Number of objects by name in an XML file. Raises `UserError` naming the file."""
    return parse_names(_read(file), str(file))


def parse_names(data: bytes, name: str) -> Counter[str]:
    """Number of objects by name in XML text. Raises `UserError` beginning with `name`."""
    items = parse_root(data, name).iterfind("object")
    return Counter(text.strip() for item in items if (text := item.findtext("name")))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise Missing(f"{file}: no such annotation; {MEND}") from error
        raise UserError(f"{file}: {error.strerror}; {MEND}") from error


def parse_root(data: bytes, name: str) -> ElementTree.Element:
    """The root element of XML text. Raises `UserError` beginning with `name` if the text cannot be
    parsed or declares a document type."""
    if b"<!DOCTYPE" in data.replace(b"\0", b""):  # in UTF-16 as well
        raise UserError(f"{name}: declares a document type, which is not read; {MEND}")
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise UserError(f"{name}: {error}; {MEND}") from error


def _objects(root: ElementTree.Element, class_ids: dict[str, int]) -> Objects:
    """The objects of a document. Raises ValueError or OverflowError naming the fault."""
    boxes, classes, tracks, marks = [], [], [], []
    for item in root.iterfind("object"):
        class_id = class_ids.get(_text(item, "name").strip())
        if class_id is None:
            continue
        boxes.append([float(_text(item, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")])
        classes.append(class_id)
        tracks.append(int(item.findtext("trackid") or -1))
        marks.append(item.findtext("degraded"))
    with np.errstate(over="ignore"):
        array = np.array(boxes, np.float32).reshape(-1, 4)
    if not np.isfinite(array).all():
        raise ValueError("a box is not finite")
    if unknown := set(marks) - {"0", "1", None}:
        raise ValueError(f"degraded is {unknown.pop()!r}, not 0 or 1")
    height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    return Objects(
        array,
        np.array(classes, np.int32),
        np.array(tracks, np.int32),
        np.zeros(len(classes), bool),
        (height, width) if min(height, width) > 0 else None,
        None if set(marks) <= {None} else np.array([mark == "1" for mark in marks]),
    )


def _text(element: ElementTree.Element, path: str) -> str:
    text = element.findtext(path)
    if not text:
        raise ValueError(f"an object has no {path}")
    return text
