"""Bursts of blur and occlusion: how many frames, the same in any order and process, and marks of objects."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from lsts_jax.config import DataConfig, DegradeConfig
from lsts_jax.data.dataset import Counted, VideoDataset
from lsts_jax.data.degrade import Burst, Degraded, bursts_of, degrade, original
from lsts_jax.data.formats.mot import MOTChallenge
from lsts_jax.data.open import open_dataset
from tests.data.trees import write_sequence

SETTINGS = DegradeConfig(share=0.45)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    """A sequence of 25 frames with an object in every one."""
    root = tmp_path_factory.mktemp("mot")
    gt = "".join(f"{t},1,10,10,20,20,1,-1,-1,-1\n" for t in range(1, 26))
    write_sequence(root / "S", 25, gt)
    return DataConfig(root=str(root), format="mot", class_names=("person",), degrade=SETTINGS)


@pytest.mark.parametrize("share", [0.1, 0.45, 1.0])
def test_the_share_of_frames_is_met(share):
    frames = [bursts_of(replace(SETTINGS, share=share), f"video {i}", 60) for i in range(300)]
    degraded = np.array([[burst is not None for burst in video] for video in frames])
    assert abs(degraded.mean() - share) < 0.02
    assert abs(degraded[:, 0].mean() - share) < 0.1  # of first frames too
    assert {burst.kind for video in frames for burst in video if burst} == set(SETTINGS.kinds)


def test_bursts_are_stretches_and_depend_on_name_and_seed_alone():
    once = bursts_of(SETTINGS, "a", 500)
    assert once == bursts_of.__wrapped__(SETTINGS, "a", 500)
    assert once != bursts_of(SETTINGS, "b", 500)
    assert once != bursts_of(replace(SETTINGS, seed=1), "a", 500)
    long = bursts_of(SETTINGS, "a", 5000)
    lengths = [long.count(burst) for burst in set(long) - {None, long[0], long[-1]}]
    assert (min(lengths), max(lengths)) == (5, 15)


def test_objects_in_bursts_are_marked_and_frames_may_be_read_in_any_order(config):
    dataset, plain = (
        open_dataset(config, ("S",)),
        open_dataset(replace(config, degrade=DegradeConfig()), ("S",)),
    )
    assert isinstance(dataset, VideoDataset) and isinstance(dataset, Counted)
    assert isinstance(original(dataset), MOTChallenge) and type(plain) is MOTChallenge
    other = pickle.loads(pickle.dumps(dataset))
    for t in (20, 2, 17, 20):
        np.testing.assert_array_equal(dataset.frame(0, t), other.frame(0, t))
    degraded = [bool(dataset.objects(0, t).degraded.all()) for t in range(25)]
    assert degraded == [burst is not None for burst in bursts_of(SETTINGS, "S", 25)]
    assert 0 < sum(degraded) < 25
    for t in (degraded.index(True), degraded.index(False)):
        np.testing.assert_array_equal(dataset.objects(0, t).boxes, plain.objects(0, t).boxes)
    clean = degraded.index(False)
    np.testing.assert_array_equal(dataset.frame(0, clean), plain.frame(0, clean))


def test_objects_that_are_marked_already_stay_marked(config):
    plain = open_dataset(replace(config, degrade=DegradeConfig()), ("S",))
    plain.objects = lambda video, t, read=plain.objects: read(video, t)._replace(degraded=np.ones(1, bool))
    dataset = Degraded(plain, SETTINGS)
    assert all(dataset.objects(0, t).degraded.all() for t in range(25))


def test_blur_smears_and_bars_cover_half():
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[43:47, 58:62] = 240
    for kind in ("motion_blur", "defocus"):
        blurred = degrade(picture, Burst(kind, 1.0, 0.0)).astype(float)
        assert blurred.max() < 200
        np.testing.assert_allclose(blurred.sum(), picture.sum(), rtol=0.03)
    columns = (degrade(picture, Burst("motion_blur", 1.0, 0.0))[..., 0] > 0).any(0).sum()
    rows = (degrade(picture, Burst("motion_blur", 1.0, 0.0))[..., 0] > 0).any(1).sum()
    assert columns > 10 and rows == 4  # along the motion, not across it

    noise = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    covered = degrade(noise, Burst("occlusion", 0.5, 1.0))
    assert abs((covered != noise).any((0, 2)).mean() - 0.5) < 0.1
