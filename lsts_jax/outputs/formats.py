"""Output formats of `predict.py`: one function per format, which yields a function that writes one
result.

After an interruption all files are complete and valid.
"""

import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from lsts_jax.api import Result
from lsts_jax.errors import UserError, writing
from lsts_jax.evaluation.detections import FrameDetections, jsonl_writer
from lsts_jax.outputs.names import Format, Place, class_folders
from lsts_jax.outputs.pace import PacedVideo

Write = Callable[[Result], None]


@dataclass(frozen=True)
class Job:
    """A source, and the place of its outputs."""

    place: Place
    fps: float  # frames per second of the output
    class_names: tuple[str, ...]
    score: float  # minimum score for drawing and crops
    tracks: bool = False  # results have track ids
    is_live: bool = False


@contextmanager
def annotated_video(job: Job) -> Iterator[Write]:
    """NAME.mp4, with the duration of the source; no file if there are no frames."""
    with PacedVideo(job.place.path("video"), job.fps, is_live=job.is_live) as video:
        yield lambda result: video.write(result.time, result.plot(score_threshold=job.score))


@contextmanager
def json_lines(job: Job) -> Iterator[Write]:
    """detections.jsonl: one line per frame."""
    with jsonl_writer(job.place.path("jsonl"), job.class_names) as write:
        yield lambda r: write(
            FrameDetections(r.frame_index, r.classes, r.scores, r.boxes, r.time, r.track_ids, r.file_name)
        )


@contextmanager
def table(job: Job) -> Iterator[Write]:
    """detections.csv: one line per detection, corners inclusive, with columns for track and picture
    file if there are any."""
    with _open(job.place.path("csv")) as file:
        rows = csv.writer(file)
        has_header = False

        def write_header(*more: str) -> None:
            nonlocal has_header
            if not has_header:
                columns = ["frame", "time", "class", "score", "x1", "y1", "x2", "y2"]
                rows.writerow([*columns, *["track"] * job.tracks, *more])
            has_header = True

        def write(result: Result) -> None:
            names = [] if result.file_name is None else [result.file_name]
            write_header(*["file_name"] * len(names))
            for (label, score, box), track in zip(_each(result), _tracks(result), strict=True):
                row = [result.frame_index, f"{result.time:.3f}", label, f"{score:.4f}"]
                row += [f"{corner:.2f}" for corner in box]
                rows.writerow([*row, *[track] * job.tracks, *names])
            file.flush()

        try:
            yield write
        finally:
            write_header()


@contextmanager
def mot(job: Job) -> Iterator[Write]:
    """det.txt of MOTChallenge: frame, track or -1, x, y, w, h, score, -1, -1, -1; frames, corners from 1."""
    with _open(job.place.path("mot")) as file:

        def write(result: Result) -> None:
            for (_, score, (x1, y1, x2, y2)), track in zip(_each(result), _tracks(result), strict=True):
                place = f"{x1 + 1:.2f},{y1 + 1:.2f},{x2 - x1 + 1:.2f},{y2 - y1 + 1:.2f}"
                file.write(f"{result.frame_index + 1},{track},{place},{score:.4f},-1,-1,-1\n")
            file.flush()

        yield write


@contextmanager
def coco(job: Job) -> Iterator[Write]:
    """coco.json: COCO results. image_id is the number of the frame, category_id that of the class;
    file_name, an extension of COCO's format, is the name of the picture."""
    ids = {name: number for number, name in enumerate(job.class_names, start=1)}
    with _open(job.place.path("coco")) as file:
        separator = "["

        def write(result: Result) -> None:
            nonlocal separator
            name = {} if result.file_name is None else {"file_name": result.file_name}
            for label, score, (x1, y1, x2, y2) in _each(result):
                box = [round(v, 2) for v in (x1, y1, x2 - x1 + 1, y2 - y1 + 1)]
                row = {"image_id": result.frame_index, "category_id": ids[label], "bbox": box}
                file.write(separator + json.dumps(row | {"score": round(score, 4)} | name))
                separator = ",\n"

        try:
            yield write
        finally:
            file.write(separator.replace(",\n", "") + "]\n")


@contextmanager
def crops(job: Job) -> Iterator[Write]:
    """crops/CLASS/FRAME_NUMBER.jpg: one picture per object that reaches the minimum score."""
    folders = dict(zip(job.class_names, class_folders(job.class_names), strict=True))

    def write(result: Result) -> None:
        height, width = result.image.shape[:2]
        for number, (label, score, (x1, y1, x2, y2)) in enumerate(_each(result)):
            left, top = max(0, int(x1)), max(0, int(y1))
            right, bottom = min(width, int(x2) + 1), min(height, int(y2) + 1)
            if score < job.score or right <= left or bottom <= top:
                continue
            file = job.place.path("crops") / folders[label] / f"{result.frame_index:06d}_{number}.jpg"
            cut = cv2.cvtColor(result.image[top:bottom, left:right], cv2.COLOR_RGB2BGR)
            with writing(file):
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(cv2.imencode(".jpg", cut)[1].tobytes())

    yield write


WRITERS: dict[Format, Callable[[Job], AbstractContextManager[Write]]] = {
    "video": annotated_video,
    "jsonl": json_lines,
    "csv": table,
    "mot": mot,
    "coco": coco,
    "crops": crops,
}


def _each(result: Result) -> Iterator[tuple[str, float, list[float]]]:
    """Class, score and box of every detection."""
    names = (result.class_names[number - 1] for number in result.classes)
    return zip(names, result.scores.tolist(), result.boxes.tolist(), strict=True)


def _tracks(result: Result) -> list[int]:
    """Track of every detection, -1 if it has none."""
    return [-1] * len(result.scores) if result.track_ids is None else result.track_ids.tolist()


def _open(path: Path):
    try:
        return path.open("w", encoding="utf-8", newline="")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; name another --output") from error
