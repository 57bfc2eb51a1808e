"""Position-sensitive pooling against the authors' operator and a loop over bins."""

import jax
import jax.numpy as jnp
import numpy as np

from lsts_jax.ops.psroi_pool import _bins, psroi_pool

P = 7
pool = jax.jit(psroi_pool)


@jax.jit
def pool_and_pull_back(maps, rois, grad):
    """The pooled maps, and the gradients to maps and rois that `grad` becomes."""
    output, vjp = jax.vjp(psroi_pool, maps, rois)
    return output, *vjp(grad)


def from_authors(maps):
    """Channels (class * 7 + row) * 7 + column, first, to [h w row column class]."""
    _, height, width = maps.shape
    return jnp.asarray(maps.reshape(-1, P, P, height, width).transpose(3, 4, 1, 2, 0))


def to_authors(maps):
    height, width = maps.shape[:2]
    return np.asarray(maps).transpose(4, 2, 3, 0, 1).reshape(-1, height, width)


def half_away(x):
    return np.sign(x) * np.floor(np.abs(x) + 0.5)


def edges_of(first, last):
    """Start and end of the 7 bins along an axis before clipping, one float32 operation at a time."""
    f = np.float32
    start = f(half_away(np.float64(first))) * f(1 / 16)
    end = (f(half_away(np.float64(last))) + f(1)) * f(1 / 16)
    length = np.maximum(end - start, f(0.1)) / f(P)
    index = np.arange(P + 1, dtype=f).reshape(-1, *[1] * np.ndim(length))
    edges = (index * length).astype(f) + start
    return np.floor(edges[:-1]).astype(int), np.ceil(edges[1:]).astype(int)


def slow_pool(maps, rois, cells=None):
    height, width = cells or maps.shape[:2]
    out = np.zeros((len(rois), *maps.shape[2:]), np.float32)
    for r, (x1, y1, x2, y2) in enumerate(rois):
        x, y = np.clip(edges_of(x1, x2), 0, width), np.clip(edges_of(y1, y2), 0, height)
        for i in range(P):
            for j in range(P):
                window = maps[y[0][i] : y[1][i], x[0][j] : x[1][j], i, j]
                if window.size:
                    out[r, i, j] = window.mean(axis=(0, 1), dtype=np.float64)
    return out


def random_case(seed=0, height=12, width=17, classes=2, rois=60):
    rng = np.random.default_rng(seed)
    centre, side = rng.uniform(-2, [width * 16, height * 16], (rois, 2)), rng.exponential(80, (rois, 2))
    boxes = np.concatenate([centre - side / 2, centre + side / 2], axis=1)
    boxes[::2] = np.round(boxes[::2]) + 0.5 * (rng.random((len(boxes[::2]), 4)) < 0.5)
    return rng.normal(size=(height, width, P, P, classes)).astype(np.float32), boxes.astype(np.float32)


def test_equals_the_authors(authors_ops):
    rois, expected = authors_ops["psroi/rois"], authors_ops["psroi/out"]
    for image in range(2):
        mine = rois[:, 0] == image
        maps = from_authors(authors_ops["psroi/data"][image])
        found = pool(maps, jnp.asarray(rois[mine, 1:]))
        np.testing.assert_allclose(np.transpose(found, (0, 3, 1, 2)), expected[mine], atol=2e-6)
        mean = jnp.mean(found, axis=(1, 2))
        np.testing.assert_allclose(mean, authors_ops["psroi/avg"][mine, :, 0, 0], atol=2e-6)


def test_gradient_equals_the_authors(authors_training):
    case = {k.split("/")[-1]: v for k, v in authors_training.items() if k.startswith("psroi_grad/s1/")}
    rois = jnp.asarray(case["rois"][:, 1:])
    grad = jnp.asarray(case["grad_out"].transpose(0, 2, 3, 1))
    out, grad_maps, grad_rois = pool_and_pull_back(from_authors(case["data"][0]), rois, grad)
    np.testing.assert_allclose(np.transpose(out, (0, 3, 1, 2)), case["out"], atol=2e-6)
    np.testing.assert_allclose(to_authors(grad_maps), case["grad_data"][0], atol=2e-6)
    assert not np.any(grad_rois)


