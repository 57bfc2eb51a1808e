"""Evaluation of a data set: every listed frame once, in lockstep or not, and again after it was killed."""

import json
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from lsts_jax.config import EvaluationConfig
from lsts_jax.data.open import open_dataset
from lsts_jax.evaluation import runner
from lsts_jax.evaluation.detections import FrameDetections, join, read_text
from lsts_jax.evaluation.results import MARK
from lsts_jax.evaluation.runner import evaluate
from lsts_jax.evaluation.store import store_key
from tests.data.trees import picture, write_list, write_picture, write_xml
from tests.tiny import tiny_config, tiny_detector

LENGTHS = (4, 7, 2)


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    """A detector, and a data set of three videos of two shapes."""
    root, config = tmp_path_factory.mktemp("tree"), tiny_config()
    rng = np.random.default_rng(0)
    lines, first = [], 1
    for video, length in enumerate(LENGTHS):
        size = (96, 64) if video == 1 else (64, 96)
        for t in range(length):
            image = picture(50 * video, size)
            image[10:40, 5 + t : 50 + t] = rng.integers(0, 256, (30, 45, 3))
            write_picture(root / f"Data/VID/val/{video}/{t:06d}.JPEG", image)
            found = [("disc", 0, 5 + t, 10, 49 + t, 39)]
            write_xml(root / f"Annotations/VID/val/{video}/{t:06d}.xml", found, size)
        lines.append(f"val/{video} {first} 0 {length}")
        first += length
    write_list(root, "VID_val_videos", *lines)
    data = replace(config.data, root=str(root), canvases=((64, 96), (96, 64)))
    config = replace(config, data=data)
    return *tiny_detector(config), config, open_dataset(data, data.val_lists)


@pytest.fixture(scope="module")
def whole(setting, tmp_path_factory):
    folder = tmp_path_factory.mktemp("eval")
    return folder, evaluate(*setting, folder).metrics


def equal(found, wanted):
    order = lambda x: np.lexsort((-x.scores, x.frame))
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a[order(found)], b[order(wanted)], atol=2e-2)


def test_what_is_written(whole):
    folder, metrics = whole
    assert json.loads((folder / "metrics.json").read_text()) == metrics
    assert (metrics["frames"], metrics["measured_frames"]) == (13, 13)
    assert metrics["fps"] == pytest.approx(13 / metrics["seconds"])
    found = read_text(folder / "detections.txt", 3)
    assert set(found.frame) == set(range(13))
    assert {path.name for path in folder.iterdir()} == {"metrics.json", "detections.txt", MARK}


def test_lockstep_changes_nothing(setting, whole, tmp_path):
    detector, variables, config, dataset = setting
    config = replace(config, evaluation=EvaluationConfig(videos_per_batch=2, frames_per_batch=2))
    metrics = evaluate(detector, variables, config, dataset, tmp_path).metrics
    assert metrics["mAP"] == pytest.approx(whole[1]["mAP"], abs=1e-6)
    equal(read_text(tmp_path / "detections.txt", 3), read_text(whole[0] / "detections.txt", 3))


