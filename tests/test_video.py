"""The three events, their scan over segments, and the stream that feeds it."""

from functools import lru_cache, partial
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.models.temporal.single import Single
from lsts_jax.streaming import LiveDetector, VideoDetector
from lsts_jax.structs import STRIDE
from lsts_jax.video import Events, detect_video, empty_memory, events, keyframe_of
from tests.tiny import CANVAS, at, random_frames, tiny_config, tiny_detector


@pytest.fixture(scope="module")
def tiny():
    return tiny_detector(tiny_config())


@lru_cache
def jitted(detector):
    return Events(*(jax.jit(event) for event in events(detector)))


def by_events(detector, variables, frames, schedule, interval):
    """The schedule in plain Python, one frame at a time: what live use does."""
    start, on_keyframe, on_frame = jitted(detector)
    count, memory, found = len(frames.size), None, {}
    for begin in range(0, count, interval):
        length = min(interval, count - begin)
        keyframe = begin + keyframe_of(schedule, length, interval)
        frame = at(frames, keyframe)
        memory, found[keyframe] = (
            start(variables, frame) if memory is None else on_keyframe(variables, memory, frame)
        )
        for t in set(range(begin, begin + length)) - {keyframe}:
            found[t] = on_frame(variables, memory, at(frames, t))
    return [found[t] for t in range(count)]


def assert_same(found, expected):
    np.testing.assert_array_equal(found.valid, expected.valid)
    np.testing.assert_array_equal(found.classes, expected.classes)
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


@pytest.mark.parametrize(("schedule", "frames_per_batch"), [("online", 1), ("offline", 2)])
def test_stream_equals_the_events_one_by_one(tiny, schedule, frames_per_batch):
    detector, variables = tiny
    frames = random_frames(8)  # two whole segments of three, and one of two
    expected = by_events(detector, variables, frames, schedule, 3)
    video = VideoDetector(
        detector, variables, interval=3, schedule=schedule, frames_per_batch=frames_per_batch
    )
    found = list(video.stream(at(frames, t) for t in range(8)))
    assert len(found) == 8
    assert sum(int(f.valid.sum()) for f in found) > 8
    for one, wanted in zip(found, expected, strict=True):
        assert_same(one, wanted)


def test_videos_in_lockstep_are_the_videos_one_by_one(tiny):
    detector, variables = tiny
    videos = [random_frames(length, seed=length) for length in (4, 7, 1, 3)]
    detect = VideoDetector(detector, variables, interval=3, schedule="offline")
    each = lambda frames: (at(frames, t) for t in range(len(frames.size)))
    expected = [list(detect.stream(each(frames))) for frames in videos]
    found = [[] for _ in videos]
    waiting = [each(videos[0]), each(videos[1]), iter(()), each(videos[2]), each(videos[3])]
    for video, one in detect.stream_many(waiting, videos_per_batch=2):
        found[video - (video > 2)].append(one)
    assert [len(x) for x in found] == [4, 7, 1, 3]
    for one, wanted in zip(chain(*found), chain(*expected), strict=True):
        assert_same(one, wanted)


class Listed(Single):
    weights: list


def test_equal_detectors_are_compiled_once():
    """One for each evaluation during a training, or each time a run is loaded."""
    (detector, variables), equal = tiny_detector(tiny_config()), tiny_detector(tiny_config())[0].clone()
    make = partial(VideoDetector, interval=3, schedule="offline")
    assert make(detector, variables)._program(1) is make(equal, variables)._program(1)
    assert make(detector, variables)._program(1) is not make(equal, variables, frames_per_batch=2)._program(1)
    listed = detector.clone(temporal=Listed([1.0]))  # has no hash
    assert make(listed, variables)._program(1) is not make(listed, variables)._program(1)


def test_live_detection_is_the_online_schedule_and_restarts(tiny):
    detector, variables = tiny
    frames = random_frames(5)
    expected = by_events(detector, variables, frames, "online", 3)
    live = LiveDetector(detector, variables, interval=3)
    for _ in range(2):
        for t in range(5):
            assert_same(live.detect(at(frames, t)), expected[t])
        live.restart()


