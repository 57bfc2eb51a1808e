"""Gradients for certain: the one by hand through the bilinear kernel, and all of the loss, finite."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.affinity import aggregate
from lsts_jax.training.step import triplet_losses
from tests.tiny import at, tiny_config, tiny_detector, triplets


def similarity(query, keys, offset):
    """Sum over p of s = <query(p), keys(p + offset)>, in float64."""
    cell, (tx, ty) = around(keys, offset)
    sampled = (1 - ty) * ((1 - tx) * cell(0, 0) + tx * cell(0, 1)) + ty * (
        (1 - tx) * cell(1, 0) + tx * cell(1, 1)
    )
    return np.sum(query * sampled)


def slope_by_hand(query, keys, offset):
    """d/d offset of `similarity`.

    Between the four cells around p + offset, with fractions (tx, ty), the kernel is linear in each direction:
    ds/dx = <query, (1 - ty) (k01 - k00) + ty (k11 - k10)>, and ds/dy likewise.
    """
    cell, (tx, ty) = around(keys, offset)
    along_x = (1 - ty) * (cell(0, 1) - cell(0, 0)) + ty * (cell(1, 1) - cell(1, 0))
    along_y = (1 - tx) * (cell(1, 0) - cell(0, 0)) + tx * (cell(1, 1) - cell(0, 1))
    return np.array([np.sum(query * along_x), np.sum(query * along_y)])


def around(keys, offset):
    """The map at (row, column) of the four cells around p + offset for every p, and the fractions."""
    height, width, _ = keys.shape
    whole = np.floor(offset).astype(int)
    padded = np.pad(keys, ((9, 9), (9, 9), (0, 0)))
    cell = lambda row, column: padded[9 + whole[1] + row :, 9 + whole[0] + column :][:height, :width]
    return cell, np.asarray(offset) - whole


@pytest.mark.parametrize("implementation", ["gather", "factorised"])
@pytest.mark.parametrize("offset", [(0.3, -0.8), (1.75, 2.25), (-2.0, 1.0), (0.0, 0.0)])
def test_the_derivative_of_the_similarity_by_hand(implementation, offset):
    """At integers, where the kernel has a kink, it is the right-hand one."""
    rng = np.random.default_rng(0)
    query, keys = (rng.standard_normal((5, 6, 4)) * 0.3 for _ in range(2))
    wanted = slope_by_hand(query, keys, offset)
    ahead = [similarity(query, keys, np.array(offset) + 1e-7 * np.eye(2)[axis]) for axis in range(2)]
    differences = (np.array(ahead) - similarity(query, keys, offset)) / 1e-7
    np.testing.assert_allclose(differences, wanted, rtol=1e-5, atol=1e-6)

    query, keys = jnp.asarray(query, jnp.float32), jnp.asarray(keys, jnp.float32)

    def operator(offset):
        """Of two locations, one outside the map everywhere with similarity 0, log(a0 / a1) = s."""
        offsets = jnp.stack([offset, jnp.array([7.0, 7.0])])
        affinity = aggregate(
            query, keys, keys, offsets, implementation=implementation, window=8, normalization="softmax"
        ).affinity
        return jnp.sum(jnp.log(affinity[0]) - jnp.log(affinity[1]))

    found = jax.jit(jax.grad(operator))(jnp.array(offset, jnp.float32))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


VARIANTS = {  # what the sources disagree on
    "authors": ({}, {}),
    "paper": ({"low2high": "paper", "quality": "paper"}, {"normalization": "sum", "offsets": "random"}),
    "reproduction": (
        {"low2high": "paper", "quality": "paper"},
        {"normalization": "abs_sum", "offsets": "gaussian", "separate_embeddings": False},
    ),
}


@pytest.mark.parametrize(
    ("variant", "dtype"),
    [("authors", "float32"), ("authors", "bfloat16"), ("paper", "float32"), ("reproduction", "bfloat16")],
)
def test_the_loss_of_twenty_triplets_has_finite_gradients(variant, dtype):
    """Without objects, with one to three, and with every slot filled; every parameter."""
    model, lsts = VARIANTS[variant]
    config = tiny_config(dtype=dtype, **model)
    lsts = replace(config.model.lsts, **lsts)
    config = replace(config, model=replace(config.model, lsts=lsts))
    detector, variables = tiny_detector(config)

    @jax.jit
    def largest(params, key, triplet):
        loss = lambda p: triplet_losses(detector, config, {**variables, "params": p}, key, triplet)[0]
        value, grads = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda g: jnp.abs(g).max(), grads)

    for batch in range(5):
        examples = triplets(4, seed=batch, objects=batch)  # 4 fill every slot
        keys = jax.random.split(jax.random.key(batch), 4)
        slopes = []
        for i in range(4):
            value, sizes = largest(variables["params"], keys[i], at(examples, i))
            assert np.isfinite(value)
            for path, size in jax.tree_util.tree_leaves_with_path(sizes):
                assert np.isfinite(size), path
            slopes.append(float(jax.tree.leaves(sizes["offsets"])[0]))
        if batch:
            assert max(slopes) > 0
