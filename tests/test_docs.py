"""The programs of docs/data.md run, and what they write is the data that they were given."""

import re
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.open import open_dataset
from tests.data.trees import write_imagenet

PAGE = Path(__file__).parents[1] / "docs" / "data.md"
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """The working folder holds what the page's first command makes."""
    monkeypatch.chdir(tmp_path)
    return write_imagenet(tmp_path / "runs" / "synthvid")


def same_objects(data, wanted):
    for video, one in enumerate(wanted.videos):
        for t in range(one.num_frames):
            found, expected = data.objects(video, t), wanted.objects(video, t)
            np.testing.assert_allclose(found.boxes, expected.boxes)
            np.testing.assert_array_equal(found.classes > 0, expected.classes > 0)
            np.testing.assert_array_equal(data.frame(video, t), wanted.frame(video, t))


def test_coco_vid(tree):
    exec(compile(PROGRAMS[0], "docs/data.md", "exec"), {})
    for name in ("VID_train_15frames", "VID_val_videos"):
        given = open_dataset(DataConfig(root=str(tree), class_names=()), (name,))
        found = open_dataset(DataConfig(root=str(tree), format="coco_vid", class_names=()), (name,))
        assert found.class_names == given.class_names
        assert [video.num_frames for video in found.videos] == [video.num_frames for video in given.videos]
        same_objects(found, given)


def test_mot(tree):
    exec(compile(PROGRAMS[1], "docs/data.md", "exec"), {})
    given = open_dataset(DataConfig(root=str(tree), class_names=()), ("VID_val_videos",))
    config = DataConfig(root="runs/sequences", format="mot", class_names=())
    found = open_dataset(config, ("S1",))
    assert found.class_names == ("person",)
    same_objects(found, given)
