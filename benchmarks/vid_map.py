"""The VID metric at full size: 176,126 frames with 300 detections each, given as arrays.

    python -m benchmarks.vid_map [--frames 176126] [--text] [--json FILE]

Time and peak memory of the mAP, of the same by motion, and with --text of reading the detections from the
official text. The arrays themselves, 1.5 GB, are part of the peak; making them is not part of the time.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import peak_resident_bytes, write_json
from lsts_jax.config import IMAGENET_VID_CLASSES
from lsts_jax.data.motion import in_ranges
from lsts_jax.evaluation.detections import read_text, write_text
from lsts_jax.evaluation.matching import Annotations, DetectionArrays, match
from lsts_jax.evaluation.vid_map import blame, score

COMMAND = "python -m benchmarks.vid_map --text"
FRAMES = 176_126
OBJECTS = 273_505 / FRAMES  # of a frame
DETECTIONS = 300  # of a frame
WIDTH, HEIGHT = 1280, 720


def make(frames: int, seed: int = 0) -> tuple[Annotations, DetectionArrays]:
    """Objects at random, and detections half of which lie near one of their frame's objects."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(OBJECTS, frames)
    of_frame = np.repeat(np.arange(frames, dtype=np.int32), counts)
    classes = rng.integers(1, len(IMAGENET_VID_CLASSES) + 1, len(of_frame)).astype(np.int32)
    boxes = random_boxes(rng, len(of_frame))
    annotations = Annotations(of_frame, classes, boxes, np.zeros(len(of_frame), bool))

    total = frames * DETECTIONS
    found = DetectionArrays(
        np.repeat(np.arange(frames, dtype=np.int32), DETECTIONS),
        np.empty(total, np.int32),
        np.empty(total, np.float32),
        np.empty((total, 4), np.float32),
    )
    first = np.cumsum(counts) - counts
    step = 2_000 * DETECTIONS
    for begin in range(0, total, step):  # in blocks, so that making them needs no memory to speak of
        rows = slice(begin, min(begin + step, total))
        frame = found.frame[rows]
        near = (rng.random(len(frame)) < 0.5) & (counts[frame] > 0)
        target = first[frame[near]] + rng.integers(counts[frame[near]])
        found.classes[rows] = rng.integers(1, len(IMAGENET_VID_CLASSES) + 1, len(frame))
        found.scores[rows] = rng.beta(0.3, 3, len(frame))
        found.boxes[rows] = random_boxes(rng, len(frame))
        found.boxes[rows][near] = boxes[target] + rng.normal(0, 15, (near.sum(), 4))
        found.classes[rows][near] = classes[target]
    return annotations, found


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.random((count, 2), np.float32) * [WIDTH - 40, HEIGHT - 40]
    side = 30 + rng.random((count, 2), np.float32) ** 2 * [WIDTH / 2, HEIGHT / 2]
    return np.concatenate([corner, corner + side], axis=1).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=FRAMES)
    parser.add_argument("--text", action="store_true", help="also write and read them as text")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    annotations, found = make(options.frames)
    motion = np.random.default_rng(1).beta(4, 1, len(annotations.frame))
    rows = [("made", 0.0, peak_resident_bytes())]
    begin = time.perf_counter()
    matches = match(annotations, found, len(IMAGENET_VID_CLASSES))
    whole = score(annotations, found, matches, IMAGENET_VID_CLASSES)
    rows.append(("mAP", time.perf_counter() - begin, peak_resident_bytes()))
    begin = time.perf_counter()
    for chosen in in_ranges(motion).values():
        weights = blame(annotations, found, matches, chosen)
        score(annotations, found, matches, IMAGENET_VID_CLASSES, in_range=chosen, weights=weights)
    rows.append(("slow, medium, fast", time.perf_counter() - begin, peak_resident_bytes()))
    del matches
    if options.text:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "detections.txt"
            write_text(path, found)
            size = path.stat().st_size
            del found, annotations
            begin = time.perf_counter()
            read_text(path, len(IMAGENET_VID_CLASSES))
            rows.append(
                (
                    f"reading {size / 2**30:.1f} GiB of text",
                    time.perf_counter() - begin,
                    peak_resident_bytes(),
                )
            )
    measured = {name: {"seconds": seconds, "peak_bytes": memory} for name, seconds, memory in rows}
    write_json(options.json, {"command": COMMAND, "frames": options.frames, "measured": measured})
    for name, seconds, memory in rows:
        print(f"{name:<28} {seconds:8.1f} s   {memory / 2**30:5.2f} GiB at the peak so far")
    print(f"mAP {100 * whole.mAP:.2f}, {options.frames} frames, {options.frames * DETECTIONS} detections")


if __name__ == "__main__":
    main()
