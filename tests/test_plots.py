"""What figures show: dots where LSTS samples, weights where they come from, histograms that sum to one."""

import importlib
import sys
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.backend_bases import MouseButton, MouseEvent
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from scipy.stats import wasserstein_distance

from lsts_jax import plots

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 96, 3), np.uint8)
OFFSETS = np.array([(0, 0), (1.25, -0.5), (-2, 1)], np.float32)


@pytest.fixture
def figure():
    figure = Figure(figsize=(6, 4))
    FigureCanvasAgg(figure)
    return figure


@pytest.fixture
def axes(figure):
    return figure.subplots()


def dots_of(axes):
    (dots,) = (c for c in axes.collections if isinstance(c, PathCollection))
    return dots


def map_of(axes):
    """The upper of the two pictures, and what colours it has."""
    _, drawn = axes.images
    return drawn


def scattered(offsets, affinity, position):
    """Corner by corner, what bilinear sampling at p + offset reads."""
    _, height, width = affinity.shape
    weights = np.zeros((height, width))
    for k, (dx, dy) in enumerate(offsets):
        x, y = position[1] + float(dx), position[0] + float(dy)
        for row in (int(np.floor(y)), int(np.floor(y)) + 1):
            for column in (int(np.floor(x)), int(np.floor(x)) + 1):
                if 0 <= row < height and 0 <= column < width:
                    share = (1 - abs(y - row)) * (1 - abs(x - column))
                    weights[row, column] += affinity[k, position[0], position[1]] * share
    return weights


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 4), st.integers(0, 6), st.booleans())
def test_spread_affinity_is_the_scatter_by_loops(seed, row, column, whole):
    rng = np.random.default_rng(seed)
    offsets = rng.uniform(-4, 4, (6, 2)).astype(np.float32)
    if whole:
        offsets = np.round(offsets)
    affinity = rng.normal(size=(6, 5, 7)).astype(np.float32)
    found = plots.spread_affinity(offsets, affinity, (row, column))
    np.testing.assert_allclose(found, scattered(offsets, affinity, (row, column)), atol=1e-5)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        ((0.0, 0.0), {(0, 0): 1.0}),
        ((-0.25, 0.0), {(0, 0): 0.75}),  # a quarter falls off the left edge
        ((0.5, 0.25), {(0, 0): 0.375, (0, 1): 0.375, (1, 0): 0.125, (1, 1): 0.125}),
        ((-1.0, 0.0), {}),
    ],
)
def test_spread_affinity_at_a_corner(offset, expected):
    found = plots.spread_affinity(np.array([offset], np.float32), np.ones((1, 3, 4), np.float32), (0, 0))
    wanted = np.zeros((3, 4))
    for place, weight in expected.items():
        wanted[place] = weight
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize(
    ("point", "cell", "expected"),
    [
        ((0.0, 0.0), 16.0, (0, 0)),
        ((15.9, 16.0), 16.0, (1, 0)),  # (x, y) in, (row, column) out
        ((47.9, 0.0), 16.0, (0, 2)),
        ((500.0, 20.0), 16.0, (1, 5)),  # beyond the right edge: the nearest
        ((40.0, -3.0), 16.0, (0, 2)),
        ((40.0, 300.0), 16.0, (3, 2)),
        ((40.0, 25.0), 10.0, (2, 4)),
    ],
)
def test_cell_at(point, cell, expected):
    assert plots.cell_at(point, (4, 6), cell) == expected


def test_dots_lie_at_point_plus_offset_times_cell(axes):
    plots.sampling_locations(axes, IMAGE, (40.0, 30.0), OFFSETS, cell=8.0)
    found = dots_of(axes).get_offsets()
    np.testing.assert_allclose(found, [(40, 30), (50, 26), (24, 38)])
    for cross in axes.lines:
        np.testing.assert_array_equal(cross.get_xydata(), [(40, 30)])
    assert len(axes.lines) == 2
    assert axes.get_xlim() == (0, 96) and axes.get_ylim() == (60, 0)  # y downwards, as in the picture


