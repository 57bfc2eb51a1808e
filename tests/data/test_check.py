"""What the doctor says of annotations that readers cannot use, and of data sets as a whole."""

import json
from dataclasses import replace

import pytest

from lsts_jax.config import DataConfig, ModelConfig
from lsts_jax.data.check import check, remove_earlier, run
from lsts_jax.data.doctor.report import to_text
from lsts_jax.errors import UserError
from tests.data.trees import picture, write_coco, write_picture, write_sequence


def coco(root, *, images=4, step=1, track=True, video=True, box=(5, 5, 20, 20)):
    """A config of pictures with a dog each; ids of images count by `step`, those in annotations by 1."""
    items = []
    for t in range(images):
        write_picture(root / f"a/{t}.png", picture(20 * t))
        place = {"video_id": 1, "frame_id": t} if video else {}
        items.append({"id": 1 + t * step, "file_name": f"a/{t}.png", **place})
    more = {"instance_id": 3} if track else {}
    boxes = [{"image_id": 1 + t, "category_id": 3, "bbox": list(box), **more} for t in range(images - 1)]
    boxes.append(
        {"image_id": 1, "category_id": 3, "bbox": [5, 5, 20, 20], "instance_id": 4} if track else boxes[0]
    )
    write_coco(root, "x", items, boxes, videos=[{"id": 1, "name": "a"}])
    return DataConfig(root=str(root), format="coco_vid", class_names=(), train_lists=("x",), val_lists=())


def kinds(report):
    return report.facts["findings by kind"]


def test_annotations_of_another_frame_step_are_fatal(tmp_path):
    report = check(coco(tmp_path, step=10))[0]
    assert report.facts["annotations lost"] == {"of no image": 2}
    assert "2 of 4 annotations cannot be used" in report.fatal and "x.json: annotations[1]" in report.fatal
    assert kinds(report)["annotation that cannot be used"] == 1
    assert not check(replace(coco(tmp_path, step=10), max_bad_share=0.5))[0].fatal


def test_boxes_drawn_backwards_are_told(tmp_path):
    report = check(coco(tmp_path, box=(25, 25, -20, -20)))[0]
    assert report.facts["annotations lost"] == {"of no area": 3} and "of no area" in report.fatal
    text = to_text(report)
    assert "annotations lost" in text and "3 of no area, first " in text


@pytest.mark.parametrize(
    "options, expected",
    [
        ({}, set()),
        ({"track": False}, {"no tracks"}),
        ({"track": False, "video": False}, {"no tracks", "no videos"}),
    ],
)
def test_a_data_set_without_tracks_or_videos_is_told(tmp_path, options, expected):
    report = check(coco(tmp_path, **options))[0]
    assert kinds(report).keys() & {"no tracks", "no videos"} == expected and not report.fatal


def test_the_table_of_a_sequence(tmp_path, capsys):
    """Rows of no picture, of other classes, ignored: all with their numbers."""
    rows = "1,1,5,5,9,9,1,1,1\n2,1,5,5,9,9,0,1,1\n3,1,5,5,9,9,1,7,1\n9,1,5,5,9,9,1,1,1\n"
    write_sequence(tmp_path / "data/S", 3, rows)
    data = ("--config.data.format", "mot", "--config.data.root", str(tmp_path / "data"))
    lists = ("--config.data.train_lists", "S", "--config.data.val_lists", "S")
    names = ("--config.data.class_names", "person")
    with pytest.raises(SystemExit) as status:
        run(["--config", "configs/tiny.py", *data, *lists, *names, "--out", str(tmp_path / "out")])
    assert status.value.code == 1
    told = capsys.readouterr().out
    assert (
        "FATAL: 1 of 4 annotations cannot be used: 1 of no picture, first " in told
        and "gt.txt, line 4" in told
    )
    content = json.loads((tmp_path / "out/check.json").read_text())["train"]
    assert content["ignored regions"] == {"conf 0": 1, "class 7, not pedestrian": 1}
    assert content["annotations lost"] == {"of no picture": 1}


@pytest.mark.parametrize(("temporal", "frames"), [("none", 1), ("dff", 10), ("lsts", 15), ("fgfa", 19)])
def test_every_frame_that_training_can_draw_is_read(tmp_path, temporal, frames):
    """Around the only sample, frame 12 of 30: for LSTS 10 before to 4 after, for FGFA 9 before and after."""
    items = [{"id": t, "file_name": f"a/{t}.png", "video_id": 1, "frame_id": t} for t in range(30)]
    for item in items:
        write_picture(tmp_path / item["file_name"], picture(5 * item["id"]))
    items[12]["is_vid_train_frame"] = True
    boxes = [{"image_id": 12, "category_id": 3, "bbox": [5, 5, 20, 20], "instance_id": 1}]
    write_coco(tmp_path, "x", items, boxes, videos=[{"id": 1, "name": "a"}])
    config = DataConfig(str(tmp_path), "coco_vid", class_names=(), train_lists=("x",), val_lists=())
    (report,) = check(config, model=ModelConfig(temporal=temporal))
    assert report.facts["samples"] == 1 and report.facts["frames read"] == frames


@pytest.mark.parametrize("name, content", [("check.json", '{"mine": 1}'), ("contact_sheet.png", "mine")])
def test_files_of_others_stay_and_stale_ones_go(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"{name}: no check wrote it"):
        remove_earlier(tmp_path)
    assert (tmp_path / name).read_text() == content
    (tmp_path / "check.json").write_text('{"train": {"fatal": null, "findings": []}}')
    (tmp_path / "contact_sheet.png").write_text("of an earlier check")
    remove_earlier(tmp_path)
    assert not any(tmp_path.iterdir())


def test_a_sheet_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(UserError, match="nowhere/sheet"):
        check(coco(tmp_path), tmp_path / "nowhere" / "sheet.png")
