"""Figures that show how LSTS works, for notebooks and papers (matplotlib without pyplot or global
state).

The functions draw on a given Axes or Figure. Pictures and points are in pixels of the original
picture; pixel i spans i to i + 1. A cell of a feature map is `cell` pixels wide: 16 /
`Frame.scale`. Affinity is shown on the keyframe, which LSTS samples: location k of a point p is p +
offset_k * cell.
"""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, UInt8
from numpy import ndarray
from scipy.stats import wasserstein_distance

from lsts_jax.ops.affinity import smallest_window, tap_matrix
from lsts_jax.structs import STRIDE, AnyArray

try:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
except ImportError as error:
    raise ImportError("lsts_jax.plots draws with matplotlib: pip install matplotlib") from error

# Distinguishable with any colour vision (Okabe and Ito, "Color universal design", 2008).
ORANGE, BLUE, GREEN, VERMILION = "#e69f00", "#0072b2", "#009e73", "#d55e00"
COLOURS = (BLUE, VERMILION, GREEN, "#cc79a7", ORANGE, "#56b4e9", "#000000")
BIN = 0.5  # cells; centred on whole ones, where a uniform grid lies
CELL = float(STRIDE)  # pixels, of a picture that is not resized


def sampling_locations(
    axes: Axes,
    image: UInt8[ndarray, "H W 3"],
    point: Sequence[float] | Float[AnyArray, "2"],
    offsets: Float[AnyArray, "K 2"],
    affinity: Float[AnyArray, "K"] | None = None,
    *,
    cell: float = CELL,
) -> None:
    """Draws a target point (x, y) and its K sampling locations on the keyframe.

    If the affinity is given, area and colour of a location show its weight.
    """
    _background(axes, image)
    x, y = np.asarray(point)[:, None] + np.asarray(offsets).T * cell
    style = {"edgecolors": "white", "linewidths": 0.8, "zorder": 2}
    if affinity is None:
        axes.scatter(x, y, s=30, color=BLUE, **style)
    else:
        weights = np.asarray(affinity)
        largest = max(np.abs(weights).max(), 1e-30)
        order = np.argsort(-np.abs(weights))  # so that small ones lie above
        dots = axes.scatter(
            x[order],
            y[order],
            s=12 + 250 * np.abs(weights[order]) / largest,
            c=weights[order],
            **_colours(weights),
            **style,
        )
        _colour_bar(axes, dots, "affinity (weight of the location)")
    _mark(axes, point)


def affinity_map(
    axes: Axes,
    image: UInt8[ndarray, "H W 3"],
    point: Sequence[float] | Float[AnyArray, "2"],
    offsets: Float[AnyArray, "K 2"],
    affinity: Float[AnyArray, "K h w"],
    *,
    cell: float = CELL,
) -> None:
    """Draws the positions of the keyframe that contribute to the aggregated feature at `point` (x,
    y).

    The weight of a location is divided among the four cells around it by bilinear weights. Cells
    outside the map read zeros and are not shown.
    """
    weights = spread_affinity(offsets, affinity, cell_at(point, affinity.shape[1:], cell))
    weight_map(axes, image, weights, cell=cell, label="weight of the cell")
    _mark(axes, point)


def spread_affinity(
    offsets: Float[AnyArray, "K 2"], affinity: Float[AnyArray, "K h w"], position: tuple[int, int]
) -> Float[ndarray, "h w"]:
    """Weight of every cell of the source in the aggregated feature at a position (row, column)."""
    _, height, width = affinity.shape
    window = smallest_window(offsets)
    taps = np.asarray(tap_matrix(jnp.asarray(offsets, jnp.float32), window))
    around = np.einsum("k,kyx->yx", np.asarray(affinity)[:, position[0], position[1]], taps)
    weights = np.zeros((height + 2 * window, width + 2 * window), np.float32)
    y, x = position
    weights[y : y + 2 * window + 1, x : x + 2 * window + 1] = around
    return weights[window : window + height, window : window + width]


def weight_map(
    axes: Axes,
    image: UInt8[ndarray, "H W 3"],
    weights: Float[AnyArray, "h w"],
    *,
    cell: float = CELL,
    label: str = "weight",
    limits: tuple[float, float] | None = None,
) -> None:
    """Draws one number per cell over a frame, such as quality weights (limits 0, 1) or the norm of
    a feature.

    Args:
      label: name of the numbers, with their unit.
      limits: smallest and largest number of the colour scale. Default: from 0, or a negative minimum, to the
        maximum; symmetric about 0 if there are numbers of both signs.
    """
    weights = np.asarray(weights)
    height, width = weights.shape
    _background(axes, image, grey=True)
    drawn = axes.imshow(
        weights,
        extent=(0, width * cell, height * cell, 0),
        interpolation="nearest",
        alpha=0.65,
        **_colours(weights, limits),
    )
    _frame(axes, image)
    _colour_bar(axes, drawn, label)


