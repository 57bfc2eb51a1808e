"""Figures of a suite (matplotlib), drawn from the stored results."""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from experiments.numbers import (
    Motion,
    Runs,
    distances,
    mean_mmac,
    motion_of,
    reach,
    score_of,
    values_of,
)
from experiments.suites import SINGLE, Suite
from lsts_jax.plots import BLUE, COLOURS, GREEN, ORANGE, offset_distribution

DASHES = ("-", "--", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
OBJECTS = {"clean": ("clean", BLUE), "mAP": ("all", GREEN), "degraded": ("degraded", ORANGE)}
"""Label and colour of a score."""


def draw_all(suite: Suite, runs: Runs, motion: Motion | None, folder: Path) -> list[Path]:
    """Writes those for which there are results."""
    drawn = []

    def new(name: str, width: float, height: float) -> Figure:
        figure = Figure(figsize=(width, height), layout="constrained")
        drawn.append((folder / f"{name}.png", figure))
        return figure

    core, intervals = (
        {name: title for name, title in suite.tables.get(table, {}).items() if name in runs}
        for table in ("core", "interval")
    )
    if core:
        draw_scores(new("core", 9, 4.5), core, runs)
    costs = {name: title for name, title in tradeoff_rows(suite).items() if mean_costs(name, runs)}
    if len(costs) > 1:
        draw_tradeoff(new("tradeoff", 11, 5), costs, runs)
    if len(intervals) > 1 and all(title.isdecimal() for title in intervals.values()):
        draw_intervals(new("interval", 6, 4), {name: int(title) for name, title in intervals.items()}, runs)
    about_offsets = [name for name in ("offsets", "narrow", "beyond") if name in suite.tables]
    rows = (name for table in about_offsets or ["core"] for name in suite.tables.get(table, ()))
    learned = {name: suite.title(name) for name in rows if moved(name, runs)}
    if motion is not None and learned:
        if about_offsets:
            draw_learning(new("learning", 10, 4), learned, runs, motion)
        for name in learned:
            result = runs[name][min(runs[name])]
            initial, last = (np.array(result["offsets"][i]["offsets"]) for i in (0, -1))
            offset_distribution(new(f"offsets_{name}", 11, 4), last, initial, motion_of(result, motion))
    for file, figure in drawn:
        figure.savefig(file, dpi=120)
    return [file for file, _ in drawn]


def scores_of(name: str, score: str, runs: Runs) -> list[float]:
    """A run each."""
    return list(values_of(name, runs, lambda result: score_of(result, score)).values())


def moved(name: str, runs: Runs) -> bool:
    """True if training changed the offsets."""
    stored = [result["offsets"] for result in runs.get(name, {}).values() if "offsets" in result]
    return any(offsets[0]["offsets"] != offsets[-1]["offsets"] for offsets in stored)


def draw_scores(figure: Figure, titles: dict[str, str], runs: Runs) -> None:
    """mAP of clean, all and degraded objects: means as bars, runs as dots."""
    axes = figure.subplots()
    for i, (score, (label, colour)) in enumerate(OBJECTS.items()):
        for j, name in enumerate(titles):
            if values := scores_of(name, score, runs):
                place = j + 0.27 * (i - 1)
                axes.bar(place, fmean(values), 0.25, color=colour, alpha=0.6, label=None if j else label)
                axes.plot([place] * len(values), values, ".", color="black", markersize=5)
    axes.set_xticks(range(len(titles)), [_lines(title) for title in titles.values()])
    axes.tick_params(axis="x", labelsize="small")
    axes.set(ylabel="mAP (%)", ylim=(0, 100))
    tidy(axes)
    legend_beside(axes)


def _lines(title: str) -> str:
    """The title in lines short enough for a place below a group of bars."""
    return "\n".join(fill(part, 12) for part in title.replace(", ", ",\n").split("\n"))


def tradeoff_rows(suite: Suite) -> dict[str, str]:
    """The methods, at their intervals of keyframes."""
    return {**suite.tables.get("core", {}), **suite.tables.get("interval", {})}


def mean_costs(name: str, runs: Runs) -> list[float]:
    return list(values_of(name, runs, mean_mmac).values())


def draw_tradeoff(figure: Figure, titles: dict[str, str], runs: Runs) -> None:
    """mAP of all and of degraded objects against the multiply-adds of a frame: means with their intervals;
    the same method at other intervals of keyframes joined by a line."""
    families: dict[str, list[str]] = {}
    for name, title in titles.items():
        families.setdefault(title.split(", interval")[0], []).append(name)
    panels = figure.subplots(1, 2, sharex=True)
    for axes, (score, label) in zip(panels, (("mAP", "all"), ("degraded", "degraded")), strict=True):
        for i, (family, names) in enumerate(families.items()):
            points = [(fmean(mean_costs(name, runs)), scores_of(name, score, runs)) for name in names]
            points = sorted((cost, values) for cost, values in points if values)
            if points:
                places, values = zip(*points, strict=True)
                axes.errorbar(
                    places,
                    [fmean(each) for each in values],
                    [reach(each) or 0.0 for each in values],
                    color=COLOURS[i % len(COLOURS)],
                    linestyle=DASHES[i // len(COLOURS)],
                    marker="o",
                    capsize=3,
                    label=family,
                )
        axes.set(
            xlabel="multiply-adds a frame (millions)", ylabel=f"mAP of {label} objects (%)", xscale="log"
        )
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:.0f}")
        axes.minorticks_off()
        tidy(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)


def draw_intervals(figure: Figure, intervals: dict[str, int], runs: Runs) -> None:
    """mAP against the keyframe interval, and that of the single frame beside it."""
    axes = figure.subplots()
    for score, (label, colour) in OBJECTS.items():
        points = [(n, scores_of(name, score, runs)) for name, n in intervals.items()]
        points = [(n, fmean(values), deviation(values)) for n, values in points if values]
        if points:
            places, means, deviations = zip(*points, strict=True)
            axes.errorbar(places, means, deviations, color=colour, marker="o", capsize=3, label=label)
        if single := scores_of(SINGLE, score, runs):
            axes.axhline(fmean(single), color=colour, linestyle=":")
    axes.set_xscale("log")
    axes.set_xticks(list(intervals.values()), list(map(str, intervals.values())))
    axes.minorticks_off()
    axes.set(xlabel="keyframe interval (frames); dotted: single frame", ylabel="mAP (%)")
    tidy(axes)
    legend_beside(axes)


def draw_learning(figure: Figure, titles: dict[str, str], runs: Runs, motion: Motion) -> None:
    """Distance of the offsets to the motion, and their mean length, over training; a line a run."""
    left, right = figure.subplots(1, 2)
    for i, (name, title) in enumerate(titles.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linestyle": DASHES[i % len(DASHES)]}
        for j, result in enumerate(runs[name].values()):
            steps, *by_axis = zip(*distances(result, motion), strict=True)
            left.plot(steps, np.mean(by_axis, axis=0), marker=".", label=None if j else title, **style)
            right.plot(*zip(*result["offset spread"], strict=True), **style)
    left.set(ylabel="Wasserstein distance to the motion,\nmean of both axes (cells)", xlabel="step")
    right.set(ylabel="mean length of the offsets (cells)", xlabel="step")
    tidy(left)
    tidy(right)
    figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def deviation(values: Sequence[float]) -> float:
    return stdev(values) if len(values) > 1 else 0.0


def tidy(axes: Axes) -> None:
    axes.grid(alpha=0.3, axis="y")
    axes.spines[["top", "right"]].set_visible(False)


def legend_beside(axes: Axes) -> None:
    axes.legend(title="objects", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
