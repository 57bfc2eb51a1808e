"""Triplets: the ranges of both schedules, uniform, clamped to the video."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsts_jax.data.triplets import sample_triplet


@pytest.mark.parametrize(
    "schedule, old, new",
    [("offline", range(40, 45), range(45, 55)), ("online", range(35, 40), range(40, 50))],
)
def test_every_frame_of_the_ranges_is_drawn_equally_often(schedule, old, new):
    rng = np.random.default_rng(0)
    drawn = np.array([sample_triplet(rng, 50, 100, schedule) for _ in range(5000)])
    for column, frames in zip(drawn.T, (old, new), strict=True):
        values, counts = np.unique(column, return_counts=True)
        assert values.tolist() == list(frames)
        assert np.all(np.abs(counts - 5000 / len(frames)) < 5 * np.sqrt(5000 / len(frames)))
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 0.06  # drawn independently


@given(st.integers(1, 40), st.data(), st.sampled_from(["offline", "online"]), st.integers(0, 99))
def test_clamping_keeps_the_order_and_the_video(num_frames, data, schedule, seed):
    t = data.draw(st.integers(0, num_frames - 1))
    old, new = sample_triplet(np.random.default_rng(seed), t, num_frames, schedule)
    free_old, free_new = sample_triplet(np.random.default_rng(seed), t + 1000, 2000, schedule)
    assert (old, new) == tuple(np.clip([free_old - 1000, free_new - 1000], 0, num_frames - 1))
    assert 0 <= old <= new < num_frames


def test_a_still_is_all_three():
    assert sample_triplet(np.random.default_rng(0), 0, 1, "offline") == (0, 0)
