"""LSTS alone: the factorised form, the gather that samples all K x C at once, and PyTorch.

    python -m benchmarks.lsts --json lsts.json

PyTorch's two forms are what a competent user writes with `grid_sample`: a loop over the K offsets, and K
folded into the batch. They are left out where PyTorch is absent. All forms are first checked to agree.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.common import (
    compiled,
    medians,
    megabytes,
    milliseconds,
    parser,
    print_table,
    ratio,
    temp_bytes,
    write_json,
)
from lsts_jax.models.temporal.lsts.sampling import initial_offsets
from lsts_jax.ops.affinity import aggregate, smallest_window

SIZES = ((38, 63), (12, 20))
OFFSETS = {81: "uniform", 40: "gaussian"}  # K and where the authors start with it
FORWARD, BOTH = "forward", "forward+backward"
EMBEDDING, CHANNELS = 256, 1024


def make_inputs(size: tuple[int, int], k: int, batch: int, dtype: str) -> tuple[tuple, jax.Array]:
    """Query, keys, values, offsets; and the gradient that the result receives."""
    rng = np.random.default_rng(0)

    def draw(channels):
        return jnp.asarray(rng.standard_normal((batch, *size, channels)), jnp.float32).astype(dtype)

    query, keys, values, grad = (draw(c) for c in (EMBEDDING, EMBEDDING, CHANNELS, CHANNELS))
    offsets = initial_offsets(jax.random.key(0), OFFSETS[k], k)
    return (query / EMBEDDING**0.5, keys, values, offsets), grad


def jax_form(implementation: str, window: int) -> Callable[..., jax.Array]:
    """The aggregated feature of a batch."""

    def feature(query, keys, values, offsets):
        return aggregate(
            query,
            keys,
            values,
            offsets,
            implementation=implementation,
            window=window,
            normalization="softmax",
        ).feature

    return jax.vmap(feature, (0, 0, 0, None))


def gradients(function: Callable, inputs: tuple, grad: jax.Array) -> tuple:
    """The result, and the gradients of all inputs."""
    result, vjp = jax.vjp(function, *inputs)
    return result, vjp(grad)


def why_no_torch(batch: int, dtype: str) -> str | None:
    """Reason why PyTorch's forms would not be compared on equal terms, if there is one."""
    if batch > 1 or dtype != "float32":
        return "its forms are of single frames in float32"
    if find_spec("torch") is None:
        return "it is not installed"
    import torch

    if jax.default_backend() == "gpu" and not torch.cuda.is_available():
        return "it has no CUDA, and a CPU is no measure for a GPU"
    return None


def torch_form(name: str) -> Callable[..., Any]:
    """`torch_loop` or `torch_batched`, of maps [1 C h w] and offsets [K 2]."""
    import torch
    from torch.nn.functional import grid_sample

    def grids(offsets, height, width):
        y, x = torch.meshgrid(
            torch.arange(height, device=offsets.device),
            torch.arange(width, device=offsets.device),
            indexing="ij",
        )
        at = torch.stack([x, y], -1)[None] + offsets[:, None, None, :]
        scale = torch.tensor([2 / (width - 1), 2 / (height - 1)], device=offsets.device)
        return at * scale - 1  # [K h w 2]

    sample = partial(grid_sample, mode="bilinear", padding_mode="zeros", align_corners=True)

    def loop(query, keys, values, offsets):
        grid = grids(offsets, *values.shape[-2:]).split(1)
        logits = torch.stack([(query * sample(keys, g)).sum(1) for g in grid])
        affinity = torch.softmax(logits, 0)
        return sum(weight[:, None] * sample(values, g) for weight, g in zip(affinity, grid, strict=True))

    def batched(query, keys, values, offsets):
        grid = grids(offsets, *values.shape[-2:])
        sampled = sample(keys.expand(len(grid), -1, -1, -1), grid)
        affinity = torch.softmax((query * sampled).sum(1), 0)
        sampled = sample(values.expand(len(grid), -1, -1, -1), grid)
        return (affinity[:, None] * sampled).sum(0, keepdim=True)

    return {"torch_loop": loop, "torch_batched": batched}[name]


