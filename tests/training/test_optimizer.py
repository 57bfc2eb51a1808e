"""The optimizer against the authors' update steps, and what it must leave alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import LSTSConfig, ModelConfig, OptimizerConfig
from lsts_jax.models.temporal.lsts import LSTS
from lsts_jax.training.optimizer import build_optimizer, decayed, learning_rate, parameter_groups


def tree(value: float) -> dict:
    """A parameter of every kind that is treated differently."""
    leaf = lambda: jnp.full((2, 2), value)
    return {
        "low_level": {
            "conv1": {"conv": {"kernel": leaf()}},
            "norm1": {"norm": {"scale": leaf(), "bias": leaf()}},
            "res2_1": {"conv1": {"conv": {"kernel": leaf()}}},
            "res3_1": {
                "conv1": {"conv": {"kernel": leaf()}},
                "norm1": {"norm": {"scale": leaf(), "bias": leaf()}},
            },
        },
        "rpn": {"boxes": {"conv": {"kernel": leaf(), "bias": leaf()}}},
        "dfa": {
            "low2high": {"conv1": {"conv": {"kernel": leaf()}}},
            "lsts": {"embed_source": {"conv": {"kernel": leaf()}}},
            "quality": {"conv1": {"conv": {"kernel": leaf()}}},
        },
        "offsets": leaf(),
    }


def method(**fields) -> LSTS:
    """The temporal method with these fields of its config."""
    return LSTS.from_config(ModelConfig(lsts=LSTSConfig(**fields)))


def paths(labels, wanted) -> set[str]:
    found = jax.tree_util.tree_leaves_with_path(labels)
    return {"/".join(key.key for key in path) for path, label in found if label == wanted}


def test_all_normalisations_of_the_backbone_can_be_frozen():
    found = paths(parameter_groups(tree(1.0), ("norms",), method()), "frozen")
    norms = ("low_level/norm1/norm", "low_level/res3_1/norm1/norm")
    assert found == {f"{norm}/{leaf}" for norm in norms for leaf in ("scale", "bias")}


@pytest.mark.parametrize(
    ("freeze", "frozen"),
    [
        (("res4",), {"low_level/res4_1", "low_level/res4_2", "high_level/res4_20"}),
        (("res4_2", "feature_conv"), {"low_level/res4_2", "high_level/feature_conv"}),
    ],
)
def test_parts_on_both_sides_of_the_split_can_be_frozen(freeze, frozen):
    params = {
        "low_level": {"res4_1": {"kernel": 1.0}, "res4_2": {"kernel": 1.0}},
        "high_level": {"res4_20": {"kernel": 1.0}, "feature_conv": {"kernel": 1.0}},
        "rpn": {"res4_1": {"kernel": 1.0}},
    }
    found = paths(parameter_groups(params, freeze, method()), "frozen")
    assert {path.rpartition("/")[0] for path in found} == frozen


def test_groups_and_decay():
    groups = parameter_groups(tree(1.0), OptimizerConfig().freeze, method())
    assert paths(groups, "frozen") == {
        "low_level/conv1/conv/kernel",
        "low_level/norm1/norm/scale",
        "low_level/norm1/norm/bias",
        "low_level/res2_1/conv1/conv/kernel",
    }
    assert paths(groups, "offsets") == {"offsets"}
    alignment, quality = "dfa/lsts/embed_source/conv/kernel", "dfa/quality/conv1/conv/kernel"
    assert paths(groups, "alignment") == {alignment, quality}
    apart = parameter_groups(tree(1.0), OptimizerConfig().freeze, method(quality_rate=3.0))
    assert paths(apart, "alignment") == {alignment} and paths(apart, "quality") == {quality}
    assert method(alignment_rate=0.5, quality_rate=3.0).learning_rates()["quality"] == 1.5
    assert paths(decayed(tree(1.0)), False) == {
        "low_level/norm1/norm/bias",
        "low_level/res3_1/norm1/norm/bias",
        "rpn/boxes/conv/bias",
        "offsets",
    }


def test_rate_by_hand():
    config = OptimizerConfig(learning_rate=1.0, drop_epochs=(1.0, 2.5), warmup_steps=10)
    rate = learning_rate(config, 100)
    found = [float(rate(step)) for step in (0, 5, 10, 99, 100, 249, 250)]
    np.testing.assert_allclose(found, [0.1, 0.55, 1.0, 1.0, 0.1, 0.1, 0.01], rtol=1e-6)


def test_rate_drops_where_the_authors_do(authors_training):
    z = authors_training
    for case in {key.split("/")[1] for key in z if key.startswith("lr_schedule/")}:
        get = lambda name, case=case: z[f"lr_schedule/{case}/{name}"]
        epochs = np.atleast_1d(get("lr_step_epochs"))
        drops = [int(epoch * int(get("n_roidb")) / int(get("batch_size"))) for epoch in epochs]
        np.testing.assert_array_equal(drops, np.atleast_1d(get("lr_iters")))
        rate = learning_rate(OptimizerConfig(drop_epochs=tuple(map(float, drops))), 1)
        for drop in drops:  # the authors count updates from 1 and drop after `drop` of them
            assert float(rate(drop - 1)) / float(rate(drop)) == pytest.approx(10, rel=1e-5)


@pytest.mark.parametrize("case", ["s1", "s2"])
def test_updates_equal_the_authors(authors_training, case):
    z = authors_training
    get = lambda name: z[f"sgd/{case}/{name}"]
    names = [str(name) for name in get("names")]
    base, rates = float(np.ravel(get("lr0"))[0]), get("lr_base")
    for index, name in enumerate(names):
        multiple, decay = float(get("lr_mult_each")[index]), float(get("wd_each")[index])
        # one parameter a tree: under "kernel" it decays, under "offsets" it has a rate of its own
        leaf = "offsets" if multiple != 1 else "kernel" if decay else "bias"
        config = OptimizerConfig(
            learning_rate=base, weight_decay=decay, momentum=float(get("momentum")),
            drop_epochs=tuple(float(i) for i in np.flatnonzero(np.diff(rates)) + 1),
        )  # fmt: skip
        optimizer = build_optimizer(config, 1, method(offset_rate=multiple))
        params = {leaf: jnp.asarray(z[f"sgd/{case}/{name}/init"])}
        state = optimizer.init(params)
        for grad, after in zip(z[f"sgd/{case}/{name}/grad"], z[f"sgd/{case}/{name}/after"], strict=True):
            updates, state = optimizer.update({leaf: jnp.asarray(grad)}, state, params)
            params = jax.tree.map(jnp.add, params, updates)
            np.testing.assert_allclose(params[leaf], after, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_frozen_stay_and_some_have_rates_of_their_own(name):
    config = OptimizerConfig(name=name, learning_rate=0.01, weight_decay=0.0)
    params = tree(1.0)
    optimizer = build_optimizer(config, 100, method(alignment_rate=0.1))
    with jax.numpy_dtype_promotion("standard"):  # optax's Adam mixes integers and floats
        updates, _ = optimizer.update(tree(0.5), optimizer.init(params), params)
    assert float(jnp.abs(updates["low_level"]["res2_1"]["conv1"]["conv"]["kernel"]).max()) == 0
    kernel = updates["low_level"]["res3_1"]["conv1"]["conv"]["kernel"]
    assert float(kernel.max()) < 0
    np.testing.assert_allclose(updates["offsets"], 2.5 * kernel, rtol=1e-5)
    np.testing.assert_allclose(
        updates["dfa"]["lsts"]["embed_source"]["conv"]["kernel"], 0.1 * kernel, rtol=1e-5
    )
    np.testing.assert_allclose(updates["dfa"]["low2high"]["conv1"]["conv"]["kernel"], kernel, rtol=1e-5)


def test_adamw_decays_by_the_rate_whatever_the_gradient():
    config = OptimizerConfig(name="adamw", learning_rate=0.1, weight_decay=0.01)
    optimizer, params = build_optimizer(config, 100, method()), tree(2.0)
    with jax.numpy_dtype_promotion("standard"):
        updates, _ = optimizer.update(tree(0.0), optimizer.init(params), params)
    head = updates["rpn"]["boxes"]["conv"]
    np.testing.assert_allclose(head["kernel"], -0.1 * 0.01 * 2, rtol=1e-5)
    assert float(jnp.abs(head["bias"]).max()) == 0


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_offsets_that_are_no_longer_learned_stand_still(name):
    """What is left of their momentum, with which the run goes on, moves nothing."""
    config = OptimizerConfig(name=name, learning_rate=0.1)
    learned, kept = (build_optimizer(config, 10, method(learn_offsets=learn)) for learn in (True, False))
    with jax.numpy_dtype_promotion("standard"):
        params = tree(1.0)
        updates, state = learned.update(tree(2.0), learned.init(params), params)
        assert jnp.all(updates["offsets"] != 0)
        updates, _ = kept.update(tree(0.0), state, params)
        assert jnp.all(updates["offsets"] == 0)
        assert jnp.all(updates["rpn"]["boxes"]["conv"]["kernel"] != 0)
