"""A run goes on where it was stopped, keeps the best, and ends at a loss that is not finite."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import OptimizerConfig, TrainConfig
from lsts_jax.errors import UserError
from lsts_jax.training.checkpoints import Checkpoints, load_detector
from lsts_jax.training.loop import MetricsLog, restore_or_init, train
from tests.tiny import tiny_config, triplets

ROOT = Path(__file__).resolve().parents[2]
CONFIG = replace(
    tiny_config(temporal="none"),
    optimizer=OptimizerConfig(learning_rate=0.01, drop_epochs=(), freeze=()),
    train=TrainConfig(batch_size=2, epochs=2.5, log_every=5, checkpoint_every=4, evaluate_every=4),
)
STEPS = 10
LOGGED, EVALUATED = [1, 4, 5, 8, 10], [4, 8, 10]


class Batches:
    """A loader whose batches are a function of the step; `before` is called with each step, from 1."""

    steps_per_epoch = 4

    def __init__(self, before=lambda step: None):
        self.before = before

    def iterate(self, start_step, num_steps):
        for step in range(start_step, start_step + num_steps):
            self.before(step + 1)
            yield triplets(2, seed=step)


def evaluate(detector, variables):
    """A score that depends on the parameters and rises no more than it falls."""
    return {"mAP": float(jnp.sin(1e4 * variables["params"]["rpn"]["boxes"]["conv"]["bias"][0]))}


def interrupted(detector, variables):
    raise KeyboardInterrupt


def kill_at(last):
    """Ends this process, while Orbax writes the checkpoint before, as a lack of memory would."""

    def before(step):
        if step == last:
            os.kill(os.getpid(), signal.SIGKILL)

    return before


def log_of(workdir):
    """The lines of metrics.jsonl, without what depends on the machine."""
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "images_per_second"} for line in lines]


def final_state(workdir):
    with Checkpoints(workdir) as checkpoints:
        _, _, state = restore_or_init(CONFIG, Batches.steps_per_epoch, checkpoints)
    return state._replace(key=jax.random.key_data(state.key))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nothing disturbed."""
    workdir = tmp_path_factory.mktemp("whole")
    train(CONFIG, workdir, Batches(), evaluate)
    return workdir


def test_the_log_has_what_was_asked_for(whole):
    lines = log_of(whole)
    assert [line["step"] for line in lines if "loss" in line] == LOGGED
    assert [line["step"] for line in lines if "mAP" in line] == EVALUATED
    assert all(np.isfinite(list(line.values())).all() for line in lines)


def test_the_best_of_the_evaluations_is_kept(whole):
    scores = {line["step"]: line["mAP"] for line in log_of(whole) if "mAP" in line}
    _, variables, step = load_detector(CONFIG, whole, "best")
    assert step == max(scores, key=scores.get)
    assert evaluate(None, variables)["mAP"] == scores[step]


def test_a_run_that_was_stopped_and_killed_ends_the_same(whole, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train(CONFIG, tmp_path, Batches(), interrupted)
    assert log_of(tmp_path) == log_of(whole)[:2]  # the evaluation of step 4 is missing

    code = "from tests.training.test_loop import *; train(CONFIG, Path(sys.argv[1]), Batches(kill_at(9)), evaluate)"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [line["step"] for line in log_of(tmp_path)] == [1, 4, 4, 5, 8, 8]

    seen = []
    train(CONFIG, tmp_path, Batches(seen.append), evaluate)
    assert seen[0] in (5, 9) and seen[-1] == STEPS  # the checkpoint of step 8 may have been cut short
    jax.tree.map(np.testing.assert_array_equal, final_state(tmp_path), final_state(whole))
    assert log_of(tmp_path) == log_of(whole)


def test_a_finished_run_is_left_alone(whole):
    before = (whole / "metrics.jsonl").read_bytes()
    seen = []
    state = train(CONFIG, whole, Batches(seen.append), interrupted)
    assert int(state.step) == STEPS and not seen
    assert (whole / "metrics.jsonl").read_bytes() == before


def test_a_loss_that_is_not_finite_is_named_and_not_kept(tmp_path):
    class Spoilt(Batches):
        def iterate(self, start_step, num_steps):
            for step, batch in enumerate(super().iterate(start_step, num_steps), start_step + 1):
                boxes = batch.ground_truth.boxes + (jnp.nan if step == 7 else 0.0)
                yield batch._replace(ground_truth=batch.ground_truth._replace(boxes=boxes))

    with pytest.raises(UserError) as caught:
        train(CONFIG, tmp_path, Spoilt(), evaluate)
    assert str(caught.value).startswith("step 7: the loss is not finite (loss = nan")
    assert "the checkpoint of step 4 is kept" in str(caught.value) and "\n" not in str(caught.value)
    state = final_state(tmp_path)
    assert int(state.step) == 4
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(state.params))


def test_the_log_is_cut_back_to_a_step(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 1, "loss": 3}\n{"step": 2, "mAP": 0.5}\n{"step": 3, "loss": 2}\n{"step": 4, "lo'
    )
    with MetricsLog(tmp_path) as log:
        log.cut_back(3)
        assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 3]
        assert [log.has_evaluation(step) for step in (1, 2, 3)] == [False, True, False]
        log.cut_back(2)
        log.write({"step": 3, "loss": 1.5})
    assert log_of(tmp_path) == [{"step": 1, "loss": 3}, {"step": 2, "mAP": 0.5}, {"step": 3, "loss": 1.5}]