def test_equals_the_loop_and_its_gradient_is_the_transpose():
    maps, rois = random_case()
    rng = np.random.default_rng(1)
    grad = rng.normal(size=(len(rois), *maps.shape[2:])).astype(np.float32)
    out, grad_maps, _ = pool_and_pull_back(jnp.asarray(maps), jnp.asarray(rois), jnp.asarray(grad))
    np.testing.assert_allclose(out, slow_pool(maps, rois), atol=2e-6)
    # Linear in the maps: <grad, pool(m)> = <vjp(grad), m> for any m.
    other = rng.normal(size=maps.shape).astype(np.float32)
    product = np.vdot(np.float64(grad), np.float64(slow_pool(other, rois)))
    np.testing.assert_allclose(np.vdot(np.float64(grad_maps), np.float64(other)), product, rtol=1e-4)


def test_bins_round_as_single_float32_operations():
    """Every start and length up to 400 pixels: compilers must not fuse or reorder the arithmetic."""
    cells, lengths = 40, np.arange(1, 401, dtype=np.float32)
    bins = jax.jit(lambda first, last: _bins(first, last, cells=cells, pooled=P, stride=16))
    grid = np.arange(cells)[None, None]
    for first in np.arange(-24, 400, 3, dtype=np.float32):
        starts, ends = edges_of(np.full_like(lengths, first), first + lengths - 1)
        expected = (grid >= starts[..., None]) & (grid < ends[..., None])
        found = bins(jnp.full(400, first, jnp.float32), jnp.asarray(first + lengths - 1))
        np.testing.assert_array_equal(found, expected)


def test_a_canvas_changes_nothing():
    """A bin that ends on the picture's border can reach beyond it by a rounding error (240 - 228 pixels)."""
    maps, _ = random_case(height=10, width=15)
    rois = np.float32([[12, 0, 239, 159], [5, 0, 239, 159], [0, 3, 200, 159], [230, 150, 239, 159]])
    canvas = np.full((13, 18, *maps.shape[2:]), 1e3, np.float32)
    canvas[:10, :15] = maps
    size = jnp.array([160, 240])
    found = pool(jnp.asarray(canvas), jnp.asarray(rois), size=size)
    np.testing.assert_allclose(found, slow_pool(maps, rois), atol=2e-6)
    assert np.max(np.abs(pool(jnp.asarray(canvas), jnp.asarray(rois)) - found)) > 1


def test_bins_of_constant_regions():
    """XLA then computes them itself, while it compiles, and simplifies as it goes."""
    first, last = np.float32(np.meshgrid(np.arange(0, 240, 5), np.arange(0, 240)))[:, None].reshape(2, -1)
    first, last = first[last >= first], last[last >= first]
    found = jax.jit(lambda: _bins(jnp.asarray(first), jnp.asarray(last), cells=16, pooled=P, stride=16))()
    starts, ends = edges_of(first, last)
    grid = np.arange(16)[None, None]
    np.testing.assert_array_equal(found, (grid >= starts[..., None]) & (grid < ends[..., None]))


def test_constant_maps_are_kept_and_outside_is_zero():
    maps = jnp.full((6, 8, P, P, 1), 2.5)
    rois = jnp.array([[0.0, 0.0, 127.0, 95.0], [300.0, 300.0, 400.0, 400.0]])
    found = pool(maps, rois)
    np.testing.assert_allclose(found[0], 2.5, rtol=1e-6)
    np.testing.assert_array_equal(found[1], 0)


def test_vmap_and_bfloat16_maps():
    cases = [random_case(seed, rois=9) for seed in (1, 2)]
    maps = jnp.stack([jnp.asarray(maps, jnp.bfloat16) for maps, _ in cases])
    rois = jnp.stack([jnp.asarray(rois) for _, rois in cases])
    grad = jnp.ones((2, 9, *maps.shape[3:]))
    found, grad_maps, _ = jax.vmap(pool_and_pull_back)(maps, rois, grad)
    assert found.dtype == jnp.float32 and grad_maps.dtype == jnp.bfloat16
    for b in range(2):
        np.testing.assert_allclose(found[b], slow_pool(np.float32(maps[b]), np.asarray(rois[b])), atol=2e-6)


def test_the_first_corner_is_rounded_before_the_stride_divides_it():
    """At 111.6 a region begins in cell 7 (112 / 16) and not in cell 6; each of its bins is then one cell."""
    columns = np.broadcast_to(np.arange(20, dtype=np.float32)[None, :, None, None, None], (20, 20, P, P, 1))
    roi = jnp.asarray([[111.6, 111.5, 223.0, 223.0]], jnp.float32)
    np.testing.assert_array_equal(pool(jnp.asarray(columns), roi)[0, :, :, 0], [np.arange(7, 14)] * P)
    rows = np.swapaxes(columns, 0, 1)
    found = pool(jnp.asarray(rows), roi)[0, :, :, 0]
    np.testing.assert_array_equal(found, np.repeat(np.arange(7, 14)[:, None], P, axis=1))