def pick_point(axes: Axes, draw: Callable[[tuple[float, float]], None]) -> int:
    """Calls `draw((x, y))` when a picture is clicked, in an interactive backend (`%matplotlib
    widget`).

    Clear the axes in `draw` before drawing again. Returns the id for `mpl_disconnect`.
    """

    def clicked(event):
        if event.inaxes is axes:
            draw((event.xdata, event.ydata))
            axes.figure.canvas.draw_idle()

    return axes.figure.canvas.mpl_connect("button_press_event", clicked)


def cell_at(
    point: Sequence[float] | Float[AnyArray, "2"], size: tuple[int, int], cell: float = CELL
) -> tuple[int, int]:
    """Cell (row, column) of a map of `size` (height, width) that contains a point (x, y), or the
    nearest cell."""
    x, y = np.asarray(point) // cell
    return int(np.clip(y, 0, size[0] - 1)), int(np.clip(x, 0, size[1] - 1))


def offset_distribution(
    figure: Figure,
    learned: Float[AnyArray, "K 2"],
    initial: Float[AnyArray, "K 2"] | None = None,
    motion: Float[AnyArray, "n 2"] | None = None,
) -> None:
    """Draws histograms of sampling offsets and of object motion, horizontal and vertical, in cells.

    The titles give the 1-D Wasserstein distance between offsets and motion: the mean distance, in
    cells, by which one distribution must be moved to become the other.

    Args:
      learned: offsets (x, y) after training.
      initial: offsets before training.
      motion: displacement of objects from frames to their keyframes (`evaluation.displacement`).
    """
    series = {
        "motion of the data": (motion, {"color": "0.8", "histtype": "stepfilled"}),
        "learned offsets": (learned, {"color": BLUE, "histtype": "step"}),
        "initial offsets": (initial, {"color": ORANGE, "histtype": "step", "linestyle": "--"}),
    }
    series = {
        name: (np.asarray(values), style) for name, (values, style) in series.items() if values is not None
    }
    # a few fast objects must not shrink the rest of the histogram
    reach = max(
        np.abs(values).max() if "offsets" in name else np.percentile(np.abs(values), 99.5)
        for name, (values, _) in series.items()
    )
    count = int(np.ceil(reach / BIN))
    edges = (np.arange(-count, count + 2) - 0.5) * BIN
    for i, (axes, axis) in enumerate(
        zip(figure.subplots(1, 2, sharey=True), ("horizontal", "vertical"), strict=True)
    ):
        for name, (values, style) in series.items():
            share = np.full(len(values), 1 / len(values))
            shown = np.clip(values[:, i], edges[0], edges[-1] - 1e-6)
            axes.hist(shown, edges, weights=share, linewidth=1.8, label=name, **style)
        distances = {
            name.split()[0]: wasserstein_distance(
                series[name][0][:, i], series["motion of the data"][0][:, i]
            )
            for name in ("initial offsets", "learned offsets")
            if motion is not None and name in series
        }
        text = ", ".join(f"{name} {distance:.2f}" for name, distance in distances.items())
        axes.set_title(f"{axis}; distance to motion: {text} cells" if text else axis, fontsize="medium")
        axes.set_xlabel(f"{axis} displacement (cells of {STRIDE} pixels of the network input)")
        axes.spines[["top", "right"]].set_visible(False)
    first = figure.axes[0]
    first.set_ylabel(f"share per {BIN} cells")
    figure.legend(*first.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)


def _background(axes: Axes, image: UInt8[ndarray, "H W 3"], *, grey: bool = False) -> None:
    height, width, _ = image.shape
    picture = image.mean(axis=2) if grey else image
    axes.imshow(picture, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0), aspect="equal")
    _frame(axes, image)


def _frame(axes: Axes, image: UInt8[ndarray, "H W 3"]) -> None:
    axes.set(xlim=(0, image.shape[1]), ylim=(image.shape[0], 0), xlabel="x (pixels)", ylabel="y (pixels)")


def _mark(axes: Axes, point: Sequence[float] | Float[AnyArray, "2"]) -> None:
    """Draws a black cross with a white border, visible on any background."""
    for colour, width in (("white", 4.5), ("black", 2.0)):
        axes.plot(*point, "+", color=colour, markersize=14, markeredgewidth=width, zorder=3)


def _colours(values: Float[ndarray, "*n"], limits: tuple[float, float] | None = None) -> dict:
    """Colour map and limits: light means high; centred on zero if the signs differ (affinity
    without softmax)."""
    if limits is not None:
        return {"cmap": "viridis", "vmin": limits[0], "vmax": limits[1]}
    low, high = float(values.min()), float(values.max())
    if low < 0 < high:
        most = max(-low, high)
        return {"cmap": "PuOr", "vmin": -most, "vmax": most}
    return {"cmap": "viridis", "vmin": min(low, 0.0), "vmax": high}


def _colour_bar(axes: Axes, drawn: ScalarMappable, label: str) -> None:
    """Adds a colour bar beside the picture, as high as the picture; clearing the axes removes it."""
    place = axes.inset_axes((1.02, 0, 0.03, 1))
    axes.figure.colorbar(drawn, cax=place, label=label)
