"""The bootstrap against what it stands for: data sets in which videos are repeated."""

import numpy as np
import pytest

from lsts_jax.evaluation.compare import _rank, average_precision, compare, table
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, match
from tests.evaluation.metric import vid_map

NAMES = ("ant", "bee")
VIDEOS, FRAMES = 10, 4
VIDEO_OF_FRAME = np.repeat(np.arange(VIDEOS, dtype=np.int32), FRAMES)
VIDEO_NAMES = tuple(f"video{i}" for i in range(VIDEOS))


def random_case(seed, skill=0.5):
    """An object or two a frame, and detections of which a share of `skill` lies on them."""
    rng = np.random.default_rng(seed)
    frame = np.sort(rng.integers(0, VIDEOS * FRAMES, 60)).astype(np.int32)
    corner = rng.integers(0, 200, (60, 2))
    boxes = np.concatenate([corner, corner + 49], axis=1).astype(np.float32)
    classes = rng.integers(1, 3, 60).astype(np.int32)
    annotations = Annotations(frame, classes, boxes, rng.random(60) < 0.1)
    scores = rng.permutation(60).astype(np.float32) / 60
    good = rng.random(60) < skill
    return annotations, DetectionArrays(
        frame, classes, scores, boxes + np.where(good, 3, 300)[:, None].astype(np.float32)
    )


def repeated(arrays, times):
    """The data set with each video as often as `times` says."""
    parts, shift = [], 0
    for video, count in enumerate(times):
        for _ in range(count):
            rows = VIDEO_OF_FRAME[arrays.frame] == video
            parts.append([column[rows] for column in arrays])
            parts[-1][0] = parts[-1][0] - video * FRAMES + shift
            shift += FRAMES
    return type(arrays)(*(np.concatenate(column) for column in zip(*parts, strict=True)))


@pytest.mark.parametrize("seed", range(20))
def test_weights_are_repetitions(seed):
    annotations, found = random_case(seed)
    ranked = _rank(annotations, found, match(annotations, found, 2), VIDEO_OF_FRAME, VIDEOS)
    times = np.random.default_rng(seed).integers(0, 4, VIDEOS)
    wanted = vid_map(repeated(annotations, times), repeated(found, times), NAMES).AP
    for of_class, name in zip(ranked, NAMES, strict=True):
        assert average_precision(of_class, times.astype(float)) == pytest.approx(wanted[name], abs=1e-12)


def test_figures_are_those_of_the_metric():
    annotations, a = random_case(0, skill=0.3)
    _, b = random_case(0, skill=0.8)
    found = compare(annotations, a, b, NAMES, VIDEO_OF_FRAME, VIDEO_NAMES, resamples=200)
    assert (found.mAP.a, found.mAP.b) == pytest.approx([vid_map(annotations, x, NAMES).mAP for x in (a, b)])
    for name in NAMES:
        wanted = [vid_map(annotations, x, NAMES).AP[name] for x in (a, b)]
        assert (found.AP[name].a, found.AP[name].b) == pytest.approx(wanted)
    for video, name in enumerate(VIDEO_NAMES):
        only = (np.arange(VIDEOS) == video).astype(int)
        alone = repeated(annotations, only)
        wanted = [vid_map(alone, repeated(x, only), NAMES).mAP for x in (a, b)]
        assert found.videos[name] == pytest.approx(wanted)
    assert found.unit == "videos"
    assert found.mAP.low > 0 and found.mAP.b_wins == 1.0  # b finds far more
    assert found.mAP.low < found.mAP.b - found.mAP.a < found.mAP.high
    assert "B is better in 100.0 % of 200 draws of videos" in table(found, ("a.txt", "b.txt"))


def test_the_interval_holds_nothing_where_there_is_no_difference():
    annotations, a = random_case(3)
    found = compare(annotations, a, a, NAMES, VIDEO_OF_FRAME, VIDEO_NAMES, resamples=50)
    assert (found.mAP.low, found.mAP.high, found.mAP.b_wins) == (0, 0, 0)


def test_the_interval_is_as_wide_as_the_spread_of_videos():
    """One class, a video each is found or not: the share found has a binomial spread."""
    count = 64
    frame = np.arange(count, dtype=np.int32)
    box = np.tile(np.array([0, 0, 99, 99], np.float32), (count, 1))
    one = np.ones(count, np.int32)
    annotations = Annotations(frame, one, box, np.zeros(count, bool))
    some, nothing = np.arange(0, count, 2), np.zeros(0, int)
    a, b = (DetectionArrays(frame[x], one[x], np.ones(len(x), np.float32), box[x]) for x in (nothing, some))
    found = compare(annotations, a, b, ("ant",), frame, tuple(map(str, frame)))
    assert (found.mAP.a, found.mAP.b) == (0.0, 0.5)
    width = 2 * 1.96 * (0.25 / count) ** 0.5
    assert found.mAP.high - found.mAP.low == pytest.approx(width, rel=0.1)


def test_few_videos_are_cut_into_blocks():
    annotations, a = random_case(1, skill=0.3)
    _, b = random_case(1, skill=0.8)
    one = np.zeros(VIDEOS * FRAMES, np.int32)
    found = compare(annotations, a, b, NAMES, one, ("all",), resamples=100)
    assert found.unit == "blocks of 30 frames"
    assert found.mAP.low < found.mAP.high
    assert set(found.videos) == {"all"}
