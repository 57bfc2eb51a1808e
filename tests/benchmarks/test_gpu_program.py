"""What a GPU would run, counted: from XLA's own list of a program with two loops, and FLOPs from a jaxpr."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from benchmarks.flops import flops_of
from benchmarks.gpu_compiler import Counts, compile_for_gpu, count, is_installed
from benchmarks.gpu_program import over_budget

# A `while` whose length is not known and a `fori_loop` of 7, as XLA prints them (jax 0.10.2).
THUNKS = """\
001: kCopy  [source       | next=002 (1)] kCopy
002: kWhile [prev=001 (1) | next=008 (1)]
condition:
    003: kCustomKernel [source       | next=004 (1)] input_reduce_fusion grid: [1, 1, 1] threads: [256, 1, 1]
    004: kCustomKernel [prev=003 (1) | sink        ] loop_and_fusion grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    005: kCustomKernel   [source       | sink        ] loop_add_fusion grid: [1, 1, 1] threads: [1, 1, 1]
    006: kCublasLtMatmul [source       | next=007 (1)] kCublasLtMatmul
    007: kCustomKernel   [prev=006 (1) | sink        ] sort_10_1 grid: [64, 1, 1] threads: [16, 1, 1]
008: kWhile [prev=002 (1) | sink        ]
condition:
    009: kCustomKernel [source | sink] loop_compare_fusion grid: [1, 1, 1] threads: [1, 1, 1]
  body:
    010: kCustomKernel   [source       | sink        ] loop_add_fusion grid: [1, 1, 1] threads: [1, 1, 1]
    011: kCublasLtMatmul [source       | sink        ] kCublasLtMatmul
"""

# A `while` that carries its condition: XLA prints no thunks for it, and `body:` on the same line.
CARRIED = """\
001: kCopy  [source       | next=002 (1)] kCopy
002: kWhile [prev=001 (1) | sink        ]       
condition:
    No thunks.      body:
    003: kCublasLtMatmul [source       | next=004 (1)] kCublasLtMatmul
    004: kCustomKernel   [prev=003 (1) | sink        ] loop_compare_fusion grid: [1, 1, 1]
"""


def in_graph(thunks):
    """The same thunks inside a CUDA graph."""
    inside = [line if line == "condition:" else f"    {line}" for line in thunks.splitlines()]
    return "\n".join(["000: kCommandBuffer [source | sink]", *inside])


def test_counts_of_loops():
    # 1 copy, twice 2 of a condition, 3 of its body, 7 times 2 of the loop whose length is known
    assert count(THUNKS, {8: 7}) == Counts(launches=1 + 4 + 3 + 14, host_syncs=2, loops=2)
    assert count(THUNKS, {}) == Counts(launches=1 + 4 + 3 + 2 + 2, host_syncs=4, loops=2)


def test_the_body_of_a_loop_that_carries_its_condition_counts_once():
    assert count(CARRIED, {}) == Counts(launches=1 + 2, host_syncs=2, loops=1)
    assert count(CARRIED, {2: 5}) == Counts(launches=1 + 5 * 2, host_syncs=0, loops=1)


def test_a_cuda_graph_waits_for_no_host():
    assert count(in_graph(THUNKS), {8: 7}) == Counts(launches=22, host_syncs=0, loops=2)


def test_flops_are_those_of_products_in_every_branch_and_turn():
    x, kernel = jnp.ones((4, 8)), jnp.ones((3, 3, 5, 6))
    image = jnp.ones((1, 10, 10, 5))
    convolve = lambda a, k: lax.conv_general_dilated(
        a, k, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    assert flops_of(lambda a: a @ a.T, x) == 2 * 4 * 4 * 8
    assert flops_of(jax.jit(convolve), image, kernel) == 2 * (4 * 4 * 6) * (3 * 3 * 5)
    turns = lambda a: lax.scan(lambda c, _: (c @ a.T @ a, None), a, length=3)[0]
    assert flops_of(turns, x) == 3 * 2 * (2 * 4 * 4 * 8)
    branches = lambda a: lax.cond(a[0, 0] > 0, lambda: a @ a.T @ a @ a.T, lambda: a @ a.T)
    assert flops_of(branches, x) == 2 * 4 * 4 * (8 + 4 * 2 + 8)


def test_what_is_over_budget_is_named():
    row = dict.fromkeys(("f64", "peak_bytes", "argument_bytes"), 0)
    row |= {"program": "lsts/on_frame", "dtype": "bfloat16", "launches": 10_000, "host_syncs": 1}
    waits, launches = over_budget(row)
    assert waits.startswith("lsts/on_frame, bfloat16: 1 host waits")
    assert launches.startswith("lsts/on_frame, bfloat16: 10000 launches, the budget is ")
    assert over_budget(row | {"program": "lsts/train", "launches": 1}) == []


@pytest.mark.skipif(not is_installed(), reason="no compiler for GPUs: pip install '.[gpu-program]'")
def test_a_program_compiles_for_a_gpu_that_is_not_there():
    loop = lambda x, n: lax.fori_loop(0, n, lambda _, x: jnp.sort(x @ x), x)
    done = compile_for_gpu(
        loop, jax.ShapeDtypeStruct((64, 64), jnp.float32), jax.ShapeDtypeStruct((), jnp.int32)
    )
    assert done.counts.loops == 1 and done.counts.host_syncs == 0 and done.f64 == 0
    assert done.argument_bytes == 64 * 64 * 4 + 4