def test_memory_matters_and_only_keyframes_write_it(tiny):
    detector, variables = tiny
    frames = random_frames(3)
    start, on_keyframe, on_frame = jitted(detector)
    memory, _ = start(variables, at(frames, 0))
    other, _ = on_keyframe(variables, memory, at(frames, 1))
    assert float(jnp.abs(other.feature - memory.feature).max()) > 1e-3
    first, second = (on_frame(variables, m, at(frames, 2)) for m in (memory, other))
    assert float(jnp.abs(first.scores - second.scores).max()) > 1e-4


def test_a_new_video_forgets_the_memory(tiny):
    detector, variables = tiny
    frames = random_frames(1, 3)
    noise = jax.tree.map(lambda x: x + 7.0, empty_memory(detector, variables, at(at(frames, 0), 0)))
    empty = empty_memory(detector, variables, at(at(frames, 0), 0))
    run = jax.jit(partial(detect_video, detector))
    found = [
        run(variables, m, frames, jnp.array([1], jnp.int32), jnp.array([True]))[1] for m in (noise, empty)
    ]
    assert_same(*found)


def test_keyframe_positions():
    assert [keyframe_of("offline", n, 10) for n in (10, 5, 4, 1)] == [4, 4, 3, 0]
    assert keyframe_of("online", 10, 10) == 0
    assert keyframe_of("offline", 1, 1) == 0


def test_interval_of_one_frame_and_the_single_frame_detector_run(tiny):
    frames = random_frames(3)
    for config in (tiny_config(keyframe_interval=1), tiny_config(temporal="none")):
        detector, variables = tiny_detector(config)
        video = VideoDetector(
            detector, variables, interval=config.model.keyframe_interval, schedule="offline"
        )
        found = list(video.stream(at(frames, t) for t in range(3)))
        expected = by_events(detector, variables, frames, "offline", config.model.keyframe_interval)
        for one, wanted in zip(found, expected, strict=True):
            assert_same(one, wanted)


@pytest.mark.parametrize("temporal", ["srfu", "dfa", "copy"])
def test_half_detectors_use_the_memory_where_they_say(temporal):
    config = tiny_config(temporal=temporal)
    detector, variables = tiny_detector(config)
    start, on_keyframe, on_frame = map(jax.jit, events(detector))
    frame, other = (at(random_frames(1, seed=seed), 0) for seed in (0, 1))
    cells = jnp.array(CANVAS, jnp.int32) // STRIDE
    offsets = variables["params"].get("offsets")
    run = lambda part, *arrays: jax.jit(lambda v, *arrays: part(detector.bind(v), *arrays))(
        variables, *arrays
    )
    low = run(lambda bound, frame: bound.backbone.low(frame), frame)
    own = run(lambda bound, low: bound.backbone.high(low, frame.size), low)
    detect = jax.jit(lambda v, feature: detector.bind(v).detect(feature, frame))
    memory, _ = start(variables, other)

    renewed, on_key = on_keyframe(variables, memory, frame)
    updated = own
    if temporal == "srfu":
        updated = run(
            lambda bound, *maps: bound.temporal.srfu(*maps, offsets, cells).feature, memory.feature, own
        )
        assert not np.allclose(updated, own)
    np.testing.assert_allclose(renewed.feature, updated, atol=1e-4)
    assert_same(on_key, detect(variables, updated))

    lent = memory.feature
    if temporal == "dfa":
        lent = run(
            lambda bound, *maps: bound.temporal.dfa(*maps, offsets, cells).feature, memory.feature, low
        )
    assert_same(on_frame(variables, memory, frame), detect(variables, lent))
    assert ("offsets" in variables["params"]) == (temporal != "copy")


def test_single_frame_detector_does_not_look_at_other_frames():
    detector, variables = tiny_detector(tiny_config(temporal="none"))
    frames, others = random_frames(1, 3), random_frames(1, 3, seed=1)
    others = others._replace(pixels=others.pixels.at[0, 2].set(frames.pixels[0, 2]))
    memory = empty_memory(detector, variables, at(at(frames, 0), 0))
    run = jax.jit(partial(detect_video, detector))
    found = [
        run(variables, memory, x, jnp.array([1], jnp.int32), jnp.array([True]))[1] for x in (frames, others)
    ]
    assert_same(at(at(found[0], 0), 2), at(at(found[1], 0), 2))
