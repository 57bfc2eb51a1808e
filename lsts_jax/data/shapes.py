"""What decides which batches the samples of a data set go into: their canvases and how much is annotated."""

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
    """What decides where a sample goes."""

    canvas: Size
    filled: int  # pixels of it that the resized picture takes
    num_objects: int  # to be found
    num_regions: int  # to be found or ignored


def read_shapes(dataset: VideoDataset, config: DataConfig) -> list[Shape | str]:
    """The shapes of all samples, or what is wrong with them, with a progress bar if it takes long."""

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
    """Warn of frames with more boxes than are used."""
    crowded = [count for count in counts if count > max_objects]
    if crowded:
        logger.warning(
            "%d frames have more than config.data.max_objects = %d boxes, up to %d; raise it to use them all",
            len(crowded), max_objects, max(crowded)
        )  # fmt: skip


def named(dataset: VideoDataset, video: int, t: int, function: Callable[..., T], *arguments: object) -> T:
    """`function(*arguments)`, whose `UserError` then names the frame."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"{dataset.frame_name(video, t)}: {error}") from error
