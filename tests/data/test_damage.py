"""Damaged data: the doctor names it, training skips it with a line or stops with one, and that is all."""

import json
import logging
import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.check import check
from lsts_jax.data.doctor.tracks import motion_histogram
from lsts_jax.data.loader import TripletLoader
from lsts_jax.data.open import open_dataset
from lsts_jax.data.triplets import key_ranges
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_coco, write_imagenet, write_list, write_picture, write_sequence

ROOT = Path(__file__).parents[2]
PICTURE = "Data/VID/train/b/000004.JPEG"
XML = "Annotations/VID/train/b/000004.xml"
LIST = "ImageSets/VID_train_15frames.txt"
BOMB = '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><annotation>&b;</annotation>'


def jpeg(image=None, *flags):
    return cv2.imencode(".jpg", picture(90)[..., ::-1] if image is None else image, flags)[1].tobytes()


def box(x1, y1, x2, y2, name="n02084071", track=3):
    return (
        f"<object><trackid>{track}</trackid><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
    )


def xml(*objects, size=(48, 64)):
    head = f"<size><width>{size[1]}</width><height>{size[0]}</height></size>"
    return f"<annotation>{head}{''.join(objects)}</annotation>".encode()


GOOD = box(8, 10, 22, 29)

# Name: file, its new content (None: removed; a function: of the old content), what the doctor calls it, and
# whether the sample is skipped, used all the same, or stops the run.
DAMAGE = {
    "picture removed": (PICTURE, None, "picture missing", "skipped"),
    "picture empty": (PICTURE, b"", "picture damaged", "skipped"),
    "picture cut in half": (PICTURE, lambda d: d[: len(d) // 2], "picture damaged", "skipped"),
    "picture without its end marker": (PICTURE, lambda d: d[:-2], "picture damaged", "skipped"),
    "picture of random bytes": (PICTURE, bytes(range(256)) * 9, "picture damaged", "skipped"),
    "picture that is a text": (PICTURE, b"<html>404 Not Found</html>", "picture damaged", "skipped"),
    "picture of 60000x60000 by its header": (
        PICTURE,
        lambda d: d.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 60000, 60000), 1),
        "picture damaged",
        "skipped",
    ),
    "picture of another size": (PICTURE, jpeg(picture(9, (70, 64))), "another size", "skipped"),
    "picture too thin to resize": (PICTURE, jpeg(np.zeros((1, 3000, 3), np.uint8)), "no canvas", "skipped"),
    "annotation removed": (XML, None, "annotation missing", "skipped"),
    "annotation empty": (XML, b"", "annotation damaged", "skipped"),
    "annotation cut in half": (XML, lambda d: d[: len(d) // 2], "annotation damaged", "skipped"),
    "annotation of random bytes": (XML, bytes(range(256)), "annotation damaged", "skipped"),
    "annotation with an entity bomb": (XML, BOMB.encode(), "annotation damaged", "skipped"),
    "annotation with a bomb in UTF-16": (XML, BOMB.encode("utf-16"), "annotation damaged", "skipped"),
    "box without a corner": (XML, xml(GOOD.replace("<xmax>22</xmax>", "")), "annotation damaged", "skipped"),
    "box that is no number": (XML, xml(box("left", 10, 22, 29)), "annotation damaged", "skipped"),
    "box at infinity": (XML, xml(box(8, 10, "inf", 29)), "annotation damaged", "skipped"),
    "track that is no number": (XML, xml(box(8, 10, 22, 29, track="x")), "annotation damaged", "skipped"),
    "object without a name": (XML, xml(box(8, 10, 22, 29, name="")), "annotation damaged", "skipped"),
    "box beyond the frame": (XML, xml(box(-9, 10, 90, 29)), "box outside the frame", "used"),
    "box of no area": (XML, xml(GOOD, box(30, 10, 20, 29)), "box of no area", "used"),
    "unknown class": (XML, xml(GOOD, box(1, 1, 9, 9, name="unicorn")), "unknown class", "used"),
    "track twice in a frame": (XML, xml(GOOD, GOOD), "track twice in a frame", "used"),
    "track with a gap": (XML, xml(box(8, 10, 22, 29, track=77)), "track with gaps", "used"),
    "list empty": (LIST, b"", "data set", "stops"),
    "list of another form": (LIST, b"train/b one two three\n", "data set", "stops"),
    "list of bytes that are no text": (LIST, b"\xff\xfe\x00train", "data set", "stops"),
    "list with a frame past the end": (LIST, b"train/b 1 9 8\n", "data set", "stops"),
    "list that climbs out of the root": (LIST, b"../../etc 1 0 8\n", "data set", "stops"),
    "list with an absolute path": (LIST, b"/etc 1 0 8\n", "data set", "stops"),
}


@pytest.fixture
def config(tmp_path):
    return DataConfig(
        root=str(write_imagenet(tmp_path)),
        class_names=("dog", "domestic_cat"),
        short_side=48,
        long_side=64,
        canvases=((48, 64), (64, 48)),
        max_objects=3,
        workers=0,
        max_bad_share=0.5,
    )


def damage(file: Path, content):
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content(file.read_bytes()) if callable(content) else content)


def train(config) -> TripletLoader:
    loader = TripletLoader(
        open_dataset(config, config.train_lists),
        config,
        batch_size=1,
        seed=0,
        ranges=key_ranges("offline", 10),
    )
    for _ in loader.iterate(0, 2 * loader.steps_per_epoch):
        pass
    return loader


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_an_imagenet_tree(config, name, caplog):
    file, content, kind, outcome = DAMAGE[name]
    damage(Path(config.root) / file, content)
    report = check(config)[0]
    assert kind in {finding.kind for finding in report.findings}
    assert report.facts.get("annotations dropped", {}) == ({"class unicorn": 1} if "unknown" in kind else {})
    found = next(finding for finding in report.findings if finding.kind == kind)
    assert Path(file).stem in found.where + found.what or kind == "track with gaps"
    assert bool(report.fatal) == (outcome == "stops")
    if outcome == "stops":
        with pytest.raises(UserError, match=Path(file).name) as caught:
            train(config)
        assert "\n" not in str(caught.value)
        return
    with caplog.at_level(logging.WARNING):
        assert train(config).bad_samples == (outcome == "skipped")
    skipped = [r.getMessage() for r in caplog.records if r.getMessage().startswith("skipped: ")]
    assert len(skipped) == (outcome == "skipped")
    assert all("b/000004" in line and "\n" not in line for line in skipped)


def test_more_damage_than_allowed_is_fatal_and_stops(config):
    damage(Path(config.root) / PICTURE, b"")
    config = replace(config, max_bad_share=0.01)
    assert "more than data.max_bad_share" in check(config)[0].fatal
    with pytest.raises(UserError, match=r"000004\.JPEG"):
        train(config)


def test_a_damaged_val_frame_is_fatal(config):
    damage(Path(config.root) / "Data/VID/val/v/000002.JPEG", b"")
    train_report, val = check(config)
    assert not train_report.fatal and "first damaged frame" in val.fatal


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda d: d[: len(d) // 2], "json"),
        (lambda d: b"[]", "json"),
        (lambda d: d.replace(b'"file_name"', b'"name"'), "file_name"),
        (lambda d: d.replace(b"a/0.png", b"../../etc/passwd"), "points out of"),
        (lambda d: json.dumps(json.loads(d) | {"categories": []}).encode(), "categor"),
        (lambda d: d.replace(b'"bbox": [', b'"bbox": ["x", '), "bbox"),
    ],
)
def test_damage_to_a_coco_vid_json(tmp_path, change, message):
    images = [{"file_name": f"a/{t}.png", "video_id": 1, "frame_id": t} for t in range(3)]
    boxes = [{"image_id": t + 1, "category_id": 3, "bbox": [5, 5, 20, 20]} for t in range(3)]
    for t in range(3):
        write_picture(tmp_path / f"a/{t}.png", picture(20 * t))
    write_coco(tmp_path, "train", images, boxes, videos=[{"id": 1, "name": "a"}])
    config = DataConfig(root=str(tmp_path), format="coco_vid", class_names=(), train_lists=("train",))
    assert not check(replace(config, val_lists=()))[0].fatal
    damage(tmp_path / "train.json", change)
    report = check(replace(config, val_lists=()))[0]
    assert report.fatal and message in report.fatal and "\n" not in report.fatal
    with pytest.raises(UserError):
        open_dataset(config, config.train_lists)


