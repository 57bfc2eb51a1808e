"""A trained detector as ONNX files, by jax2onnx: the events as in the package, with the weights inside."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import flax.linen as nn
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
from flax.traverse_util import flatten_dict
from jax import lax
from jaxtyping import Array
from tqdm import tqdm

from lsts_jax.api import LoadedDetector
from lsts_jax.data.transforms import Size
from lsts_jax.errors import UserError
from lsts_jax.export import (
    LOADER,
    describe,
    described_program,
    input_shapes,
    plain_events,
    require_fixed_keyframes,
)
from lsts_jax.export.folder import DESCRIPTION, earlier_export, replace_export
from lsts_jax.models.inference import prepare
from lsts_jax.ops import depthwise, psroi_pool

INSTALL = "pip install onnx onnx-ir equinox dm-pix && pip install --no-deps jax2onnx==0.17.1"
"""jax2onnx requires an older Orbax, which the conversion does not need."""


def require_onnx(folder: Path) -> None:
    """Raises `UserError` if ONNX files cannot be made, or would overwrite other files in `folder`."""
    try:
        import jax2onnx  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"--format onnx needs packages: {INSTALL}") from error
    earlier_export(folder)


def write_onnx(folder: Path, loaded: LoadedDetector, canvases: tuple[Size, ...]) -> None:
    """Writes programs for every canvas, description and loader; an earlier export in `folder`,
    which exists, is replaced. Raises `UserError` if the detector has adaptive keyframes."""
    from jax2onnx import to_onnx  # pyright: ignore[reportMissingImports]

    require_fixed_keyframes(loaded)
    weights = flatten_dict(prepare(loaded.detector, loaded.variables, for_gpu=False), sep="/")
    files = {LOADER: Path(__file__).with_name("onnx_loader.py").read_bytes()}
    functions = plain_events(loaded.detector)
    described = []
    with tqdm(total=len(canvases) * len(functions), unit="program", desc="export") as bar:
        for height, width in canvases:
            programs = {}
            for name, function in functions.items():
                inputs = input_shapes(loaded, name, (height, width))
                leaves, structure = jax.tree.flatten(list(inputs.values()))
                with onnx_forms():
                    jaxpr = jax.make_jaxpr(
                        lambda *given, function=function, structure=structure: function(
                            weights, *jax.tree.unflatten(structure, given)
                        )
                    )(*leaves)
                file = f"{name}_{height}x{width}.onnx"
                entry = described_program(loaded, name, (height, width), file, jaxpr.out_avals)
                for one in entry["outputs"]:  # ONNX tells inputs and outputs apart by name alone
                    one["name"] = one["name"].replace("memory", "next_memory")
                converted: Any = to_onnx(
                    jax.extend.core.jaxpr_as_fun(jaxpr),
                    leaves,
                    model_name=name,
                    input_names=[one["name"] for one in entry["inputs"]],
                    output_names=[one["name"] for one in entry["outputs"]],
                )
                files[file], programs[name] = converted.SerializeToString(), entry
                bar.update()
            described.append({"height": height, "width": width, "programs": programs})
    sums = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
    about = describe(loaded) | {"programs": "ONNX", "canvases": described, "sha256": sums}
    text = json.dumps(about, indent=2, ensure_ascii=False) + "\n"
    replace_export(folder, files | {DESCRIPTION: text.encode()})


@contextmanager
def onnx_forms() -> Iterator[None]:
    """Makes functions that are traced inside the block use only operators that ONNX has: the forms
    for CPUs, but grouped convolutions, which are slow only in XLA; maxima of slices in place of a
    window over all axes; no bit operations, which only keep XLA from fusing."""
    with (
        mock.patch.object(lax, "platform_dependent", _for_cpu),
        mock.patch.object(depthwise, "_shifted", depthwise._grouped),
        mock.patch.object(nn, "max_pool", _max_pool),
        mock.patch.object(psroi_pool, "_rounded", lambda x: x),
    ):
        yield


def _for_cpu(*arguments: Any, default: Any = None, cpu: Any = None, **_: Any) -> Any:
    return (cpu or default)(*arguments)


def _max_pool(x: Array, window: tuple[int, int], strides: tuple[int, int], padding: Any) -> Array:
    """`flax.linen.max_pool` of a map [h w C]."""
    padded = jnp.pad(x, (*padding, (0, 0)), constant_values=-jnp.inf)
    counts = [(n - size) // step + 1 for n, size, step in zip(padded.shape, window, strides, strict=False)]
    found = []
    for start in np.ndindex(window):
        ends = [at + (n - 1) * step + 1 for at, n, step in zip(start, counts, strides, strict=True)]
        found.append(lax.slice(padded, (*start, 0), (*ends, x.shape[-1]), (*strides, 1)))
    total = found[0]
    for one in found[1:]:
        total = jnp.maximum(total, one)
    return total
