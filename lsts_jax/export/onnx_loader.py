"""Run an exported detector on a video file, frame by frame: one JSON line per frame on standard output.

    python run.py clip.mp4 > detections.jsonl

Needs onnxruntime, numpy and OpenCV. In another program: `Detector(folder)(picture)` for every picture, RGB
[height, width, 3] of uint8, of one video gives boxes [d, 4], scores [d] and classes [d] (from 1).
"""

import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

onnxruntime.set_default_logger_severity(3)  # it warns of every constant that it optimises away


class Detector:
    def __init__(self, folder=Path(__file__).parent, **options):
        """Args:
        options: for `onnxruntime.InferenceSession`, such as providers."""
        self.about = json.loads((Path(folder) / "detector.json").read_text(encoding="utf-8"))
        if self.about["delay"] or len(self.about["canvases"]) > 1:
            raise ValueError("for one canvas (export with --size) and methods without delay")
        (canvas,) = self.about["canvases"]
        self.canvas, self.memory, self.seen = (canvas["height"], canvas["width"]), {}, 0
        self.programs = {
            name: onnxruntime.InferenceSession(Path(folder) / program["file"], **options)
            for name, program in canvas["programs"].items()
        }

    def __call__(self, picture):
        short, long = (self.about["resize"][side] for side in ("short_side", "long_side"))
        sides = picture.shape[:2]
        scale = short / min(sides)
        scale = long / max(sides) if round(scale * max(sides)) > long else scale
        size = [round(side * scale) for side in sides]
        pixels = np.zeros((*self.canvas, 3), np.uint8)
        cv2.resize(picture, None, pixels[: size[0], : size[1]], scale, scale, cv2.INTER_LINEAR)
        event = "on_frame" if self.seen % self.about["keyframe_interval"] else "on_keyframe"
        program = self.programs.get(event if self.seen else "start", self.programs["start"])
        given = {"pixels": pixels, "size": np.array(size, np.int32), "scale": np.array(scale, np.float32)}
        given |= self.memory
        wanted = [one.name for one in program.get_outputs()]
        arrays: Any = program.run(wanted, {one.name: given[one.name] for one in program.get_inputs()})
        found = dict(zip(wanted, arrays, strict=True))
        self.memory |= {
            name.removeprefix("next_"): found[name] for name in wanted if name.startswith("next_")
        }
        self.seen += 1
        return tuple(found[name][found["valid"]] for name in ("boxes", "scores", "classes"))


if __name__ == "__main__":
    video, detector, number = cv2.VideoCapture(sys.argv[1]), Detector(), 0
    while (picture := video.read()[1]) is not None:
        boxes, scores, classes = detector(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
        names = [detector.about["class_names"][number - 1] for number in classes]
        rows = [
            {"class": name, "score": round(float(score), 4), "box": box.round(2).tolist()}
            for name, score, box in zip(names, scores, boxes.astype(float), strict=True)
        ]
        print(json.dumps({"frame": number, "detections": rows}, ensure_ascii=False), flush=True)
        number += 1
