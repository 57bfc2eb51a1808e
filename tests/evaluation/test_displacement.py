"""Motion of the objects of a SynthVID, worked out by hand."""

import numpy as np
import pytest

from lsts_jax.evaluation.displacement import synthvid_motion


def track(path, annotated=None):
    return {"centre": path, "annotated": annotated or [1] * len(path)}


def moving(count, x=16.0, y=-8.0):
    return [(100 + x * t, 50 + y * t) for t in range(count)]


def truth(frames=6, **tracks):
    """A training video, and two to be scored on of which one has nothing to tell."""
    return {
        "videos": {
            "VID/train/a": {"defocus": [0] * 4, "tracks": [track(moving(4, 160, 0))]},
            "VID/val/b": {"defocus": [0] * frames, "tracks": list(tracks.values())},
            "VID/val/c": {"defocus": [0] * 6, "tracks": []},
        }
    }


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        # segments 0 to 3 and 4 to 5; 16 pixels are a cell, and the object goes one right and half up a frame
        ("online", [(-1, 0.5), (-2, 1), (-3, 1.5), (-1, 0.5)]),  # keyframes 0 and 4
        ("offline", [(1, -0.5), (-1, 0.5), (-2, 1), (1, -0.5)]),  # keyframes 1 and 5
    ],
)
def test_motion_of_an_object(schedule, expected):
    found = synthvid_motion(truth(one=track(moving(6))), interval=4, schedule=schedule)
    np.testing.assert_allclose(found, expected)


def test_motion_in_a_segment_that_ends_before_its_keyframe():
    """The last of the segment is its keyframe then, here the only frame."""
    found = synthvid_motion(truth(5, one=track(moving(5))), interval=4, schedule="offline")
    np.testing.assert_allclose(found, [(1, -0.5), (-1, 0.5), (-2, 1)])


def test_motion_is_in_cells_of_the_network_input():
    found = synthvid_motion(truth(one=track(moving(6))), interval=4, schedule="online", scale=0.25)
    np.testing.assert_allclose(found[0], (-0.25, 0.125))


def test_motion_of_what_is_annotated_at_both_ends():
    hidden_key = track(moving(6), [0, 1, 1, 1, 1, 1])  # the first segment has no keyframe of it
    hidden_frame = track(moving(6), [1, 1, 0, 1, 1, 0])
    at_rest = track([(7, 7)] * 6)
    find = lambda **tracks: synthvid_motion(truth(**tracks), interval=4, schedule="online")
    np.testing.assert_allclose(find(a=hidden_key), [(-1, 0.5)])
    np.testing.assert_allclose(find(a=hidden_frame), [(-1, 0.5), (-3, 1.5)])
    np.testing.assert_allclose(
        find(a=at_rest, b=hidden_frame), [(0, 0), (0, 0), (0, 0), (0, 0), (-1, 0.5), (-3, 1.5)]
    )


def test_motion_of_a_split():
    found = synthvid_motion(truth(), interval=4, schedule="online", split="train")
    np.testing.assert_allclose(found, [(-10, 0), (-20, 0), (-30, 0)])
    assert synthvid_motion(truth(), interval=4, schedule="online").shape == (0, 2)
