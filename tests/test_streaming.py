"""Videos in lockstep on several devices; sources that pause, fail, or are left."""

import os
import subprocess
import sys
from itertools import islice
from threading import Event
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.streaming import VideoDetector
from lsts_jax.structs import Detections

PROGRAM = """
import jax, numpy as np
from lsts_jax.streaming import VideoDetector
from tests.tiny import random_frames, tiny_config, tiny_detector

assert jax.device_count() == 4
config = tiny_config()
detector, variables = tiny_detector(config)
video = lambda n: [jax.tree.map(lambda x: np.asarray(x[t]), random_frames(n, seed=n)) for t in range(n)]
videos = [video(n) for n in range(2, 9)]
found = {}
for lanes in (1, 4):
    run = VideoDetector(detector, variables, interval=3, schedule="offline")
    found[lanes] = [[] for _ in videos]
    for video, one in run.stream_many(videos, videos_per_batch=lanes):
        found[lanes][video].append(one)
    devices = {d for x in jax.tree.leaves(run.variables) for d in x.devices()}
    assert len(devices) == lanes, devices
for lanes in (4,):
    for one, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(found[lanes]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
assert [len(video) for video in found[4]] == [2, 3, 4, 5, 6, 7, 8]
print("equal")
"""


def test_any_number_of_devices_finds_the_same():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr[-2000:]


@pytest.fixture
def numbers():
    """A detector of segments of 4 frames, without a model: it finds the number of each frame."""
    detector = object.__new__(VideoDetector)
    detector.interval, detector.detector = 4, SimpleNamespace(temporal=SimpleNamespace(delay=0))

    def dispatch(memory, segments, first):
        found = jnp.array([[[*frames, *[-1] * (4 - len(frames))]] for frames in segments])
        return None, Detections(found, found, found, found)

    detector._dispatch = dispatch
    return detector


def test_a_source_that_pauses_gives_what_is_ready_and_can_be_left(numbers):
    goes_on, left = Event(), Event()

    def source():
        try:
            yield from range(10)
            goes_on.wait()
            yield 10
        finally:
            left.set()

    stream = numbers.stream(source())
    assert [int(found.scores) for found in islice(stream, 8)] == list(
        range(8)
    )  # two segments of four, while it pauses
    stream.close()  # does not wait for the source
    assert not left.is_set()
    goes_on.set()
    assert left.wait(10)


def test_what_came_before_an_exception_is_given(numbers):
    def source(count):
        yield from range(count)
        raise OSError("the tape has torn")

    for count in (0, 3, 12, 15):
        found = []
        with pytest.raises(OSError, match="torn"):
            for one in numbers.stream(source(count)):
                found.append(int(one.scores))
        assert found == list(range(count))


def test_a_source_is_read_but_so_far(numbers):
    taken = []
    stream = numbers.stream(taken.append(n) or np.int32(n) for n in range(1000))
    next(stream)
    stream.close()
    assert len(taken) <= 4 * 6
