"""The authors' SGD, and AdamW for small models, as optax transformations.

The rate sits inside the momentum, m <- 0.9 m - rate (g + decay w); w <- w + m, as in the authors' MXNet:
after a drop of the rate, the old momentum still acts at the old rate, unlike with `optax.sgd`.
"""

from collections.abc import Hashable

import jax
import jax.numpy as jnp
import optax
from jaxtyping import PyTree

from lsts_jax.config import OptimizerConfig
from lsts_jax.models.temporal.protocol import FROZEN, TRAINED, Temporal


def learning_rate(config: OptimizerConfig, steps_per_epoch: int) -> optax.Schedule:
    """Learning rate of step n, counted from 0: warm-up, then times 0.1 after every entry of `drop_epochs`."""
    drops = [int(epoch * steps_per_epoch) for epoch in config.drop_epochs]

    def rate(step):
        step = jnp.asarray(step, jnp.float32)
        warm = jnp.minimum(1.0, 0.1 + 0.9 * step / max(config.warmup_steps, 1))
        factor = warm if config.warmup_steps else jnp.float32(1)
        for drop in drops:
            factor = factor * jnp.where(step >= drop, 0.1, 1.0)
        return config.learning_rate * factor

    return rate


def parameter_groups(params: PyTree, freeze: tuple[str, ...], temporal: Temporal) -> PyTree:
    """Group of every parameter: frozen parts of the backbone, the groups of the temporal method, trained."""

    def label(path, _):
        names = tuple(key.key for key in path)
        part = names[1] if names[0] in ("low_level", "high_level") else ""  # res4_2, or conv1
        if part in freeze or part.split("_")[0] in freeze or (part and "norms" in freeze and "norm" in names):
            return FROZEN
        return temporal.parameter_group(names)

    return jax.tree_util.tree_map_with_path(label, params)


def decayed(params: PyTree) -> PyTree:
    """True at convolution weights and normalisation scales: biases and offsets do not decay."""
    return jax.tree_util.tree_map_with_path(lambda path, _: path[-1].key in ("kernel", "scale"), params)


def build_optimizer(
    config: OptimizerConfig, steps_per_epoch: int, temporal: Temporal
) -> optax.GradientTransformation:
    """Optimizer for gradients summed over the batch, for a detector with this temporal method."""
    rate = learning_rate(config, steps_per_epoch)

    def transform(multiple: float) -> optax.GradientTransformation:
        decay = optax.add_decayed_weights(config.weight_decay, mask=decayed)
        scale = optax.scale_by_schedule(lambda step: multiple * rate(step))
        # rate 0 also stops the remaining momentum
        descend = optax.scale(-1.0 if multiple else 0.0)
        if config.name == "adamw":
            return optax.chain(optax.scale_by_adam(), decay, scale, descend)
        return optax.chain(decay, scale, optax.trace(config.momentum), descend)

    groups = {TRAINED: 1.0} | dict(temporal.learning_rates())
    transforms: dict[Hashable, optax.GradientTransformation] = {FROZEN: optax.set_to_zero()}
    transforms |= {name: transform(multiple) for name, multiple in groups.items()}
    return optax.partition(
        transforms,
        lambda params: parameter_groups(params, config.freeze, temporal),
    )
