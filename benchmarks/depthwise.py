"""Depthwise convolution: sums of shifted products, the form for CPUs, against XLA's grouped convolution.

    python -m benchmarks.depthwise

At layers of EfficientNet-lite0 on a picture of 256 x 448; forward, and with both gradients.
"""

from functools import partial

import jax
import jax.numpy as jnp

from benchmarks.common import compiled, medians, parser, print_table, write_json
from lsts_jax.ops.depthwise import _grouped, depthwise_conv

LAYERS = {  # height, width, channels, kernel, stride, dilation
    "stage 2, block 1": (128, 224, 96, 3, 2, 1),
    "stage 2, block 2": (64, 112, 144, 3, 1, 1),
    "stage 3, block 2": (32, 56, 240, 5, 1, 1),
    "stage 5, block 2": (16, 28, 672, 5, 1, 1),
    "stage 6, block 2": (16, 28, 1152, 5, 1, 2),
}


def measure(name: str, seconds: float) -> dict:
    """Seconds of both forms at a layer, forward and with gradients."""
    height, width, channels, size, stride, dilation = LAYERS[name]
    x = jax.random.normal(jax.random.key(0), (height, width, channels))
    kernel = jax.random.normal(jax.random.key(1), (size, size, channels))
    calls = {}
    for form, convolve in {"shifted": depthwise_conv, "grouped": _grouped}.items():
        forward = partial(convolve, stride=stride, dilation=dilation)

        def backward(x, kernel, forward=forward):
            return jax.grad(lambda x, kernel: jnp.sum(forward(x, kernel) ** 2), (0, 1))(x, kernel)

        for part, function in {"forward": forward, "gradients": backward}.items():
            calls[f"{part}, {form}"] = partial(compiled(function, x, kernel), x, kernel)
    return {"layer": name, "seconds": medians(calls, seconds=seconds)}


def main() -> None:
    options = parser("Depthwise convolution: shifted products against grouped convolution.").parse_args()
    rows = [measure(name, options.seconds) for name in LAYERS]
    columns = [f"{part}, {form}" for part in ("forward", "gradients") for form in ("shifted", "grouped")]
    print_table(
        "Depthwise convolution, ms",
        ("layer", *columns),
        [(row["layer"], *(f"{1e3 * row['seconds'][column]:.1f}" for column in columns)) for row in rows],
    )
    write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
