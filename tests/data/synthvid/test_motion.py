"""Paths of objects, wandering, bursts, and values between the ticks."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.data.synthvid import (
    motion,
)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), leave=st.floats(0, 1), speed=st.floats(0.001, 0.2))
def test_paths_never_outrun_the_distance_gone(seed, leave, speed):
    rng = np.random.default_rng(seed)
    distance = motion.travel(np.full(len(motion.clock(30)), speed))
    assert distance[-1] == pytest.approx(30 * speed)
    points = motion.path(rng, distance, extent=np.array([1.5, 1.0]), radius=0.2, leave=leave)
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    assert np.all(steps <= np.diff(distance) * (1 + 1e-6) + 1e-9)
    turns = np.linalg.norm(np.diff(points, n=2, axis=0), axis=1)
    assert turns.max() <= 0.3 * speed / motion.SUBSTEPS  # at a corner that is not rounded it may be 2
    if leave == 0:
        assert np.all(points >= 0) and np.all(points <= [1.5, 1.0])


def test_objects_leave_and_come_back():
    rng = np.random.default_rng(0)
    distance = motion.travel(np.full(len(motion.clock(400)), 0.05))
    points = motion.path(rng, distance, extent=np.array([1.5, 1.0]), radius=0.2, leave=0.5)
    gone = np.any((points < -0.2) | (points > [1.7, 1.2]), axis=1)
    assert np.abs(np.diff(gone.astype(int))).sum() >= 5


def test_wander_and_bursts_keep_their_ranges():
    rng = np.random.default_rng(0)
    times = motion.clock(200)
    curve = motion.wander(rng, times, 20.0)
    assert np.abs(curve).max() <= 1 and np.ptp(curve) > 0.5
    assert np.abs(np.diff(curve)).max() < 0.02
    envelope = motion.bursts(rng, times, every=20.0, length=(2.0, 5.0))
    assert envelope.min() == 0 and 0.5 <= envelope.max() <= 1
    assert 0.05 < (envelope > 0.4).mean() < 0.3
    assert not motion.bursts(rng, times, every=0.0, length=(2.0, 5.0)).any()


def test_values_between_the_ticks_are_interpolated():
    values = np.stack([motion.clock(4), motion.clock(4) ** 2], 1)
    found = motion.at(values, np.array([-0.5, 1.0, 1.01, 3.5]))
    np.testing.assert_allclose(found[:, 0], [-0.5, 1.0, 1.01, 3.5], atol=1e-12)
    np.testing.assert_allclose(found[:, 1], [0.25, 1.0, 1.0201, 12.25], atol=1e-3)


def test_motion_in_the_data_set_is_continuous(small):
    """In an easy video an object goes no further in a frame than its highest speed, and does not jerk."""
    for video in json.loads((small / "synthvid.json").read_text())["videos"].values():
        for track in video["tracks"]:
            steps = np.diff(np.array(track["centre"]), axis=0)
            assert np.all(np.linalg.norm(steps, axis=1) <= 0.024 * np.exp(0.5) * 48 + 0.02)
            if len(steps) > 1:
                assert np.linalg.norm(np.diff(steps, axis=0), axis=1).max() < 0.6
