"""The temporal method of CONTRIBUTING.md outside the package: trained, loaded; and one that lags behind."""

import re
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

import lsts_jax
from lsts_jax.cli import load_config
from lsts_jax.commands import train
from lsts_jax.config_io import load_saved_config
from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset
from lsts_jax.errors import UserError
from lsts_jax.export import plain_events
from lsts_jax.models.temporal import build_temporal, load_method
from lsts_jax.streaming import LiveDetector, VideoDetector
from lsts_jax.structs import FrameFeature, Memory
from lsts_jax.video import events
from tests.pages import python_blocks
from tests.tiny import at, random_frames, tiny_config, tiny_detector

ROOT = Path(__file__).parents[1]
EXAMPLE = next(
    block.parsed for block in python_blocks("CONTRIBUTING.md") if "class RunningAverage" in block.parsed
)
LAGGING = """
import jax.numpy as jnp
from lsts_jax.models.temporal.protocol import Temporal, high_feature
from lsts_jax.structs import FrameFeature


class Lagging(Temporal):
    delay = 2  # each frame is detected on its own feature, two frames later

    @classmethod
    def from_config(cls, config):
        return cls()

    def key(self, backbone, frame):
        return high_feature(backbone, frame)

    def start(self, key):
        ring = (key.feature, key.feature)
        return {"older": ring[0], "old": ring[1]}, FrameFeature(key.feature)

    def on_keyframe(self, memory, key):
        return {"older": memory["old"], "old": key.feature}, FrameFeature(memory["older"])

    other = key

    def on_frame(self, memory, other):
        return FrameFeature(other.feature)
"""


@pytest.fixture
def example(tmp_path) -> Path:
    file = tmp_path / "running_average.py"
    file.write_text(EXAMPLE)
    return file


def test_the_example_trains_and_its_run_can_be_moved(example, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    settings = SynthVIDConfig(videos=1, val_videos=1, frames=6, height=64, width=96, stills=0)
    data = tmp_path / "data"
    render_dataset(data, settings, workers=1, progress=False)
    options = {"data.root": data, "data.train_lists": "VID_train_15frames", "train.epochs": 1.0}
    arguments = ["--config", example, "--workdir", tmp_path / "run"]
    arguments += [word for name, value in options.items() for word in (f"--config.{name}", value)]
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
        train.run([str(argument) for argument in arguments])
        train.run([str(argument) for argument in arguments])  # goes on, with nothing left to do
        example.write_text(EXAMPLE.replace("10.0", "1.0"))
        with pytest.raises(UserError, match="the run has config"):
            train.run([str(argument) for argument in arguments])
    example.unlink()
    moved = (tmp_path / "run").rename(tmp_path / "moved")
    loaded = lsts_jax.load(moved)
    gate = float(loaded.variables["params"]["average_gate"])
    assert gate != 0  # it was trained
    picture = np.zeros((64, 96, 3), np.uint8)
    assert [result.frame_index for result in map(loaded.live(), [picture] * 3)] == [0, 1, 2]
    assert load_saved_config(moved / "config.json").model.temporal == f"{moved}/temporal.py:RunningAverage"


def test_the_example_averages(example):
    method = build_temporal(load_config(example).model)
    variables = {"params": {"average_gate": jnp.float32(0)}}
    bound = method.bind(variables)
    old, new = (FrameFeature(jnp.full((1, 1, 2), value)) for value in (1.0, 3.0))
    memory, bundle = bound.on_keyframe(Memory(old.feature), new)
    np.testing.assert_allclose(bundle.feature, 2.0)
    np.testing.assert_allclose(memory.feature, 2.0)


def test_no_such_method(example):
    for temporal, named in {
        "flow": "'flow'; expected lsts, srfu, dfa, copy, dff, fgfa, thp, none",
        f"{example}:Average": "defines no Temporal named 'Average'",
        "nowhere.py:Average": "nowhere.py: no such file",
    }.items():
        with pytest.raises(UserError, match=re.escape(named)):
            build_temporal(tiny_config(temporal=temporal).model)


def test_programs_of_a_method_that_carries_several_arrays(tmp_path):
    (tmp_path / "lagging.py").write_text(LAGGING)
    detector, variables = tiny_detector(tiny_config(temporal=f"{tmp_path / 'lagging.py'}:Lagging"))
    plain, own = plain_events(detector), events(detector)
    weights = flatten_dict(variables, sep="/")
    first, second = (at(random_frames(2), t) for t in range(2))
    memory, *_ = jax.jit(plain["start"])(weights, *first)
    assert sorted(memory) == ["old", "older"]
    _, *found = jax.jit(plain["on_keyframe"])(weights, memory, *second)
    wanted = jax.jit(own.on_keyframe)(variables, jax.jit(own.start)(variables, first)[0], second)[1]
    np.testing.assert_allclose(found[1], wanted.scores, atol=1e-6)


def test_detections_of_a_method_that_lags_are_those_of_their_frames(tmp_path):
    (tmp_path / "lagging.py").write_text(LAGGING)
    frames = random_frames(5)
    detector, variables = tiny_detector(
        tiny_config(temporal=f"{tmp_path / 'lagging.py'}:Lagging", keyframe_interval=1)
    )
    start = jax.jit(events(detector).start)
    expected = [start(variables, at(frames, t))[1] for t in range(5)]
    video = VideoDetector(detector, variables, interval=1, schedule="online")
    each = lambda count: (at(frames, t) for t in range(count))
    found = list(video.stream(each(5)))
    assert len(found) == 5
    assert [len(list(video.stream(each(count)))) for count in (1, 2)] == [1, 2]
    live = LiveDetector(detector, variables, interval=1)
    one_by_one = [live.detect(at(frames, t)) for t in range(5)]
    assert one_by_one[:2] == [None, None]
    for rows in (found, one_by_one[2:] + live.flush()):
        for row, wanted in zip(rows, expected, strict=True):
            np.testing.assert_allclose(row.scores, wanted.scores, atol=1e-5)


def test_files_of_one_name_are_two_methods_and_a_file_is_run_once(tmp_path):
    for folder, delay in (("a", 1), ("b", 2)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own.py").write_text(LAGGING.replace("delay = 2", f"delay = {delay}"))
    first, second, again = (load_method(tmp_path / folder / "own.py", "Lagging") for folder in "aba")
    assert (first.delay, second.delay) == (1, 2) and again is first
    assert sys.modules[first.__module__].Lagging is first


def test_what_a_methods_file_raises_is_told_in_a_line(tmp_path):
    (tmp_path / "broken.py").write_text("import lsts_jax.no_such_part\n")
    with pytest.raises(UserError, match=r"broken\.py: ModuleNotFoundError: No module named"):
        load_method(tmp_path / "broken.py", "Own")
