"""Every format of docs/data.md: its commands run on a small tree of that shape, and the reader of COCO-VID
gives the boxes that were worked out by hand."""

import re
import shlex
from collections import Counter
from pathlib import Path

import pytest

from lsts_jax import cli
from lsts_jax.config import DataConfig
from lsts_jax.data import check
from lsts_jax.data.convert.__main__ import run
from lsts_jax.data.open import open_dataset
from tests.data.convert.trees import TREES, Seen, pictures, text

ROOT = Path(__file__).resolve().parents[3]
COMMANDS = dict(
    re.findall(
        r"^    python -m lsts_jax\.data\.convert (data/\S+ .*)\n    python -m lsts_jax\.data\.check (.*)$",
        (ROOT / "docs/data.md").read_text(),
        re.MULTILINE,
    )
)


def seen(config: DataConfig, name: str = "train") -> dict[str, list[list[Seen]]]:
    """All that the reader gives of a list."""
    dataset = open_dataset(config, (name,))

    def objects(video, t):
        found = dataset.objects(video, t)
        names = ["" if ignored else dataset.class_names[c - 1]
                 for c, ignored in zip(found.classes, found.ignored, strict=True)]  # fmt: skip
        return [*map(Seen, names, map(tuple, found.boxes.tolist()), found.track_ids.tolist())]

    return {
        video.name: [objects(v, t) for t in range(video.num_frames)] for v, video in enumerate(dataset.videos)
    }


def config_of(root: Path) -> DataConfig:
    return DataConfig(root=str(root), format="coco_vid", class_names=())


def test_every_format_has_its_commands():
    assert [command.split()[0] for command in COMMANDS] == [f"data/{name}" for name in TREES]


@pytest.mark.parametrize("command", COMMANDS, ids=list(TREES))
def test_the_boxes_of_the_format_are_read(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    folder = Path(command.split()[0])
    wanted = TREES[folder.name](folder)
    before = sorted(folder.rglob("*"))
    run(shlex.split(command))
    assert sorted(folder.rglob("*")) == sorted([*before, folder / "train.json"])
    printed = capsys.readouterr().out
    assert printed.startswith(f"data/{folder.name}: {folder.name}\n")
    assert f"--config.data.root {tmp_path / folder} --config.data.train_lists train" in printed

    config = cli.parse(check.Options, shlex.split(COMMANDS[command])).config.data
    assert seen(config) == wanted
    (report,) = check.check(config)
    assert not report.fatal and report.facts["damaged frames"] == 0


@pytest.mark.parametrize(
    ("name", "ignored", "lost"),
    [
        ("cvat_coco", {"iscrowd": 1}, {"box of no area": 1, "box of no picture": 1}),
        ("cvat_mot", {"not ignored = 0": 1}, {"box of no area": 1, "box of no picture": 1}),
        ("youtube_vis", {"iscrowd": 1}, {"box of no picture": 1, "missing picture": 1}),
        ("yolo", {}, {"box of no area": 1, "text file without a picture": 1}),
        (
            "visdrone",
            {"category ignored regions": 1, "category others": 1, "score 0": 1},
            {"box of no area": 1, "box of no picture": 1, "picture of a sequence without annotations": 1},
        ),
        ("kitti", {"DontCare": 1}, {"box of no area": 1, "box of no picture": 1}),
        ("voc", {"difficult": 1}, {"box of no picture": 1, "XML file without a picture": 1}),
    ],
)
def test_nothing_is_left_out_without_a_word(name, ignored, lost, tmp_path, capsys):
    wanted = TREES[name](tmp_path)
    run([str(tmp_path), str(tmp_path / "train.json")])
    printed = re.findall(r"^(\w+) +(.*?)  +(\d+)(?:   first: .*)?$", capsys.readouterr().out, re.MULTILINE)
    rows = [(what, reason, int(number)) for what, reason, number in printed]
    assert {reason: number for what, reason, number in rows if what == "ignored"} == ignored
    assert {reason: number for what, reason, number in rows if what == "lost"} == lost
    objects = Counter(one.name for frames in wanted.values() for frame in frames for one in frame if one.name)
    assert {reason: number for what, reason, number in rows if what == "read"} == objects


def test_regions_of_no_category_are_ignored_for_every_class(tmp_path):
    TREES["visdrone"](tmp_path)
    run([str(tmp_path), str(tmp_path / "train.json")])
    dataset = open_dataset(
        DataConfig(root=str(tmp_path), format="coco_vid", class_names=("car", "bus")), ("train",)
    )
    assert dataset.objects(0, 1).ignored.tolist() == [False, True, True]
    assert dataset.objects(0, 0).ignored.tolist() == [False]  # the other is of pedestrians


def test_categories_of_kitti_come_in_their_own_order(tmp_path):
    TREES["kitti"](tmp_path)
    with (tmp_path / "training/label_02/0000.txt").open("a") as file:
        file.write("\n1 4 Car 0 0 -1.57 5 5 20 20 -1 -1 -1 -1000 -1000 -1000 -10")
    run([str(tmp_path), str(tmp_path / "train.json")])
    assert open_dataset(config_of(tmp_path), ("train",)).class_names == ("Car", "Pedestrian")


def test_text_without_a_picture_is_counted_beside_pictures_too(tmp_path, capsys):
    pictures(tmp_path, "a_0.jpg", "a_1.jpg")
    text(tmp_path / "classes.txt", "cat")
    text(tmp_path / "a_0.txt", "0 0.5 0.5 0.5 0.5")
    text(tmp_path / "a_2.txt", "0 0.5 0.5 0.5 0.5")
    text(tmp_path / "notes.txt", "taken in the yard")
    run([str(tmp_path), str(tmp_path / "train.json")])
    assert re.search(r"text file without a picture +1 .*a_2\.txt", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("corners", "box"),
    [
        (("1", "2", "40", "30"), (0, 1, 39, 29)),  # pixels from 1
        (("0", "2", "40", "30"), (0, 2, 40, 30)),  # pixels from 0
        (("0.5", "2", "40", "30"), (0.5, 2, 39, 29)),  # points between pixels
    ],
)
def test_corners_of_voc_are_read_as_their_tool_counts(tmp_path, corners, box):
    pictures(tmp_path, "a.jpg")
    sides = "".join(
        f"<{side}>{x}</{side}>" for side, x in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    )
    thing = f"<object><name>dog</name><bndbox>{sides}</bndbox></object>"
    size = "<size><width>64</width><height>48</height></size>"
    text(tmp_path / "a.xml", f"<annotation>{size}{thing}</annotation>")
    run([str(tmp_path), str(tmp_path / "train.json")])
    found = seen(DataConfig(root=str(tmp_path), format="coco_vid", class_names=("dog",)))
    assert found == {"a": [[Seen("dog", box, -1)]]}
