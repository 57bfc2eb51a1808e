"""Detections on disk: exact lines, round trips, and mistakes named by file and line."""

import json

import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.evaluation.detections import (
    FrameDetections,
    join,
    jsonl_writer,
    read_jsonl,
    read_text,
    write_text,
)

NAMES = ("cat", "dög")


def frame(number, *rows, time=0.0):
    """Rows of (class, score, box)."""
    return FrameDetections(
        number,
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float32),
        np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        time,
    )


FRAMES = [
    frame(0, (2, 0.98766, (1.234, 2, 30.5, 40)), (1, 0.25, (-3, 0, 5, 6.75)), time=0.0),
    frame(1, time=0.04),
    frame(2, (1, 1.0, (100.25, 0, 1920, 1080)), time=0.08),
]


def test_text_is_the_official_format(tmp_path):
    write_text(tmp_path / "detections.txt", join(FRAMES))
    assert (tmp_path / "detections.txt").read_text() == (
        "1 2 0.9877 1.23 2.00 30.50 40.00\n"
        "1 1 0.2500 -3.00 0.00 5.00 6.75\n"
        "3 1 1.0000 100.25 0.00 1920.00 1080.00\n"
    )


def test_text_round_trip(tmp_path):
    write_text(tmp_path / "detections.txt", join(FRAMES))
    read, written = read_text(tmp_path / "detections.txt", 2), join(FRAMES)
    np.testing.assert_array_equal(read.frame, [0, 0, 2])
    np.testing.assert_array_equal(read.classes, written.classes)
    np.testing.assert_allclose(read.scores, written.scores, atol=0.5e-4 + 1e-7)
    np.testing.assert_allclose(read.boxes, written.boxes, atol=0.5e-2 + 1e-4)
    assert read.scores[0] == 0.9877 and read.boxes[0, 0] == 1.23  # not the nearest float32


def test_text_of_many_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr("lsts_jax.evaluation.detections.LINES_AT_ONCE", 3)
    path = tmp_path / "detections.txt"
    path.write_text("\n\n\n\n" + "".join(f"{i + 1} 1 0.5 0 0 {i} {i}\n\n" for i in range(10)))
    np.testing.assert_array_equal(read_text(path, 2).boxes[:, 2], np.arange(10))
    path.write_text("1 1 0.5 0 0 9 9\n" * 8 + "1 1 0.5 0 0 9\n")
    with pytest.raises(UserError, match=r"detections\.txt, line 9"):
        read_text(path, 2)


def test_an_empty_file_holds_no_detections(tmp_path):
    (tmp_path / "detections.txt").write_text("")
    assert read_text(tmp_path / "detections.txt", 2).boxes.shape == (0, 4)
    assert join([]).boxes.shape == (0, 4)


@pytest.mark.parametrize(
    "line",
    [
        "1 1 0.5 0 0 9",
        "1 1 0.5 0 0 9 9 9",
        "0 1 0.5 0 0 9 9",
        "1 0 0.5 0 0 9 9",
        "1 1 nan 0 0 9 9",
        "1 1 0.5 0 0 inf 9",
        "1 dog 0.5 0 0 9 9",
        "1.5 1 0.5 0 0 9 9",
        "1,1,0.5,0,0,9,9",
        "# frame_id class",
        "99999999999 1 0.5 0 0 9 9",
    ],
)
def test_malformed_text_is_named(tmp_path, line):
    (tmp_path / "detections.txt").write_text(f"1 1 0.5 0 0 9 9\n\n{line}\n1 1 0.5 0 0 9 9\n")
    with pytest.raises(UserError, match=r"detections\.txt, line 3: expected `frame_id class") as caught:
        read_text(tmp_path / "detections.txt", 2)
    assert "\n" not in str(caught.value) and line in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("1 3 0.5 0 0 9 9", "expected a class from 1 to 2"),
        ("1 1 0.5 9 0 0 9", "expected corners in the order x1 y1 x2 y2"),
        ("1 1 0.5 0 9 9 0", "expected corners in the order x1 y1 x2 y2"),
    ],
)
def test_detections_that_the_data_cannot_have_are_named_by_file_and_line(tmp_path, line, reason):
    (tmp_path / "detections.txt").write_text(f"1 1 0.5 0 0 9 9\n1 2 0.5 4 4 3.01 3\n{line}\n")
    with pytest.raises(UserError, match=rf"detections\.txt, line 3: {reason}"):
        read_text(tmp_path / "detections.txt", 2)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_files_of_all_editors_are_read(tmp_path, encoding, end):
    (tmp_path / "detections.txt").write_bytes(f"1 1 0.5 0 0 9 9{end}3 2 0.25 0 0 9 9{end}".encode(encoding))
    assert read_text(tmp_path / "detections.txt", 2).frame.tolist() == [0, 2]
    line = '{"frame": 4, "time": 0.0, "detections": [{"class": "dög", "score": 1, "box": [0, 0, 1, 1]}]}'
    (tmp_path / "detections.jsonl").write_bytes((line + end).encode(encoding))
    assert [frame.frame for frame in read_jsonl(tmp_path / "detections.jsonl", NAMES)] == [4]


