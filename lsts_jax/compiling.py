"""How the programs of inference are compiled."""

from collections.abc import Callable
from typing import Any

import jax

# What XLA may record as CUDA graphs. By default loops are not among it: the rounds of a suppression then wait
# for the host, which launches little else meanwhile.
GPU_OPTIONS = {
    "xla_gpu_enable_command_buffer": (
        "FUSION,CUBLAS,CUBLASLT,CUDNN,CUSTOM_CALL,DYNAMIC_SLICE_FUSION,CONDITIONAL,WHILE"
    )
}


def jit_inference(function: Callable, **options: Any) -> Callable:
    """`jax.jit(function, **options)`, whose loops do not leave a GPU."""
    on_gpu = jax.default_backend() == "gpu"
    return jax.jit(function, compiler_options=GPU_OPTIONS if on_gpu else None, **options)
