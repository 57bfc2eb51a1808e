"""Deformable position-sensitive pooling: the authors' operator, and a loop over points in float64."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.deform_psroi_pool import deform_psroi_pool
from tests.ops.test_psroi_pool import from_authors, half_away, to_authors

P = 7


@jax.jit
def pool_and_pull_back(maps, rois, offsets, grad):
    """The pooled maps, and the gradients to maps, regions and offsets that `grad` becomes."""
    output, vjp = jax.vjp(deform_psroi_pool, maps, rois, offsets)
    return output, *vjp(grad)


def bins_last(x):
    return np.moveaxis(x, 1, -1)


def test_equals_the_authors_operator(authors_temporal):
    """With and without offsets, and in both gradients."""
    case = {k.split("/")[-1]: v for k, v in authors_temporal.items() if k.startswith("dpsroi/a/")}
    maps, rois = from_authors(case["data"][0]), jnp.asarray(case["rois"][:, 1:])
    offsets = jnp.asarray(bins_last(case["trans"])[:, :, :, None])
    grad = jnp.asarray(bins_last(case["grad_out"]))
    out, grad_maps, grad_rois, grad_offsets = pool_and_pull_back(maps, rois, offsets, grad)
    plain = pool_and_pull_back(maps, rois, jnp.zeros_like(offsets), grad)[0]
    for found, wanted in (
        (out, bins_last(case["out"])),
        (plain, bins_last(case["out_no_trans"])),
        (to_authors(grad_maps), case["grad_data"][0]),
        (grad_offsets[:, :, :, 0], bins_last(case["grad_trans"])),
    ):
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max())
    assert not np.any(grad_rois)


def slow_pool(maps, rois, offsets, cells):
    """Point by point, from the operator's definition; also the derivative of every output to its offset."""
    (height, width), classes = cells, maps.shape[-1]
    out = np.zeros((len(rois), P, P, classes))
    slopes = np.zeros((*out.shape, 2))
    for r, i, j, c in itertools.product(range(len(rois)), range(P), range(P), range(classes)):
        x1, y1, x2, y2 = (half_away(np.float64(x)) for x in rois[r])
        left, top = x1 / 16 - 0.5, y1 / 16 - 0.5
        sides = max((x2 + 1) / 16 - 0.5 - left, 0.1), max((y2 + 1) / 16 - 0.5 - top, 0.1)
        moves = offsets[r, i, j, c * offsets.shape[3] // classes]
        values = []
        for down, right in itertools.product(range(4), range(4)):
            x = left + sides[0] / P * (j + right / 4) + sides[0] * 0.1 * moves[0]
            y = top + sides[1] / P * (i + down / 4) + sides[1] * 0.1 * moves[1]
            if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5):
                continue
            x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
            column, row = int(x), int(y)
            next_column, next_row = int(np.ceil(x)), int(np.ceil(y))
            a, b, map_ = x - column, y - row, maps[:, :, i, j, c]
            upper = map_[row, column], map_[row, next_column]
            lower = map_[next_row, column], map_[next_row, next_column]
            blend = lambda pair, share: (1 - share) * pair[0] + share * pair[1]
            along_x = blend((upper[1] - upper[0], lower[1] - lower[0]), b)
            value = blend((blend(upper, a), blend(lower, a)), b)
            values.append((value, along_x, blend(lower, a) - blend(upper, a)))
        if values:
            out[r, i, j, c], *slope = np.mean(values, axis=0)
            slopes[r, i, j, c] = np.multiply(slope, sides) * 0.1
    return out, slopes


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_groups_of_classes_a_canvas_and_whole_cells(groups):
    """Against the loop, at the exact size and on a larger canvas. Two of the regions do not move: they have
    all their points on eighths of cells, and the derivative at whole cells is zero."""
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.normal(size=shape).astype(np.float32)
    rois = np.float32([[8, 8, 119, 63], [-40, -30, 40, 60], [100, 60, 220, 140], [24, 24, 247, 135]])
    maps, offsets = draw(6, 9, P, P, 4), draw(len(rois), P, P, groups, 2)
    offsets[[0, 3]] = 0
    grad = draw(len(rois), P, P, 4)
    wanted, slopes = slow_pool(maps, rois, offsets, (6, 9))
    of_offsets = (grad[..., None] * slopes).reshape(*offsets.shape[:4], -1, 2).sum(axis=4)
    assert np.abs(slopes[0]).max() > 0
    canvas = np.pad(maps, ((0, 2), (0, 3), (0, 0), (0, 0), (0, 0)), constant_values=9)

    @jax.jit
    def run(maps, offsets, grad):
        size = jnp.array([96, 144], jnp.int32)
        out, vjp = jax.vjp(
            lambda maps, offsets: deform_psroi_pool(maps, jnp.asarray(rois), offsets, size=size),
            maps,
            offsets,
        )
        return out, *vjp(grad)

    for data in (maps, canvas):
        out, grad_maps, grad_offsets = run(*map(jnp.asarray, (data, offsets, grad)))
        np.testing.assert_allclose(out, wanted, atol=1e-5)
        np.testing.assert_allclose(grad_offsets, of_offsets, atol=2e-5 * np.abs(of_offsets).max())
        assert not np.any(grad_maps[6:]) and not np.any(grad_maps[:, 9:])
        # Linear in the maps: <grad, pool(m)> = <vjp(grad), m>.
        product = np.vdot(np.float64(grad_maps), np.float64(data))
        np.testing.assert_allclose(product, np.vdot(np.float64(grad), wanted), rtol=1e-4)


def test_vmap_and_bfloat16_maps():
    rng = np.random.default_rng(1)
    maps = jnp.asarray(rng.normal(size=(2, 6, 9, P, P, 2)), jnp.bfloat16)
    rois = jnp.asarray(rng.uniform(0, 60, (2, 5, 4)) + [0, 0, 70, 30], jnp.float32)
    offsets = jnp.asarray(rng.normal(size=(2, 5, P, P, 1, 2)), jnp.float32)
    found, grad_maps, *_ = jax.vmap(pool_and_pull_back)(maps, rois, offsets, jnp.ones((2, 5, P, P, 2)))
    assert found.dtype == jnp.float32 and grad_maps.dtype == jnp.bfloat16
    for b in range(2):
        wanted, _ = slow_pool(np.float64(maps[b]), np.asarray(rois[b]), np.asarray(offsets[b]), (6, 9))
        np.testing.assert_allclose(found[b], wanted, atol=1e-5)
