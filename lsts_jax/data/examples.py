"""Training examples: a frame, its objects and its keyframes."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.config import DataConfig
from lsts_jax.data.dataset import Sample, VideoDataset
from lsts_jax.data.shapes import named
from lsts_jax.data.transforms import Size, clip_objects, flip_boxes, flip_image, to_frame, to_slots
from lsts_jax.data.triplets import Reach, sample_keys
from lsts_jax.errors import UserError
from lsts_jax.structs import Frame, Triplet

TRIPLETS = 1  # first word of the random streams of an epoch; `loader` has the others
ATTEMPTS = 10
"""Number of draws of keyframes before the sample's own frame is used."""
Damage = tuple[int | None, str]
"""The problem of a sample, or of a keyframe; None if there is none."""


class Examples:
    """Draws examples; a frame that could not be read is not tried again."""

    def __init__(self, dataset: VideoDataset, config: DataConfig, seed: int, ranges: tuple[Reach, ...]):
        """Args:
        ranges: frames that keyframes are drawn from (`key_ranges`)."""
        self.dataset, self.config, self.seed, self.ranges = dataset, config, seed, ranges
        self._unreadable: dict[Sample, str] = {}  # and why

    def draw(
        self,
        epoch: int,
        item: int,
        canvas: Size,
        pixels: UInt8[ndarray, "P H W 3"],
        damaged: list[Damage],
    ) -> Triplet:
        """The triplet of an item. Its pictures are written to `pixels` and are None in the triplet.

        Raises `UserError` if the sample's own frame cannot be read.
        """
        sample, mirrored = divmod(item, 2)
        video, t = self.dataset.samples[sample]
        rng = np.random.default_rng((self.seed, TRIPLETS, epoch, item))
        draw = partial(self._draw, canvas=canvas, mirrored=mirrored)
        frame, size = draw(Sample(video, t), pixels[-1])
        objects = clip_objects(self.dataset.objects(video, t), size)
        boxes = flip_boxes(objects.boxes, size[1]) if mirrored else objects.boxes
        keyframes = self._keyframes(rng, Sample(video, t), frame, draw, pixels, damaged)
        absent = [(None, None)] * (2 - len(keyframes))
        (old, old_key), (new, new_key) = *absent, *keyframes
        return Triplet(
            old_key and old_key._replace(pixels=None),
            new_key and new_key._replace(pixels=None),
            frame._replace(pixels=None),
            to_slots(boxes * frame.scale, objects.classes, objects.ignored, self.config.max_objects),
            new_is_old=np.array(new == old),
            current_is_new=np.array(t == new),
        )

    def _keyframes(
        self,
        rng: np.random.Generator,
        sample: Sample,
        frame: Frame,
        draw: Callable[[Sample, ndarray], tuple[Frame, Size]],
        pixels: UInt8[ndarray, "P H W 3"],
        damaged: list[Damage],
    ) -> list[tuple[int, Frame]]:
        """The times and frames of a sample's keyframes: the first draw that can be read, or else
        the sample's own frame, as for a still."""
        video, t = sample
        keys = pixels[:-1]
        for _ in range(ATTEMPTS):
            times = sample_keys(rng, t, self.dataset.videos[video].num_frames, self.ranges)
            drawn = {t: (frame, pixels[-1])}
            try:
                for out, time in zip(keys, times, strict=True):
                    if time in drawn:
                        out[:] = drawn[time][1]
                    else:
                        drawn[time] = draw(Sample(video, time), out)[0], out
                return [(time, drawn[time][0]) for time in times]
            except UserError as error:
                damaged.append((None, str(error)))
                keys[:] = 0
        keys[:] = pixels[-1]
        return [(t, frame)] * len(self.ranges)

    def _draw(
        self, frame: Sample, out: UInt8[ndarray, "H W 3"], canvas: Size, mirrored: int
    ) -> tuple[Frame, Size]:
        """Writes a frame to `out` and returns the size of its original. Raises `UserError` if it
        cannot be read, or could not be read before."""
        if problem := self._unreadable.get(frame):
            raise UserError(problem)
        try:
            image = self.dataset.frame(*frame)  # one at a time, so that its memory is used again
            size = image.shape[:2]
            image = flip_image(image) if mirrored else image
            draw = partial(to_frame, canvas=canvas, out=out)
            return named(self.dataset, *frame, draw, image, self.config), size
        except UserError as error:
            self._unreadable[frame] = str(error)
            raise
