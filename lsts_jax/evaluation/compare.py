"""Comparison of two sets of detections: paired differences with bootstrap intervals (numpy only).

Frames of a video are similar, so videos are the units of the bootstrap: a draw has as many videos as the data
set, with replacement, and both sets of detections are scored on the same draw.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int32, Int64
from numpy import ndarray
from tqdm import trange

from lsts_jax.evaluation.matching import Annotations, DetectionArrays, Matches, match

RESAMPLES = 1000
LEVEL = 0.95
FEW = 8  # videos; with fewer videos, blocks of frames are the units
BLOCK = 30  # frames


class Difference(NamedTuple):
    """B - A, as fractions of 1."""

    a: float
    b: float
    low: float  # of the interval that holds LEVEL of the resampled differences
    high: float
    b_wins: float  # share of the resampled differences above 0


class Comparison(NamedTuple):
    mAP: Difference
    AP: dict[str, Difference]  # by class
    videos: dict[str, tuple[float, float]]  # mAP of A and of B in each video that has objects
    unit: str  # what was resampled
    draws: int  # how often

    def as_dict(self, names: tuple[str, str]) -> dict:
        """Dictionary for JSON; `names` of A and B."""
        return {
            "A": names[0],
            "B": names[1],
            "resampled": self.unit,
            "draws": self.draws,
            "level": LEVEL,
            "mAP": self.mAP._asdict(),
            "AP": {name: difference._asdict() for name, difference in self.AP.items()},
            "videos": {name: dict(zip("ab", pair, strict=True)) for name, pair in self.videos.items()},
        }


class _Ranked(NamedTuple):
    """The detections of a class that count, in falling score."""

    hit: Int64[ndarray, "r"]  # ranks of the true ones
    unit: Int32[ndarray, "m"]
    objects: Float[ndarray, "u"]  # of each unit


def compare(
    annotations: Annotations,
    a: DetectionArrays,
    b: DetectionArrays,
    class_names: tuple[str, ...],
    video_of_frame: Int32[ndarray, "f"],
    video_names: tuple[str, ...],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Comparison:
    """mAP of two sets of detections, their difference, and its interval by a bootstrap over videos.

    Args:
      video_of_frame: index in `video_names` of each frame, frames numbered as in `annotations`; -1 for
        numbers without a frame.
    """
    unit_of_frame, units, unit = _units(video_of_frame)
    matches = [match(annotations, found, len(class_names)) for found in (a, b)]

    def ranked_by(of_frame, count):
        pairs = zip((a, b), matches, strict=True)
        return [_rank(annotations, found, m, of_frame, count) for found, m in pairs]

    videos = [_by_video(side, video_names) for side in ranked_by(video_of_frame, len(video_names))]
    ranked = ranked_by(unit_of_frame, units)
    present = [number for number, of_class in enumerate(ranked[0]) if of_class.objects.any()]

    def aps(weights: Float[ndarray, "u"]) -> Float[ndarray, "2 c"]:
        return np.array([[average_precision(sides[c], weights) for c in present] for sides in ranked])

    whole = aps(np.ones(units))
    rng = np.random.default_rng(seed)
    drawn = np.empty((resamples, len(present)))
    means = np.empty(resamples)
    for i in trange(resamples, desc="bootstrap", unit="draw", leave=False, dynamic_ncols=True):
        found = aps(np.bincount(rng.integers(units, size=units), minlength=units).astype(float))
        drawn[i] = found[1] - found[0]
        means[i] = np.nanmean(drawn[i])
    names = [class_names[c] for c in present]
    mean_a, mean_b = whole.mean(axis=1)
    return Comparison(
        _difference(mean_a, mean_b, means),
        {name: _difference(whole[0, i], whole[1, i], drawn[:, i]) for i, name in enumerate(names)},
        {name: (videos[0][name], videos[1][name]) for name in videos[0]},
        unit,
        resamples,
    )


def average_precision(ranked: _Ranked, weights: Float[ndarray, "u"]) -> float:
    """The metric's AP with every unit counted `weights` times; NaN if no object is left."""
    total = weights @ ranked.objects
    if total == 0:
        return np.nan
    gained = weights[ranked.unit[ranked.hit]]
    counted = np.cumsum(weights[ranked.unit])[ranked.hit]
    precision = np.cumsum(gained) / np.maximum(counted, 1e-300)
    highest = np.maximum.accumulate(precision[::-1])[::-1]
    return float((gained * highest).sum() / total)