def test_dots_carry_their_affinity(axes):
    plots.sampling_locations(axes, IMAGE, (40.0, 30.0), OFFSETS, np.array([0.1, 0.2, 0.7], np.float32))
    dots = dots_of(axes)
    found = dict(zip(map(tuple, dots.get_offsets().tolist()), dots.get_array().tolist(), strict=True))
    assert found == {(40, 30): pytest.approx(0.1), (60, 22): pytest.approx(0.2), (8, 46): pytest.approx(0.7)}
    sizes = dict(zip(dots.get_array().tolist(), dots.get_sizes().tolist(), strict=True))
    least, middle, most = (sizes[weight] for weight in sorted(sizes))
    # area grows with weight, by the same for the same weight
    assert most - middle == pytest.approx(5 * (middle - least))
    np.testing.assert_array_equal(np.argsort(-dots.get_sizes()), [0, 1, 2])  # small ones drawn last
    assert dots.norm.vmin == 0 and dots.norm.vmax == pytest.approx(0.7)


def test_signed_affinity_is_coloured_about_zero(axes):
    plots.sampling_locations(axes, IMAGE, (40.0, 30.0), OFFSETS, np.array([-0.5, 0.2, 1.3], np.float32))
    norm = dots_of(axes).norm
    assert norm.vmin == pytest.approx(-1.3) and norm.vmax == pytest.approx(1.3)
    assert dots_of(axes).get_sizes().min() == pytest.approx(12 + 250 * 0.2 / 1.3)


def test_affinity_map_shows_where_the_feature_comes_from(axes):
    affinity = np.random.default_rng(0).dirichlet(np.ones(3), (4, 6)).transpose(2, 0, 1).astype(np.float32)
    plots.affinity_map(axes, IMAGE, (40.0, 30.0), OFFSETS, affinity)
    np.testing.assert_allclose(map_of(axes).get_array(), scattered(OFFSETS, affinity, (1, 2)), atol=1e-6)
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [(40, 30)])


@pytest.mark.parametrize(
    ("limits", "values", "expected"),
    [
        ((0.0, 1.0), (0.3, 0.6), (0, 1)),
        ((0.4, 0.6), (0.3, 0.6), (0.4, 0.6)),
        (None, (0.3, 0.6), (0, 0.6)),  # from zero, so that colours tell ratios
        (None, (-0.2, 0.6), (-0.6, 0.6)),
        (None, (-0.6, 0.2), (-0.6, 0.6)),
        (None, (-0.6, -0.2), (-0.6, -0.2)),
    ],
)
def test_weight_map_lies_on_its_cells(axes, limits, values, expected):
    weights = np.full((4, 6), values[0], np.float32)
    weights[2, 5] = values[1]
    plots.weight_map(axes, IMAGE, weights, cell=18.0, label="trust", limits=limits)
    ground, drawn = axes.images
    np.testing.assert_array_equal(drawn.get_array(), weights)
    assert list(drawn.get_extent()) == [0, 6 * 18, 4 * 18, 0]  # cells, not the picture
    assert list(ground.get_extent()) == [0, 96, 60, 0]
    assert drawn.get_clim() == pytest.approx(expected)
    assert axes.get_xlim() == (0, 96) and axes.get_ylim() == (
        60,
        0,
    )  # no padding is shown
    (bar,) = axes.child_axes
    assert bar.get_ylabel() == "trust"
    assert bar.get_ylim() == pytest.approx(expected)


def test_weight_map_has_the_picture_below(axes):
    plots.weight_map(axes, IMAGE, np.zeros((4, 6), np.float32))
    ground, drawn = axes.images
    np.testing.assert_allclose(ground.get_array(), IMAGE.mean(axis=2))
    assert ground.get_zorder() <= drawn.get_zorder() and 0 < drawn.get_alpha() < 1


def test_clearing_the_axes_takes_the_colour_bar_away(figure, axes):
    for _ in range(2):
        axes.clear()
        plots.weight_map(axes, IMAGE, np.ones((4, 6), np.float32))
    assert len(axes.child_axes) == 1 and figure.axes == [axes]


