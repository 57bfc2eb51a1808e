"""Does a long run stay flat? The scripts as processes of their own, their memory and open files watched.

    python -m benchmarks.soak predict --frames 50000 --json soak_predict.json
    python -m benchmarks.soak train --steps 2000 --json soak_train.json
    python -m benchmarks.soak cameras --minutes 20 --json soak_cameras.json

`predict` annotates one long video and writes JSON lines and an mp4, `train` trains, both with the detector of
configs/tiny.py from random weights on SynthVID at 64 x 96 (`--workdir` for another detector). `cameras`
detects in eight network streams at once. Together they bring 1.2 times as many frames a second as the same
detector reads from files. Flat means that the second half of the run needs no more than the first: the least
squares slope of both after the first quarter is reported per thousand frames or steps. Needs Linux (/proc).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from pathlib import Path
from threading import Thread

import cv2
import numpy as np

from benchmarks.common import MIB, megabytes, parser, print_table, write_json
from lsts_jax.data.video.video_io import open_source
from lsts_jax.data.video.writer import VideoWriter

ROOT = Path(__file__).parents[1]
CONFIG = ROOT / "configs" / "tiny.py"
PERIOD = 1.0  # seconds between two looks
VIDEO = "Data/VID/val/ILSVRC2015_val_00000000"
FPS = 25.0
CAMERAS = 8
BATCHED_FRAMES = 4000
"""Frames of each of the files that the streams are compared with."""


def watch(command: Sequence[str], progress: Callable[[], int], log: Path) -> dict:
    """Run a command to its end; `progress` counts frames or steps meanwhile."""
    begin, seen = time.perf_counter(), []
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(PERIOD)
                if looked := _look(process.pid):
                    seen.append((progress(), *looked, time.perf_counter() - begin))
        finally:
            process.kill()
    if process.returncode:
        sys.exit(f"{' '.join(command)} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return _summary(np.array(seen, float), progress()) | {"wall_seconds": time.perf_counter() - begin}


def _look(pid: int) -> tuple[int, int] | None:
    """Resident bytes and open files of a process; None once it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        resident = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        return resident * 1024, sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    except (OSError, StopIteration):
        return None


def _summary(seen: np.ndarray, done: int) -> dict:
    steady = seen[(seen[:, 0] >= done / 4) & (seen[:, 0] < done)]  # afterwards training evaluates
    at, resident, files, times = steady.T
    halves = np.array_split(resident, 2)
    return {
        "done": done,
        "looks": len(seen),
        "resident_bytes": {"at a quarter": resident[0], "at the end": resident[-1], "most": seen[:, 1].max()},
        "resident_bytes_mean_of_halves": [half.mean() for half in halves],
        "resident_bytes_a_thousand": float(np.polyfit(at, resident, 1)[0] * 1000),
        "a_second": float(np.polyfit(times, at, 1)[0]),
        "open_files": {"at a quarter": int(files[0]), "at the end": int(files[-1]), "most": int(files.max())},
    }


def soak_predict(options: argparse.Namespace, folder: Path) -> dict:
    pictures = _pictures(folder)
    workdir = options.workdir or _untrained(folder)
    clip, out = folder / "long.mp4", folder / "out"
    _write_clip(clip, pictures, options.frames)
    lines = Counter(out / "detections.jsonl")
    command = [sys.executable, "predict.py", "--workdir", str(workdir), "--source", str(clip)]
    found = watch([*command, "--output", str(out)], lines, folder / "log.txt")
    assert found["done"] == options.frames
    return found | {"minutes of video": options.frames / FPS / 60, "mp4 frames": _frames(out / "long.mp4")}


def soak_cameras(options: argparse.Namespace, folder: Path) -> dict:
    pictures = _pictures(folder)
    workdir = options.workdir or _untrained(folder)

    def detect(name: str, sources: Sequence[str], *more: str) -> dict:
        out, counters = folder / name, {}

        def lines() -> int:
            for file in out.rglob("detections.jsonl"):
                counters.setdefault(file, Counter(file))
            return sum(count() for count in counters.values())

        command = [sys.executable, "predict.py", "--workdir", str(workdir), "--save", "jsonl", *more]
        return watch([*command, "--output", str(out), "--source", *sources], lines, folder / f"{name}.txt")

    clips = [folder / f"clip{number}.mp4" for number in range(CAMERAS)]
    for clip in clips:
        _write_clip(clip, pictures, BATCHED_FRAMES)
    batched = detect("files", [str(clip) for clip in clips])
    rate = 1.2 * batched["a_second"] / CAMERAS
    with _served(pictures, rate) as addresses:
        frames = int(60 * options.minutes * batched["a_second"] / CAMERAS)
        found = detect("streams", addresses, "--max_frames", str(frames))
    share = found["a_second"] / batched["a_second"]
    return found | {"files_a_second": batched["a_second"], "share_of_files": share}


