"""Bursts of motion blur, defocus and occlusion, added to any data set to test whether a memory
helps.

The degradation of a frame depends only on the settings, the name of its video and its number, so it
is the same in training and evaluation, in every process and in any order.
"""

import zlib
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from lsts_jax.config import DegradeConfig
from lsts_jax.data.dataset import Objects, VideoDataset

LENGTHS = (5, 15)  # smallest and largest number of frames in a burst
BLUR = (0.04, 0.1)  # length of the motion, in short sides of the picture
SPREAD = (0.012, 0.03)  # deviation of the Gaussian of a defocused picture, in short sides
BARS = (0.06, 0.12)  # width of an upright bar, in long sides; gaps between bars are as wide


class Burst(NamedTuple):
    """Frames that are degraded in the same way."""

    kind: str
    amount: float  # from 0 to 1 within the range of the kind
    angle: float  # of the motion, from 0 to pi; shift of the bars


class Degraded:
    """A `VideoDataset` that adds bursts to another one. Objects in bursts are marked as degraded."""

    def __init__(self, dataset: VideoDataset, config: DegradeConfig):
        self.dataset, self.config = dataset, config
        self.class_names = dataset.class_names
        self.videos, self.samples = dataset.videos, dataset.samples

    def __getattr__(self, name: str) -> Any:  # counts, unknown names
        if name == "dataset" or name.startswith("__"):  # pickle looks up attributes before `__init__`
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def frame(self, video: int, t: int) -> UInt8[ndarray, "H W 3"]:
        picture, burst = self.dataset.frame(video, t), self.burst(video, t)
        return degrade(picture, burst) if burst else picture

    def objects(self, video: int, t: int) -> Objects:
        objects, burst = self.dataset.objects(video, t), self.burst(video, t)
        known = np.zeros(len(objects.boxes), bool) if objects.degraded is None else objects.degraded
        return objects._replace(degraded=known | (burst is not None))

    def frame_name(self, video: int, t: int) -> str:
        return self.dataset.frame_name(video, t)

    def global_id(self, video: int, t: int) -> int:
        return self.dataset.global_id(video, t)

    def burst(self, video: int, t: int) -> Burst | None:
        """The burst that contains a frame."""
        one = self.videos[video]
        return bursts_of(self.config, one.name, one.num_frames)[t]


def original(dataset: VideoDataset) -> VideoDataset:
    """The data set without bursts."""
    return dataset.dataset if isinstance(dataset, Degraded) else dataset


@lru_cache(maxsize=4096)
def bursts_of(config: DegradeConfig, video: str, num_frames: int) -> tuple[Burst | None, ...]:
    """The burst of every frame of a video; None for frames that are not degraded.

    Bursts and gaps alternate, from a random time before the first frame on. The mean length of the
    gaps gives `config.share` of degraded frames.
    """
    rng = np.random.default_rng([config.seed, zlib.crc32(video.encode())])
    mean_gap = sum(LENGTHS) / 2 * (1 - config.share) / config.share
    frames: list[Burst | None] = []
    # so that bursts are as likely in the first frame as in others
    skipped = int(rng.integers(4 * (LENGTHS[1] + int(mean_gap)) + 1))
    while len(frames) < skipped + num_frames:
        kind = config.kinds[int(rng.integers(len(config.kinds)))]
        burst = Burst(kind, float(rng.random()), float(rng.random() * np.pi))
        frames += [burst] * int(rng.integers(LENGTHS[0], LENGTHS[1] + 1))
        frames += [None] * round(mean_gap * rng.uniform(0.5, 1.5))
    return tuple(frames[skipped : skipped + num_frames])


def degrade(picture: UInt8[ndarray, "H W 3"], burst: Burst) -> UInt8[ndarray, "H W 3"]:
    """Returns the picture with a burst's blur or bars; their sizes scale with the picture."""
    height, width, _ = picture.shape
    if burst.kind == "motion_blur":
        return cv2.filter2D(picture, -1, _line(_within(BLUR, burst) * min(height, width), burst.angle))
    if burst.kind == "defocus":
        return cv2.GaussianBlur(picture, (0, 0), _within(SPREAD, burst) * min(height, width))
    bar = max(1.0, _within(BARS, burst) * max(height, width))
    phase = np.arange(width) / bar + 2 * burst.angle / np.pi
    covered = picture.copy()
    covered[:, phase % 2 < 1] = picture.mean((0, 1)).astype(np.uint8)
    return covered


def _within(limits: tuple[float, float], burst: Burst) -> float:
    low, high = limits
    return low + (high - low) * burst.amount


def _line(length: float, angle: float) -> ndarray:
    """Convolution kernel of a straight motion of `length` pixels, centred."""
    radius = max(1, round(length / 2))
    kernel = np.zeros((2 * radius + 1, 2 * radius + 1), np.float32)
    end = np.array([np.cos(angle), np.sin(angle)]) * length / 2
    first, last = (tuple(np.round(radius + side * end).astype(int).tolist()) for side in (-1, 1))
    cv2.line(kernel, first, last, 1.0)
    return kernel / kernel.sum()
