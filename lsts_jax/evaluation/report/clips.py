"""Clips of a report: videos or stretches of videos, and the selection of extreme clips to show."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32
from numpy import ndarray

from lsts_jax.data.dataset import VideoDataset
from lsts_jax.evaluation.compare import BLOCK, FEW
from lsts_jax.evaluation.matching import Annotations
from lsts_jax.evaluation.report.numbers import Side
from lsts_jax.evaluation.scoring import Truth

SHOWN = 3  # clips at either end of the list


class Clip(NamedTuple):
    """A video, or a stretch of one if there are few videos."""

    name: str
    frames: Int32[ndarray, "t"]  # in the order of time, numbered as in `Annotations`


def clips_of(dataset: VideoDataset, truth: Truth) -> list[Clip]:
    """The videos, or stretches of them if they are few."""
    by_video = truth.frames_by_video()
    name = lambda frames: dataset.videos[int(truth.video_of_frame[frames[0]])].name
    if len(by_video) >= FEW:
        return [Clip(name(frames), frames.astype(np.int32)) for frames in by_video]
    clips = []
    for frames in by_video:
        for stretch in np.split(frames.astype(np.int32), range(BLOCK, len(frames), BLOCK)):
            first, last = truth.samples[stretch[[0, -1]], 1]
            clips.append(Clip(f"{name(frames)}, frames {first} to {last}", stretch))
    return clips


def f1_of_clips(annotations: Annotations, side: Side, clips: list[Clip]) -> Float[ndarray, "v"]:
    """F1 of every clip at the run's threshold; NaN for clips without objects and detections."""
    of_frame = np.zeros(1 + max(clip.frames.max() for clip in clips), np.int64)
    for number, clip in enumerate(clips):
        of_frame[clip.frames] = number
    found = side.run.detections
    shown = (found.scores >= side.threshold) & ~side.matches.hidden
    total = lambda frames: np.bincount(of_frame[frames], minlength=len(clips))
    both = total(found.frame[shown]) + total(annotations.frame[~annotations.ignored])
    true = total(found.frame[shown & (side.matches.taken >= 0)])
    return np.where(both > 0, 2 * true / np.maximum(both, 1), np.nan)


def telling_clips(clips: list[Clip], f1: list[ndarray]) -> dict[str, list[tuple]]:
    """Clips to show, by heading: index and F1 of every run, most extreme first."""
    value = f1[0] if len(f1) == 1 else f1[0] - f1[1]
    order = [int(i) for i in np.argsort(-value, kind="stable") if np.isfinite(value[i])]
    if len(f1) == 1:
        half = (len(order) + 1) // 2
        heads = {"Best": order[:half], "Worst": order[half:][::-1]}
    else:
        heads = {"Won": [i for i in order if value[i] > 0], "Lost": [i for i in order[::-1] if value[i] < 0]}
    return {
        head: [(i, *(float(of_run[i]) for of_run in f1)) for i in rows[:SHOWN]]
        for head, rows in heads.items()
    }
