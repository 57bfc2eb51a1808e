"""Tiny data sets on disk, in the layouts that the readers know."""

import json
from pathlib import Path

import cv2
import numpy as np

OBJECT = """<object>{track}<name>{name}</name><bndbox><xmax>{x2}</xmax><xmin>{x1}</xmin><ymax>{y2}</ymax>
<ymin>{y1}</ymin></bndbox></object>"""


def picture(value: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """A plain RGB picture that can be told by its red."""
    image = np.zeros((*size, 3), np.uint8)
    image[:] = (value, 100, 50)
    return image


def write_picture(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes())


def write_turned_photo(path: Path, image: np.ndarray) -> None:
    """A JPEG that viewers turn by a quarter to the right, as of a phone held upright."""
    write_picture(path, image)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06" + bytes(6)
    data, length = path.read_bytes(), (len(exif) + 2).to_bytes(2, "big")
    path.write_bytes(data[:2] + b"\xff\xe1" + length + exif + data[2:])


def write_xml(path: Path, objects: list[tuple], size: tuple[int, int] | None = (48, 64)) -> None:
    """objects: (name, trackid or None, x1, y1, x2, y2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    items = [
        OBJECT.format(
            track="" if track is None else f"<trackid>{track}</trackid>",
            name=name,
            x1=x1,
            y1=y1,
            x2=x2,
            y2=y2,
        )
        for name, track, x1, y1, x2, y2 in objects
    ]
    head = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>" if size else ""
    path.write_text(f"<annotation>{head}{''.join(items)}</annotation>")


def write_list(root: Path, name: str, *lines: str) -> None:
    path = root / "ImageSets" / f"{name}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines))


def red_of(video: int, t: int) -> int:
    """Red of a frame of `write_imagenet`, whose videos are a, b, c, v and stills s1, s2; for `frame_of`."""
    return (0, 84, 120, 170, 210, 230)[video] + 4 * t


def frame_of(image: np.ndarray) -> tuple[int, int]:
    """(video, frame) of a picture of `write_imagenet`, compressed as it is."""
    red = float(image[20, 20, 0])
    video = max(v for v in range(6) if red_of(v, 0) <= red + 2)
    return video, round((red - red_of(video, 0)) / 4)


def write_imagenet(root: Path) -> Path:
    """Two landscape videos of 20 and 8 frames with a dog that moves 2 pixels a frame, a portrait one of 12
    with a cat, a val video of 5 frames and two stills, the second portrait."""
    clips = {
        "train/a": (20, (48, 64), "n02084071"),
        "train/b": (8, (48, 64), "n02084071"),
        "train/c": (12, (64, 48), "n02121808"),
        "val/v": (5, (48, 64), "n02084071"),
    }
    for video, (path, (count, size, wnid)) in enumerate(clips.items()):
        for t in range(count):
            write_picture(root / f"Data/VID/{path}/{t:06d}.JPEG", picture(red_of(video, t), size))
            found = [(wnid, 3, 2 * t, 10, 2 * t + 14, 29)]
            write_xml(root / f"Annotations/VID/{path}/{t:06d}.xml", found, size)
    for video, name, size in ((4, "s1", (48, 64)), (5, "s2", (64, 48))):
        write_picture(root / f"Data/DET/train/{name}.JPEG", picture(red_of(video, 0), size))
        write_xml(root / f"Annotations/DET/train/{name}.xml", [("n02084071", None, 5, 6, 30, 40)], size)
    write_list(
        root,
        "VID_train_15frames",
        *(f"train/a 1 {t} 20" for t in range(2, 20, 3)),
        *(f"train/b 1 {t} 8" for t in range(8)),
        *(f"train/c 1 {t} 12" for t in range(0, 12, 2)),
    )
    write_list(root, "DET_train_30classes", "train/s1 1", "train/s2 1")
    write_list(root, "VID_val_videos", "val/v 1 0 5")
    return root


def write_coco(root: Path, name: str, images: list[dict], annotations: list[dict], **more: object) -> None:
    """A json in which ids of images and annotations, if not given, are positions counted from 1, and the
    categories, if not given, are 3 dog and 7 cat."""
    content = {
        "images": [{"id": i, **image} for i, image in enumerate(images, 1)],
        "annotations": [{"id": i, **annotation} for i, annotation in enumerate(annotations, 1)],
        "categories": [{"id": 3, "name": "dog"}, {"id": 7, "name": "cat"}],
        **more,
    }
    path = root / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def write_sequence(folder: Path, count: int, gt: str) -> None:
    """A MOTChallenge sequence of `count` pictures of 48x64 whose red is 10 x frame."""
    for t in range(count):
        write_picture(folder / f"img1/{t + 1:06d}.png", picture(10 * t))
    (folder / "gt").mkdir(parents=True, exist_ok=True)
    (folder / "gt" / "gt.txt").write_text(gt)
