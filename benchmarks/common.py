"""Measuring turn by turn, tables, JSON."""

import argparse
import json
import platform
import resource
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from lsts_jax.compiling import jit_inference
from lsts_jax.config import BackboneConfig, Config, DataConfig, LSTSConfig, ModelConfig

MIB = 2**20
# Between two measurements, so that the threads of one library have gone to sleep when the next one starts.
PAUSE = 0.005
# A turn repeats a call that is shorter than this and measures the last repeat: a processor that was idle, or
# busy in one thread, takes about as long to bring its other cores in.
WARM = 0.05


def parser(description: str) -> argparse.ArgumentParser:
    """A command line with the options of all benchmarks."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write the measurements there as well")
    made.add_argument("--seconds", type=float, default=10.0, help="to spend on each comparison, about")
    return made


def add_model_options(made: argparse.ArgumentParser) -> None:
    """The options of the benchmarks that run a whole detector."""
    made.add_argument("--height", type=int, default=600)
    made.add_argument("--width", type=int, default=1000)
    made.add_argument("--depth", type=int, default=101, choices=(10, 18, 34, 50, 101))
    made.add_argument("--offsets", type=int, default=81, help="K, the square of an odd number")
    made.add_argument("--window", type=int, default=5, help="R, beyond the largest offset")
    made.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))


def model_config(options: argparse.Namespace, *, remat: bool = False) -> Config:
    """The paper's detector at the size that the command line asks for."""
    size = (options.height, options.width)
    return Config(
        data=DataConfig(short_side=min(size), long_side=max(size), canvases=(size,)),
        model=ModelConfig(
            backbone=BackboneConfig(depth=options.depth, split=4 if options.depth > 34 else 2, remat=remat),
            lsts=LSTSConfig(num_offsets=options.offsets, window=options.window),
            dtype=options.dtype,
        ),
    )


def medians(
    calls: Mapping[str, Callable[[], Any]], *, seconds: float, rounds: tuple[int, int] = (3, 50)
) -> dict[str, float]:
    """Median seconds of each call, after one that does not count.

    The calls take turns, so that whatever else the machine does slows them all alike: `rounds` = (at least,
    at most) rounds of all, as many as fit `seconds`. What a call returns is waited for.
    """
    for call in calls.values():
        jax.block_until_ready(call())
    measured: dict[str, list[float]] = {name: [] for name in calls}
    begin = time.perf_counter()
    for done in range(rounds[1]):
        if done >= rounds[0] and time.perf_counter() - begin > seconds:
            break
        for name, call in calls.items():
            time.sleep(PAUSE)
            turn = time.perf_counter()
            while True:
                start = time.perf_counter()
                jax.block_until_ready(call())
                end = time.perf_counter()
                if end - turn > WARM:
                    break
            measured[name].append(end - start)
    return {name: statistics.median(times) for name, times in measured.items()}


def compiled(function: Callable, *args: Any) -> jax.stages.Compiled:
    """The program of a function for arguments like these."""
    return jit_inference(function).lower(*args).compile()


def temp_bytes(program: jax.stages.Compiled) -> int:
    """Memory that a program needs besides its inputs and outputs, as XLA plans it."""
    return program.memory_analysis().temp_size_in_bytes


def peak_resident_bytes() -> int:
    """The most memory that this process has held so far, compilation included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def peak_device_bytes() -> int | None:
    """The most memory held on an accelerator so far; None on a CPU."""
    statistics_ = jax.devices()[0].memory_stats() or {}
    return statistics_.get("peak_bytes_in_use")


def megabytes(count: int | None) -> str:
    return "-" if count is None else f"{count / MIB:.1f}"


def milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * 1e3:.2f}"


def ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Text columns to the left, all others to the right."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(columns))]
    left = [
        bool(rows) and isinstance(rows[0][i], str) and not _is_number(rows[0][i]) for i in range(len(columns))
    ]
    print(f"\n{title}")
    for number, row in enumerate(cells):
        aligned = (
            cell.ljust(width) if to_left else cell.rjust(width)
            for cell, width, to_left in zip(row, widths, left, strict=True)
        )
        print("  ".join(aligned).rstrip())
        if number == 0:
            print("  ".join("-" * width for width in widths))
    print(flush=True)


def write_json(path: Path | None, content: dict) -> None:
    """Writes the measurements, with what they were measured on, if a file is asked for."""
    if path is None:
        return
    device = jax.devices()[0]
    machine = {"platform": device.platform, "device": device.device_kind, "jax": jax.__version__}
    machine["command"] = _command()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine} | content, indent=2) + "\n")


def _command() -> str:
    """The command line of this benchmark, without the file that it writes."""
    module, *given = sys.argv
    if "--json" in given:
        at = given.index("--json")
        del given[at : at + 2]
    return shlex.join(["python", "-m", f"benchmarks.{Path(module).stem}", *given])


def _is_number(text: str) -> bool:
    return text == "-" or text.replace(".", "", 1).isdigit()
