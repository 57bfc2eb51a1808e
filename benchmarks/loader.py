"""Pictures decoded and prepared a second, by the number of worker processes.

    python -m benchmarks.loader --json loader.json

The pictures are JPEG files of ImageNet VID's usual size that are made for the purpose; a triplet is three of
them (fewer where its frames coincide), decoded, resized and padded.
"""

import os
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import parser, print_table, write_json
from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Objects, Sample, Video
from lsts_jax.data.loader import TripletLoader
from lsts_jax.data.pictures import read_picture

SIZE = (720, 1280)
FRAMES = 40
QUALITY = 90


class Pictures:
    """A `VideoDataset` of one video that lies in a folder as JPEG files."""

    class_names = ("object",)

    def __init__(self, folder: Path, frames: int):
        self.folder = folder
        self.videos = [Video("video", frames)]
        self.samples = [Sample(0, t) for t in range(frames)]

    def frame(self, video: int, t: int) -> np.ndarray:
        return read_picture(self.folder / f"{t}.jpg")

    def objects(self, video: int, t: int) -> Objects:
        box = np.array([[100, 100, 400, 300]], np.float32)
        one = np.ones(1, np.int32)
        return Objects(box, one, one, np.zeros(1, bool), SIZE)

    def frame_name(self, video: int, t: int) -> str:
        return str(self.folder / f"{t}.jpg")

    def global_id(self, video: int, t: int) -> int:
        return t + 1


def write_pictures(folder: Path) -> None:
    """Smooth noise, whose files are about as large as those of photographs."""
    rng = np.random.default_rng(0)
    for t in range(FRAMES):
        coarse = rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(folder / f"{t}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


def triplets_per_second(folder: Path, workers: int, batch_size: int, seconds: float) -> float:
    """Of the batches after the first, which pays for the start of the workers."""
    config = DataConfig(class_names=Pictures.class_names, workers=workers)
    loader = TripletLoader(Pictures(folder, FRAMES), config, batch_size=batch_size, seed=0)
    batches = loader.iterate(0, 10**6)
    try:
        next(batches)
        begin, count = time.perf_counter(), 0
        while count < 4 or time.perf_counter() - begin < seconds:
            next(batches)
            count += 1
        return count * batch_size / (time.perf_counter() - begin)
    finally:
        batches.close()


def main() -> None:
    made = parser("The loader.")
    made.add_argument("--batch", type=int, default=8, help="triplets a batch")
    made.add_argument("--workers", type=int, nargs="+", help="numbers of processes; 0: threads")
    options = made.parse_args()
    cores = os.cpu_count() or 1
    workers = options.workers or sorted({0, 1, 2, cores})
    with tempfile.TemporaryDirectory() as name:
        write_pictures(Path(name))
        rates = {
            n: triplets_per_second(Path(name), n, options.batch, options.seconds / len(workers))
            for n in workers
        }
    rows = [{"workers": n, "triplets_per_second": r, "pictures_per_second": 3 * r} for n, r in rates.items()]
    print_table(
        f"Loader, JPEG {SIZE[0]}x{SIZE[1]}, batches of {options.batch}, {cores} cores",
        ("processes", "triplets a second", "pictures a second"),
        [
            (
                str(row["workers"]) if row["workers"] else "threads",
                f"{row['triplets_per_second']:.1f}",
                f"{row['pictures_per_second']:.1f}",
            )
            for row in rows
        ],
    )
    write_json(options.json, {"cores": cores, "rows": rows})


if __name__ == "__main__":
    main()
