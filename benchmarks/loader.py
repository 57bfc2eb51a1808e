"""Pictures decoded and prepared a second, by the number of workers, against bare OpenCV.

    python -m benchmarks.loader --json loader.json
    python -m benchmarks.loader --root runs/synthvid720 --tfds runs/synthvid720-tfds

Without --root, the pictures are JPEG files of ImageNet VID's usual size that are made for the purpose. Bare
OpenCV reads and resizes the very pictures that the batches hold, and does nothing else: `cv2.imread` and
`cv2.resize` in as many processes, one thread each.
"""

import os
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

from benchmarks.common import parser, print_table, write_json
from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.loader import TripletLoader
from lsts_jax.data.open import open_dataset
from lsts_jax.data.transforms import resized
from lsts_jax.data.triplets import key_ranges

SIZE = (720, 1280)
FRAMES = 40
QUALITY = 90
ROUNDS = 3
CONFIG = DataConfig(class_names=("dog",), canvases=((576, 1008),), train_lists=("VID_train_15frames",))
XML = (
    "<annotation><size><width>{1}</width><height>{0}</height></size><object><trackid>0</trackid><name>dog</name>"
    "<bndbox><xmin>100</xmin><ymin>100</ymin><xmax>400</xmax><ymax>300</ymax></bndbox></object></annotation>"
)


class Recorder:
    """A data set that remembers which pictures were asked for and gives black ones."""

    def __init__(self, dataset: VideoDataset):
        self.dataset, self.files = dataset, []
        self.class_names, self.videos, self.samples = dataset.class_names, dataset.videos, dataset.samples
        self.objects, self.frame_name, self.global_id = dataset.objects, dataset.frame_name, dataset.global_id

    def frame(self, video: int, t: int) -> np.ndarray:
        self.files.append(self.frame_name(video, t))
        return np.zeros((*(self.objects(video, t).size or SIZE), 3), np.uint8)


def write_tree(root: Path) -> None:
    """A video in ImageNet's layout: smooth noise, whose files are about as large as those of photographs."""
    rng = np.random.default_rng(0)
    for kind in ("Data", "Annotations"):
        (root / kind / "VID/train/a").mkdir(parents=True)
    (root / "ImageSets").mkdir()
    for t in range(FRAMES):
        coarse = rng.integers(0, 256, (SIZE[0] // 8, SIZE[1] // 8, 3), np.uint8)
        image = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
        file = str(root / f"Data/VID/train/a/{t:06d}.JPEG")
        cv2.imwrite(file, image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        (root / f"Annotations/VID/train/a/{t:06d}.xml").write_text(XML.format(*SIZE))
    lines = (f"train/a 1 {t} {FRAMES}\n" for t in range(FRAMES))
    (root / "ImageSets" / "VID_train_15frames.txt").write_text("".join(lines))


def bare(files: list[str]) -> None:
    """What nobody can do without."""
    cv2.setNumThreads(1)
    for file in files:
        image = cv2.imread(file)
        scale, _ = resized(image.shape[:2], CONFIG)
        cv2.resize(image, None, fx=scale, fy=scale)


def bare_rate(pool: ProcessPoolExecutor, workers: int, files: list[str]) -> float:
    begin = time.perf_counter()
    list(pool.map(bare, [files[i::workers] for i in range(workers)]))
    return len(files) / (time.perf_counter() - begin)


def loader_rate(loader: TripletLoader, reads: list[list[str]]) -> float:
    """Pictures a second of the batches after the first, which pay for the start."""
    ahead = loader.config.workers + 2
    batches = loader.iterate(0, len(reads))
    for _ in range(ahead):
        next(batches)
    begin = time.perf_counter()
    count = sum(len(files) for _, files in zip(batches, reads[ahead:], strict=True))
    return count / (time.perf_counter() - begin)


def measure(
    config: DataConfig, root: Path, tfds: Path | None, workers: int, batch: int, steps: int
) -> list[dict]:
    """Rates of bare OpenCV, of the folder and of TFDS, in turns."""
    config = replace(config, root=str(root), workers=workers)
    folder = open_dataset(config, config.train_lists)
    recorder = Recorder(folder)
    plan = TripletLoader(recorder, config, batch_size=batch, seed=0, ranges=key_ranges("offline", 10))
    reads = []
    for step in range(steps):
        plan.make_batch(step)
        reads.append(recorder.files)
        recorder.files = []
    loaders = {
        "folder": TripletLoader(folder, config, batch_size=batch, seed=0, ranges=key_ranges("offline", 10))
    }
    if tfds:
        prepared = open_dataset(replace(config, root=str(tfds), format="tfds"), config.train_lists)
        loaders["tfds"] = TripletLoader(
            prepared, config, batch_size=batch, seed=0, ranges=key_ranges("offline", 10)
        )
    rates = {name: [] for name in ("bare", *loaders)}
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        files = [file for step in reads for file in step]
        bare_rate(pool, workers, files[: 4 * workers])
        for _ in range(ROUNDS):
            rates["bare"].append(bare_rate(pool, workers, files))
            for name, loader in loaders.items():
                rates[name].append(loader_rate(loader, reads))
    median = {name: statistics.median(found) for name, found in rates.items()}
    return [
        {
            "form": name,
            "workers": workers,
            "pictures_per_second": rate,
            "share_of_bare": rate / median["bare"],
        }
        for name, rate in median.items()
    ]


def main() -> None:
    made = parser("The loader.")
    made.add_argument("--batch", type=int, default=8, help="triplets a batch")
    made.add_argument("--batches", type=int, default=20, help="a measurement")
    made.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="numbers of them")
    made.add_argument("--root", type=Path, help="an ILSVRC tree, such as one of SynthVID")
    made.add_argument("--tfds", type=Path, help="the same, prepared by lsts_jax.data.prepare")
    options = made.parse_args()
    with tempfile.TemporaryDirectory() as name:
        config, root = CONFIG, options.root
        if root is None:
            root = Path(name)
            write_tree(root)
        else:
            config = replace(config, class_names=())
        rows = [
            row
            for workers in options.workers
            for row in measure(config, root, options.tfds, workers, options.batch, options.batches)
        ]
    cores = os.cpu_count() or 1
    print_table(
        f"Pictures a second, resized to {CONFIG.short_side}, batches of {options.batch}, {cores} cores",
        ("form", "workers", "pictures a second", "a worker", "share of bare %"),
        [
            (
                row["form"],
                row["workers"],
                f"{row['pictures_per_second']:.0f}",
                f"{row['pictures_per_second'] / row['workers']:.0f}",
                f"{100 * row['share_of_bare']:.0f}",
            )
            for row in rows
        ],
    )
    write_json(options.json, {"cores": cores, "rows": rows})


if __name__ == "__main__":
    main()
