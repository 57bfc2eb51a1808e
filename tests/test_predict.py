"""predict.py with a detector that finds one box: whose files are read, and whose are written over."""

import csv
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import lsts_jax
from lsts_jax.api import Result
from lsts_jax.commands import predict
from lsts_jax.data.video.source import SourceFrame, VideoSource
from lsts_jax.data.video.video_io import open_source
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.errors import UserError
from lsts_jax.outputs import sources as named_sources
from tests.data.trees import write_picture
from tests.data.video.clips import retime, write_clip

REPOSITORY = Path(__file__).parents[1]


class Detector:
    """Finds the box of its left upper quarter in each frame."""

    class_names = ("cat",)
    interval, delay = 2, 0

    def stream(self, video, *, live):
        for number, time, picture, name in video:
            box = np.float32([[0, 0, picture.shape[1] // 2, picture.shape[0] // 2]])
            found = (picture, box, np.float32([0.9]), np.int32([1]), self.class_names)
            yield Result(number, time, *found, 0.01, file_name=name)


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """A folder to run in; detectors are made without a checkpoint."""
    monkeypatch.setattr(lsts_jax, "load", lambda *_, **__: Detector())
    monkeypatch.setattr(predict.cli, "prepare_jax", lambda: None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def video(path, frames):
    with VideoWriter(path, 10, (32, 48)) as written:
        for t in range(frames):
            written.write(np.full((32, 48, 3), 9 * t, np.uint8))


def pictures(folder, *names, size=(32, 48)):
    folder.mkdir(exist_ok=True, parents=True)
    for name in names:
        write_picture(folder / name, np.zeros((*size, 3), np.uint8))


def run(*sources, output="out", save=("video", "jsonl"), **options):
    more = [str(x) for key, value in options.items() for x in (f"--{key}", value)]
    known = ["--workdir", "run", "--output", output, "--save", *save]
    predict.run([*known, *more, "--source", *map(str, sources)])


def lines(place):
    """Frames of each detections.jsonl, by its folder."""
    return {
        file.parent.relative_to(place).as_posix(): [
            json.loads(x)["frame"] for x in file.read_text().splitlines()
        ]
        for file in place.rglob("detections.jsonl")
    }


class Camera:
    """A live source of `frames` frames, then it stalls until it is closed."""

    def __init__(self, name, frames):
        self.name, self.frames = name, frames
        self.stalled, self.closed = threading.Event(), threading.Event()

    def open(self):
        return VideoSource(self.name, (32, 48), 10.0, None, self.read, is_live=True, close=self.closed.set)

    def read(self):
        for number in range(self.frames):
            yield SourceFrame(number, number / 10, np.zeros((32, 48, 3), np.uint8))
        self.stalled.set()
        self.closed.wait(20)


@pytest.fixture
def cameras(monkeypatch):
    """Two cameras, one of which stalls at once, in place of two addresses."""
    made = {f"rtsp://{name}": Camera(name, frames) for name, frames in (("yard", 0), ("door", 5))}
    monkeypatch.setattr(named_sources, "open_source", lambda text: made[str(text)].open())
    return list(made.values())


def test_a_stalled_camera_holds_up_no_other_and_an_interrupt_ends_all(cameras, monkeypatch):
    """The interrupt comes when both cameras wait for frames."""

    def interrupted(waiting):
        assert all(camera.stalled.wait(20) for camera in cameras)
        raise KeyboardInterrupt

    monkeypatch.setattr(predict, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run("rtsp://yard", "rtsp://door", save=("jsonl",))
    assert sorted(map(len, lines(Path("out")).values())) == [0, 5]


def test_the_source_is_not_written_over(place):
    video("clip.mp4", 3)
    before = (place / "clip.mp4").read_bytes()
    with pytest.raises(UserError, match=r"clip\.mp4: exists, but no earlier run"):
        run("clip.mp4", output=".")
    assert [file.name for file in place.iterdir()] == ["clip.mp4"]
    assert (place / "clip.mp4").read_bytes() == before


def test_sources_of_one_name_have_results_of_their_own(place):
    for file, frames in (("a/clip.mp4", 3), ("b/clip.mp4", 2), ("b/clip.avi", 1)):
        (place / file).parent.mkdir(exist_ok=True)
        video("new.mp4", frames)
        os.rename("new.mp4", file)
    run("a/clip.mp4", "b/clip.mp4")
    assert lines(place) == {"out/a/clip": [0, 1, 2], "out/b/clip": [0, 1]}
    run("b")  # a folder of videos, into the folder of before
    assert lines(place) == {"out/clip_mp4": [0, 1], "out/clip_avi": [0]}
    assert len(list(open_source(place / "out" / "clip_mp4" / "clip_mp4.mp4"))) == 2


def test_pictures_named_one_by_one_are_one_sequence(place):
    pictures(place / "cam [1]", "f2.png", "f10.png", "f1.png")
    files = sorted((place / "cam [1]").iterdir())
    for sources in (files, ["cam [1]/*.png"], ["cam [1]"]):
        run(*sources, save=("jsonl", "csv", "coco", "video"))
        assert lines(place) == {"out": [0, 1, 2]}
        rows = list(csv.DictReader((place / "out" / "detections.csv").read_text().splitlines()))
        assert [row["file_name"] for row in rows] == ["f1.png", "f2.png", "f10.png"]
        assert (
            next(row["file_name"] for row in json.loads((place / "out" / "coco.json").read_text()))
            == "f1.png"
        )
        assert (place / "out" / "cam [1].mp4").is_file()


def test_names_that_are_no_utf8(place):
    pictures(place / "caf\udce9", "\udcff1.png", "ü.png")
    run("caf\udce9", save=("video", "jsonl", "csv", "coco", "crops"))
    names = [json.loads(x)["file_name"] for x in (place / "out/detections.jsonl").read_text().splitlines()]
    assert sorted(names) == ["\\xff1.png", "ü.png"]
    run("caf\udce9", output="caf\udce9/out")
    assert (place / "caf\udce9" / "out" / "caf_xe9.mp4").stat().st_size > 0


def test_an_empty_selection_is_a_line_and_leaves_valid_results(place):
    video("clip.mp4", 3)
    with pytest.raises(UserError, match=r"clip\.mp4: no frame between"):
        run("clip.mp4", start=5, save=("video", "jsonl", "csv", "coco", "mot"))
    assert not (place / "out" / "clip.mp4").exists()
    assert json.loads((place / "out" / "coco.json").read_text()) == []
    for wrong in ({"start": 3, "end": 3}, {"max_frames": 0}, {"stride": 0}):
        with pytest.raises(UserError, match=r"--(end|max_frames|stride)"):
            run("clip.mp4", **wrong)


def test_no_more_frames_are_read_than_asked_for(place):
    video("clip.mp4", 6)
    run("clip.mp4", max_frames=2, stride=2, start=1)
    assert lines(place) == {"out": [1, 3]}


def test_a_run_that_fails_before_it_detects_leaves_the_earlier_results(place, monkeypatch):
    video("clip.mp4", 3)
    run("clip.mp4")

    def fail(*_, **__):
        raise UserError("no checkpoint")

    monkeypatch.setattr(lsts_jax, "load", fail)
    with pytest.raises(UserError, match="no checkpoint"):
        run("clip.mp4")
    with pytest.raises(UserError, match="nothing"):
        run("clip.mp4", "nothing")
    assert lines(place) == {"out": [0, 1, 2]}


@pytest.mark.parametrize("sources", [("bad.mp4", "clip.mp4"), ("clip.mp4", "bad.mp4", "other.mp4")])
def test_a_source_that_cannot_be_read_does_not_end_the_run(place, caplog, sources):
    (place / "bad.mp4").write_bytes(b"no video")
    for name in ("clip.mp4", "other.mp4"):
        video(name, 2)
    with pytest.raises(UserError, match=rf"1 of {len(sources)} sources cannot be read: bad\.mp4"):
        run(*sources)
    assert "bad.mp4: not one frame" in caplog.text
    assert lines(place) == {f"out/{name[:-4]}": [0, 1] for name in sources if name != "bad.mp4"}
    with pytest.raises(UserError, match=r"bad\.mp4: not one frame"):
        run("bad.mp4")
    assert len(lines(place)) == len(sources) - 1  # of the earlier run


def test_a_stride_keeps_the_times_of_a_variable_rate(place):
    times = [0, 0.1, 0.2, 0.3, 2.5, 2.55, 2.6, 2.65]
    retime(write_clip(place / "v.mp4", 8), times)
    run("v.mp4", stride=2, save=("video", "jsonl", "csv"))
    read = [json.loads(line) for line in (place / "out/detections.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["time"]) for line in read] == [(t, times[t]) for t in (0, 2, 4, 6)]
    rows = csv.DictReader((place / "out/detections.csv").read_text().splitlines())
    assert [float(row["time"]) for row in rows] == times[::2]
    written = open_source(place / "out/v.mp4")
    assert 2.6 <= len(list(written)) / written.fps <= 2.85


def test_the_command_runs_without_home_and_account():
    environment = {key: value for key, value in os.environ.items() if key != "HOME"}
    as_nobody = "import pwd, runpy; pwd.getpwuid = lambda uid: {}[uid]; "
    as_nobody += "runpy.run_path('predict.py', {}, '__main__')"
    command = [sys.executable, "-c", as_nobody, "--workdir", "run", "--source", "none.mp4", "--output", "out"]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "none.mp4: no such file" in done.stderr