def test_a_killed_evaluation_goes_on_with_the_next_video(setting, whole, tmp_path, monkeypatch):
    """Killed in the upright video, the last: others are not detected again, but with other weights."""
    read, asked = runner.read_frame, []

    def dies(dataset, video, t, config):
        asked.append((video, t))
        if (video, t) == (1, 3):
            raise KeyboardInterrupt
        return read(dataset, video, t, config)

    monkeypatch.setattr(runner, "read_frame", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(*setting, tmp_path, step=5)
    assert [file.name for file in sorted((tmp_path / "videos").glob("*.npz"))] == ["000000.npz", "000002.npz"]
    monkeypatch.setattr(runner, "read_frame", lambda *args: asked.append(args[1:3]) or read(*args))
    asked.clear()
    metrics = evaluate(*setting, tmp_path, step=5).metrics
    assert {video for video, _ in asked} == {1}
    assert (metrics["frames"], metrics["measured_frames"]) == (13, 7)
    assert metrics["mAP"] == pytest.approx(whole[1]["mAP"], abs=1e-9)
    equal(read_text(tmp_path / "detections.txt", 3), read_text(whole[0] / "detections.txt", 3))

    monkeypatch.setattr(runner, "read_frame", dies)
    with pytest.raises(KeyboardInterrupt):
        evaluate(*setting, tmp_path, step=5)
    monkeypatch.setattr(runner, "read_frame", read)
    detector, variables, config, dataset = setting
    retrained = jax.tree.map(lambda x: x + 0.01, variables)
    assert evaluate(detector, retrained, config, dataset, tmp_path, step=5).metrics["measured_frames"] == 13


def test_stored_videos_are_those_of_the_weights_and_the_frames(setting):
    _, variables, config, dataset = setting
    key = store_key(variables, config, dataset)
    assert store_key(variables, config, dataset) == key
    retrained = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 1e-3 if "offsets" in str(path) else x, variables
    )
    assert store_key(retrained, config, dataset) != key
    for line in ("val/1 5 0 4", "val/1 5 0 3", "val/0 5 0 4"):  # another video, fewer frames, another id
        write_list(Path(config.data.root), "VID_edited", line, "val/2 12 0 2")
        keys = [store_key(variables, config, open_dataset(config.data, ("VID_edited",)))]
        assert key not in keys
        key = keys[0]


def test_stored_videos_are_those_of_a_methods_own_source(setting, tmp_path):
    _, variables, config, dataset = setting
    config = replace(config, model=replace(config.model, temporal=f"{tmp_path / 'mine.py'}:Mine"))
    keys = []
    for source in ("a = 1", "a = 2"):
        (tmp_path / "mine.py").write_text(source)
        keys.append(store_key(variables, config, dataset))
    assert keys[0] != keys[1]


def test_results_of_an_earlier_evaluation_do_not_stand_beside_new_ones(setting, tmp_path, monkeypatch):
    detector, variables, config, dataset = setting
    monkeypatch.setattr(runner, "_detect_missing", lambda *args: (0, 0.0))
    monkeypatch.setattr(runner.VideoStore, "read", lambda *args: join([]))
    folder = tmp_path / "eval"
    folder.mkdir()
    for name in ("report.html", "speed.json", "detections.txt", "notes.txt"):
        (folder / name).write_text("old")
    metrics = evaluate(detector, variables, config, dataset, folder, step=7, checkpoint="best").metrics
    assert {path.name for path in folder.iterdir()} == {"notes.txt", "metrics.json", "detections.txt"}
    assert (folder / "detections.txt").read_text() == ""
    assert (metrics["step"], metrics["checkpoint"], metrics["fps"]) == (7, "best", None)
    assert metrics["class_names"] == list(dataset.class_names) and metrics["mAP"] == 0
    assert json.loads((folder / "metrics.json").read_text()) == metrics


def test_seq_nms_is_given_what_no_frame_has_suppressed(setting, tmp_path, monkeypatch):
    """A weaker box of the same place is the rest of the same object, and goes only there."""
    detector, variables, config, dataset = setting
    config = replace(config, evaluation=EvaluationConfig(seq_nms=True))
    thresholds = []

    def detects(detector, variables, config, dataset, store):
        thresholds.append(detector.rfcn.nms_threshold)
        for video, length in enumerate(LENGTHS):
            ids = range(sum(LENGTHS[:video]), sum(LENGTHS[: video + 1]))
            boxes = np.float32([[5, 10, 49, 39], [6, 10, 50, 39]])
            scores = [np.float32([0.2 + 0.1 * t, 0.1]) for t in range(length)]
            one = np.int32([1, 1])
            rows = zip(ids, scores, strict=True)
            store.write(video, join(FrameDetections(frame, one, row, boxes) for frame, row in rows))
        return 13, 1.0

    monkeypatch.setattr(runner, "_detect_missing", detects)
    found = evaluate(detector, variables, config, dataset, tmp_path).detections
    assert thresholds == [1.0] and detector.rfcn.nms_threshold < 1
    means = [0.2 + 0.05 * (length - 1) for length in LENGTHS]
    np.testing.assert_allclose(found.scores, np.repeat(means, LENGTHS), rtol=1e-5)
