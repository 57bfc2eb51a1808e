"""What comes from outside or goes wrong in a run ends it in good order, and loses nothing."""

import errno
import fcntl
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
from lsts_jax.errors import Stopped, UserError
from lsts_jax.training.interruption import Interruption, only_process
from tests.tiny import tiny_config, tiny_training, triplets

ROOT = Path(__file__).resolve().parents[2]


def test_a_step_that_is_not_finite_changes_nothing_but_its_number():
    state, step = tiny_training(tiny_config())
    batch = triplets(2)
    far = batch.ground_truth._replace(boxes=batch.ground_truth.boxes * jnp.inf)
    after, metrics = step(state, batch._replace(ground_truth=far))
    _, usual = step(state, batch)
    assert float(metrics["skipped"]) == 1.0 and float(usual["skipped"]) == 0.0
    assert int(after.step) == 1
    for old, new in zip(jax.tree.leaves(state.params), jax.tree.leaves(after.params), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(jax.tree.leaves(state.optimizer), jax.tree.leaves(after.optimizer), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_second_process_is_refused(tmp_path):
    hold = "import sys, time\nfrom lsts_jax.training.interruption import only_process\n"
    hold += "with only_process(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], cwd=ROOT, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match="another process is using this folder"), only_process(tmp_path):
            pass
        other.kill()
        other.wait()
        with only_process(tmp_path):  # let go of with the process
            pass


@pytest.mark.parametrize("number", ["ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def test_where_there_are_no_locks_a_warning_says_so(tmp_path, monkeypatch, caplog, number):
    """As on the file systems of some clusters; what a killed process leaves there stops nobody."""

    def flock(*_):
        raise OSError(getattr(errno, number), os.strerror(getattr(errno, number)))

    monkeypatch.setattr(fcntl, "flock", flock)
    for _ in range(2):
        with only_process(tmp_path / "run"):
            assert f"{tmp_path / 'run'}: cannot be locked" in caplog.text
            assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]


def test_a_signal_ends_a_block_that_loses_nothing_where_it_is():
    stopped = lambda number: Stopped(number, "saved")
    with Interruption() as interruption:
        with pytest.raises(Stopped) as caught, interruption.at_once(stopped):
            try:
                signal.raise_signal(signal.SIGTERM)
                pytest.fail("it went on")
            finally:
                signal.raise_signal(signal.SIGTERM)  # schedulers repeat it: the tidying up goes on
        assert caught.value.signal == signal.SIGTERM
        with pytest.raises(Stopped), interruption.at_once(stopped):
            pytest.fail("the signal came before")


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
        deadline = time.monotonic() + 300
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
