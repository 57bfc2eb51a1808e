"""From a data set to batches of triplets, and to single frames.

A batch is a function of (seed, config, data, step): the position of the loader is the number of the step, and
neither the workers nor an interruption change what a step is trained on. A sample that cannot be read is
reported once and gives its place to another, which the seed chooses.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray
from tqdm import tqdm

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Sample, VideoDataset
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import (
    Size,
    canvas_of,
    clip_objects,
    flip_boxes,
    flip_image,
    resized,
    to_frame,
    to_slots,
)
from lsts_jax.data.triplets import KeyRanges, sample_triplet
from lsts_jax.errors import UserError
from lsts_jax.structs import Frame, Triplet

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Threads that read annotations; mostly they wait for the disk.
THREADS = 8
# First words of the random streams of an epoch.
ORDER, TRIPLETS, SUBSTITUTES = 0, 1, 2
# Samples that are tried in the place of one that cannot be read.
ATTEMPTS = 10


class Shape(NamedTuple):
    """What decides where a sample goes."""

    canvas: Size
    filled: int  # pixels of it that the resized picture takes
    num_objects: int  # to be found
    num_regions: int  # to be found or ignored


class _Batch(NamedTuple):
    """What a thread makes."""

    triplets: Triplet
    damaged: tuple[str, ...]  # what was wrong with the samples that others have taken the place of


class TripletLoader:
    """Batches of triplets for training.

    An epoch is a random order of every sample that has an object, and of its mirror image (`config.flip`).
    A batch has one canvas; what is left of a canvas at the end of an epoch and fills no batch is dropped,
    other samples in every epoch.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        config: DataConfig,
        *,
        batch_size: int,
        seed: int,
        ranges: KeyRanges | None,
        rows: slice = slice(None),
    ):
        """Reads the annotations of all samples.

        Args:
          ranges: where the keyframes of a sample lie (`key_ranges`); None reads no keyframes, for a detector
            that is trained on single frames.
          rows: of each batch; only these are loaded. For a process of several, each with its share.

        Raises `UserError` if more of them than `config.max_bad_share` cannot be read, and if there is not one
        batch.
        """
        self.dataset, self.config, self.batch_size, self.seed = dataset, config, batch_size, seed
        self._ranges, self._rows = ranges, rows
        self._damaged: set[str] = set()
        shapes = _read_shapes(dataset, config)
        self._report_damaged(shape for shape in shapes if isinstance(shape, str))
        shapes = [shape if isinstance(shape, Shape) else None for shape in shapes]
        kept = [i for i, shape in enumerate(shapes) if shape and shape.num_objects > 0]
        self._canvases = [shape and shape.canvas for shape in shapes]
        _report_crowds([shapes[i].num_regions for i in kept], config.max_objects)
        views = 2 if config.flip else 1
        self._groups: dict[Size, Int64[ndarray, "n"]] = {}  # items of a canvas; item = 2 * sample + mirrored
        for canvas in dict.fromkeys(config.canvases):
            chosen = [i for i in kept if self._canvases[i] == canvas]
            items = [2 * i + view for i in chosen for view in range(views)]
            if 0 < len(items) < batch_size:
                logger.warning(
                    "%d samples on canvas %dx%d fill no batch of %d and are never trained on; lower "
                    "config.train.batch_size to use them", len(items), *canvas, batch_size
                )  # fmt: skip
            if len(items) >= batch_size:
                self._groups[canvas] = np.array(items, np.int64)
                padding = 1 - np.mean([shapes[i].filled for i in chosen]) / (canvas[0] * canvas[1])
                logger.info("canvas %dx%d: %d frames, %.1f %% padding", *canvas, len(chosen), 100 * padding)
        self.steps_per_epoch = sum(len(group) // batch_size for group in self._groups.values())
        if not self.steps_per_epoch:
            raise UserError(
                f"config.data.train_lists {config.train_lists}: {len(kept)} of {len(shapes)} frames have an "
                f"object of config.data.class_names, too few for a batch of {batch_size}; check the class "
                "names, or lower config.train.batch_size"
            )
        self._epoch_order: tuple[int, Int64[ndarray, "S B"]] = (-1, np.zeros((0, batch_size), np.int64))

    @property
    def bad_samples(self) -> int:
        """Samples that could not be read so far."""
        return len(self._damaged)

    def make_batch(self, step: int) -> Triplet:
        """Arrays of the batch that step `step`, counted from 0, is trained on, its `rows`; axis 0 is the
        batch."""
        return self._make(step).triplets

    def names(self, step: int) -> list[str]:
        """The frames that step `step` is trained on, as messages name them."""
        samples = (self.dataset.samples[item // 2] for item in self._items(step)[1][self._rows].tolist())
        return list(dict.fromkeys(self.dataset.frame_name(video, t) for video, t in samples))

    def _items(self, step: int) -> tuple[int, Int64[ndarray, "B"]]:
        """The epoch of a step, and its items."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self._epoch_order[0] != epoch:
            self._epoch_order = (epoch, self._order(epoch))
        return epoch, self._epoch_order[1][position]

    def _make(self, step: int) -> _Batch:
        epoch, chosen = self._items(step)
        chosen = chosen[self._rows]
        canvas = self._canvases[chosen[0] // 2]
        pictures = 3 if self._ranges else 1
        # written in place: copies cost as much as resizing
        pixels = np.zeros((pictures, len(chosen), *canvas, 3), np.uint8)
        damaged: list[str] = []
        batch = _stack(
            [self._example(epoch, int(item), pixels[:, i], damaged) for i, item in enumerate(chosen)]
        )
        drawn = iter(pixels)
        frames = (frame and frame._replace(pixels=next(drawn)) for frame in batch[:3])
        return _Batch(Triplet(*frames, *batch[3:]), tuple(damaged))

    def iterate(self, start_step: int, num_steps: int) -> Iterator[Triplet]:
        """The batches of `num_steps` steps from `start_step` on, made ahead by `config.workers` threads, or
        when they are asked for if there are none.

        Raises `UserError` if more samples than `config.max_bad_share` cannot be read.
        """
        import grain  # here, because it takes seconds and only training needs it

        # OpenCV lets go of the interpreter's lock: threads decode side by side, and unlike processes they do
        # not copy batches to each other.
        prepare_threads()
        workers = self.config.workers
        batches = grain.MapDataset.range(start_step, start_step + num_steps).map(self._make)
        options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers and workers + 1)
        iterator = iter(batches.to_iter_dataset(options))
        try:
            for triplets, damaged in iterator:
                self._report_damaged(damaged)
                yield triplets
        finally:
            iterator.close()

    def _order(self, epoch: int) -> Int64[ndarray, "S B"]:
        """Items of each batch of an epoch."""
        rng = np.random.default_rng((self.seed, ORDER, epoch))
        batches = []
        for group in self._groups.values():
            full = len(group) // self.batch_size * self.batch_size
            batches.append(rng.permutation(group)[:full].reshape(-1, self.batch_size))
        return rng.permutation(np.concatenate(batches))

    def _example(
        self, epoch: int, item: int, pixels: UInt8[ndarray, "P H W 3"], damaged: list[str]
    ) -> Triplet:
        """The triplet of an item or, where that cannot be read, of another on its canvas."""
        others = self._groups[self._canvases[item // 2]]
        rng = np.random.default_rng((self.seed, SUBSTITUTES, epoch, item))
        for _ in range(ATTEMPTS):
            try:
                return self._triplet(epoch, item, pixels)
            except UserError as error:
                damaged.append(str(error))
                pixels[:] = 0
                item = int(rng.choice(others))
        raise UserError(f"{ATTEMPTS} samples drawn at random cannot be read; the last: {damaged[-1]}")

    def _report_damaged(self, messages: Iterable[str]) -> None:
        """A line for each that is new. Raises `UserError` where there are too many."""
        for message in messages:
            if message not in self._damaged:
                self._damaged.add(message)
                logger.warning("skipped: %s", message)
            total = len(self.dataset.samples)
            if len(self._damaged) > self.config.max_bad_share * total:
                raise UserError(
                    f"{len(self._damaged)} of {total} samples cannot be read, more than config.data."
                    f"max_bad_share = {self.config.max_bad_share}; python -m lsts_jax.data.check lists them; "
                    f"the last: {message}"
                )

    def _triplet(self, epoch: int, item: int, pixels: UInt8[ndarray, "P H W 3"]) -> Triplet:
        """The triplet of an item, whose pictures are drawn on `pixels` and are None in it."""
        sample, mirrored = divmod(item, 2)
        video, t = self.dataset.samples[sample]
        rng = np.random.default_rng((self.seed, TRIPLETS, epoch, item))
        old = new = None
        if self._ranges:
            old, new = sample_triplet(rng, t, self.dataset.videos[video].num_frames, self._ranges)
        times = [time for time in (old, new, t) if time is not None]
        drawn: dict[int, tuple[Frame, Size]] = {}  # and the size of the original
        for out, time in zip(pixels, times, strict=True):
            if time in drawn:
                out[:] = drawn[time][0].pixels
                continue
            image = self.dataset.frame(video, time)  # one at a time, so that its memory is used again
            size = image.shape[:2]
            image = flip_image(image) if mirrored else image
            draw = partial(to_frame, canvas=self._canvases[sample], out=out)
            drawn[time] = _named(self.dataset, video, time, draw, image, self.config), size
        frame, size = drawn[t]
        objects = clip_objects(self.dataset.objects(video, t), size)
        boxes = flip_boxes(objects.boxes, size[1]) if mirrored else objects.boxes
        return Triplet(
            *(drawn[time][0]._replace(pixels=None) if time in drawn else None for time in (old, new, t)),
            to_slots(boxes * frame.scale, objects.classes, objects.ignored, self.config.max_objects),
            new_is_old=np.array(new == old),
            current_is_new=np.array(t == new),
        )


def read_frame(dataset: VideoDataset, video: int, t: int, config: DataConfig) -> Frame:
    """A frame as the detector takes it, on its smallest canvas. Raises `UserError` naming the file."""
    image = dataset.frame(video, t)
    canvas = _named(dataset, video, t, canvas_of, image.shape[:2], config)
    return to_frame(image, config, canvas)


def _named(dataset: VideoDataset, video: int, t: int, function: Callable[..., T], *arguments: object) -> T:
    """`function(*arguments)`, whose `UserError` then names the frame."""
    try:
        return function(*arguments)
    except UserError as error:
        raise UserError(f"{dataset.frame_name(video, t)}: {error}") from error


def _read_shapes(dataset: VideoDataset, config: DataConfig) -> list[Shape | str]:
    """The shapes of all samples, or what is wrong with them, with a progress bar if it takes long."""

    def read(sample: Sample) -> Shape | str:
        try:
            objects = dataset.objects(*sample)
            size = objects.size or dataset.frame(*sample).shape[:2]
            canvas = _named(dataset, *sample, canvas_of, size, config)
        except UserError as error:
            return str(error)
        inside = clip_objects(objects, size)
        height, width = resized(size, config)[1]
        return Shape(canvas, height * width, int((~inside.ignored).sum()), len(inside.boxes))

    with ThreadPoolExecutor(THREADS) as pool:
        shapes = pool.map(read, dataset.samples)
        bar = tqdm(shapes, "annotations", len(dataset.samples), unit="frame", delay=2.0, dynamic_ncols=True)
        return list(bar)


def _report_crowds(counts: list[int], max_objects: int) -> None:
    crowded = [count for count in counts if count > max_objects]
    if crowded:
        logger.warning(
            "%d frames have more than config.data.max_objects = %d boxes, up to %d; raise it to use them all",
            len(crowded), max_objects, max(crowded)
        )  # fmt: skip


def _stack(examples: Sequence[T]) -> T:
    """Arrays, or NamedTuples of them, as one with a new first axis; None stays None."""
    first = examples[0]
    if first is None:
        return None
    if isinstance(first, ndarray):
        return np.stack(examples)
    return type(first)(*(_stack(part) for part in zip(*examples, strict=True)))