def test_bytes_that_are_no_text_are_named(tmp_path):
    (tmp_path / "detections.txt").write_bytes(b"1 1 0.5 0 0 9 9\n\xff\xd8\xff\xe0\n")
    with pytest.raises(UserError, match="line 2"):
        read_text(tmp_path / "detections.txt", 2)


def test_jsonl_lines(tmp_path):
    with jsonl_writer(tmp_path / "detections.jsonl", NAMES) as write:
        for count, each in enumerate(FRAMES, start=1):
            write(each)
            # On disk at once: a live stream can be followed.
            assert len((tmp_path / "detections.jsonl").read_text("utf-8").splitlines()) == count
    lines = [json.loads(line) for line in (tmp_path / "detections.jsonl").read_text("utf-8").splitlines()]
    assert lines == [
        {
            "frame": 0,
            "time": 0.0,
            "detections": [
                {"class": "dög", "score": 0.9877, "box": [1.23, 2.0, 30.5, 40.0]},
                {"class": "cat", "score": 0.25, "box": [-3.0, 0.0, 5.0, 6.75]},
            ],
        },
        {"frame": 1, "time": 0.04, "detections": []},
        {
            "frame": 2,
            "time": 0.08,
            "detections": [{"class": "cat", "score": 1.0, "box": [100.25, 0.0, 1920.0, 1080.0]}],
        },
    ]


def test_jsonl_round_trip(tmp_path):
    with jsonl_writer(tmp_path / "detections.jsonl", NAMES) as write:
        for each in FRAMES:
            write(each)
    read = list(read_jsonl(tmp_path / "detections.jsonl", NAMES))
    assert [each.frame for each in read] == [0, 1, 2]
    assert [each.time for each in read] == [0.0, 0.04, 0.08]
    for one, other in zip(read, FRAMES, strict=True):
        np.testing.assert_array_equal(one.classes, other.classes)
        np.testing.assert_allclose(one.scores, other.scores, atol=0.5e-4 + 1e-7)
        np.testing.assert_allclose(one.boxes, other.boxes, atol=0.5e-2 + 1e-4)


def one_detection(fields):
    return '{"frame": 0, "time": 0.0, "detections": [{' + fields + "}]}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("", "Expecting value"),
        ('{"frame": 0, "time": 0.0, "detections": [', "Expecting value"),
        ('{"frame": 0, "time": 0.0}', "there is no 'detections'"),
        ("[]", "list indices"),
        (one_detection('"class": "cow", "score": 1, "box": [0, 0, 1, 1]'), "class 'cow' is not one of the 2"),
        (one_detection('"class": "cat", "score": 1, "box": [0, 0, 1]'), "reshape"),
        (one_detection('"class": "cat", "score": NaN, "box": [0, 0, 1, 1]'), "finite"),
        (one_detection('"class": "cat", "box": [0, 0, 1, 1]'), "there is no 'score'"),
        (one_detection('"class": "cat", "score": 1, "box": [9, 0, 1, 1]'), "not in the order x1, y1, x2, y2"),
    ],
)
def test_malformed_jsonl_is_named(tmp_path, line, reason):
    path = tmp_path / "detections.jsonl"
    path.write_text('{"frame": 0, "time": 0.0, "detections": []}\n' + line + "\n")
    with pytest.raises(UserError, match=rf"detections\.jsonl, line 2: .*{reason}") as caught:
        list(read_jsonl(path, NAMES))
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_opened_are_named(tmp_path):
    for read in (lambda path: read_text(path, 2), lambda path: list(read_jsonl(path, NAMES))):
        with pytest.raises(UserError, match=r"absent\.x: No such file"):
            read(tmp_path / "absent.x")
    with pytest.raises(UserError, match=r"absent/d\.txt: No such file"):
        write_text(tmp_path / "absent/d.txt", join(FRAMES))
