"""What comes from outside or goes wrong in a run ends it in good order, and loses nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset
from lsts_jax.errors import UserError
from lsts_jax.training.interruption import Interruption, only_process
from lsts_jax.training.loop import MetricsLog, SkippedSteps
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.state import init_state
from lsts_jax.training.step import train_step
from tests.tiny import tiny_config, tiny_detector, triplets

ROOT = Path(__file__).resolve().parents[2]


class Batches:
    steps_per_epoch, bad_samples = 10, 0

    def iterate(self, start_step, num_steps):
        return map(self.make_batch, range(start_step, start_step + num_steps))

    def make_batch(self, step):
        return triplets(1, seed=step)

    def names(self, step):
        return [f"frame{step}.jpg"]


def outcome(loss, *, skipped=False):
    return {"loss": jnp.float32(loss), "skipped": jnp.float32(skipped)}


def test_skipped_steps_are_counted_and_too_many_end_the_run(tmp_path):
    watch = SkippedSteps(Batches(), 3, tmp_path)
    bad, good = outcome(np.nan, skipped=True), outcome(0.5)
    assert watch.check([(1, bad), (2, bad), (3, good)]) == {"loss": 0.5}
    watch.check([(4, bad), (5, bad)])
    assert watch.count == 4
    with pytest.raises(UserError, match=r"step 6: .*loss = nan.*3 times in a row; .*frame5\.jpg"):
        watch.check([(6, bad), (7, good)])
    with np.load(tmp_path / "bad_batch_6.npz") as saved:
        np.testing.assert_array_equal(saved["current.pixels"], triplets(1, seed=5).current.pixels)


def test_a_step_that_is_not_finite_changes_nothing_but_its_number():
    config = tiny_config()
    detector, variables = tiny_detector(config)
    optimizer = build_optimizer(config.optimizer, 10)
    state = init_state(detector, optimizer, variables, 0)
    batch = triplets(2)
    far = batch.ground_truth._replace(boxes=batch.ground_truth.boxes * jnp.inf)
    step = jax.jit(lambda state, batch: train_step(detector, optimizer, config, state, batch))
    with jax.numpy_dtype_promotion("standard"):
        after, metrics = step(state, batch._replace(ground_truth=far))
        _, usual = step(state, batch)
    assert float(metrics["skipped"]) == 1.0 and float(usual["skipped"]) == 0.0
    assert int(after.step) == 1
    for old, new in zip(jax.tree.leaves(state.params), jax.tree.leaves(after.params), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(jax.tree.leaves(state.optimizer), jax.tree.leaves(after.optimizer), strict=True):
        np.testing.assert_array_equal(old, new)


def test_metrics_are_json_whatever_they_are(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write({"step": 3, "loss": float("nan"), "update_norm": float("inf")})
    line = (tmp_path / "metrics.jsonl").read_text()
    refuse = lambda constant: pytest.fail(constant)
    assert json.loads(line, parse_constant=refuse) == {"step": 3, "loss": None, "update_norm": None}


def test_a_second_process_is_refused(tmp_path):
    hold = "import sys, time\nfrom lsts_jax.training.interruption import only_process\n"
    hold += "with only_process(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process is at work in it"), only_process(tmp_path):
            pass
        other.kill()
        other.wait()
        with only_process(tmp_path):  # let go of with the process
            pass


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_ctrl_c_acts_at_once_and_a_second_sigterm_does_not_break_off_the_save(first):
    seen = []
    numbers = signal.SIGINT, signal.SIGTERM
    before = [signal.signal(number, lambda number, frame: seen.append(number)) for number in numbers]
    try:
        with Interruption() as interruption:
            signal.raise_signal(first)
            signal.raise_signal(signal.SIGTERM)
            assert (interruption.signal, seen) == (first, [])
            signal.raise_signal(signal.SIGINT)
            assert (interruption.signal, seen) == (first, [signal.SIGINT])
        signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
    assert seen == [signal.SIGINT, signal.SIGTERM]


def test_a_signal_saves_and_exits_as_schedulers_expect(tmp_path):
    number = signal.SIGTERM
    settings = SynthVIDConfig(videos=2, val_videos=1, frames=4, height=64, width=96, stills=0)
    render_dataset(tmp_path / "data", settings, workers=1, progress=False)
    workdir = tmp_path / "run"
    command = [
        sys.executable, "train.py", "--config", "configs/tiny.py", "--workdir", workdir, "--config.data.root",
        tmp_path / "data", "--config.data.train_lists", "VID_train_15frames", "--config.train.epochs", "1000",
        "--config.train.checkpoint_every", "100000", "--config.train.log_every", "1",
    ]  # fmt: skip
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 110
        while not (workdir / "metrics.jsonl").exists() or not (workdir / "metrics.jsonl").read_text():
            assert time.monotonic() < deadline and run.poll() is None
            time.sleep(0.1)
        run.send_signal(number)
        _, said = run.communicate(timeout=60)
    assert run.returncode == 128 + number, said
    last = json.loads((workdir / "metrics.jsonl").read_text().splitlines()[-1])["step"]
    assert f"{number.name}: saved step {last} of" in said
    assert [folder.name for folder in (workdir / "checkpoints").iterdir()] == [str(last)]
    assert "Traceback" not in said