def test_clicks_call_with_the_point(figure):
    left, right = figure.subplots(1, 2)
    for ax in (left, right):
        ax.imshow(IMAGE, extent=(0, 96, 60, 0))
    figure.canvas.draw()
    points = []
    number = plots.pick_point(left, points.append)

    def click(ax, point):
        x, y = ax.transData.transform(point)
        event = MouseEvent("button_press_event", figure.canvas, x, y, MouseButton.LEFT)
        figure.canvas.callbacks.process("button_press_event", event)

    click(left, (40, 25))
    click(right, (40, 25))  # another picture
    click(left, (-30, 25))  # beside it
    assert points == [pytest.approx((40, 25))]
    figure.canvas.mpl_disconnect(number)
    click(left, (10, 10))
    assert len(points) == 1


def test_offset_distribution(figure):
    rng = np.random.default_rng(0)
    initial = np.stack(np.meshgrid(np.arange(-2.0, 3), np.arange(-2.0, 3)), -1).reshape(-1, 2)
    learned = (0.5 * initial).astype(np.float32)
    motion = rng.normal((0.3, -0.2), (0.4, 0.1), (400, 2))
    plots.offset_distribution(figure, learned, initial, motion)
    assert len(figure.axes) == 2
    for i, (ax, axis) in enumerate(zip(figure.axes, ("horizontal", "vertical"), strict=True)):
        shares = histograms(ax)
        assert list(shares) == ["motion of the data", "learned offsets", "initial offsets"]
        for share in shares.values():
            assert sum(share.values()) == pytest.approx(1)
        # five columns of the grid, each a fifth, in bins about whole cells
        assert {x: h for x, h in shares["initial offsets"].items() if h} == pytest.approx(
            dict.fromkeys((-2.0, -1.0, 0.0, 1.0, 2.0), 0.2)
        )
        assert {x: h for x, h in shares["learned offsets"].items() if h} == pytest.approx(
            dict.fromkeys((-1.0, -0.5, 0.0, 0.5, 1.0), 0.2)
        )
        near = np.abs(motion[:, i]) < 0.25
        assert shares["motion of the data"][0.0] == pytest.approx(near.mean())
        before, after = (wasserstein_distance(o[:, i], motion[:, i]) for o in (initial, learned))
        assert (
            ax.get_title() == f"{axis}; distance to motion: initial {before:.2f}, learned {after:.2f} cells"
        )
        assert ax.get_xlabel().startswith(axis)


def test_offset_distance_by_hand(figure):
    """All motion is 1 to the right: the distance is the mean of |offset - 1|."""
    plots.offset_distribution(figure, np.array([(0.0, 0), (3, 0)]), motion=np.tile([1.0, 0.25], (7, 1)))
    left, right = (ax.get_title() for ax in figure.axes)
    assert left == "horizontal; distance to motion: learned 1.50 cells"
    assert right == "vertical; distance to motion: learned 0.25 cells"


def test_offsets_alone(figure):
    plots.offset_distribution(figure, OFFSETS)
    assert [ax.get_title() for ax in figure.axes] == ["horizontal", "vertical"]
    assert histograms(figure.axes[0])["learned offsets"][-2.0] == pytest.approx(1 / 3)


def test_what_is_far_is_counted_in_the_last_bin(figure):
    """A few fast objects neither vanish nor widen the axis."""
    motion = np.zeros((1000, 2))
    motion[:3] = 40.0, -40.0
    plots.offset_distribution(figure, OFFSETS, motion=motion)
    for ax, end in zip(figure.axes, (2.0, -2.0), strict=True):
        shares = histograms(ax)["motion of the data"]
        assert max(shares) == 2.0 and min(shares) == -2.0
        assert shares[end] == pytest.approx(0.003) and shares[0.0] == pytest.approx(0.997)


def histograms(axes):
    """Height of each bar by the middle of its bin, of each histogram by its name."""
    found = {}
    for patch in axes.patches:
        # the outline goes up and right along the tops, and back along the bottom if it is filled
        outline = np.round(patch.get_xy(), 9)
        edges = np.unique(outline[:, 0])
        tops = {}
        for (x0, y0), (x1, y1) in pairwise(outline):
            if x1 > x0 and y0 == y1:
                tops[float((x0 + x1) / 2)] = float(y0)
        assert len(tops) == len(edges) - 1
        found[patch.get_label()] = tops
    return found


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.axes", None)
    monkeypatch.delitem(sys.modules, "lsts_jax.plots")
    with pytest.raises(ImportError, match=r"lsts_jax\.plots draws with matplotlib: pip install matplotlib"):
        importlib.import_module("lsts_jax.plots")
