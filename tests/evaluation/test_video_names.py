"""Files of a video are those that are named after it, and after no other."""

from pathlib import Path

import pytest

from lsts_jax.errors import UserError
from lsts_jax.evaluation.video_names import named_after

NAMES = ("val/day/clip", "val/night/clip", "val/rain", "rain")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        ("out/night/clip/detections.jsonl", 1),
        ("out/night/clip.jsonl", 1),
        ("night/clip/night.jsonl", 1),
        ("val/day/clip/coco.json", 0),
        ("out/rain/detections.jsonl", 3),
        ("out/val/rain/detections.jsonl", 2),
        ("out/detections.jsonl", None),
        ("out/detections/clip2.jsonl", None),
    ],
)
def test_the_longest_name_that_the_path_ends_with_is_meant(path, number):
    assert named_after(Path("/results") / path, NAMES) == number


@pytest.mark.parametrize("path", ["out/clip.jsonl", "clip/detections.jsonl", "dusk/clip/detections.jsonl"])
def test_names_that_several_videos_share_are_refused(path):
    with pytest.raises(UserError, match=r"belongs to val/day/clip or val/night/clip\?"):
        named_after(Path("/results") / path, NAMES)
