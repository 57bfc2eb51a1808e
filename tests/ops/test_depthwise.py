"""Depthwise convolution: the CPU's form against the grouped convolution, with gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.depthwise import _grouped, depthwise_conv


@pytest.mark.parametrize("kernel, stride, dilation", [(3, 1, 1), (3, 2, 1), (5, 2, 1), (5, 1, 2), (3, 1, 2)])
@pytest.mark.parametrize("height, width", [(7, 10), (8, 9)])
def test_equals_the_grouped_convolution(kernel, stride, dilation, height, width):
    rng = np.random.default_rng(0)
    x = jnp.array(rng.standard_normal((height, width, 6)), jnp.float32)
    weights = jnp.array(rng.standard_normal((kernel, kernel, 6)), jnp.float32)

    def run(convolve):
        result, pull = jax.vjp(lambda x, w: convolve(x, w, stride=stride, dilation=dilation), x, weights)
        return result, *pull(jnp.cos(jnp.arange(result.size, dtype=jnp.float32)).reshape(result.shape))

    for own, other in zip(run(depthwise_conv), run(_grouped), strict=True):
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, atol=2e-5)


def test_keeps_the_type_of_the_map():
    x = jnp.ones((5, 6, 4), jnp.bfloat16)
    weights = jnp.ones((3, 3, 4), jnp.bfloat16)
    assert depthwise_conv(x, weights).dtype == jnp.bfloat16
    gradients = jax.grad(lambda x, w: depthwise_conv(x, w).astype(jnp.float32).sum(), (0, 1))(x, weights)
    assert [gradient.dtype for gradient in gradients] == [jnp.bfloat16] * 2
