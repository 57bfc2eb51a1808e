"""The stored results of a suite as numbers: scores, paired differences, distances of the offsets."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from scipy import stats

from experiments.suites import PRETRAINED, Suite
from lsts_jax.config import ModelConfig
from lsts_jax.errors import UserError

LEVEL = 0.95
KEYFRAME_INTERVAL = ModelConfig().keyframe_interval
SCORES = ("mAP", "degraded", "clean", "slow", "medium", "fast")

DIVERGED = 0.05
"""A run with a lower mAP has diverged in training, if others of its experiment have not."""

FILES = "*/*-seed*.json"
"""Below a suite's folder."""

Runs = Mapping[str, Mapping[str, dict]]
"""Results by experiment and replicate: FOLDER/SEED, one pretrained detector."""
Motion = Mapping[str, np.ndarray]
"""Way (x, y) of objects from a frame to its keyframe [n, 2], in cells, by the schedule of keyframes."""


class Difference(NamedTuple):
    """Difference A - B, paired by replicate."""

    mean: float
    interval: tuple[float, float] | None  # None with less than two pairs
    pairs: int


def has_runs(folder: Path) -> bool:
    return any(folder.glob(FILES))


def read_runs(folder: Path) -> dict[str, dict[str, dict]]:
    """All below a suite's folder. Raises `UserError` where there are none, or a file is damaged."""
    runs: dict[str, dict[str, dict]] = {}
    for file in sorted(folder.glob(FILES)):
        try:
            result = json.loads(file.read_text())
            replicate = f"{file.parent.name}/{result['seed']}"
            runs.setdefault(result["experiment"], {})[replicate] = result
        except (ValueError, KeyError) as error:
            raise UserError(f"{file}: no result of a run ({error}); delete it and run it again") from error
    if not runs:
        raise UserError(
            f"{folder}: no results; make them: python -m experiments.run --suite NAME --workdir DIR"
        )
    return runs


def without_diverged(runs: Runs) -> tuple[Runs, list[dict]]:
    """All runs but those that diverged, and the results of these.

    An experiment that never learns keeps its runs: that is its result.
    """
    kept: dict[str, Mapping[str, dict]] = {}
    diverged = []
    for name, of_experiment in runs.items():
        learned = {
            replicate: result
            for replicate, result in of_experiment.items()
            if result.get("mAP", 1.0) >= DIVERGED
        }
        kept[name] = learned or of_experiment
        diverged += [result for replicate, result in of_experiment.items() if replicate not in kept[name]]
    return kept, diverged


def read_motion(folder: Path) -> Motion | None:
    """None where the data does not tell it."""
    file = next(iter(sorted(folder.glob("*/motion.json"))), None)
    if file is None:
        return None
    return {schedule: np.array(ways, float) for schedule, ways in json.loads(file.read_text()).items()}


def motion_of(result: dict, motion: Motion) -> np.ndarray:
    """Motion of the data under the schedule of the run."""
    return motion[result["overrides"].get("model.schedule", "offline")]


def names_of(suite: Suite) -> list[str]:
    """All that can have results, in order."""
    return [PRETRAINED, *(each.name for each in (*suite.experiments, *suite.evaluations))]


def with_offsets(suite: Suite, runs: Runs) -> list[str]:
    """Experiments that have sampling offsets."""
    has = lambda name: any("offsets" in result for result in runs.get(name, {}).values())
    return [name for name in names_of(suite) if has(name)]


def score_of(result: dict, score: str) -> float | None:
    """A score in percent, `delay` in frames; None if the run does not have it."""
    if score == "delay":
        return result.get("average_delay")
    groups = {"mAP": result.get("mAP"), "flicker": result.get("flicker")}
    value = {**groups, **result.get("mAP by degraded", {}), **result.get("mAP by motion", {})}.get(score)
    return None if value is None else 100 * value


def mean_mmac(result: dict) -> float | None:
    """10^6 multiply-adds a frame, on average over a segment; None where they are not known."""
    if "gmac" not in result or result["overrides"].get("model.thp.adaptive"):
        return None  # adaptive keyframes: as many as the video needs
    gmac, interval = result["gmac"], result["overrides"].get("model.keyframe_interval", KEYFRAME_INTERVAL)
    others = interval - 1 if "other frame" in gmac else 0
    return 1e3 * (gmac["keyframe"] + others * gmac.get("other frame", 0)) / (1 + others)


def values_of(name: str, runs: Runs, number: Callable[[dict], float | None]) -> dict[str, float]:
    """A number of an experiment, by replicate; replicates without it are left out."""
    found = {replicate: number(result) for replicate, result in runs.get(name, {}).items()}
    return {replicate: value for replicate, value in found.items() if value is not None}


def difference(a: Mapping[str, float], b: Mapping[str, float]) -> Difference | None:
    """a - b over their common replicates; None if there is none."""
    pairs = [a[replicate] - b[replicate] for replicate in sorted(a.keys() & b.keys())]
    if not pairs:
        return None
    mean, found = fmean(pairs), reach(pairs)
    return Difference(mean, None if found is None else (mean - found, mean + found), len(pairs))


def reach(values: Sequence[float]) -> float | None:
    """Half the interval of a mean, by Student's t; None with less than two values."""
    if len(values) < 2:
        return None
    quantile = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1))
    return quantile * stdev(values) / len(values) ** 0.5


def score_difference(name: str, against: str, runs: Runs, score: str) -> Difference | None:
    a, b = (values_of(each, runs, lambda result: score_of(result, score)) for each in (name, against))
    return difference(a, b)


def distances(result: dict, motion: Motion) -> list[tuple[int, float, float]]:
    """Step, and the Wasserstein distances of the offsets to the motion, in cells: horizontal, vertical."""
    found = []
    for stored in result.get("offsets", ()):
        by_axis = zip(np.transpose(stored["offsets"]), motion_of(result, motion).T, strict=True)
        found.append((stored["step"], *(float(stats.wasserstein_distance(*pair)) for pair in by_axis)))
    return found
