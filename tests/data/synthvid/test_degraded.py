"""Marks of degraded objects: by hand, against the truth, and in the scores."""

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.config import DataConfig
from lsts_jax.data.open import open_dataset
from lsts_jax.data.synthvid.render import (
    ObjectState,
    is_degraded,
)
from lsts_jax.evaluation.matching import DetectionArrays
from lsts_jax.evaluation.scoring import read_truth, score_all


@pytest.mark.parametrize(
    ("blur", "defocus", "covered", "degraded"),
    [
        (3.9, 1.9, 0.49, False),
        (4.0, 0.0, 0.0, True),
        (0.0, 2.0, 0.0, True),
        (0.0, 0.0, 0.5, True),
    ],
)
def test_degraded_by_hand(blur, defocus, covered, degraded):
    state = ObjectState(0, 0, (0.0, 0.0), (0, 0, 9, 9), blur, 1.0, covered)
    assert is_degraded(state, defocus, 100) == degraded


def read_marks(root: Path) -> dict[tuple[str, int, int], int]:
    """By video, frame and track."""
    marks = {}
    for path in (root / "Annotations" / "VID").rglob("*.xml"):
        for thing in ElementTree.parse(path).getroot().iter("object"):
            assert [child.tag for child in thing][-2:] == ["degraded", "generated"]
            video = str(path.parent.relative_to(root / "Annotations"))
            marks[video, int(path.stem), int(thing.findtext("trackid"))] = int(thing.findtext("degraded"))
    return marks


def test_marks_agree_with_the_truth(marked):
    """4 % and 2 % of 48 pixels, but for what rounding to two decimals decides."""
    marks = read_marks(marked)
    truth = json.loads((marked / "synthvid.json").read_text())["videos"]
    causes = np.zeros(3, int)
    for (video, frame, trackid), mark in marks.items():
        track = truth[video]["tracks"][trackid]
        excess = np.array(
            [
                track["blur"][frame] - 0.04 * 48,
                truth[video]["defocus"][frame] - 0.02 * 48,
                track["covered"][frame] - 0.5,
            ]
        )
        if np.abs(excess).min() > 0.006:
            assert mark == (excess > 0).any()
            causes += (excess > 0) & (np.sum(excess > 0) == 1)
    assert (causes >= 3).all()
    assert 0.2 < np.mean(list(marks.values())) < 0.7


def test_stills_are_not_marked(marked):
    for path in (marked / "Annotations" / "DET").rglob("*.xml"):
        assert "degraded" not in path.read_text()


def test_scores_of_degraded_and_of_clean_objects(marked, small):
    """Of a detector that finds all that is clean, and nothing else."""
    data = open_dataset(DataConfig(root=str(marked), class_names=()), ("VID_val_videos",))
    truth = read_truth(data)
    marks = {key: mark for key, mark in read_marks(marked).items() if "/val/" in key[0]}
    assert truth.degraded.sum() == sum(marks.values()) and len(truth.degraded) == len(marks)
    clean = ~truth.degraded
    found = DetectionArrays(
        truth.annotations.frame[clean],
        truth.annotations.classes[clean],
        np.ones(clean.sum(), np.float32),
        truth.annotations.boxes[clean],
    )
    metrics = score_all(truth, found, data.class_names)
    assert metrics["mAP by degraded"] == {"degraded": 0.0, "clean": pytest.approx(1.0)}
    data = open_dataset(DataConfig(root=str(small), class_names=()), ("VID_val_videos",))
    truth = read_truth(data)
    assert truth.degraded is None
    assert "mAP by degraded" not in score_all(truth, found, data.class_names)
