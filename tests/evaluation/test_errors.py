"""Kinds of errors and their costs: by hand, and against nested loops and data sets that are really mended."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsts_jax.evaluation import matching
from lsts_jax.evaluation.errors import KINDS, confusion, costs, find_errors
from lsts_jax.evaluation.matching import match
from tests.evaluation.metric import vid_map
from tests.evaluation.test_vid_map import annotate, annotation, detect, detection

NAMES = ("ant", "bee")
ANT, BEE = 1, 2
BIG = (0, 0, 99, 99)  # asks for an IoU of 0.5
THIRD = (50, 0, 149, 99)  # overlaps BIG by 1/3
FAR = (500, 500, 599, 599)


def found(annotations, detections, names=NAMES):
    """Names of the errors, what they are about, the missed objects, and the costs that are not 0."""
    matches = match(annotations, detections, len(names))
    errors = find_errors(annotations, detections, matches)
    cost = costs(annotations, detections, matches, errors, names)
    kinds = [KINDS[kind] if kind >= 0 else None for kind in errors.kind]
    cost = {name: value for name, value in cost.items() if abs(value) > 1e-12}
    return kinds, errors.about.tolist(), np.flatnonzero(errors.missed).tolist(), cost


def test_class_errors():
    annotations = annotate((0, ANT, BIG), (1, BEE, BIG))
    # AP: ant 0, bee 1/2 (a false one first). The false bee becomes the ant: both 1.
    detections = detect((0, BEE, 0.9, BIG), (1, BEE, 0.8, BIG))
    assert found(annotations, detections) == (["class", None], [0, -1], [], {"class": 1 - 0.25})
    # The ant is found as well, so that the false bee only goes: bee from 1/2 to 1.
    detections = detect((0, BEE, 0.9, BIG), (0, ANT, 0.85, BIG), (1, BEE, 0.8, BIG))
    kinds, _, missed, cost = found(annotations, detections)
    assert (kinds, missed, cost) == (["class", None, None], [], {"class": 1 - 0.75})


def test_of_errors_about_one_object_the_best_is_mended():
    annotations = annotate((0, ANT, BIG), (1, BEE, BIG), (1, ANT, FAR))
    # Ant: AP 1/2 (one of two). Both false bees are about the ant of frame 0; mended, one is a true ant of
    # score 0.9 and the other gone. Bee: 1/3 to 1. Mended: (1 + 1) / 2.
    detections = detect(
        (0, BEE, 0.9, BIG), (0, BEE, 0.85, (0, 0, 99, 89)), (1, BEE, 0.8, BIG), (1, ANT, 0.3, FAR)
    )
    kinds, about, missed, cost = found(annotations, detections)
    assert kinds == ["class", "class", None, None]
    assert (about, missed) == ([0, 0, -1, -1], [])
    assert cost == {"class": pytest.approx(1 - (1 / 2 + 1 / 3) / 2)}


def test_location_errors():
    annotations = annotate((0, ANT, BIG))
    assert found(annotations, detect((0, ANT, 0.9, THIRD))) == (["location"], [0], [], {"location": 1})
    # The object is taken by a worse one: the error goes, AP from 1/2 to 1.
    both = detect((0, ANT, 0.9, THIRD), (0, ANT, 0.8, BIG))
    assert found(annotations, both) == (["location", None], [0, -1], [], {"location": 0.5})
    # Place before class: it covers a bee wholly, and is an ant beside an ant.
    annotations = annotate((0, ANT, BIG), (0, BEE, THIRD))
    kinds, about, missed, _ = found(annotations, detect((0, ANT, 0.9, THIRD)))
    assert (kinds, about, missed) == (["location"], [0], [1])


def test_duplicates():
    annotations = annotate((0, ANT, BIG), (1, ANT, BIG))
    detections = detect((0, ANT, 0.9, BIG), (0, ANT, 0.8, BIG), (1, ANT, 0.7, BIG))
    # Precision at the true ones: 1 and 2/3.
    cost = {"duplicate": pytest.approx(1 - (1 + 2 / 3) / 2)}
    assert found(annotations, detections) == ([None, "duplicate", None], [-1, 0, -1], [], cost)
    # Class before duplicate: the second one also lies on a bee.
    annotations = annotate((0, ANT, BIG), (0, BEE, BIG))
    assert found(annotations, detect((0, ANT, 0.9, BIG), (0, ANT, 0.8, BIG)))[0] == [None, "class"]


def test_background_and_both():
    annotations = annotate((0, ANT, BIG), (1, BEE, BIG))
    # True ant and bee; before them a bee a third on the ant, and an ant on nothing. AP 1/2 each.
    detections = detect(
        (0, BEE, 0.9, THIRD), (0, ANT, 0.9, FAR), (0, ANT, 0.8, BIG), (1, BEE, 0.8, BIG)
    )  # fmt: skip
    cost = {"both": 0.25, "background": 0.25}
    assert found(annotations, detections) == (["both", "background", None, None], [-1] * 4, [], cost)
    # An overlap of 9 % is none, one of 10 % is; in a frame without objects all is background.
    nearly = detect((0, ANT, 0.9, (0, 0, 99, 8)), (0, ANT, 0.9, (0, 0, 99, 9)), (7, ANT, 0.9, BIG))
    assert found(annotations, nearly)[0] == ["background", "location", "background"]


def test_missed():
    annotations = annotate((0, ANT, BIG), (1, ANT, BIG), (1, None, FAR))
    # One of two is found. The region that is ignored is not missed, and what lies in it is no error.
    detections = detect((0, ANT, 0.9, BIG), (1, ANT, 0.9, FAR))
    assert found(annotations, detections, ("ant",)) == ([None, None], [-1, -1], [1], {"missed": 0.5})
    # Nothing is found.
    nothing = detect((3, ANT, 0.9, FAR))
    assert found(annotations, nothing, ("ant",)) == (["background"], [-1], [0, 1], {"missed": 1})


def test_a_small_object_asks_for_less():
    small = (0, 0, 9, 9)  # asks for 100 / 400
    annotations = annotate((0, ANT, small))
    assert found(annotations, detect((0, BEE, 0.9, (0, 0, 9, 29))))[0] == ["class"]  # IoU 1/3
    assert found(annotations, detect((0, BEE, 0.9, (0, 0, 9, 49))))[0] == ["both"]  # IoU 1/5


def test_confusion_by_hand():
    annotations = annotate(
        (0, ANT, BIG), (1, ANT, BIG), (2, ANT, BIG), (3, BEE, BIG), (3, None, FAR), (4, BEE, BIG)
    )
    detections = detect(
        (0, ANT, 0.9, BIG),  # an ant as an ant
        (0, BEE, 0.9, BIG),  # and as a bee besides: no object is left for it
        (1, BEE, 0.9, BIG),  # an ant as a bee
        (1, BEE, 0.8, BIG),  # again
        (2, ANT, 0.4, BIG),  # not sure enough
        (3, ANT, 0.9, FAR),  # in an ignored region
        (4, BEE, 0.9, THIRD),  # not there
    )
    matches = match(annotations, detections, 2)
    errors = find_errors(annotations, detections, matches)
    counts = confusion(annotations, detections, matches, errors, 2)
    assert counts.tolist() == [[0, 0, 3], [1, 1, 1], [2, 0, 0]]
    surer = confusion(annotations, detections, matches, errors, 2, score_threshold=0.3)
    assert surer.tolist() == [[0, 0, 3], [0, 2, 1], [2, 0, 0]]


def slow_iou(a, b):
    across, down = min(a[2], b[2]) - max(a[0], b[0]) + 1, min(a[3], b[3]) - max(a[1], b[1]) + 1
    common = across * down if across > 0 and down > 0 else 0.0
    return common / (area(a) + area(b) - common)


def area(box):
    return (box[2] - box[0] + 1) * (box[3] - box[1] + 1)


def slow_kind(annotations, detections, i, iou_threshold):
    """The definition, one detection against all objects of its frame."""
    own, other = [], []
    for k in np.flatnonzero((annotations.frame == detections.frame[i]) & ~annotations.ignored):
        box = [float(v) for v in annotations.boxes[k]]
        width, height = box[2] - box[0] + 1, box[3] - box[1] + 1
        iou = slow_iou([float(v) for v in detections.boxes[i]], box)
        enough = iou >= min(iou_threshold, width * height / ((width + 10) * (height + 10)))
        (own if annotations.classes[k] == detections.classes[i] else other).append((iou, enough))
    if any(iou >= 0.1 for iou, _ in own) and not any(enough for _, enough in own):
        return "location"
    if any(enough for _, enough in other):
        return "class"
    if any(enough for _, enough in own):
        return "duplicate"
    return "both" if any(iou >= 0.1 for iou, _ in own + other) else "background"


def really_mended(annotations, detections, matches, errors, kind):
    """The data set in which the errors of a kind do not exist."""
    if kind == "missed":
        return without(annotations, errors.missed), detections
    wrong = errors.kind == KINDS.index(kind)
    classes, boxes, gone = detections.classes.copy(), detections.boxes.copy(), wrong.copy()
    if kind in ("class", "location"):
        for k in set(errors.about[wrong].tolist()) - set(matches.taken.tolist()):
            rows = np.flatnonzero(wrong & (errors.about == k))
            best = rows[np.argmax(detections.scores[rows])]
            gone[best] = False
            classes[best], boxes[best] = annotations.classes[k], annotations.boxes[k]
    mended = detections._replace(classes=classes, boxes=boxes)
    return annotations, type(mended)(*(column[~gone] for column in mended))


def without(annotations, gone):
    return type(annotations)(*(column[~gone] for column in annotations))


@settings(max_examples=120, deadline=None)
@given(
    st.lists(annotation, max_size=14),
    st.lists(detection, max_size=30),
    st.sampled_from([0.5, 0.75]),
    st.sampled_from([1, 7, 1 << 20]),
)
def test_agrees_with_nested_loops_and_mended_data(rows, detection_rows, threshold, pairs_at_once):
    names = ("ant", "bee", "cat", "dog")
    annotations = annotate(*rows, (1, 4, (0, 0, 9, 9)), (5, 4, (0, 0, 9, 9)))
    detections = detect(*detection_rows, (5, 4, 0.7, (0, 0, 9, 9)))
    kept, matching.PAIRS_AT_ONCE = matching.PAIRS_AT_ONCE, pairs_at_once
    try:
        matches = match(annotations, detections, len(names), iou_threshold=threshold)
        errors = find_errors(annotations, detections, matches)
    finally:
        matching.PAIRS_AT_ONCE = kept
    for i in range(len(detections.frame)):
        counts = matches.taken[i] < 0 and not matches.hidden[i]
        assert (errors.kind[i] >= 0) == counts
        if counts:
            assert KINDS[errors.kind[i]] == slow_kind(annotations, detections, i, threshold)
    whole = vid_map(annotations, detections, names, iou_threshold=threshold)
    for kind, cost in costs(annotations, detections, matches, errors, names).items():
        mended = really_mended(annotations, detections, matches, errors, kind)
        scored = vid_map(*mended, names, iou_threshold=threshold).AP
        expected = np.mean([scored.get(name, 1.0) for name in whole.AP]) - whole.mAP
        assert cost == pytest.approx(expected, abs=1e-9), kind
    counts = confusion(annotations, detections, matches, errors, len(names), score_threshold=0.2)
    seen = (detections.scores >= 0.2) & ~matches.hidden
    objects = np.bincount(annotations.classes[~annotations.ignored], minlength=5)
    np.testing.assert_array_equal(counts.sum(axis=1)[1:], objects[1:])
    np.testing.assert_array_equal(
        counts.sum(axis=0)[1:], np.bincount(detections.classes[seen], minlength=5)[1:]
    )