@contextmanager
def _served(pictures: Sequence[np.ndarray], rate: float) -> Iterator[list[str]]:
    """Addresses of endless MJPEG streams of the pictures, `rate` frames a second each."""
    encoded = [cv2.imencode(".jpg", picture[..., ::-1])[1].tobytes() for picture in pictures]

    class Camera(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
            self.end_headers()
            begin = time.perf_counter()
            try:
                for number, data in enumerate(cycle(encoded)):
                    time.sleep(max(0.0, begin + number / rate - time.perf_counter()))
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
            except OSError:  # the reader has left
                pass

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Camera) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        yield [f"http://127.0.0.1:{server.server_address[1]}/{n}.mjpg" for n in range(CAMERAS)]
        server.shutdown()


def soak_train(options: argparse.Namespace, folder: Path) -> dict:
    from dataclasses import replace

    from lsts_jax.cli import load_config
    from lsts_jax.data.loader import TripletLoader
    from lsts_jax.data.open import open_dataset
    from lsts_jax.data.triplets import key_ranges

    config, workdir = load_config(CONFIG), folder / "run"
    config = replace(config, data=replace(config.data, root=str(_synthvid(folder))))
    dataset = open_dataset(config.data, config.data.train_lists)
    loader = TripletLoader(
        dataset,
        config.data,
        batch_size=config.train.batch_size,
        seed=config.seed,
        ranges=key_ranges(config.model.schedule, config.model.keyframe_interval),
    )
    epochs = options.steps / loader.steps_per_epoch

    def step() -> int:
        file = workdir / "metrics.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return json.loads(lines[-1])["step"] if lines else 0

    command = [sys.executable, "train.py", "--config", str(CONFIG), "--workdir", str(workdir)]
    changed = {"data.root": config.data.root, "data.workers": 2, "train.epochs": epochs}
    changed["train.checkpoint_every"] = 100
    overrides = [f"--config.{name}={value}" for name, value in changed.items()]
    return watch([*command, *overrides], step, folder / "log.txt")


class Counter:
    """Lines of a file that grows, each looked at once."""

    def __init__(self, path: Path):
        self._path, self._file, self._lines = path, None, 0

    def __call__(self) -> int:
        if self._file is None and self._path.exists():
            self._file = self._path.open("rb")
        while self._file and (block := self._file.read(MIB)):
            self._lines += block.count(b"\n")
        return self._lines


def _pictures(folder: Path) -> list[np.ndarray]:
    return [frame.picture for frame in open_source(_synthvid(folder) / VIDEO)]


def _write_clip(path: Path, pictures: Sequence[np.ndarray], frames: int) -> None:
    with VideoWriter(path, FPS, pictures[0].shape[:2]) as video:
        for picture, _ in zip(cycle(pictures), range(frames), strict=False):
            video.write(picture)


def _synthvid(folder: Path) -> Path:
    data = folder / "synthvid"
    size = ["--height", "64", "--width", "96", "--videos", "4", "--val-videos", "1", "--frames", "24"]
    command = [sys.executable, "-m", "lsts_jax.data.synthvid", "--out", str(data), *size, "--stills", "20"]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return data


def _untrained(folder: Path) -> Path:
    """A run of configs/tiny.py that has not made a step."""
    from lsts_jax.cli import load_config
    from lsts_jax.config_io import save_config
    from lsts_jax.models.detector import build_detector
    from lsts_jax.training.optimizer import build_optimizer
    from lsts_jax.training.saving import Checkpoints
    from lsts_jax.training.state import init_state, init_variables

    config, workdir = load_config(CONFIG), folder / "untrained"
    workdir.mkdir()
    save_config(config, workdir / "config.json")
    detector = build_detector(config.model, len(config.data.class_names))
    optimizer = build_optimizer(config.optimizer, 10, detector.temporal)
    with Checkpoints(workdir) as checkpoints:
        checkpoints.save(init_state(detector, optimizer, init_variables(detector, config), config.seed))
    return workdir


def _frames(path: Path) -> int:
    return sum(1 for _ in open_source(path))


def main() -> None:
    made = parser("Memory and open files of long runs.")
    made.add_argument("what", choices=("predict", "train", "cameras"))
    made.add_argument("--frames", type=int, default=50_000, help="of the video")
    made.add_argument("--steps", type=int, default=2_000)
    made.add_argument("--minutes", type=float, default=20.0, help="of the streams")
    made.add_argument(
        "--workdir", type=Path, help="of the detector that predicts; by default an untrained one"
    )
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = {"predict": soak_predict, "train": soak_train, "cameras": soak_cameras}[options.what]
        found = run(options, Path(folder))
    resident, files = found["resident_bytes"], found["open_files"]
    unit = {"predict": "frames", "train": "steps", "cameras": "frames"}[options.what]
    print_table(
        f"{options.what}: {found['done']} {unit} in {found['wall_seconds']:.0f} s",
        ("what", "at a quarter", "at the end", "most", f"a thousand {unit}"),
        [
            ("resident memory, MiB", *map(megabytes, resident.values()),
             f"{found['resident_bytes_a_thousand'] / MIB:+.2f}"),
            ("open files", *files.values(), ""),
        ],
    )  # fmt: skip
    if "share_of_files" in found:
        share = f"{100 * found['share_of_files']:.0f} %"
        print(f"{found['a_second']:.0f} frames a second, {share} of {found['files_a_second']:.0f} from files")
    write_json(options.json, found)


if __name__ == "__main__":
    main()
