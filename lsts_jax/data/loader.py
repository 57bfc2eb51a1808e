"""Batches of triplets for training, and single frames.

A batch is a function of (seed, config, data, step): the position of the loader is the step number,
and neither the number of workers nor an interruption changes the batches. A sample whose own frame
cannot be read is counted and replaced by another, chosen by the seed; a keyframe that cannot be
read is replaced by another draw. A frame that failed is not tried again.
"""

import logging
from collections.abc import Generator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.bad_samples import BadSamples
from lsts_jax.data.dataset import VideoDataset
from lsts_jax.data.examples import Damage, Examples
from lsts_jax.data.shapes import Shape, named, read_shapes, report_crowds
from lsts_jax.data.threads import prepare_threads
from lsts_jax.data.transforms import Size, canvas_of, to_frame
from lsts_jax.data.triplets import Reach
from lsts_jax.errors import UserError
from lsts_jax.structs import Frame, Triplet

logger = logging.getLogger(__name__)


# First words of the random streams of an epoch; `examples` has 1.
ORDER, SUBSTITUTES = 0, 2
# Largest number of samples tried in place of one that cannot be read.
ATTEMPTS = 10


class _Batch(NamedTuple):
    """Result of a loading thread."""

    triplets: Triplet
    read: frozenset[int]  # samples
    damaged: tuple[Damage, ...]


