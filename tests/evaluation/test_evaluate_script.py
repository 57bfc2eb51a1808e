"""`evaluate.py` on detections that are there already, as a user types it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.cli import load_config
from lsts_jax.commands.evaluate import run
from lsts_jax.config_io import save_config
from lsts_jax.errors import UserError
from lsts_jax.evaluation.detections import FrameDetections, join, jsonl_writer, write_text
from lsts_jax.evaluation.results import MARK
from tests.data.trees import write_list, write_xml

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("disc", "star")
LENGTHS = {"v0": 5, "v1": 4}


@pytest.fixture
def arguments(tmp_path):
    """A config, and a data set that has no pictures."""
    first = 1
    lines = []
    for video, length in LENGTHS.items():
        for t in range(length):
            found = [("disc", 0, 10 + 5 * t, 10, 59 + 5 * t, 59), ("star", 1, 100, 10, 149, 59)]
            write_xml(tmp_path / f"data/Annotations/VID/val/{video}/{t:06d}.xml", found, (200, 200))
        lines.append(f"val/{video} {first} 0 {length}")
        first += length
    write_list(tmp_path / "data", "VID_val_videos", *lines)
    names = ["--config.data.class_names", *NAMES]
    config = ["--config", str(ROOT / "configs/tiny.py"), "--config.data.root", str(tmp_path / "data"), *names]
    return [*config, "--workdir", str(tmp_path / "work")]


def frame(number, t, *, shift=0.0, score=0.9):
    """Both objects, the star `shift` pixels beside itself."""
    boxes = np.array([[10 + 5 * t, 10, 59 + 5 * t, 59], [100 + shift, 10, 149 + shift, 59]], np.float32)
    return FrameDetections(number, np.array([1, 2], np.int32), np.array([score, score], np.float32), boxes)


def all_frames(**changes):
    places = [t for length in LENGTHS.values() for t in range(length)]
    return [frame(number, t, **changes) for number, t in enumerate(places)]


def read(path):
    return json.loads(path.read_text())


def test_detections_of_anybody_are_scored(arguments, tmp_path, capsys):
    write_text(tmp_path / "theirs.txt", join(all_frames(shift=30.0)))
    run([*arguments, "--detections", str(tmp_path / "theirs.txt")])
    metrics = read(tmp_path / "work/scored/metrics.json")
    assert metrics["AP"] == {"disc": 1.0, "star": 0.0}
    assert (metrics["mAP"], metrics["frames"], metrics["detections"]) == (0.5, 9, 18)
    assert metrics["mAP by motion"]["slow"] == 0.0  # the star stands
    assert metrics["mAP by motion"]["fast"] == 1.0  # the disc moves
    assert metrics["mAP by size"] == {"medium": 0.5}
    assert metrics["COCO"]["AP50"] == pytest.approx(0.5)
    assert "mAP by motion" in capsys.readouterr().out


def test_files_of_videos_are_scored_together(arguments, tmp_path):
    for video, length in LENGTHS.items():
        folder = tmp_path / "out" / video
        folder.mkdir(parents=True)
        with jsonl_writer(folder / "detections.jsonl", NAMES) as write:
            for t in range(length):
                write(frame(t, t))
    run([*arguments, "--detections", str(tmp_path / "out")])
    assert read(tmp_path / "work/scored/metrics.json")["mAP"] == 1.0


def test_thresholds_by_class(arguments, tmp_path):
    write_text(tmp_path / "theirs.txt", join(all_frames(score=0.6)))
    command = [*arguments, "--detections", str(tmp_path / "theirs.txt")]
    run([*command, "--config.evaluation.score_thresholds", "0.6", "0.7"])
    assert read(tmp_path / "work/scored/metrics.json")["AP"] == {"disc": 1.0, "star": 0.0}
    with pytest.raises(UserError, match="3 values for 2 classes"):
        run([*command, "--config.evaluation.score_thresholds", "0.5", "0.7", "0.1"])


def test_seq_nms_lends_scores_along_the_video(arguments, tmp_path):
    """A box elsewhere outscores the objects of one frame, until these get the mean of their track."""
    frames = all_frames()
    low = frames[2]._replace(scores=np.array([0.1, 0.1], np.float32))
    stray = FrameDetections(
        2, np.array([1], np.int32), np.array([0.5], np.float32), np.array([[0, 150, 49, 199]], np.float32)
    )
    write_text(tmp_path / "theirs.txt", join([*frames[:2], low, stray, *frames[3:]]))
    command = [*arguments, "--detections", str(tmp_path / "theirs.txt")]
    run(command)
    before = read(tmp_path / "work/scored/metrics.json")["AP"]["disc"]
    run([*command, "--config.evaluation.seq_nms", "True"])
    after = read(tmp_path / "work/scored/metrics.json")["AP"]["disc"]
    assert before == pytest.approx((8 + 0.9) / 9)
    assert after == 1.0


def test_two_sets_are_compared(arguments, tmp_path, capsys):
    write_text(tmp_path / "a.txt", join(all_frames(shift=30.0)))
    write_text(tmp_path / "b.txt", join(all_frames()))
    run([*arguments, "--compare", str(tmp_path / "a.txt"), str(tmp_path / "b.txt")])
    found = read(tmp_path / "work/compared/comparison.json")
    assert (found["mAP"]["a"], found["mAP"]["b"], found["mAP"]["low"], found["mAP"]["high"]) == (
        0.5,
        1,
        0.5,
        0.5,
    )
    assert found["AP"]["star"]["b_wins"] == 1.0
    assert found["videos"] == {"val/v0": {"a": 0.5, "b": 1.0}, "val/v1": {"a": 0.5, "b": 1.0}}
    assert "B is better in 100.0 % of 1000 draws" in capsys.readouterr().out


def test_one_of_both(arguments, tmp_path):
    with pytest.raises(UserError, match="give one of them"):
        run([*arguments, "--detections", "a.txt", "--compare", "a.txt", "b.txt"])


def edited(arguments, **values):
    """The command with other values of options; None leaves an option out."""
    done, rest = [], list(arguments)
    while rest:
        option = rest.pop(0)
        given = [rest.pop(0)]
        while rest and not rest[0].startswith("--"):
            given.append(rest.pop(0))
        key = option.removeprefix("--").split(".")[-1]
        given = values.pop(key, given)
        done += [] if given is None else [option, *map(str, given)]
    return done


@pytest.fixture
def trained(arguments, tmp_path):
    """A folder with the config of a run, whose data the arguments name."""
    config = load_config(ROOT / "configs/tiny.py")
    data = replace(config.data, root=str(tmp_path / "data"), class_names=NAMES)
    (tmp_path / "run").mkdir()
    save_config(replace(config, data=data), tmp_path / "run/config.json")
    return tmp_path / "run"


def test_a_run_is_evaluated_by_its_own_config(trained, tmp_path):
    write_text(tmp_path / "theirs.txt", join(all_frames(score=0.6)))
    command = ["--workdir", str(trained), "--detections", str(tmp_path / "theirs.txt"), "--no_report"]
    run(command)
    assert read(trained / "scored/metrics.json")["mAP"] == 1.0
    run([*command, "--config.evaluation.score_thresholds", "0.7"])
    assert read(trained / "scored/metrics.json")["mAP"] == 0.0
    with pytest.raises(UserError, match=r"data: no config\.json there; .* or give --config PATH"):
        run([*command, "--workdir", str(tmp_path / "data")])
    for line in (command[2:], [], ["--workdir"]):
        with pytest.raises(UserError, match="--workdir"):
            run(line)


def test_a_detector_is_not_scored_by_the_names_of_another_order(arguments, trained):
    (trained / "checkpoints/1").mkdir(parents=True)
    for names in (NAMES[::-1], ("disc", "moon")):
        with pytest.raises(UserError, match="run was trained on disc star, in this order"):
            run(edited(arguments, workdir=[trained], class_names=names))


def test_results_go_where_output_says(arguments, tmp_path):
    write_text(tmp_path / "theirs.txt", join(all_frames()))
    command = [*edited(arguments, workdir=[tmp_path / "data"]), "--output", str(tmp_path / "out")]
    run([*command, "--detections", str(tmp_path / "theirs.txt"), "--no_report"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"metrics.json", MARK}
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"Annotations", "ImageSets"}
    (tmp_path / "file").write_text("no folder")
    command = edited(command, output=[tmp_path / "file"])
    with pytest.raises(UserError, match="file: File exists; name another folder, --output FOLDER"):
        run([*command, "--detections", str(tmp_path / "theirs.txt")])


def test_nothing_found_is_scored_and_compared(arguments, tmp_path):
    write_text(tmp_path / "a.txt", join(all_frames()))
    write_text(tmp_path / "b.txt", join([]))
    for video in LENGTHS:
        (tmp_path / "none" / video).mkdir(parents=True)
        with jsonl_writer(tmp_path / "none" / video / "detections.jsonl", NAMES) as write:
            write(FrameDetections(0, *join([])[1:]))
    run([*arguments, "--detections", str(tmp_path / "none")])
    metrics = read(tmp_path / "work/scored/metrics.json")
    assert (metrics["mAP"], metrics["detections"]) == (0.0, 0)
    assert metrics["AP"] == {"disc": 0.0, "star": 0.0} and metrics["COCO"]["AP"] == 0.0
    for a, b, values in (("a.txt", "b.txt", (1, 0)), ("none", "a.txt", (0, 1)), ("none", "b.txt", (0, 0))):
        run([*arguments, "--compare", str(tmp_path / a), str(tmp_path / b)])
        found = read(tmp_path / "work/compared/comparison.json")["mAP"]
        assert (found["a"], found["b"]) == values
        assert (tmp_path / "work/compared/report.html").exists()
    run([*arguments, "--config.evaluation.seq_nms", "True", "--detections", str(tmp_path / "b.txt")])
    assert read(tmp_path / "work/scored/metrics.json")["mAP"] == 0.0


def test_an_old_report_does_not_stand_beside_new_scores(arguments, tmp_path):
    write_text(tmp_path / "a.txt", join(all_frames()))
    command = [*arguments, "--detections", str(tmp_path / "a.txt")]
    run(command)
    assert (tmp_path / "work/scored/report.html").exists()
    run([*command, "--no_report"])
    assert {path.name for path in (tmp_path / "work/scored").iterdir()} == {"metrics.json"}
