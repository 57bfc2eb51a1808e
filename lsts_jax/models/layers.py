"""Layers shared by all parts: convolution with the authors' padding, normalisation, initialisers."""

from collections.abc import Callable, Sequence
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int32

from lsts_jax.ops.canvas import inside, zero_outside
from lsts_jax.ops.deform_conv import deform_conv
from lsts_jax.ops.depthwise import depthwise_conv
from lsts_jax.ops.sampling import Border

NormKind = Literal["frozen_batch", "group"]
LayerInit = Literal["normal", "he"]

# Initial weights of all layers above the backbone (authors). Embeddings and quality networks need them this
# small whatever else is trained from nothing: with larger ones both softmaxes start saturated, and the
# aggregated feature is a random shuffle of the memory, without a gradient that could improve it.
NEW_LAYER = nn.initializers.normal(0.01)

# Parameters that only `models/folding.py` and `models/inference.py` write: what remains of a frozen
# normalisation whose scale is in the kernel before it, and a kernel as [out, height, width, in].
KERNEL_OHWI, SHIFT = "kernel_ohwi", "shift"


def deep_layer_init(init: LayerInit) -> Callable:
    """Initialiser of the layers between backbone and heads: N(0, 0.01), or He's for training from scratch,
    where small weights would make the features vanish."""
    return NEW_LAYER if init == "normal" else nn.initializers.he_normal()


def _product(x: Array, kernel: Array, strides: Sequence[int], *_, precision=None, **__) -> Array:
    """A 1x1 convolution as a matrix product: its gradient is three times as fast on a CPU."""
    if max(strides) > 1:
        # XLA for GPUs (jaxlib 0.11.2) aborts the process if it fuses such a slice into the product
        x = lax.optimization_barrier(x[:, :: strides[0], :: strides[1], :])
    return lax.dot_general(x, kernel[0, 0], (((3,), (0,)), ((), ())), precision=precision)


class Conv(nn.Module):
    """A convolution that pads symmetrically: a map of n cells becomes one of ceil(n / stride).

    With a kernel larger than 1x1, cells outside the picture are set to zero first (`ops/canvas.py`).
    """

    features: int
    kernel: int = 1
    stride: int = 1
    dilation: int = 1
    use_bias: bool = True
    kernel_init: Callable = nn.initializers.he_normal()
    bias_init: Callable = nn.initializers.zeros_init()
    dtype: DTypeLike = jnp.float32
    product: Callable = _product
    """How a 1x1 convolution is computed, called as `lax.conv_general_dilated`."""

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h2 w2 D"]:
        pad = self.dilation * (self.kernel // 2)
        if self.kernel > 1:
            x = zero_outside(x, size)
        if KERNEL_OHWI in (prepared := self.get_variable("params", "conv", {})):
            y = lax.conv_general_dilated(
                x[None].astype(self.dtype),
                prepared[KERNEL_OHWI],
                (self.stride, self.stride),
                ((pad, pad), (pad, pad)),
                rhs_dilation=(self.dilation, self.dilation),
                dimension_numbers=("NHWC", "OHWI", "NHWC"),
            )[0]
            return y + prepared["bias"][None, None] if self.use_bias else y
        return nn.Conv(
            self.features,
            (self.kernel, self.kernel),
            self.stride,
            padding=((pad, pad), (pad, pad)),
            kernel_dilation=self.dilation,
            use_bias=self.use_bias,
            kernel_init=self.kernel_init,
            bias_init=self.bias_init,
            dtype=self.dtype,
            conv_general_dilated=self.product if self.kernel == 1 else lax.conv_general_dilated,
            name="conv",
        )(x)


class DeformableConv(nn.Module):
    """A 3x3 convolution of stride 1 with tap offsets, which a second convolution predicts from the same
    input.

    Its kernel has the name and shape of a plain convolution's. The offsets start at zero.
    """

    features: int
    dilation: int
    border: Border
    groups: int = 4
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h w D"]:
        # In float32 whatever the dtype: bfloat16 would round offsets of two cells to 1/64 of a cell.
        offsets = Conv(
            2 * 9 * self.groups, 3, dilation=self.dilation, kernel_init=nn.initializers.zeros, name="offset"
        )(x, size)

        def convolve(x, kernel, *_, **__):
            moved = deform_conv(x[0], offsets, kernel, size, dilation=self.dilation, border=self.border)
            return moved[None]

        return nn.Conv(
            self.features,
            (3, 3),
            use_bias=False,
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            conv_general_dilated=convolve,
            name="conv",
        )(x)


class DepthwiseConv(nn.Module):
    """A convolution of every channel by itself, without bias, that pads like `Conv`.

    Its kernel is [kernel, kernel, 1, channels], under the same name as that of a plain convolution.
    """

    kernel: int
    stride: int = 1
    dilation: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h2 w2 C"]:
        def convolve(x, kernel, *_, **__):
            return depthwise_conv(x[0], kernel[:, :, 0], stride=self.stride, dilation=self.dilation)[None]

        return nn.Conv(
            x.shape[-1],
            (self.kernel, self.kernel),
            feature_group_count=x.shape[-1],
            use_bias=False,
            kernel_init=nn.initializers.he_normal(),
            dtype=self.dtype,
            conv_general_dilated=convolve,
            name="conv",
        )(zero_outside(x, size))


class Norm(nn.Module):
    """Batch normalisation with stored statistics (authors), or GroupNorm over the cells of the picture."""

    kind: NormKind
    initial_scale: float = 1.0
    epsilon: float = 1e-5
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "h w C"], size: Int32[Array, "2"]) -> Float[Array, "h w C"]:
        if self.has_variable("params", SHIFT):
            shift = self.get_variable("params", SHIFT)[None, None]
            # in training the shift is float32, and so is the sum that is its gradient
            return (x.astype(shift.dtype) + shift).astype(self.dtype)
        scale_init = nn.initializers.constant(self.initial_scale)
        if self.kind == "frozen_batch":
            return nn.BatchNorm(
                use_running_average=True,
                epsilon=self.epsilon,
                dtype=self.dtype,
                scale_init=scale_init,
                name="norm",
            )(x)
        height, width, channels = x.shape
        mask = jnp.broadcast_to(inside(height, width, size)[..., None], x.shape)
        groups = nn.GroupNorm(
            num_groups=max(1, min(32, channels // 8)),
            epsilon=self.epsilon,
            reduction_axes=(-3, -2, -1),
            scale_init=scale_init,
            name="norm",
        )
        return groups(x.astype(jnp.float32), mask=mask).astype(self.dtype)


@jax.custom_vjp
def relu(x: Float[Array, "*n"]) -> Float[Array, "*n"]:
    """max(x, 0). For the gradient it stores the output alone, which the next convolution stores anyway."""
    return jnp.maximum(x, 0)


relu.defvjp(lambda x: 2 * (relu(x),), lambda y, grad: (jnp.where(y > 0, grad, 0),))