def _rank(
    annotations: Annotations,
    found: DetectionArrays,
    matches: Matches,
    unit_of_frame: Int32[ndarray, "f"],
    units: int,
) -> list[_Ranked]:
    of_object = unit_of_frame[annotations.frame]
    ranked = []
    for number, rows in enumerate(matches.ranked, start=1):
        rows = rows[~matches.hidden[rows]]
        hit = np.flatnonzero(matches.taken[rows] >= 0)
        rows = rows[: hit[-1] + 1 if len(hit) else 0]  # detections after the last true one have no weight
        chosen = ~annotations.ignored & (annotations.classes == number)
        objects = np.bincount(of_object[chosen], minlength=units).astype(float)
        ranked.append(_Ranked(hit, unit_of_frame[found.frame[rows]], objects))
    return ranked


def _units(video_of_frame: Int32[ndarray, "f"]) -> tuple[Int32[ndarray, "f"], int, str]:
    """Units of the bootstrap: unit of every frame, number of units, and their name."""
    known = np.flatnonzero(video_of_frame >= 0)
    videos, starts, unit = np.unique(video_of_frame[known], return_index=True, return_inverse=True)
    if len(videos) < FEW:
        block = (np.arange(len(known)) - starts[unit]) // BLOCK  # blocks do not extend into the next video
        _, unit = np.unique(np.stack([unit, block], axis=1), axis=0, return_inverse=True)
    units = np.full(len(video_of_frame), -1, np.int32)
    units[known] = unit.reshape(-1)
    return units, int(units.max()) + 1, "videos" if len(videos) >= FEW else f"blocks of {BLOCK} frames"


def _difference(a: float, b: float, drawn: Float[ndarray, "r"]) -> Difference:
    drawn = drawn[np.isfinite(drawn)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]) if len(drawn) else (np.nan, np.nan)
    return Difference(float(a), float(b), float(low), float(high), float((drawn > 0).mean()))


def _by_video(ranked: list[_Ranked], names: tuple[str, ...]) -> dict[str, float]:
    """mAP in every video, over the classes that occur in it."""
    found: list[list[float]] = [[] for _ in names]
    for of_class in ranked:
        hit = np.zeros(len(of_class.unit), bool)
        hit[of_class.hit] = True
        order = np.argsort(of_class.unit, kind="stable")
        borders = np.searchsorted(of_class.unit[order], np.arange(len(names) + 1))
        for video in np.flatnonzero(of_class.objects):
            own = order[borders[video] : borders[video + 1]]
            alone = _Ranked(np.flatnonzero(hit[own]), np.zeros(len(own), np.int32), of_class.objects[[video]])
            found[video].append(average_precision(alone, np.ones(1)))
    return {name: float(np.mean(values)) for name, values in zip(names, found, strict=True) if values}


def table(comparison: Comparison, names: tuple[str, str], *, videos: int = 5) -> str:
    """The comparison as lines of text, in percent, with the videos of largest loss and gain."""
    rows = {"mAP": comparison.mAP} | comparison.AP
    width = max(map(len, [*rows, *comparison.videos, *names]))
    lines = [f"A  {names[0]}", f"B  {names[1]}", "", f"{'':<{width}}      A      B   B - A   95 % interval"]
    for name, d in rows.items():
        difference = f"{100 * (d.b - d.a):+7.1f}   {100 * d.low:+.1f} to {100 * d.high:+.1f}"
        lines.append(f"{name:<{width}}  {100 * d.a:5.1f}  {100 * d.b:5.1f} {difference}")
    wins, draws = 100 * comparison.mAP.b_wins, f"{comparison.draws} draws of {comparison.unit}"
    lines.append(f"B is better in {wins:.1f} % of {draws}")
    ordered = sorted(comparison.videos.items(), key=lambda item: item[1][1] - item[1][0])
    if len(ordered) > 1:
        chosen = ordered if len(ordered) <= 2 * videos else [*ordered[:videos], *ordered[-videos:]]
        lines += ["", "videos from lost to won"]
        for name, (a, b) in chosen:
            lines.append(f"{name:<{width}}  {100 * a:5.1f}  {100 * b:5.1f} {100 * (b - a):+7.1f}")
    return "\n".join(lines)
