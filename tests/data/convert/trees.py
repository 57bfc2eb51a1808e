"""A tiny data set of each format that is converted, with the boxes that a reader of the result must give,
worked out by hand. Pictures are of 48x64 (height, width) unless something else is said."""

import json
from pathlib import Path
from typing import NamedTuple

from tests.data.trees import picture, write_picture


class Seen(NamedTuple):
    """An object as the reader gives it: name, inclusive corners, track; name "" for an ignored region."""

    name: str
    box: tuple[float, float, float, float]
    track: int


Wanted = dict[str, list[list[Seen]]]  # objects by frame, by video


def pictures(folder: Path, *names: str, red: int = 10) -> None:
    """Pictures whose red is `red` times the position of the name."""
    for place, name in enumerate(names):
        write_picture(folder / name, picture(red * place))


def text(file: Path, *lines: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def cvat_coco(folder: Path) -> Wanted:
    pictures(folder / "images", *(f"frame_{t:06d}.PNG" for t in range(4)))  # the last is in no json
    images = [{"id": t + 1, "file_name": f"frame_{t:06d}.PNG", "width": 64, "height": 48} for t in (1, 0, 2)]

    def found(image, category, box, **more):
        return {
            "image_id": image,
            "category_id": category,
            "bbox": box,
            "iscrowd": 0,
            "attributes": {},
        } | more

    tracked = {"occluded": False, "track_id": 4, "keyframe": True}
    content = {
        "images": images,
        "annotations": [
            found(1, 2, [1.5, 2, 10, 20], attributes=tracked),
            found(2, 2, [2.5, 2, 10, 20], attributes=tracked),
            found(2, 1, [0, 0, 64, 48], iscrowd=1),
            found(2, 1, [5, 5, 4, 4], iscrowd=1, attributes={"track_id": 6}),  # a mask
            found(2, 1, [5, 5, 0, 4]),
            found(9, 1, [5, 5, 4, 4]),
        ],
        "categories": [{"id": 2, "name": "bus"}, {"id": 1, "name": "person"}],
    }
    text(folder / "annotations/instances_default.json", json.dumps(content))
    return {
        "images": [
            [Seen("bus", (1.5, 2, 10.5, 21), 4)],
            [
                Seen("bus", (2.5, 2, 11.5, 21), 4),
                Seen("", (0, 0, 63, 47), -1),
                Seen("person", (5, 5, 8, 8), 6),
            ],
            [],
        ]
    }


def cvat_mot(folder: Path) -> Wanted:
    pictures(folder / "img1", "000001.jpg", "000002.jpg", "000004.jpg")
    text(folder / "gt/labels.txt", "person", "car")
    text(
        folder / "gt/gt.txt",
        "1,1,0.0,3,10,20,1,2,1.0",
        "2,1,1.25,3,10,20,1,2,0.5",
        "2,-1,30,30,4,5,0,1,1.0",
        "3,1,9,9,9,9,1,2,1.0",
        "4,2,60,40,4,8,1,1,1.0",
        "4,3,60,40,0,8,1,1,1.0",
    )
    return {
        folder.name: [
            [Seen("car", (0, 3, 9, 22), 1)],
            [Seen("car", (1.25, 3, 10.25, 22), 1), Seen("", (30, 30, 33, 34), -1)],
            [Seen("person", (60, 40, 63, 47), 2)],
        ]
    }


def youtube_vis(folder: Path) -> Wanted:
    pictures(folder / "JPEGImages", *(f"0043f083b5/{t:05d}.jpg" for t in (0, 5, 10)))
    pictures(folder / "JPEGImages", "aa/00000.jpg")
    videos = [
        {"id": 7, "file_names": [f"0043f083b5/{t:05d}.jpg" for t in (0, 5, 10)], "height": 48, "width": 64},
        {"id": 3, "file_names": ["aa/00000.jpg", "aa/00005.jpg"], "height": 48, "width": 64},
    ]
    # 48 rows: from the pixel (x 2, y 5) down 3 pixels, and the same a column further to the right
    mask = {"size": [48, 64], "counts": [2 * 48 + 5, 3, 45, 3, 48 * 64 - 3 * 48 - 8]}
    annotations = [
        {"id": 11, "video_id": 7, "category_id": 1, "iscrowd": 0, "segmentations": [mask, None, mask],
         "bboxes": [[4, 5, 6, 7], None, [5, 5, 6, 7]]},
        {"id": 12, "video_id": 7, "category_id": 2, "segmentations": [None, mask, None], "iscrowd": 0},
        {"id": 13, "video_id": 3, "category_id": 2, "bboxes": [[0, 0, 9, 9], [0, 0, 9, 9]], "iscrowd": 1},
    ]  # fmt: skip
    categories = [{"id": 1, "name": "giant_panda"}, {"id": 2, "name": "person"}]
    text(
        folder / "instances.json",
        json.dumps({"videos": videos, "annotations": annotations, "categories": categories}),
    )
    return {
        "JPEGImages/0043f083b5": [
            [Seen("giant_panda", (4, 5, 9, 11), 11)],
            [Seen("person", (2, 5, 3, 7), 12)],
            [Seen("giant_panda", (5, 5, 10, 11), 11)],
        ],
        "JPEGImages/aa": [[Seen("", (0, 0, 8, 8), 13)]],
    }


def yolo(folder: Path) -> Wanted:
    pictures(folder / "images/train", *(f"yard_{t}.jpg" for t in (0, 1, 10, 2)), "portrait.jpg")
    write_picture(folder / "images/train/portrait.jpg", picture(90, (64, 48)))
    text(folder / "data.yaml", "path: .", "train: images/train", "names:", "  0: cat", "  1: dog")
    text(folder / "labels/train/yard_0.txt", "1 0.5 0.5 0.25 0.5 3", "0 0.125 0.25 0.25 0.25")
    text(folder / "labels/train/yard_1.txt", "")
    text(folder / "labels/train/yard_10.txt", "0 0.25 0.25 0.75 0.25 0.5 0.75")
    text(folder / "labels/train/portrait.txt", "0 0.5 0.5 1 1", "1 0.5 0.5 0 1")
    text(folder / "labels/train/away_1.txt", "0 0.5 0.5 1 1")
    return {
        "images/train/portrait": [[Seen("cat", (0, 0, 47, 63), -1)]],
        "images/train": [
            [Seen("dog", (24, 12, 39, 35), 3), Seen("cat", (0, 6, 15, 17), -1)],
            [],
            [],
            [Seen("cat", (16, 12, 47, 35), -1)],
        ],
    }


def visdrone(folder: Path) -> Wanted:
    pictures(folder / "sequences/uav0000013_00000_v", "0000001.jpg", "0000002.jpg")
    pictures(folder / "sequences/uav0000099_00000_v", "0000001.jpg")
    text(
        folder / "annotations/uav0000013_00000_v.txt",
        "1,0,10,12,8,6,1,4,0,1",
        "2,0,11,12,8,6,1,4,1,0",
        "2,5,0,0,20,20,0,0,0,0",
        "2,6,30,30,5,5,1,11,0,0",
        "1,7,40,4,5,5,0,1,0,0,",
        "3,0,11,12,8,6,1,4,1,0",
        "2,8,11,12,8,0,1,4,1,0",
    )
    return {
        "sequences/uav0000013_00000_v": [
            [Seen("car", (10, 12, 17, 17), 0), Seen("", (40, 4, 44, 8), 7)],
            [Seen("car", (11, 12, 18, 17), 0), Seen("", (0, 0, 19, 19), 5), Seen("", (30, 30, 34, 34), 6)],
        ]
    }


def kitti(folder: Path) -> Wanted:
    pictures(folder / "training/image_02/0000", "000000.png", "000001.png")
    rest = "-1 -1 -1 -1000 -1000 -1000 -10"
    text(
        folder / "training/label_02/0000.txt",
        f"0 2 Pedestrian 0 0 -1.57 10.5 12 20.5 47 {rest}",
        f"1 2 Pedestrian 0 0 -1.57 11.5 12 21.5 47 {rest}",
        f"1 -1 DontCare -1 -1 -10 0 0 63 9.25 {rest}",
        f"1 3 Car 2 0 -1.57 50 12 49 47 {rest}",
        f"2 3 Car 2 0 -1.57 50 12 63 47 {rest}",
    )
    return {
        "training/image_02/0000": [
            [Seen("Pedestrian", (10.5, 12, 20.5, 47), 2)],
            [Seen("Pedestrian", (11.5, 12, 21.5, 47), 2), Seen("", (0, 0, 63, 9.25), -1)],
        ]
    }


def voc(folder: Path) -> Wanted:
    pictures(folder / "JPEGImages/yard", "0001.jpg", "0002.jpg", "0003.jpg")

    def annotation(*objects: str) -> str:
        size = "<size><width>64</width><height>48</height><depth>3</depth></size>"
        return f"<annotation>{size}{''.join(objects)}</annotation>"

    def thing(name: str, x1: int, y1: int, x2: int, y2: int, more: str = "") -> str:
        box = f"<xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax>"
        return f"<object><name>{name}</name><bndbox>{box}</bndbox>{more}</object>"

    track = "<attributes><attribute><name>track_id</name><value>5</value></attribute></attributes>"
    text(folder / "Annotations/yard/0001.xml", annotation(thing("dog", 1, 1, 64, 48, track)))
    second = annotation(
        thing("cat", 5, 6, 7, 8, "<trackid>2</trackid>"), thing("dog", 9, 9, 9, 9, "<difficult>1</difficult>")
    )
    text(folder / "Annotations/yard/0002.xml", second)
    text(folder / "Annotations/yard/0009.xml", annotation(thing("cat", 5, 6, 7, 8)))
    return {
        "JPEGImages/yard": [
            [Seen("dog", (0, 0, 63, 47), 5)],
            [Seen("cat", (4, 5, 6, 7), 2), Seen("", (8, 8, 8, 8), -1)],
            [],
        ]
    }


TREES = {made.__name__: made for made in (cvat_coco, cvat_mot, youtube_vis, yolo, visdrone, kitti, voc)}