class TripletLoader:
    """Batches of triplets for training.

    An epoch is a random order of every sample that has an object, and of its mirror image
    (`config.flip`). All pictures of a batch have the same canvas. Samples that are left over at the
    end of an epoch and do not fill a batch of their canvas are dropped; they are different ones in
    every epoch.
    """

    def __init__(
        self,
        dataset: VideoDataset,
        config: DataConfig,
        *,
        batch_size: int,
        seed: int,
        ranges: tuple[Reach, ...],
        rows: slice = slice(None),
    ):
        """Reads the annotations of all samples.

        Args:
          ranges: frames that keyframes are drawn from (`key_ranges`): two ranges for both
            keyframes, one for the new keyframe only, none for the frame alone.
          rows: rows of every batch to load; several processes load different rows.

        Raises `UserError` if more samples than `config.max_bad_share` cannot be read, or if they do
        not fill one batch.
        """
        self.dataset, self.config, self.batch_size, self.seed = dataset, config, batch_size, seed
        self._ranges, self._rows = ranges, rows
        self.bad = BadSamples(len(dataset.samples), config.max_bad_share)
        self._examples = Examples(dataset, config, seed, ranges)
        shapes = read_shapes(dataset, config)
        for sample, shape in enumerate(shapes):
            if isinstance(shape, str):
                self.bad.add(sample, shape)
        whole = {i: shape for i, shape in enumerate(shapes) if isinstance(shape, Shape)}
        kept = {i: shape for i, shape in whole.items() if shape.num_objects > 0}
        self._canvases = {i: shape.canvas for i, shape in kept.items()}
        report_crowds([shape.num_regions for shape in kept.values()], config.max_objects)
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
                padding = 1 - np.mean([kept[i].filled for i in chosen]) / (canvas[0] * canvas[1])
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
        """Number of samples that are known to be unreadable."""
        return len(self.bad)

    def name_of(self, sample: int) -> str:
        """Name of the frame of a sample, for messages."""
        return self.dataset.frame_name(*self.dataset.samples[sample])

    def make_batch(self, step: int) -> Triplet:
        """Loads the `rows` of the batch of a step, counted from 0. Axis 0 of the arrays is the
        batch."""
        return self._make(step).triplets

    def names(self, step: int) -> list[str]:
        """Names of the frames that a step trains on, for messages."""
        items = self._items(step)[1][self._rows].tolist()
        return list(dict.fromkeys(self.name_of(item // 2) for item in items))

    def _items(self, step: int) -> tuple[int, Int64[ndarray, "B"]]:
        """Number of a step's epoch, and the items of the step."""
        epoch, position = divmod(step, self.steps_per_epoch)
        known = self._epoch_order  # once: at the end of an epoch other threads ask for the next one
        if known[0] != epoch:
            self._epoch_order = known = (epoch, self._order(epoch))
        return epoch, known[1][position]

    def _make(self, step: int) -> _Batch:
        epoch, chosen = self._items(step)
        chosen = chosen[self._rows]
        canvas = self._canvases[chosen[0] // 2]
        # written in place: copies cost as much as resizing
        pixels = np.zeros((len(self._ranges) + 1, len(chosen), *canvas, 3), np.uint8)
        read: set[int] = set()
        damaged: list[Damage] = []
        examples = []
        for i, item in enumerate(chosen.tolist()):
            item, triplet = self._example(epoch, item, pixels[:, i], damaged)
            read.add(item // 2)
            examples.append(triplet)
        batch = _stack(examples)
        drawn = iter(pixels)
        frames = (frame and frame._replace(pixels=next(drawn)) for frame in batch[:3])
        return _Batch(Triplet(*frames, *batch[3:]), frozenset(read), tuple(damaged))

    def iterate(self, start_step: int, num_steps: int) -> Generator[Triplet, None, None]:
        """Yields the batches of `num_steps` steps from `start_step` on. `config.workers` threads
        load them ahead; with 0 workers they are loaded on demand.

        Raises `UserError` if more samples than `config.max_bad_share` cannot be read.
        """
        import grain  # here, because it takes seconds and only training needs it

        # OpenCV releases the interpreter's lock: threads decode in parallel and, unlike processes, do
        # not copy batches to each other.
        prepare_threads()
        workers = self.config.workers
        batches = grain.MapDataset.range(start_step, start_step + num_steps).map(self._make)
        options = grain.ReadOptions(num_threads=workers, prefetch_buffer_size=workers and workers + 1)
        iterator = iter(batches.to_iter_dataset(options))
        try:
            for triplets, read, damaged in iterator:
                self.bad.forgive(read)
                for sample, problem in damaged:
                    if sample is None:
                        self.bad.tell(problem)
                    else:
                        self.bad.add(sample, problem)
                yield triplets
        finally:
            iterator.close()

    def _order(self, epoch: int) -> Int64[ndarray, "S B"]:
        """Items of every batch of an epoch."""
        rng = np.random.default_rng((self.seed, ORDER, epoch))
        batches = []
        for group in self._groups.values():
            full = len(group) // self.batch_size * self.batch_size
            batches.append(rng.permutation(group)[:full].reshape(-1, self.batch_size))
        return rng.permutation(np.concatenate(batches))

    def _example(
        self,
        epoch: int,
        item: int,
        pixels: UInt8[ndarray, "P H W 3"],
        damaged: list[Damage],
    ) -> tuple[int, Triplet]:
        """Loads an item, or another item of its canvas if it cannot be read; returns the item and
        its triplet."""
        canvas = self._canvases[item // 2]
        others = self._groups[canvas]
        rng = np.random.default_rng((self.seed, SUBSTITUTES, epoch, item))
        for _ in range(ATTEMPTS):
            try:
                return item, self._examples.draw(epoch, item, canvas, pixels, damaged)
            except UserError as error:
                damaged.append((item // 2, str(error)))
                pixels[:] = 0
                item = int(rng.choice(others))
        raise UserError(f"{ATTEMPTS} samples drawn at random cannot be read; the last: {damaged[-1][1]}")


def read_frame(dataset: VideoDataset, video: int, t: int, config: DataConfig) -> Frame:
    """Reads a frame in the detector's input format, on its smallest canvas. Raises `UserError`
    naming the file."""
    image = dataset.frame(video, t)
    canvas = named(dataset, video, t, canvas_of, image.shape[:2], config)
    return to_frame(image, config, canvas)


def _stack(examples: Sequence[Any]) -> Any:
    """Stacks arrays, or NamedTuples of arrays, along a new first axis; None stays None."""
    first = examples[0]
    if first is None:
        return None
    if isinstance(first, ndarray):
        return np.stack(examples)
    return type(first)(*(_stack(part) for part in zip(*examples, strict=True)))
