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
    # Else XLA computes what comes before x, and grad, again for every tap.
    x, grad = lax.optimization_barrier((x, grad))
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
    return of_map, _kernel_gradient(x, grad, len(kernel), stride, dilation).astype(kernel.dtype)


def _kernel_gradient(x: Array, grad: Array, size: int, stride: int, dilation: int) -> Array:
    """Row by row of the result: the rows under all taps stay in the cache, which the whole map would not."""
    height, width, channels = grad.shape
    padded = _padded(x, size, dilation)

    def add(total: Array, row: Array) -> tuple[Array, None]:
        rows = lax.dynamic_slice_in_dim(padded, row * stride, (size - 1) * dilation + 1)[::dilation]
        of_row = lax.dynamic_index_in_dim(grad, row)
        columns = [
            lax.slice(rows, (0, j, 0), (size, j + (width - 1) * stride + 1, channels), (1, stride, 1))
            for j in range(0, size * dilation, dilation)
        ]
        return total + jnp.stack([jnp.sum(taps * of_row, 1, jnp.float32) for taps in columns], 1), None

    rows = jnp.arange(height, dtype=jnp.int32)
    return lax.scan(add, jnp.zeros((size, size, channels), jnp.float32), rows)[0]


def _padded(x: Array, size: int, dilation: int) -> Array:
    pad = dilation * (size // 2)
    return jnp.pad(x, ((pad, pad), (pad, pad), (0, 0)))


def _taps(x: Array, size: int, stride: int, dilation: int) -> list[tuple[int, int, Array]]:
    """(row, column, map) of every tap: the map shifted so that each cell of the result lies on its tap."""
    height, width, channels = x.shape
    padded = _padded(x, size, dilation)

    def tap(i: int, j: int) -> Array:
        start = (i * dilation, j * dilation, 0)
        return lax.slice(padded, start, (start[0] + height, start[1] + width, channels), (stride, stride, 1))

    return [(i, j, tap(i, j)) for i in range(size) for j in range(size)]


def _grouped(x: Array, kernel: Array, *, stride: int, dilation: int) -> Array:
    """The platform's grouped convolution."""
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
