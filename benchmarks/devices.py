"""A training step of one batch on 1, 2, 4 … devices: seconds, and what the devices pass to each other.

    python -m benchmarks.devices --widths 1 2 4 --batch 4 --depth 18 --height 128 --width 192
    python -m benchmarks.devices --widths 8 --batch 8 --height 64 --width 96 --seconds 0

On a CPU the devices are virtual: they share its cores, so that the seconds tell what dividing the work costs
and nothing about what more devices would gain. What is passed is read off the compiled program; it depends on
the parameters and not on the size of the pictures. `--seconds 0` compiles and does not run.
"""

import os
import re
from functools import partial
from math import prod

import jax

from benchmarks.common import (
    MIB,
    add_model_options,
    medians,
    milliseconds,
    model_config,
    parser,
    print_table,
    write_json,
)
from benchmarks.train_step import random_triplets
from lsts_jax.compiling import jit_training
from lsts_jax.models.detector import build_detector
from lsts_jax.parallel import AXIS, layout_of, place, spread_batch
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state, init_variables
from lsts_jax.training.step import train_step

COLLECTIVE = re.compile(r"= (\(.*?\)|\S+) (all-reduce|all-gather|reduce-scatter|all-to-all)(?:-start)?\(")
SHAPE = re.compile(r"\b(pred|[suf]8|b?[suf]?f?16|[suf]32|[suf]64)\[([\d,]*)\]")
LAYOUTS = ("replicated", "sharded")


def passed_bytes(program: jax.stages.Compiled) -> dict[str, int]:
    """Bytes of the results of a program's collectives on one device, by their kind."""
    found: dict[str, int] = {}
    for result, kind in COLLECTIVE.findall(program.as_text()):
        for dtype, sides in SHAPE.findall(result):
            width = 1 if dtype == "pred" else int(re.sub(r"\D", "", dtype)) // 8
            size = prod(int(side) for side in sides.split(",") if side)
            found[kind] = found.get(kind, 0) + width * size
    return found


def _placed(shape: jax.ShapeDtypeStruct, sharding: jax.sharding.NamedSharding) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape.shape, shape.dtype, sharding=sharding)


def main() -> None:
    made = parser("A training step on several devices.")
    add_model_options(made)
    made.add_argument("--batch", type=int, default=8, help="triplets a step")
    made.add_argument("--widths", type=int, nargs="+", default=[1, 2, 4], help="numbers of devices")
    options = made.parse_args()
    flags = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={max(options.widths)}"
    config = model_config(options)
    detector = build_detector(config.model, len(config.data.class_names))
    optimizer = build_optimizer(config.optimizer, 1000, detector.temporal)

    def start():
        return init_state(detector, optimizer, init_variables(detector, config), config.seed)

    state, triplets = start() if options.seconds else None, random_triplets(config, options.batch)
    rows, calls = [], {}
    for width in options.widths:
        for layout in LAYOUTS if width > 1 else LAYOUTS[:1]:
            devices = jax.devices()[:width]
            mesh = jax.make_mesh((width,), (AXIS,), (jax.sharding.AxisType.Auto,), devices=devices)
            shapes = jax.eval_shape(start)
            places = layout_of(shapes, mesh, layout)
            step = jit_training(
                partial(train_step, detector, optimizer, config, mesh=mesh), out_shardings=(places, None)
            )
            batch = spread_batch(triplets, mesh)
            program = step.lower(jax.tree.map(_placed, shapes, places), batch).compile()
            held = sum(
                prod(place.shard_shape(x.shape)) * x.dtype.itemsize
                for x, place in zip(jax.tree.leaves(shapes), jax.tree.leaves(places), strict=True)
                if x.ndim
            )
            rows.append({"devices": width, "layout": layout, "state_bytes_a_device": held})
            rows[-1]["passed_bytes"] = passed_bytes(program)
            if state is not None:
                calls[f"{width} {layout}"] = partial(program, place(state, mesh, layout), batch)
    seconds = medians(calls, seconds=options.seconds) if calls else {}
    for row in rows:
        row["seconds"] = seconds.get(f"{row['devices']} {row['layout']}")
    print_table(
        f"One step of {options.batch} triplets, ResNet-{options.depth}, {options.height}x{options.width}",
        ("parameters", "devices", "ms", "against the first", "state a device, MiB", "passed, MiB"),
        [
            (
                row["layout"],
                row["devices"],
                milliseconds(row["seconds"]),
                f"{row['seconds'] / rows[0]['seconds']:.2f}" if row["seconds"] else "-",
                f"{row['state_bytes_a_device'] / MIB:.1f}",
                ", ".join(f"{kind} {size / MIB:.1f}" for kind, size in row["passed_bytes"].items()) or "-",
            )
            for row in rows
        ],
    )
    given = {name: value for name, value in vars(options).items() if name != "json"}
    write_json(options.json, {"options": given, "rows": rows})


if __name__ == "__main__":
    main()
