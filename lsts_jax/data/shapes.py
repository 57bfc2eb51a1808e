"""Properties of samples that decide their batches: canvas and number of annotations."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Sample, VideoDataset
from lsts_jax.data.transforms import Size, canvas_of, clip_objects, resized
from lsts_jax.errors import UserError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Threads that read annotations; mostly they wait for the disk.
THREADS = 8


class Shape(NamedTuple):
    """Properties that decide the batch of a sample."""

    canvas: Size
    filled: int  # pixels of the canvas that the resized picture covers
    num_objects: int  # number of objects
    num_regions: int  # number of objects and ignored regions


def read_shapes(dataset: VideoDataset, config: DataConfig) -> list[Shape | str]:
    """Reads the shape of every sample, or its problem; shows a progress bar if that takes long."""

    def read(sample: Sample) -> Shape | str:
        try:
            objects = dataset.objects(*sample)
            size = objects.size or dataset.frame(*sample).shape[:2]
            canvas = named(dataset, *sample, canvas_of, size, config)
        except UserError as error:
            return str(error)
        inside = clip_objects(objects, size)
        height, width = resized(size, config)[1]
        return Shape(canvas, height * width, int((~inside.ignored).sum()), len(inside.boxes))

    with ThreadPoolExecutor(THREADS) as pool:
        shapes = pool.map(read, dataset.samples)
        bar = tqdm(shapes, "annotations", len(dataset.samples), unit="frame", delay=2.0, dynamic_ncols=True)
        return list(bar)


def report_crowds(counts: list[int], max_objects: int) -> None:
    """Warns of frames with more boxes than `config.max_objects`."""
    crowded = [count for count in counts if count > max_objects]
    if crowded:
        logger.warning(
            "%d frames have more than config.data.max_objects = %d boxes, up to %d; raise it to use them all",
            len(crowded), max_objects, max(crowded)
        )  # fmt: skip


def named(dataset: VideoDataset, video: int, t: int, function: Callable[..., T], *arguments: object) -> T:
    """Calls `function(*arguments)`; a `UserError` of it then names the frame."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"{dataset.frame_name(video, t)}: {error}") from error
