"""Checkpoints come back exactly, and what cannot come back is told in a line."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.models.detector import build_detector
from lsts_jax.structs import Memory, Payment
from lsts_jax.training.checkpoints import load_detector
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state, init_variables
from tests.tiny import sharpened, tiny_config, tiny_detector


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the checkpoints of steps 1, 2 and 3, of which step 2 evaluated best."""
    config, workdir = tiny_config(), tmp_path_factory.mktemp("run")
    detector, variables = tiny_detector(config)
    state = init_state(detector, build_optimizer(config.optimizer, 10, detector.temporal), variables, 0)
    states = {}
    with Checkpoints(workdir) as checkpoints:
        for step, score in ((1, 0.1), (2, 0.7), (3, 0.4)):
            state = state._replace(step=jnp.int32(step), params=jax.tree.map(lambda x: x + 1, state.params))
            states[step] = state
            checkpoints.save(state)
            checkpoints.save_best(state, score)
    return workdir, config, states


def equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_the_latest_state_is_exact(run):
    workdir, _, states = run
    state = states[3]
    blank = state._replace(params=jax.tree.map(jnp.zeros_like, state.params))
    with Checkpoints(workdir) as checkpoints:
        assert checkpoints.latest_step() == 3
        found = checkpoints.restore(blank)
    plain = lambda s: s._replace(key=jax.random.key_data(s.key))
    equal(plain(found), plain(state))


def test_best_latest_and_step_select(run):
    workdir, config, states = run
    for which, step in (("latest", 3), ("best", 2), ("2", 2)):
        _, variables, found = load_detector(config, workdir, which)
        assert found == step
        equal(variables["params"], states[step].params)


@pytest.mark.parametrize(
    ("folder", "which", "step"), [("best", "latest", 2), ("best", "2", 2), ("checkpoints", "latest", 3)]
)
def test_a_copy_of_a_run_with_one_of_the_folders_is_read_and_nothing_is_written(
    run, tmp_path, folder, which, step
):
    workdir, config, states = run
    shutil.copytree(workdir / folder, tmp_path / folder)
    before = {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]}
    _, variables, found = load_detector(config, tmp_path, which)
    assert found == step
    equal(variables["params"], states[step].params)
    assert {path: path.stat().st_mtime_ns for path in [tmp_path, *tmp_path.rglob("*")]} == before


def test_a_detector_looks_as_far_as_its_offsets(run, tmp_path):
    """Whatever window the config has: less is lost work, and offsets beyond it would lose their samples."""
    _, config, states = run
    params = tiny_detector(config)[1]["params"]
    offsets = params["offsets"].at[0].set(jnp.array([4.25, -5.5]))  # the config's window is 3
    state = states[3]._replace(params={**params, "offsets": offsets})
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(state)
    detector, variables, _ = load_detector(config, tmp_path)
    rng = np.random.default_rng(0)
    memory, high = (jnp.asarray(rng.standard_normal((7, 9, 16)), jnp.float32) for _ in range(2))
    keys = Memory(memory), Payment(high, jnp.array([7, 9], jnp.int32))
    found = detector.bind(variables).on_keyframe(*keys)[1]
    lsts = replace(config.model.lsts, implementation="gather")
    gather = build_detector(replace(config.model, lsts=lsts), len(config.data.class_names))
    wanted = gather.bind(variables).on_keyframe(*keys)[1]
    np.testing.assert_allclose(found.aggregated, wanted.aggregated, atol=1e-5)


@pytest.mark.parametrize("which", ["1", "17", "newest"])
def test_a_checkpoint_that_is_not_there(run, which):
    workdir, config, _ = run
    with pytest.raises(UserError, match=r"--checkpoint \w+: does not exist; .*checkpoints has \[2, 3\]"):
        load_detector(config, workdir, which)


def test_a_folder_without_checkpoints(run, tmp_path):
    with pytest.raises(UserError, match="no checkpoints there"):
        load_detector(run[1], tmp_path)
    assert not list(Path(tmp_path).iterdir())  # nothing is made where one looks in vain


def test_a_checkpoint_of_another_model(run):
    workdir, _, _ = run
    with pytest.raises(UserError, match="does not fit the model") as caught:
        load_detector(tiny_config(feature_channels=24), workdir)
    assert "\n" not in str(caught.value)


def test_initial_variables_depend_on_the_seed_alone():
    config = tiny_config()
    detector, drawn = tiny_detector(config)
    variables = init_variables(detector, config)
    equal(init_variables(detector, config), variables)
    near = partial(np.testing.assert_allclose, rtol=1e-6)
    jax.tree.map(near, sharpened(init_variables(detector, config)), drawn)
    with pytest.raises(AssertionError):
        equal(init_variables(detector, replace(config, seed=1)), variables)
