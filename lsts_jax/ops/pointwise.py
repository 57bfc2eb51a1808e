"""1x1 convolution before a depthwise one: a matrix product with a kernel gradient that suits CPUs."""

import jax
from jax import lax
from jaxtyping import Array, Float


@jax.custom_vjp
def pointwise_conv(x: Float[Array, "h w C"], kernel: Float[Array, "C D"]) -> Float[Array, "h w D"]:
    """The product of every cell's channels with the kernel.

    XLA for CPUs transposes the left operand of the kernel's gradient, a product over cells. If it computes
    that operand by a fusion, such as the taps of a depthwise convolution, it writes the result column by
    column, four times as slowly. So the left operand is the map with fewer channels; JAX's own rule takes
    the incoming gradient, the wider one of an expansion.
    """
    return _contract(x, (2,), kernel, (0,))


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return pointwise_conv(x, kernel), (x, kernel)


def _backward(saved: tuple[Array, Array], grad: Array) -> tuple[Array, Array]:
    x, kernel = saved
    cells = (0, 1)
    widens = x.shape[-1] < grad.shape[-1]
    of_kernel = _contract(x, cells, grad, cells) if widens else _contract(grad, cells, x, cells).T
    return _contract(grad, (2,), kernel, (1,)), of_kernel


pointwise_conv.defvjp(_forward, _backward)


def _contract(a: Array, of_a: tuple[int, ...], b: Array, of_b: tuple[int, ...]) -> Array:
    return lax.dot_general(a, b, ((of_a, of_b), ((), ())))