@pytest.mark.parametrize(
    "gt", ["", "1,1,5,5\n", "1,1,a,5,10,10,1,-1,-1,-1\n", "0,1,5,5,10,10,1,-1,-1,-1\n", "\x00\x01\xff"]
)
def test_damage_to_a_mot_ground_truth(tmp_path, gt):
    write_sequence(tmp_path / "s", 4, gt)
    config = DataConfig(
        root=str(tmp_path), format="mot", class_names=("person",), train_lists=("s",), val_lists=()
    )
    report = check(config)[0]
    assert report.fatal and "\n" not in report.fatal
    with pytest.raises(UserError):
        train(config)


def test_pictures_of_all_kinds_work(config, caplog):
    """Grey, rotated by EXIF (ignored), upright beside lying, a video of one frame, a frame of nothing."""
    root = Path(config.root)
    grey = cv2.imencode(".jpg", np.full((48, 64), 90, np.uint8))[1].tobytes()
    (root / "Data/VID/train/b/000000.JPEG").write_bytes(grey)
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = jpeg()
    turned = turned[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + turned[2:]
    (root / "Data/VID/train/b/000001.JPEG").write_bytes(turned)
    (root / "Annotations/VID/train/b/000002.xml").write_bytes(xml())
    write_picture(root / "Data/VID/train/one/000000.JPEG", picture(50, (64, 48)))
    (root / "Annotations/VID/train/one").mkdir()
    (root / "Annotations/VID/train/one/000000.xml").write_bytes(xml(GOOD, size=(64, 48)))
    lines = (root / LIST).read_text().splitlines()
    write_list(root, "VID_train_15frames", *lines, "train/one 1 0 1")
    report = check(config)[0]
    assert {finding.kind for finding in report.findings} == {"track with gaps"} and not report.fatal
    assert report.facts["samples without objects"] == 1
    assert report.facts["picture sizes"] == {"48x64": 29, "64x48": 14}
    with caplog.at_level(logging.WARNING):
        assert train(config).bad_samples == 0
    assert not caplog.records


def test_motion_histogram_by_hand():
    """Boxes of 10 x 10: one at rest, one that moves by 2 (IoU 80 / 120), one that is never seen again."""
    square = lambda x: np.array([x, 0, x + 9, 9], np.float32)
    still = {t: square(0) for t in range(3)}
    moving = {0: square(0), 10: square(2)}  # 80 / 120
    assert motion_histogram({(0, 1): still, (0, 2): moving, (0, 3): {5: square(0)}}) == {
        "slow": 3,
        "medium": 0,
        "fast": 3,
    }


def test_the_command(config, tmp_path):
    """Status 0 and files to look at; then 1 for what is fatal; 2 for a slip."""

    def run(*arguments):
        command = [sys.executable, "-m", "lsts_jax.data.check", *map(str, arguments)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)

    out = tmp_path / "report"
    done = run("--root", config.root, "--out", out)
    assert done.returncode == 0, done.stderr
    content = json.loads((out / "check.json").read_text())
    assert content["train"]["objects by class"] == {"dog": 16, "domestic_cat": 6}
    assert content["val"]["fatal"] == "" and content["val"]["samples"] == 5
    assert cv2.imread(str(out / "contact_sheet.png")).std() > 5
    (Path(config.root) / LIST).write_bytes(b"")
    done = run("--root", config.root, "--out", out)
    assert done.returncode == 1 and "FATAL" in done.stdout and "Traceback" not in done.stderr
    done = run("--root", config.root)
    assert done.returncode == 2 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
