"""Depthwise convolution: every channel has a kernel of its own.

On a CPU it is a sum of products of shifted maps: XLA's grouped convolution there is many times slower
(`benchmarks/depthwise.py`).
"""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def depthwise_conv(
    x: Float[Array, "h w C"], kernel: Float[Array, "k k C"], *, stride: int = 1, dilation: int = 1
) -> Float[Array, "h2 w2 C"]:
    """Convolution of every channel by its own kernel of odd size; zeros lie outside the map.

    A map of n cells becomes one of ceil(n / stride); cell i of the result is centred at cell i * stride.
    """
    return _convolve(x, kernel, stride, dilation)


@partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _convolve(x: Array, kernel: Array, stride: int, dilation: int) -> Array:
    on_cpu, elsewhere = (partial(form, stride=stride, dilation=dilation) for form in (_shifted, _grouped))
    return lax.platform_dependent(x, kernel, cpu=on_cpu, default=elsewhere)


def _forward(x: Array, kernel: Array, stride: int, dilation: int) -> tuple[Array, tuple[Array, Array]]:
    return _convolve(x, kernel, stride, dilation), (x, kernel)


def _backward(stride: int, dilation: int, saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    def of_grouped(x: Array, kernel: Array, grad: Array) -> tuple[Array, Array]:
        return jax.vjp(partial(_grouped, stride=stride, dilation=dilation), x, kernel)[1](grad)

    gradients = partial(_gradients, stride=stride, dilation=dilation)
    return lax.platform_dependent(*saved, grad, cpu=gradients, default=of_grouped)


_convolve.defvjp(_forward, _backward)


def _shifted(x: Array, kernel: Array, *, stride: int, dilation: int) -> Array:
    """The sum over taps of a shifted map times the tap's weights."""
    (_, _, first), *others = _taps(x, kernel.shape[0], stride, dilation)
    total = first * kernel[0, 0][None, None]
    for i, j, tap in others:
        total += tap * kernel[i, j][None, None]
    return total


def _gradients(x: Array, kernel: Array, grad: Array, *, stride: int, dilation: int) -> tuple[Array, Array]:
    """Gradients for map and kernel from that of the result."""
    size = kernel.shape[0]
    of_taps = [jnp.einsum("hwc,hwc->c", tap, grad) for _, _, tap in _taps(x, size, stride, dilation)]
    height, width, _ = x.shape
    # a result's cell i is that of stride 1 at i * stride; between them the gradient is zero
    spread = lax.pad(
        grad,
        jnp.zeros((), grad.dtype),
        (
            (0, height - 1 - (grad.shape[0] - 1) * stride, stride - 1),
            (0, width - 1 - (grad.shape[1] - 1) * stride, stride - 1),
            (0, 0, 0),
        ),
    )
    of_map = _shifted(spread, kernel[::-1, ::-1], stride=1, dilation=dilation)
    return of_map, jnp.stack(of_taps).reshape(kernel.shape)


def _taps(x: Array, size: int, stride: int, dilation: int) -> list[tuple[int, int, Array]]:
    """(row, column, map) of every tap: the map shifted so that each cell of the result lies on its tap."""
    height, width, channels = x.shape
    pad = dilation * (size // 2)
    padded = jnp.pad(x, ((pad, pad), (pad, pad), (0, 0)))

    def tap(i: int, j: int) -> Array:
        start = (i * dilation, j * dilation, 0)
        return lax.slice(padded, start, (start[0] + height, start[1] + width, channels), (stride, stride, 1))

    return [(i, j, tap(i, j)) for i in range(size) for j in range(size)]


def _grouped(x: Array, kernel: Array, *, stride: int, dilation: int) -> Array:
    """As the platform's grouped convolution."""
    pad = dilation * (kernel.shape[0] // 2)
    return lax.conv_general_dilated(
        x[None],
        kernel[:, :, None],
        (stride, stride),
        ((pad, pad), (pad, pad)),
        rhs_dilation=(dilation, dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=x.shape[-1],
    )[0]
