"""Run an exported detector on a video file or a folder of pictures: one JSON line per frame on standard
output.

    python run.py clip.mp4 > detections.jsonl

Needs jax, numpy, flatbuffers (for jax to read programs) and OpenCV (only to decode and resize). In another
program, with RGB pictures [height, width, 3] of uint8:

    for boxes, scores, classes in Detector("exported").detect(pictures): ...
"""

import argparse
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import jax
import jax.export
import numpy as np

FORMAT_VERSION = 1
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm")


class Detector:
    """The programs and weights of a folder. Raises ValueError or OSError if they cannot be used."""

    def __init__(self, folder: Path | str = Path(__file__).parent):
        self.folder = Path(folder)
        self.about = json.loads((self.folder / "detector.json").read_text(encoding="utf-8"))
        if self.about["format_version"] != FORMAT_VERSION:
            raise ValueError(f"{self.folder}: written by another version; use the run.py of the same export")
        self.weights = jax.device_put(dict(np.load(io.BytesIO(self._read(self.about["weights"])))))
        self._programs = {}

    def detect(self, pictures: Iterable[np.ndarray], online: bool = False) -> Iterator[tuple]:
        """Yields boxes [d, 4], scores [d] and classes [d] (from 1) for every picture of one video.

        Pictures before the keyframe of their segment wait for it; with `online` the first picture
        is the keyframe. For a method with a delay, the last picture is repeated `delay` times.
        """
        delay = self.about["delay"]
        return islice(self._detect(_repeat_last(pictures, delay), online), delay, None)

    def _detect(self, pictures: Iterator[np.ndarray], online: bool) -> Iterator[tuple]:
        memory, canvas = None, None
        before = 0 if online else self.about["keyframe_index"]
        after = self.about["keyframe_interval"] - before - 1
        while head := list(islice(pictures, before + 1)):  # up to the keyframe, or to the end of the video
            canvas = canvas or self.canvas_of(head[0].shape[:2])
            programs = self.programs(canvas)
            frames = [self.prepare(picture, canvas) for picture in head]
            if memory is None or "on_keyframe" not in programs:
                memory, *found = programs["start"](self.weights, *frames[-1])
            else:
                memory, *found = programs["on_keyframe"](self.weights, memory, *frames[-1])
            for frame in frames[:-1]:
                yield _valid(*programs["on_frame"](self.weights, memory, *frame))
            yield _valid(*found)
            for picture in islice(pictures, after):
                frame = self.prepare(picture, canvas)
                yield _valid(*programs["on_frame"](self.weights, memory, *frame))

    def prepare(self, picture: np.ndarray, canvas: tuple[int, int]) -> tuple:
        """The arguments pixels, size and scale of the programs."""
        import cv2

        if picture.dtype != np.uint8 or picture.shape[2:] != (3,):
            raise ValueError(f"a picture of {picture.dtype} {picture.shape}; give RGB pixels, uint8")
        scale, (height, width) = self._resized(picture.shape[:2])
        if height > canvas[0] or width > canvas[1]:
            raise ValueError(
                f"a picture of {picture.shape[:2]} in a video of other size; give it a separate video"
            )
        pixels = np.zeros((*canvas, 3), np.uint8)
        # by fx and fy: with dsize OpenCV samples at other places
        cv2.resize(picture, None, pixels[:height, :width], scale, scale, cv2.INTER_LINEAR)
        return pixels, np.array([height, width], np.int32), np.float32(scale)

    def canvas_of(self, size: tuple[int, int]) -> tuple[int, int]:
        """The smallest canvas that holds resized pictures of a size."""
        _, (height, width) = self._resized(size)
        canvases = [(canvas["height"], canvas["width"]) for canvas in self.about["canvases"]]
        fitting = [canvas for canvas in canvases if canvas[0] >= height and canvas[1] >= width]
        if not fitting:
            raise ValueError(f"pictures of {size} fit no canvas; export with --size {size[0]} {size[1]}")
        return min(fitting, key=lambda canvas: canvas[0] * canvas[1])

    def programs(self, canvas: tuple[int, int]) -> dict:
        """The programs for a canvas, by name; compiled at their first call."""
        if canvas not in self._programs:
            found = next(c for c in self.about["canvases"] if (c["height"], c["width"]) == canvas)
            self._programs[canvas] = {
                name: jax.jit(jax.export.deserialize(bytearray(self._read(program["file"]))).call)
                for name, program in found["programs"].items()
            }
        return self._programs[canvas]

    def _resized(self, size: tuple[int, int]) -> tuple[float, tuple[int, int]]:
        short, long = self.about["resize"]["short_side"], self.about["resize"]["long_side"]
        scale = short / min(size)
        scale = long / max(size) if round(scale * max(size)) > long else scale
        return scale, (round(size[0] * scale), round(size[1] * scale))

    def _read(self, name: str) -> bytes:
        data = (self.folder / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != self.about["sha256"][name]:
            raise ValueError(f"{self.folder / name}: damaged; export the detector again")
        return data


def _repeat_last(pictures: Iterable[np.ndarray], count: int) -> Iterator[np.ndarray]:
    picture = None
    for picture in pictures:
        yield picture
    if picture is not None:
        yield from repeat(picture, count)


def _valid(*found: jax.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    boxes, scores, classes, valid = jax.device_get(found)
    return boxes[valid], scores[valid], classes[valid]


def read(source: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Yields number, seconds and RGB pixels for every frame of a video file, or every picture of a
    folder. Frames that cannot be decoded are left out, and their numbers are skipped."""
    import cv2

    expected = 0
    for number, seconds, picture in _pictures(source) if source.is_dir() else _frames(source):
        for missing in range(expected, number + (picture is None)):
            print(f"{source}: frame {missing} cannot be decoded and is left out", file=sys.stderr)
        expected = number + 1
        if picture is not None:
            yield number, seconds, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def _pictures(folder: Path) -> Iterator[tuple[int, float, np.ndarray | None]]:
    import cv2

    files = [x for x in folder.iterdir() if x.suffix.lower() in SUFFIXES and not x.name.startswith(".")]
    files.sort(key=lambda file: [int(x) if x.isdecimal() else x for x in re.split("([0-9]+)", file.name)])
    for number, file in enumerate(files):
        yield number, number / 25, cv2.imread(_spell(file), cv2.IMREAD_COLOR)


def _spell(file: Path) -> Any:
    """A path as bytes, for names that are not UTF-8; OpenCV's stubs do not accept bytes."""
    return os.fsencode(file)


def _frames(file: Path) -> Iterator[tuple[int, float, np.ndarray]]:
    """Frames with the file's timestamps. A failed read is a damaged frame; many in a row are the end."""
    import cv2

    video = cv2.VideoCapture(_spell(file.absolute()), cv2.CAP_FFMPEG)
    period = 1 / video.get(cv2.CAP_PROP_FPS) if video.get(cv2.CAP_PROP_FPS) > 0 else 1 / 25
    number, seconds, begin, failed = -1, -period, 0.0, 0
    while failed < 256 + min(max(0, video.get(cv2.CAP_PROP_FRAME_COUNT) - number), 10_000):
        found, picture = video.read()
        if not found:
            failed += 1
            continue
        stamp = video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        begin = stamp if number < 0 and not failed else begin
        seconds = stamp - begin if stamp - begin > seconds else seconds + (1 + failed) * period
        number, failed = number + 1 + failed, 0
        yield number, seconds, picture


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("source", type=Path, help="a video file, or a folder of pictures")
    parser.add_argument("--online", action="store_true", help="no frame waits for a later one")
    options = parser.parse_args()
    try:
        detector, waiting, line = Detector(), [], None
        pictures = (waiting.append(about) or picture for *about, picture in read(options.source))
        for found in detector.detect(pictures, options.online):
            number, seconds = waiting.pop(0)
            detections = [
                {
                    "class": detector.about["class_names"][label - 1],
                    "score": round(score, 4),
                    "box": [round(corner, 2) for corner in box],
                }
                for box, score, label in zip(*(array.tolist() for array in found), strict=True)
            ]
            line = {"frame": number, "time": round(seconds, 6), "detections": detections}
            print(json.dumps(line, ensure_ascii=False), flush=True)
        if line is None:
            raise ValueError(f"{options.source}: no frame or picture that can be decoded")
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    except RuntimeError as error:
        sys.exit(f"error: jax {jax.__version__} (detector.json has the one that exported): {error}")


if __name__ == "__main__":
    main()
