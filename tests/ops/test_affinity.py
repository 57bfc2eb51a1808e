"""The two forms of LSTS against each other, the authors' operator and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.affinity import aggregate, blend, correlate, transpose_shifts
from lsts_jax.ops.sampling import sample_at_offsets


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
        )
        np.testing.assert_allclose(found.affinity, authors_ops["bilinear_a/weight_softmax"][n], atol=1e-5)
        np.testing.assert_allclose(found.feature, nhwc("align_data"), atol=1e-4)


@pytest.mark.parametrize("normalization", ["softmax", "sum", "abs_sum"])
@pytest.mark.parametrize("shape", [(9, 7), (3, 2), (17, 40)], ids=["one tile", "below the window", "tiles"])
@pytest.mark.parametrize("offsets", ["fractional", "integer", "equal"])
def test_forms_agree_in_value_and_gradient(shape, offsets, normalization):
    query, keys, values, o = arrays(*shape)
    if normalization == "sum":  # of positive similarities, so that the comparison is well conditioned
        query, keys = jnp.abs(query), jnp.abs(keys) + 1.0
    o = {"fractional": o, "integer": jnp.round(o), "equal": jnp.full_like(o, 1.25)}[offsets]
    weight = jnp.asarray(np.random.default_rng(1).standard_normal(values.shape), jnp.float32)

    def loss(args, implementation):
        found = aggregate(*args, normalization=normalization, implementation=implementation, window=4)
        return jnp.sum(found.feature * weight) + jnp.sum(found.affinity**2)

    # Equal offsets have equal affinities: their gradients cancel and leave the rounding of large terms.
    tolerance = 1e-3 if offsets == "equal" else 1e-5
    inputs = (query, keys, values, o)
    reference, expected = jax.value_and_grad(loss)(inputs, "gather")
    value, grads = jax.value_and_grad(loss)(inputs, "factorised")
    np.testing.assert_allclose(value, reference, rtol=1e-4, atol=1e-4)
    for found, wanted in zip(grads, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=tolerance * max(1.0, float(jnp.abs(wanted).max())))


def test_bfloat16_inputs_agree_within_their_error():
    query, keys, values, o = arrays(12, 20, embedding=32, channels=16)
    query = query / 4
    exact = aggregate(query, keys, values, o, implementation="gather", window=4)
    low = [x.astype(jnp.bfloat16) for x in (query, keys, values)]
    found = aggregate(*low, o, window=4)
    assert found.feature.dtype == jnp.bfloat16
    assert relative_error(found.feature.astype(jnp.float32), exact.feature) < 3e-2


@pytest.mark.parametrize("implementation", ["gather", "factorised"])
def test_offset_gradient_equals_finite_differences(implementation):
    query, keys, values, o = arrays(5, 6, k=3)
    with jax.enable_x64(True):
        query, keys, values, o = (jnp.asarray(np.asarray(x), jnp.float64) for x in (query, keys, values, o))
        sampled = lambda o: jnp.sum(sample_at_offsets(values, o) ** 2)
        grad = jax.grad(sampled)(o)
        step = 1e-6
        for k, axis in [(0, 0), (1, 1), (2, 0)]:
            move = np.zeros(o.shape)
            move[k, axis] = step
            numeric = (sampled(o + move) - sampled(o - move)) / (2 * step)
            np.testing.assert_allclose(grad[k, axis], numeric, rtol=1e-6)
    single = lambda o: jnp.sum(aggregate(*arrays(5, 6, k=3)[:3], o, implementation=implementation).feature)
    assert float(jnp.abs(jax.grad(single)(arrays(5, 6, k=3)[3])).min()) > 0


def test_correlation_and_blend_by_their_definition():
    query, keys, values, _ = (np.asarray(x) for x in arrays(6, 19))
    window = 2
    weights = np.random.default_rng(2).standard_normal((6, 19, 5, 5)).astype(np.float32)
    correlation, blended = np.zeros_like(weights), np.zeros_like(values)
    transposed = np.zeros_like(weights)
    for y, x in np.ndindex(6, 19):
        for j, i in np.ndindex(5, 5):
            v, u = y + j - window, x + i - window
            if 0 <= v < 6 and 0 <= u < 19:
                correlation[y, x, j, i] = query[y, x] @ keys[v, u]
                blended[y, x] += weights[y, x, j, i] * values[v, u]
                transposed[y, x, j, i] = weights[v, u, 4 - j, 4 - i]
    np.testing.assert_allclose(
        correlate(jnp.asarray(query), jnp.asarray(keys), window), correlation, atol=1e-5
    )
    np.testing.assert_allclose(blend(jnp.asarray(weights), jnp.asarray(values), window), blended, atol=1e-5)
    np.testing.assert_array_equal(transpose_shifts(jnp.asarray(weights), window), transposed)


def test_vanishing_sum_of_similarities_stays_finite():
    query, keys, values, o = arrays()
    loss = lambda q: jnp.sum(aggregate(q, keys, values, o, normalization="sum", window=4).feature)
    value, grad = jax.value_and_grad(loss)(jnp.zeros_like(query))
    assert float(value) == 0.0 and bool(jnp.all(jnp.isfinite(grad)))
