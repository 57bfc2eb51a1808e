"""The Python blocks of README and docs run as they stand."""

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.config_io import save_config
from lsts_jax.data.open import open_dataset
from lsts_jax.data.video.writer import VideoWriter
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from tests.data.trees import write_imagenet, write_picture
from tests.pages import ROOT, python_blocks
from tests.tiny import tiny_config, tiny_detector

ELSEWHERE = {"CONTRIBUTING.md": "tests/test_own_method.py", "docs/export.md": "tests/test_export.py"}
TESTED = {"README.md", "docs/python.md", "docs/data.md"}


def test_no_page_has_blocks_that_no_test_runs():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    names = [page.relative_to(ROOT).as_posix() for page in pages]
    assert {name for name in names if python_blocks(name)} == TESTED | set(ELSEWHERE)


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A working folder like the root of the repository after `make demo`, with an untrained tiny detector."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    config, workdir = tiny_config(), tmp_path / "runs" / "demo"
    detector, variables = tiny_detector(config)
    workdir.mkdir(parents=True)
    save_config(config, workdir / "config.json")
    optimizer = build_optimizer(config.optimizer, 10, detector.temporal)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(init_state(detector, optimizer, variables, 0))
    pictures = np.random.default_rng(0).integers(0, 256, (4, 60, 110, 3), np.uint8)
    folder = workdir / "synthvid/Data/VID/val/ILSVRC2015_val_00000000"
    with VideoWriter(tmp_path / "clip.mp4", 10, (60, 110)) as video:
        for t, picture in enumerate(pictures):
            write_picture(folder / f"{t:06d}.JPEG", picture)
            video.write(picture)
    return tmp_path


def test_readme(root, capsys):
    (block,) = python_blocks("README.md")
    block.evaluate()
    assert block.namespace["result"].frame_index == 3
    assert block.namespace["picture"].shape == (60, 110, 3)


def test_detector_of_the_python_page(root, capsys):
    *blocks, _ = python_blocks("docs/python.md")
    for block in blocks:
        block.evaluate()
    assert block.namespace["detector"].class_names == ("disc", "square", "star")
    assert block.namespace["result"].track_ids is not None


@pytest.mark.slow  # half a minute of compilation
def test_method_of_the_python_page(root, capsys):
    *_, block = python_blocks("docs/python.md")
    block.evaluate()
    assert block.namespace["slope"].shape == block.namespace["variables"]["params"]["offsets"].shape
    assert np.any(block.namespace["slope"])


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
    python_blocks("docs/data.md")[0].evaluate()
    for name in ("VID_train_15frames", "VID_val_videos"):
        given = open_dataset(DataConfig(root=str(tree), class_names=()), (name,))
        found = open_dataset(DataConfig(root=str(tree), format="coco_vid", class_names=()), (name,))
        assert found.class_names == given.class_names
        assert [video.num_frames for video in found.videos] == [video.num_frames for video in given.videos]
        same_objects(found, given)


def test_mot(tree):
    python_blocks("docs/data.md")[1].evaluate()
    given = open_dataset(DataConfig(root=str(tree), class_names=()), ("VID_val_videos",))
    config = DataConfig(root="runs/sequences", format="mot", class_names=())
    found = open_dataset(config, ("S1",))
    assert found.class_names == ("person",)
    same_objects(found, given)
