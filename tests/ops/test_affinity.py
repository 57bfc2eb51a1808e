"""The forms of LSTS against each other, the authors' operator and finite differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.affinity import (
    _gradients,
    _matmul,
    _sums,
    aggregate,
    normalize_affinity,
    smallest_window,
    tap_matrix,
)
from lsts_jax.ops.sampling import sample_at_offsets
from lsts_jax.ops.tiles import cut_tiles, place_of, read_band, write_band


def arrays(height=9, width=7, embedding=5, channels=6, k=10, spread=2.0, seed=0):
    rng = np.random.default_rng(seed)
    normal = lambda *shape: rng.standard_normal(shape).astype(np.float32)
    return (
        jnp.asarray(normal(height, width, embedding)),
        jnp.asarray(normal(height, width, embedding)),
        jnp.asarray(normal(height, width, channels)),
        jnp.asarray(np.clip(normal(k, 2) * spread, -3.9, 3.9)),
    )


def relative_error(a, b):
    return float(jnp.max(jnp.abs(a - b)) / jnp.max(jnp.abs(b)))


def test_zero_offset_is_identity():
    features = arrays()[2]
    np.testing.assert_array_equal(sample_at_offsets(features, jnp.zeros((1, 2)))[0], features)


def test_integer_offset_shifts_and_is_zero_outside():
    features = arrays()[2]
    shifted = sample_at_offsets(features, jnp.array([[2.0, -1.0]]))[0]
    expected = np.zeros_like(features)
    expected[1:, :-2] = features[:-1, 2:]
    np.testing.assert_array_equal(shifted, expected)


def test_sampling_equals_the_authors(authors_ops):
    data, offset = authors_ops["bilinear_a/data"], jnp.asarray(authors_ops["bilinear_a/offset"])
    grad_offset = jnp.zeros_like(offset)
    for n in range(len(data)):
        features = jnp.asarray(data[n].transpose(1, 2, 0))
        sampled, vjp = jax.vjp(sample_at_offsets, features, offset)
        np.testing.assert_allclose(
            sampled, authors_ops["bilinear_a/sampled"][n].transpose(0, 2, 3, 1), atol=1e-5
        )
        grads = vjp(jnp.asarray(authors_ops["bilinear_a/grad_out"][n].transpose(0, 2, 3, 1)))
        np.testing.assert_allclose(
            grads[0], authors_ops["bilinear_a/grad_data"][n].transpose(1, 2, 0), atol=1e-4
        )
        grad_offset += grads[1]
    assert relative_error(grad_offset, jnp.asarray(authors_ops["bilinear_a/grad_offset"])) < 1e-5


@pytest.mark.parametrize("implementation", ["gather", "factorised"])
def test_aggregation_equals_the_authors(authors_ops, implementation):
    for n in range(2):
        nhwc = lambda name, n=n: jnp.asarray(authors_ops[f"bilinear_a/{name}"][n].transpose(1, 2, 0))
        found = aggregate(
            nhwc("newkey_embedding"),
            nhwc("data"),
            nhwc("data"),
            jnp.asarray(authors_ops["bilinear_a/offset"]),
            implementation=implementation,
            normalization="softmax",
            window=8,
        )
        np.testing.assert_allclose(found.affinity, authors_ops["bilinear_a/weight_softmax"][n], atol=1e-5)
        np.testing.assert_allclose(found.feature, nhwc("align_data"), atol=1e-4)


@pytest.mark.parametrize("shape", [(9, 7), (3, 2), (11, 33)], ids=["one tile", "below the window", "tiles"])
@pytest.mark.parametrize(
    ("offsets", "normalization"),
    [
        ("fractional", "softmax"),
        ("integer", "softmax"),
        ("equal", "softmax"),
        ("fractional", "sum"),
        ("integer", "abs_sum"),
    ],
)
def test_forms_agree_in_value_and_gradient(shape, offsets, normalization):
    query, keys, values, o = arrays(*shape)
    if normalization == "sum":  # of positive similarities, so that the comparison is well conditioned
        query, keys = jnp.abs(query), jnp.abs(keys) + 1.0
    o = {"fractional": o, "integer": jnp.minimum(jnp.round(o), 3.0), "equal": jnp.full_like(o, 1.25)}[offsets]
    weight = jnp.asarray(np.random.default_rng(1).standard_normal(values.shape), jnp.float32)

    def loss(args, implementation):
        found = aggregate(*args, normalization=normalization, implementation=implementation, window=4)
        return jnp.sum(found.feature * weight) + jnp.sum(found.affinity**2)

    value_and_grad = jax.jit(jax.value_and_grad(loss), static_argnums=1)

    # Equal offsets have equal affinities: their gradients cancel and leave the rounding of large terms.
    tolerance = 1e-3 if offsets == "equal" else 1e-5
    inputs = (query, keys, values, o)
    reference, expected = value_and_grad(inputs, "gather")
    value, grads = value_and_grad(inputs, "factorised")
    np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance * max(1.0, float(jnp.abs(wanted).max())))


def test_bfloat16_inputs_agree_within_their_error():
    query, keys, values, o = arrays(12, 20, embedding=32, channels=16)
    query = query / 4
    exact = aggregate(query, keys, values, o, implementation="gather", window=4, normalization="softmax")
    low = [x.astype(jnp.bfloat16) for x in (query, keys, values)]
    found = aggregate(*low, o, window=4, normalization="softmax", implementation="factorised")
    assert found.feature.dtype == jnp.bfloat16
    assert relative_error(found.feature.astype(jnp.float32), exact.feature) < 3e-2


@pytest.mark.parametrize("implementation", ["gather", "factorised"])
def test_offset_gradient_equals_finite_differences(implementation):
    query, keys, values, o = arrays(5, 6, k=3)
    with jax.enable_x64(True):
        query, keys, values, o = (jnp.asarray(np.asarray(x), jnp.float64) for x in (query, keys, values, o))
        sampled = jax.jit(lambda o: jnp.sum(sample_at_offsets(values, o) ** 2))
        grad = jax.jit(jax.grad(sampled))(o)
        step = 1e-6
        for k, axis in [(0, 0), (1, 1), (2, 0)]:
            move = np.zeros(o.shape)
            move[k, axis] = step
            numeric = (sampled(o + move) - sampled(o - move)) / (2 * step)
            np.testing.assert_allclose(grad[k, axis], numeric, rtol=1e-6)
    single = lambda o: jnp.sum(
        aggregate(
            *arrays(5, 6, k=3)[:3], o, implementation=implementation, normalization="softmax", window=8
        ).feature
    )
    assert float(jnp.abs(jax.jit(jax.grad(single))(arrays(5, 6, k=3)[3])).min()) > 0


@pytest.mark.parametrize("window", [2, 8])
@pytest.mark.parametrize("dense", [False, True], ids=["tiles", "dense"])
def test_matrix_of_a_tile_is_the_sampling_of_its_patch(dense, window):
    """Writing a band and reading it agree with their definition, wherever a tile lies."""
    size = (26, 33)
    tiles = cut_tiles(size, window, dense=dense)
    rng = np.random.default_rng(2)
    count = tiles.count[0] * tiles.count[1]
    assert (count == 1) is dense
    covered = np.zeros(size, int)
    for index in range(count):
        place = place_of(tiles, jnp.int32(index))
        (y0, x0), (v0, u0), (before, left) = (np.asarray(x) for x in place)
        assert 0 <= y0 <= size[0] - tiles.tile[0] and 0 <= u0 <= size[1] - tiles.patch[1]
        covered[y0 + before : y0 + tiles.tile[0], x0 + left : x0 + tiles.tile[1]] += 1
        side = 2 * window + 1
        band = rng.standard_normal((*tiles.tile, side, side)).astype(np.float32)
        expected = np.zeros((*tiles.tile, *tiles.patch), np.float32)
        for y, x in np.ndindex(*tiles.tile):
            for j, i in np.ndindex(side, side):
                v, u = y0 + y + j - window, x0 + x + i - window
                if 0 <= v < size[0] and 0 <= u < size[1]:
                    expected[y, x, v - v0, u - u0] = band[y, x, j, i]
                else:
                    band[y, x, j, i] = 0
        flat = band.reshape(-1, side**2)
        matrix = write_band(jnp.asarray(flat), place, tiles)
        np.testing.assert_array_equal(matrix, expected.reshape(matrix.shape))
        np.testing.assert_array_equal(read_band(matrix, place, tiles), flat)
    np.testing.assert_array_equal(covered, 1)  # every position is owned by one tile


@pytest.mark.parametrize("shape", [(3, 2), (26, 33)])
def test_dense_form_of_accelerators_equals_tiles(shape):
    query, keys, values, o = arrays(*shape)
    taps = tap_matrix(o, 4).reshape(len(o), -1)
    gradient = jnp.asarray(np.random.default_rng(1).standard_normal(values.shape), jnp.float32)

    @partial(jax.jit, static_argnums=0)
    def both(dense, *args):
        tiles = cut_tiles(shape, 4, dense=dense)
        results = _sums("softmax", tiles, _matmul, *args)
        return *results, *_gradients("softmax", tiles, _matmul, *args, gradient, 2 * results[1])

    results = [both(dense, query, keys, values, taps) for dense in (False, True)]
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_batch_equals_its_examples():
    """As training has it: vmap over maps, offsets shared, gradients of the offsets summed."""
    batch = [jnp.stack(x) for x in zip(*(arrays(25, 33, seed=seed)[:3] for seed in range(2)), strict=True)]
    o = arrays()[3]
    single = lambda o, *x: jnp.sum(
        aggregate(*x, o, window=4, normalization="softmax", implementation="factorised").feature ** 2
    )
    together = lambda o, *x: jnp.sum(jax.vmap(single, (None, 0, 0, 0))(o, *x))
    found = jax.jit(jax.grad(together, (0, 1, 2, 3)))(o, *batch)
    gradient = jax.jit(jax.grad(single, (0, 1, 2, 3)))
    apart = [gradient(o, *(x[i] for x in batch)) for i in range(2)]
    np.testing.assert_allclose(found[0], apart[0][0] + apart[1][0], rtol=1e-4, atol=1e-3)
    for i in range(2):
        for grad, expected in zip(found[1:], apart[i][1:], strict=True):
            np.testing.assert_allclose(grad[i], expected, rtol=1e-4, atol=1e-3)


def test_smallest_window_sees_all_offsets():
    assert (
        smallest_window(np.float32([[0, -3.2], [4.0, 1.0]])) == 5
    )  # the kink at 4 has a right-hand tap at 5
    for largest in (-4.0, -3.2, 0.0, 3.9, 4.0):
        offsets = jnp.array([[0.0, largest]])
        taps = tap_matrix(offsets, smallest_window(offsets))
        np.testing.assert_allclose(jnp.sum(taps), 1.0, rtol=1e-6)


def test_no_temporary_of_the_size_of_the_samples():
    """What the factorised form is for: memory that does not grow with K."""
    temporaries = []
    for k in (10, 160):
        args = arrays(38, 63, embedding=16, channels=32, k=k)
        gradient = jax.jit(
            jax.grad(
                lambda *x: jnp.sum(
                    aggregate(*x, window=4, normalization="softmax", implementation="factorised").feature ** 2
                ),
                (0, 1, 2, 3),
            )
        )
        temporaries.append(gradient.lower(*args).compile().memory_analysis().temp_size_in_bytes)
    samples = 4 * 160 * 38 * 63 * 32
    assert temporaries[1] < samples / 10
    assert temporaries[1] - temporaries[0] < 4 * 150 * 38 * 63 * 2


def test_weights_of_signed_similarities_by_hand():
    """A sum is divided by with its sign; nearer to zero than 1e-6 it counts as 1e-6, with its sign."""
    by_sum = jax.jit(partial(normalize_affinity, normalization="sum"))
    np.testing.assert_allclose(by_sum(jnp.array([3.0, -4.0])), [-3.0, 4.0])
    np.testing.assert_allclose(by_sum(jnp.array([1.0, 3.0])), [0.25, 0.75])
    tiny = np.float32(2.0**-23)  # 1.2e-7
    np.testing.assert_allclose(by_sum(jnp.array([1.0, -1.0 - tiny])), [-1e6, 1e6], rtol=1e-5)
    np.testing.assert_allclose(by_sum(jnp.array([1.0, -1.0])), [1e6, -1e6], rtol=1e-5)
    magnitudes = normalize_affinity(jnp.array([3.0, -1.0]), normalization="abs_sum")
    np.testing.assert_allclose(magnitudes, [0.75, -0.25])


def test_vanishing_sum_of_similarities_stays_finite():
    query, keys, values, o = arrays()
    loss = lambda q: jnp.sum(
        aggregate(q, keys, values, o, normalization="sum", window=4, implementation="factorised").feature
    )
    value, grad = jax.value_and_grad(loss)(jnp.zeros_like(query))
    assert float(value) == 0.0 and bool(jnp.all(jnp.isfinite(grad)))
