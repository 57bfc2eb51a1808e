"""Latencies by kind of frame, without the segments that compile."""

import pytest

from lsts_jax.outputs.latency import Latencies


@pytest.mark.parametrize(("delay", "first"), [(0, 6), (2, 8)])
def test_keyframes_and_other_frames_are_apart_and_frames_that_compile_left_out(delay, first):
    latencies = Latencies(3, delay)
    for t in range(first + 3):
        latencies.add(9.0 if t < first else 0.02 if t % 3 == 0 else 0.01)
    assert latencies.summary() == f"latency is measured from frame {first} on: the video is too short"
    for t in range(first + 3, first + 9):
        latencies.add(0.02 if t % 3 == 0 else 0.01)
    assert latencies.count == first + 9
    assert latencies.summary().partition(": ")[2] == (
        "keyframes 20.0 ms, 95 % below 20.0; other frames 10.0 ms, 95 % below 10.0"
    )
