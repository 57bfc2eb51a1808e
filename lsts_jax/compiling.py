"""Compilation of the programs of inference and training."""

import ctypes
import sys
from collections.abc import Callable, Hashable
from functools import lru_cache, wraps
from typing import Any, TypeVar

import jax

T = TypeVar("T")

# Operations that XLA records as CUDA graphs. By default loops are excluded: the rounds of NMS then wait
# for the host, which launches little else meanwhile.
GPU_OPTIONS = {
    "xla_gpu_enable_command_buffer": (
        "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
    ),
    "xla_gpu_graph_min_graph_size": 3,
}
# Without YNNPACK's fusions a training step on EfficientNet takes a seventh less time (docs/speed.md); on a
# ResNet no difference was seen.
CPU_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": ""}


def on_gpu() -> bool:
    """True if this process computes on a GPU. Call it outside traced functions, which may be
    compiled for another platform."""
    return jax.default_backend() == "gpu"


def frames_at_once(asked: int) -> int:
    """Number of frames of a segment in one batch: `asked`, or the platform's default if `asked` is
    0.

    A GPU computes whole segments at once; on a CPU batches save no time and cost memory.
    """
    return asked or (32 if on_gpu() else 1)


def videos_at_once(asked: int) -> int:
    """Number of videos in one batch: `asked`, or if `asked` is 0 the platform's default of 8 per
    GPU, or one per other device of this process."""
    return asked or jax.local_device_count() * (8 if on_gpu() else 1)


def jit_inference(function: Callable, **options: Any) -> Callable:
    """`jax.jit(function, **options)`, compiled so that loops stay on the GPU."""
    return jax.jit(function, compiler_options=GPU_OPTIONS if on_gpu() else None, **options)


def jit_training(function: Callable, **options: Any) -> Callable:
    """`jax.jit(function, **options)`, compiled so that a step is fast on a CPU."""
    on_cpu = jax.default_backend() == "cpu"
    return jax.jit(function, compiler_options=CPU_OPTIONS if on_cpu else None, **options)


def release_memory() -> None:
    """Gives freed memory back to the system. glibc keeps what loading and compilation have freed, about
    200 MB, and does not use it for the large arrays that come next."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def cache_by_detector(build: Callable[..., T]) -> Callable[..., T]:
    """Caches `build(detector, ...)` for equal detectors: repeated evaluations in a process compile
    once. A detector without a hash is not cached."""
    shared: Any = lru_cache(maxsize=16)(build)

    @wraps(build)
    def choose(detector: Hashable, *arguments: int) -> T:
        try:
            hash(detector)
        except TypeError:  # for example a user's temporal method with a list in a field
            return build(detector, *arguments)
        return shared(detector, *arguments)

    return choose
