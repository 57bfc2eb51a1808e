"""Warping along a flow and deformable convolution, against PyTorch's `grid_sample` and torchvision's
`deform_conv2d`.

    pip install torch torchvision
    python -m benchmarks.sampling --json sampling.json

At the sizes of ResNet-101 on 600 x 1000: a map of 38 x 63 cells, 1,024 channels warped, 512 convolved (3 x 3,
dilation 2, 4 groups of offsets). Forward, and with the gradients of everything; results are compared first.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import compiled, medians, parser, print_table, write_json
from lsts_jax.ops.deform_conv import deform_conv
from lsts_jax.ops.warp import warp

HEIGHT, WIDTH, GROUPS, DILATION = 38, 63, 4, 2


def arrays(*shapes: tuple[int, ...]) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def jax_calls(function: Callable, inputs: list[np.ndarray]) -> dict[str, Callable[[], Any]]:
    places = tuple(range(len(inputs)))
    backward = jax.grad(lambda *given: jnp.sum(function(*given) ** 2), places)
    given = [jnp.asarray(x) for x in inputs]
    calls = {"forward": function, "gradients": backward}
    return {name: partial(compiled(call, *given), *given) for name, call in calls.items()}


def torch_calls(function: Callable, inputs: list[Any]) -> dict[str, Callable[[], Any]]:
    import torch

    leaves = [x.requires_grad_() for x in inputs]

    def forward() -> Any:
        with torch.no_grad():
            return function(*leaves)

    return {
        "forward": forward,
        "gradients": lambda: torch.autograd.grad((function(*leaves) ** 2).sum(), leaves),
    }


def warping() -> tuple[dict[str, Callable], dict[str, Callable]]:
    import torch
    from torch.nn.functional import grid_sample

    features, flow = arrays((HEIGHT, WIDTH, 1024), (HEIGHT, WIDTH, 2))
    grid = torch.stack(torch.meshgrid(torch.arange(WIDTH), torch.arange(HEIGHT), indexing="xy"), -1)
    scale = torch.tensor([2 / (WIDTH - 1), 2 / (HEIGHT - 1)])

    def theirs(features: Any, flow: Any) -> Any:
        return grid_sample(features, (grid + flow) * scale - 1, align_corners=True)

    chw = torch.from_numpy(features.transpose(2, 0, 1).copy())[None]
    return jax_calls(warp, [features, flow]), torch_calls(theirs, [chw, torch.from_numpy(flow)[None]])


def convolution() -> tuple[dict[str, Callable], dict[str, Callable]]:
    import torch
    from torchvision.ops import deform_conv2d

    shapes = (HEIGHT, WIDTH, 512), (HEIGHT, WIDTH, 2 * 9 * GROUPS), (3, 3, 512, 512)
    features, offsets, kernel = arrays(*shapes)
    size = jnp.array([HEIGHT, WIDTH], jnp.int32)
    ours = partial(_convolve, size)
    theirs = partial(deform_conv2d, padding=DILATION, dilation=DILATION)
    given = [features.transpose(2, 0, 1), offsets.transpose(2, 0, 1)]
    tensors = [torch.from_numpy(x.copy())[None] for x in given]
    tensors.append(torch.from_numpy(kernel.transpose(3, 2, 0, 1).copy()))
    return jax_calls(ours, [features, offsets, kernel]), torch_calls(theirs, tensors)


def _convolve(size: jax.Array, features: jax.Array, offsets: jax.Array, kernel: jax.Array) -> jax.Array:
    return deform_conv(features, offsets, kernel, size, dilation=DILATION, border="zero")


def measure(name: str, made: Callable, seconds: float) -> dict:
    """Seconds of both, and the largest difference of the results as a share of the largest value."""
    ours, theirs = made()
    wanted = np.asarray(theirs["forward"]())[0].transpose(1, 2, 0)
    error = float(np.abs(np.asarray(ours["forward"]()) - wanted).max() / np.abs(wanted).max())
    calls = {f"{part}, jax": call for part, call in ours.items()}
    calls |= {f"{part}, torch": call for part, call in theirs.items()}
    return {"operator": name, "error": error, "seconds": medians(calls, seconds=seconds)}


def main() -> None:
    options = parser("Warping and deformable convolution against PyTorch.").parse_args()
    made = {"warp": warping, "deformable convolution": convolution}
    rows = [measure(name, one, options.seconds) for name, one in made.items()]
    columns = [f"{part}, {form}" for part in ("forward", "gradients") for form in ("jax", "torch")]
    print_table(
        "Warping and deformable convolution, ms",
        ("operator", "error", *columns),
        [
            (row["operator"], f"{row['error']:.1e}", *(f"{1e3 * row['seconds'][c]:.1f}" for c in columns))
            for row in rows
        ],
    )
    write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
