"""State of a training run between two steps."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int32, PRNGKeyArray, PyTree

from lsts_jax.config import Config
from lsts_jax.models.detector import Detector
from lsts_jax.structs import Frame


class TrainState(NamedTuple):
    """Everything that a step changes, and the stored batch statistics, which stay constant."""

    step: Int32[Array, ""]  # updates done; also the position of the loader
    params: PyTree
    batch_stats: PyTree  # of frozen batch normalisation; empty with GroupNorm
    optimizer: optax.OptState
    key: PRNGKeyArray


def init_variables(detector: Detector, config: Config) -> dict:
    """Initial parameters, determined by the config's seed."""
    return jax.jit(detector.init)(*init_arguments(config))


def init_arguments(config: Config) -> tuple[PRNGKeyArray, Frame]:
    """Arguments of `detector.init`: the key of the config's seed, and an empty frame."""
    height, width = config.data.canvases[0]
    # Parameters do not depend on the canvas: a small one compiles and runs faster.
    height, width = min(height, 128), min(width, 128)
    frame = Frame(
        jnp.zeros((height, width, 3), jnp.uint8), jnp.array([height, width], jnp.int32), jnp.float32(1)
    )
    # rbg keys: threefry ones take jit half a minute of compilation for a deep network on a CPU.
    return jax.random.key(config.seed, impl="rbg"), frame


def initial_offsets(detector: Detector, config: Config) -> Float[Array, "K 2"] | None:
    """`Temporal.learned_offsets` before training; XLA drops all other parameters."""
    return jax.jit(lambda: detector.temporal.learned_offsets(init_variables(detector, config)["params"]))()


def init_state(
    detector: Detector, optimizer: optax.GradientTransformation, variables: dict, seed: int
) -> TrainState:
    """The state before the first step."""
    params = variables["params"]
    return TrainState(
        step=jnp.int32(0),
        params=params,
        batch_stats=variables.get("batch_stats", {}),
        optimizer=optimizer.init(params),
        key=jax.random.key(seed),
    )


def variables_of(state: TrainState) -> dict:
    """Variables for `detector.apply`."""
    return {"params": state.params, "batch_stats": state.batch_stats}