def torch_calls(name: str, inputs: tuple, grad: jax.Array) -> tuple[dict[str, Callable], np.ndarray]:
    """A call for each pass, and the result as [h w C]."""
    import torch

    device = "cuda" if jax.default_backend() == "gpu" else "cpu"
    *maps, offsets = (np.array(x, np.float32) for x in (*inputs[:3], grad, inputs[3]))
    query, keys, values, cotangent = (
        torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).to(device) for x in maps
    )
    leaves = [query, keys, values, torch.from_numpy(offsets).to(device)]
    function = torch_form(name)

    def forward():
        with torch.no_grad():
            result = function(*leaves)
        if device == "cuda":
            torch.cuda.synchronize()
        return result

    def both():
        for leaf in leaves:
            leaf.requires_grad_(True)
            leaf.grad = None
        function(*leaves).backward(cotangent)
        if device == "cuda":
            torch.cuda.synchronize()

    return {FORWARD: forward, BOTH: both}, forward().cpu().numpy()[0].transpose(1, 2, 0)


def measure(size: tuple[int, int], k: int, options: Any, forms: list[str]) -> list[dict]:
    """The rows of one size and K."""
    inputs, grad = make_inputs(size, k, options.batch, options.dtype)
    window = options.window or smallest_window(inputs[3])
    calls: dict[str, dict[str, Callable]] = {FORWARD: {}, BOTH: {}}
    temporaries: dict[tuple[str, str], int] = {}
    results = {}
    for form in forms:
        if form.startswith("torch"):
            found, results[form] = torch_calls(form, inputs, grad)
            for name, call in found.items():
                calls[name][form] = call
            continue
        function = jax_form(form, window)
        programs = {
            FORWARD: (compiled(function, *inputs), inputs),
            BOTH: (compiled(partial(gradients, function), inputs, grad), (inputs, grad)),
        }
        for name, (program, arguments) in programs.items():
            calls[name][form] = partial(program, *arguments)
            temporaries[name, form] = temp_bytes(program)
        results[form] = np.asarray(calls[FORWARD][form](), np.float32)[0]
    check(results, tolerance=1e-4 if options.dtype == "float32" else 5e-2)
    rows = []
    for name, of_pass in calls.items():
        times = medians(of_pass, seconds=options.seconds)
        torch_best = min((t for form, t in times.items() if form.startswith("torch")), default=None)
        gather = times.get("gather")
        rows += [
            {
                "name": form,
                "size": f"{size[0]}x{size[1]}",
                "K": k,
                "pass": name,
                "seconds": t / options.batch,
                "temp_bytes": temporaries.get((name, form)),
                "speedup_vs_gather": gather and gather / t,
                "speedup_vs_torch": torch_best and torch_best / t,
            }
            for form, t in times.items()
        ]
    return rows


def check(results: dict[str, np.ndarray], *, tolerance: float) -> None:
    """Stops unless all forms agree, by the largest value."""
    name, reference = next(iter(results.items()))
    for other, result in results.items():
        error = np.abs(result - reference).max() / np.abs(reference).max()
        if error > tolerance:
            raise SystemExit(f"{other} and {name} differ by {error:.1e} of the largest value: a defect")


def main() -> None:
    made = parser("LSTS: factorised, gather, PyTorch.")
    made.add_argument("--forms", nargs="+", default=["factorised", "gather", "torch_loop", "torch_batched"])
    made.add_argument("--batch", type=int, default=1, help="frames at once; seconds are a frame's")
    made.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    made.add_argument("--window", type=int, help="R; the smallest that sees all offsets if not given")
    options = made.parse_args()
    forms = options.forms
    if reason := why_no_torch(options.batch, options.dtype):
        print(f"PyTorch is left out: {reason}")
        forms = [form for form in forms if not form.startswith("torch")]
    rows = []
    for size in SIZES:
        for k in OFFSETS:
            rows += measure(size, k, options, forms)
            print(f"{size[0]}x{size[1]}, K = {k} measured", flush=True)
    print_table(
        f"LSTS, E = {EMBEDDING}, C = {CHANNELS}, {options.dtype}, batches of {options.batch}",
        ("form", "size", "K", "pass", "ms a frame", "temporary MiB", "x gather", "x PyTorch"),
        [
            (
                row["name"],
                row["size"],
                row["K"],
                row["pass"],
                milliseconds(row["seconds"]),
                megabytes(row["temp_bytes"]),
                ratio(row["speedup_vs_gather"]),
                ratio(row["speedup_vs_torch"]),
            )
            for row in rows
        ],
    )
    write_json(options.json, {"rows": rows})


if __name__ == "__main__":
    main()
