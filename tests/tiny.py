"""A detector, frames and triplets small enough for a test."""

from dataclasses import replace
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from lsts_jax.config import (
    AnchorConfig,
    BackboneConfig,
    Config,
    DataConfig,
    LossConfig,
    LSTSConfig,
    ModelConfig,
    OptimizerConfig,
    ProposalConfig,
    TrainConfig,
)
from lsts_jax.models.detector import build_detector
from lsts_jax.structs import Frame, GroundTruth, Triplet
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_arguments, init_state
from lsts_jax.training.step import train_step

CANVAS = (64, 96)
CLASS_NAMES = ("disc", "square", "star")


def tiny_config(**model) -> Config:
    """The tiny experiment, fields of its model replaced."""
    return Config(
        data=DataConfig(
            class_names=CLASS_NAMES, short_side=64, long_side=96, canvases=(CANVAS,), max_objects=4
        ),
        model=replace(
            ModelConfig(
                backbone=BackboneConfig(depth=10, width=8, split=1, norm="group"),
                lsts=LSTSConfig(num_offsets=9, embedding_channels=8, window=3),
                anchors=AnchorConfig(scales=(1.0, 2.0)),
                proposals=ProposalConfig(pre_nms=60, post_nms=16),
                feature_channels=16,
                deep_layer_init="he",
                keyframe_interval=3,
            ),
            **model,
        ),
        optimizer=OptimizerConfig(name="adamw", learning_rate=3e-3, drop_epochs=(), freeze=()),
        train=TrainConfig(batch_size=2, loss=LossConfig(anchor_batch=16, ohem_rois=16)),
    )


def tiny_detector(config: Config):
    """The detector of a config, and its variables, which are the caller's own."""
    detector, variables = _initialised(config)
    return detector, jax.tree.map(jnp.array, variables)


@lru_cache
def _initialised(config: Config):
    """Draws the parameters operation by operation: compiling all of them as one program, which is no other
    test's, takes longer than anything else that a test does with its detector."""
    detector = build_detector(config.model, len(config.data.class_names))
    arguments = init_arguments(config)
    init, shapes = jax.make_jaxpr(detector.init, return_shape=True)(*arguments)
    needed, _ = dce_jaxpr(init.jaxpr, [True] * len(init.out_avals), instantiate=True)
    leaves = jax.core.eval_jaxpr(needed, init.consts, *jax.tree.leaves(arguments))
    variables = jax.device_get(jax.tree.unflatten(jax.tree.structure(shapes), leaves))
    return detector, sharpened(variables)


def sharpened(variables):
    """Drawn from N(0, 0.01), the classifier's scores would hardly differ from one feature to another."""
    drawn = variables["params"]["rfcn"]["classes"]["conv"]
    drawn["kernel"] = 50 * drawn["kernel"]
    return variables


def tiny_training(config: Config):
    """State of a training before its first step, and the compiled step."""
    detector, variables = tiny_detector(config)
    optimizer, jitted = _compiled_step(config)

    def step(state, batch):
        with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
            return jitted(state, batch)

    return init_state(detector, optimizer, variables, 0), step


@lru_cache
def _compiled_step(config: Config):
    detector, _ = _initialised(config)
    optimizer = build_optimizer(config.optimizer, 1000, detector.temporal)
    return optimizer, jax.jit(partial(train_step, detector, optimizer, config))


def random_frames(*shape: int, size=CANVAS, canvas=CANVAS, seed=0) -> Frame:
    """Frames of smooth noise with leading axes `shape`, zero outside `size`."""
    rng = np.random.default_rng(seed)
    pixels = np.zeros((*shape, *canvas, 3), np.uint8)
    pixels[..., : size[0], : size[1], :] = rng.integers(0, 256, (*shape, *size, 3))
    return Frame(
        jnp.asarray(pixels),
        jnp.broadcast_to(jnp.array(size, jnp.int32), (*shape, 2)),
        jnp.ones(shape, jnp.float32),
    )


def triplets(batch: int, seed: int = 0, objects: int = 2) -> Triplet:
    """Random triplets, the objects being bright rectangles in all three frames."""
    rng = np.random.default_rng(seed)
    frames = [np.array(random_frames(batch, seed=seed + i).pixels) // 4 for i in range(3)]
    boxes, classes = np.zeros((batch, 4, 4), np.float32), np.zeros((batch, 4), np.int32)
    for b in range(batch):
        for g in range(objects):
            x, y = rng.integers(0, 56), rng.integers(0, 32)
            boxes[b, g] = x, y, x + 31, y + 27
            classes[b, g] = 1 + rng.integers(len(CLASS_NAMES))
            for frame in frames:
                frame[b, y : y + 28, x : x + 32] = 80 * np.eye(3, dtype=np.uint8)[classes[b, g] - 1] + 120
    template = random_frames(batch)
    old, new, current = (template._replace(pixels=jnp.asarray(x)) for x in frames)
    valid = jnp.asarray(np.tile(np.arange(4) < objects, (batch, 1)))
    truth = GroundTruth(jnp.asarray(boxes), jnp.asarray(classes), valid, jnp.zeros_like(valid))
    no = jnp.zeros(batch, bool)
    return Triplet(old, new, current, truth, no, no)


def at(tree, index):
    """One element of a batch."""
    return jax.tree.map(lambda x: x[index], tree)
