"""The detector as ONNX files in onnxruntime, in float32 and quantised to int8, beside the live detector.

    python -m benchmarks.onnx clip.mp4 --json onnx.json

Without --workdir the detector of `configs/lite_real.py` at 256 x 448 with random weights; with it, the
official mAP of each on the val lists of the run as well. int8: convolutions and matrix products by
onnxruntime's dynamic quantisation. Its static one made files that onnxruntime 1.32 refused.

Needs the packages of `lsts export --format onnx` and onnxruntime.
"""

import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from onnxruntime import quantization

import lsts_jax
from benchmarks.common import medians, parser, print_table, write_json
from benchmarks.realtime import LSTS, loaded
from lsts_jax.api import LoadedDetector
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.open import open_dataset
from lsts_jax.data.video.video_io import open_source
from lsts_jax.evaluation.detections import FrameDetections, join
from lsts_jax.evaluation.scoring import read_truth, score_all
from lsts_jax.export.onnx_files import write_onnx

SIZE = (256, 448)
QUANTISED = ("Conv", "MatMul", "Gemm")
LIVE, FLOAT, INT8 = "live detector", "ONNX, float32", "ONNX, int8"
Detect = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]


def quantised(folder: Path, target: Path) -> Path:
    """A copy of an exported folder with products in int8."""
    shutil.copytree(folder, target)
    for file in folder.glob("*.onnx"):
        quantization.quantize_dynamic(file, target / file.name, op_types_to_quantize=list(QUANTISED))
    return target


class Exported:
    """An exported folder through its own loader."""

    def __init__(self, folder: Path):
        spec = importlib.util.spec_from_file_location("exported", folder / "run.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.detector = module.Detector(folder)

    def restart(self) -> Detect:
        self.detector.memory, self.detector.seen = {}, 0
        return self.detector


def live(detector: LoadedDetector) -> Detect:
    one = detector.live()

    def detect(picture: np.ndarray) -> tuple:
        found = one(picture)
        assert found is not None
        return found.boxes, found.scores, found.classes

    return detect


def mean_average_precision(dataset: VideoDataset, restart: Callable[[], Detect]) -> float:
    """The official mAP on a data set, each of its videos from its first listed frame on."""
    frames = []
    for _, samples in groupby(sorted(set(dataset.samples)), lambda sample: sample.video):
        detect = restart()
        for video, t in samples:
            boxes, scores, classes = detect(dataset.frame(video, t))
            frames.append(FrameDetections(dataset.global_id(video, t) - 1, classes, scores, boxes))
    return score_all(read_truth(dataset), join(frames), dataset.class_names)["mAP"]


def main() -> None:
    made = parser("ONNX files in onnxruntime, float32 and int8.")
    made.add_argument("source")
    made.add_argument("--workdir", help="of the detector")
    options = made.parse_args()
    detector = lsts_jax.load(options.workdir) if options.workdir else loaded(LSTS, SIZE)
    canvas, *_ = detector.config.data.canvases
    pictures = [frame.picture for frame in islice(open_source(options.source), 4 * detector.interval)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "float32"
        folder.mkdir()
        write_onnx(folder, detector, (canvas,))
        exported = Exported(folder)
        restarts: dict[str, Callable[[], Detect]] = {
            LIVE: lambda: live(detector),
            FLOAT: exported.restart,
            INT8: Exported(quantised(folder, Path(name) / "int8")).restart,
        }

        def run(restart: Callable[[], Detect]) -> None:
            detect = restart()
            for picture in pictures:
                detect(picture)

        calls = {title: (lambda restart=restart: run(restart)) for title, restart in restarts.items()}
        seconds = medians(calls, seconds=options.seconds)
        rows = {title: {"frames_a_second": len(pictures) / took} for title, took in seconds.items()}
        if options.workdir:
            data = detector.config.data
            dataset = open_dataset(data, data.val_lists)
            for title, restart in restarts.items():
                rows[title]["mAP"] = mean_average_precision(dataset, restart)
    print_table(
        f"{options.workdir or 'configs/lite_real.py'}, {canvas[0]}x{canvas[1]}, {len(pictures)} frames",
        ("what", "frames a second", "mAP"),
        [
            (title, f"{row['frames_a_second']:.1f}", f"{100 * row['mAP']:.1f}" if "mAP" in row else "-")
            for title, row in rows.items()
        ],
    )
    write_json(options.json, {"source": Path(options.source).name, "rows": rows})


if __name__ == "__main__":
    main()
