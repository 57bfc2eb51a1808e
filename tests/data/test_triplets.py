"""Triplets: the ranges of both schedules, uniform, clamped to the video."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsts_jax.data.triplets import key_ranges, sample_keys
from lsts_jax.video import keyframe_of


@pytest.mark.parametrize(
    "schedule, old, new",
    [("offline", range(40, 45), range(45, 55)), ("online", range(35, 40), range(40, 50))],
)
def test_every_frame_of_the_ranges_is_drawn_equally_often(schedule, old, new):
    rng = np.random.default_rng(0)
    drawn = np.array([sample_keys(rng, 50, 100, key_ranges(schedule, 10)) for _ in range(5000)])
    for column, frames in zip(drawn.T, (old, new), strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert values.tolist() == list(frames)
        assert np.all(np.abs(counts - 5000 / len(frames)) < 5 * np.sqrt(5000 / len(frames)))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06  # drawn independently


@given(st.integers(1, 40), st.data(), st.sampled_from(["offline", "online"]), st.integers(0, 99))
def test_clamping_keeps_the_order_and_the_video(num_frames, data, schedule, seed):
    t = data.draw(st.integers(0, num_frames - 1))
    ranges = key_ranges(schedule, 10)
    old, new = sample_keys(np.random.default_rng(seed), t, num_frames, ranges)
    free_old, free_new = sample_keys(np.random.default_rng(seed), t + 1000, 2000, ranges)
    assert (old, new) == tuple(np.clip([free_old - 1000, free_new - 1000], 0, num_frames - 1))
    assert 0 <= old <= new < num_frames


def test_a_still_is_all_three():
    assert sample_keys(np.random.default_rng(0), 0, 1, key_ranges("offline", 10)) == (0, 0)


@pytest.mark.parametrize("interval", range(1, 21))
def test_training_sees_every_distance_to_a_keyframe_that_detection_has(interval):
    for schedule in ("offline", "online"):
        ranges = key_ranges(schedule, interval)
        keyframe = keyframe_of(schedule, interval, interval)
        distances = {keyframe - t for t in range(interval)}
        others = distances - {0}
        assert set(range(*key_ranges(schedule, interval, 1)[0])) == distances
        assert others <= set(range(*ranges[1]))
        assert ranges[0][0] < ranges[0][1] == ranges[1][0]  # the old key lies before the new, next to it


def test_ranges_scale_with_the_interval():
    assert key_ranges("offline", 20) == ((-20, -10), (-10, 10))
    assert key_ranges("online", 4) == ((-6, -4), (-4, 0))


def test_frames_of_one_reach_differ_until_they_are_clamped():
    ranges = key_ranges("online", 10, 2, (-2, 3))
    assert ranges == ((-2, 3), (-2, 3)) and key_ranges("online", 10, 0, (-2, 3)) == ()
    rng = np.random.default_rng(0)
    drawn = {sample_keys(rng, 50, 100, ranges) for _ in range(500)}
    assert drawn == {(50 + a, 50 + b) for a in range(-2, 3) for b in range(-2, 3) if a != b}
    assert (99, 99) in {sample_keys(rng, 99, 100, ranges) for _ in range(50)}
