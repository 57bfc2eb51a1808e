"""Compile a program for an NVIDIA H100 on a machine that has none, and count what the card would do.

XLA compiles down to machine code without a driver. What is counted here is fact: memory as XLA plans it,
launches, loops, waits of the host. No time is estimated, and two things cannot be seen without a card: what
the autotuner would choose, and the workspace of cuDNN's convolutions.
"""

import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
from jax.experimental import topologies
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import PyTree

from lsts_jax.compiling import GPU_OPTIONS

PACKAGES = "jax-cuda12-plugin, jax-cuda12-pjrt and nvidia-cuda-nvcc-cu12"

# XLA's description of the card, in protobuf's text form.
H100 = """
platform_name: "CUDA"
device_description_str: "NVIDIA H100 80GB HBM3"
dnn_version_info { major: 9 minor: 10 }
gpu_device_info {
  name: "NVIDIA H100 80GB HBM3" device_vendor: "NVIDIA Corporation"
  cuda_compute_capability { major: 9 feature_extension: ACCELERATED_FEATURES }
  core_count: 132 fpus_per_core: 128 clock_rate_ghz: 1.98
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 device_memory_size: 84942979072
  threads_per_warp: 32 threads_per_block_limit: 1024 threads_per_core_limit: 2048
  registers_per_block_limit: 65536 registers_per_core_limit: 65536
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448 shared_memory_per_core: 233472
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  thread_dim_limit_x: 1024 thread_dim_limit_y: 1024 thread_dim_limit_z: 64
  driver_version: "13.0.0" runtime_version: "12.9.0" compile_time_toolkit_version: "12.9.0"
  dnn_version: "9.10.0"
}
"""

# Products go to cuBLAS, as the autotuner mostly decides; untuned Triton products may not compile at all.
OPTIONS = GPU_OPTIONS | {"xla_gpu_enable_triton_gemm": False}

_PART = re.compile(r"^( *)(No thunks\.\s+)?(condition:|body:)$")
_THUNK = re.compile(r"^( *)(\d+): (k\w+)")
_ID = re.compile(r'profile_annotation: "([^"]*)"\s*thunk_id: (\d+)')
_TRIPS = re.compile(r'^\s*(?:ROOT )?%?([\w.\-]+) = .* while\(.*"known_trip_count":\{"n":"(\d+)"', re.M)
_NO_LAUNCH = ("kWhile", "kCommandBuffer", "kConditional", "kSequential", "kDynamicSliceFusion")


class Counts(NamedTuple):
    """What a card does in one call of a program. The body of a loop whose length the compiler does not know
    counts once, its condition twice."""

    launches: int  # kernels, library calls and copies
    host_syncs: int  # times that the host waits for the card to know how to go on
    loops: int


class Compiled(NamedTuple):
    """A compiled program: counts, bytes as XLA plans them, operations in float64."""

    counts: Counts
    argument_bytes: int
    temporary_bytes: int
    peak_bytes: int
    f64: int


def is_installed() -> bool:
    """True if XLA can compile for a GPU here."""
    try:
        _place()
    except (RuntimeError, ValueError, ImportError):
        return False
    return True


def compile_for_gpu(function: Callable, *args: Any, donate: tuple[int, ...] = ()) -> Compiled:
    """Compiles a function for arguments of these shapes. Nothing runs."""
    place = _place()
    with tempfile.TemporaryDirectory() as dump:
        lowered = jax.jit(function, donate_argnums=donate).lower(*_abstract(args, place))
        program = lowered.compile(compiler_options=OPTIONS | {"xla_dump_to": dump})
        memory, text = program.memory_analysis(), program.as_text()
        thunks = _largest(dump, "thunk_sequence_after_thunk_passes") or _largest(dump, "thunk_sequence")
        names = {int(number): name for name, number in _ID.findall(_largest(dump, "thunk_metadata"))}
    trips = dict(_TRIPS.findall(text))
    known = {number: int(trips[name]) for number, name in names.items() if name in trips}
    return Compiled(
        count(thunks, known),
        memory.argument_size_in_bytes,
        memory.temp_size_in_bytes,
        memory.peak_memory_in_bytes,
        len(re.findall(r"\bf64\[", text)),
    )


def count(thunks: str, trips: dict[int, int]) -> Counts:
    """Counts of a program from XLA's list of its thunks, in which indentation shows what belongs to a loop or
    to a CUDA graph. Args: trips, of the loops of known length, by the number of their thunk."""
    launches = syncs = loops = 0
    above: list[dict] = []  # what the thunk lies in, from the outside
    for line in thunks.splitlines():
        if part := _PART.match(line):
            # `condition:` has no indentation of its own and follows its loop; a condition without thunks, of
            # a loop that carries it, shares its line with `body:`
            indent = len(part[1]) - (2 if part[2] else 0)
            while part[3] == "body:" and above[-1]["indent"] > indent - 2:
                above.pop()
            above[-1]["part"] = part[3]
            continue
        if not (thunk := _THUNK.match(line)):
            continue
        indent, number, kind = len(thunk[1]), int(thunk[2]), thunk[3]
        while above and above[-1]["indent"] >= indent:
            above.pop()
        times, in_graph = 1, any(outer["kind"] == "kCommandBuffer" for outer in above)
        for outer in above:
            known = outer["trips"]
            if outer["kind"] == "kWhile" and outer["part"] == "condition:":
                times *= 2 if known is None else 0
            elif outer["kind"] == "kWhile":
                times *= 1 if known is None else known
        if kind == "kWhile":
            loops += 1
        if kind in ("kWhile", "kConditional") and number not in trips and not in_graph:
            syncs += times * (2 if kind == "kWhile" else 1)
        if kind in _NO_LAUNCH:
            above.append({"indent": indent, "kind": kind, "trips": trips.get(number), "part": "condition:"})
        else:
            launches += times
    return Counts(launches, syncs, loops)


def _place() -> NamedSharding:
    """Where the arguments are said to lie: on a card that is not there."""
    topology = topologies.get_topology_desc(
        platform="cuda", topology_name="", target_config=H100, topology="1x1x1"
    )
    return NamedSharding(topologies.make_mesh(topology, (1,), ("x",)), P())


def _abstract(tree: PyTree, place: NamedSharding) -> PyTree:
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), tree)


def _largest(dump: str | os.PathLike, kind: str) -> str:
    """The dump of a kind of the largest module: XLA compiles constants in modules of their own."""
    files = sorted(Path(dump).glob(f"*.{kind}.txt"), key=lambda file: file.stat().st_size)
    return files[-1].read_text() if files else ""
