"""The 1x1 convolution of EfficientNet: value and gradients of a plain product, whichever map is wider."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.pointwise import pointwise_conv


@pytest.mark.parametrize("channels, wanted", [(3, 7), (7, 3)])
def test_gradients_are_those_of_a_product(channels, wanted):
    rng = np.random.default_rng(0)
    x = jnp.array(rng.standard_normal((2, 4, 5, channels)), jnp.float32)
    kernel = jnp.array(rng.standard_normal((channels, wanted)), jnp.float32)
    grad = jnp.array(rng.standard_normal((2, 4, 5, wanted)), jnp.float32)

    result, pull = jax.vjp(lambda x, w: jax.vmap(pointwise_conv, (0, None))(x, w), x, kernel)
    expected, expected_pull = jax.vjp(lambda x, w: jnp.einsum("bhwc,cd->bhwd", x, w), x, kernel)
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    for own, other in zip(pull(grad), expected_pull(grad), strict=True):
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)
