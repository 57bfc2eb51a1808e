"""A run that is killed five times ends where a run that was not does, bit for bit."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest

from lsts_jax.cli import load_config
from lsts_jax.training.checkpoints import Checkpoints
from lsts_jax.training.loop import restore_or_init

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/tiny.py"
KILLS = 5
STEPS = 400


def command(data: Path, workdir: Path) -> list[str]:
    return [
        sys.executable, "train.py", "--config", CONFIG, "--workdir", str(workdir),
        "--config.data.root", str(data), "--config.data.workers", "2", "--config.train.checkpoint_every", "7",
        "--config.train.epochs", "5",
    ]  # fmt: skip


def final_state(workdir: Path):
    with Checkpoints(workdir) as checkpoints:
        _, _, state = restore_or_init(load_config(ROOT / CONFIG), 80, checkpoints)
    return state._replace(key=jax.random.key_data(state.key))


def last_checkpoint(workdir: Path) -> int:
    """Highest step that is whole on disk; unfinished ones have longer names."""
    folders = (workdir / "checkpoints").glob("*")
    return max((int(folder.name) for folder in folders if folder.name.isdecimal()), default=0)


@pytest.mark.slow
def test_five_kills_change_nothing(tmp_path):
    environment = os.environ | {
        "JAX_PLATFORMS": "cpu",
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "xla"),
        "XLA_FLAGS": "",
    }
    data = tmp_path / "data"
    run = lambda arguments: subprocess.run(
        arguments, cwd=ROOT, env=environment, check=True, capture_output=True
    )
    run([sys.executable, "-m", "lsts_jax.data.synthvid", "--out", str(data), "--videos", "4",
         "--val-videos", "1", "--frames", "12"])  # fmt: skip
    run(command(data, tmp_path / "whole"))

    rng = random.Random(time.time())
    reached = []
    for _ in range(KILLS):
        process = subprocess.Popen(
            command(data, tmp_path / "killed"), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL
        )
        before = last_checkpoint(tmp_path / "killed")
        while process.poll() is None and last_checkpoint(tmp_path / "killed") == before:
            time.sleep(0.02)
        time.sleep(rng.uniform(0.0, 1.0))  # during a step, or while another checkpoint is written
        process.send_signal(signal.SIGKILL)
        process.wait()
        reached.append(last_checkpoint(tmp_path / "killed"))
    run(command(data, tmp_path / "killed"))
    print(f"last checkpoint at each kill: {reached}")
    assert 0 < reached[0] < reached[-1] < STEPS

    expected, found = final_state(tmp_path / "whole"), final_state(tmp_path / "killed")
    assert int(found.step) == int(expected.step) == STEPS
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    lines = [json.loads(line) for line in (tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()]
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == sorted(set(steps))
    assert steps[-1] == STEPS
