"""A user's mistake is one line on stderr and exit status 2; `--help` does not wait for JAX."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from lsts_jax.cli import load_config
from lsts_jax.config_io import save_config
from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset

ROOT = Path(__file__).resolve().parents[1]
TINY = "--config=configs/tiny.py"


def run(*arguments: str | Path) -> subprocess.CompletedProcess:
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "COLUMNS": "80"}
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A data set, and what is wrong with various others."""
    place = tmp_path_factory.mktemp("scripts")
    settings = SynthVIDConfig(videos=1, val_videos=1, frames=4, height=64, width=96, stills=0)
    render_dataset(place / "data", settings, workers=1, progress=False)
    render_dataset(place / "unlisted", settings, workers=1, progress=False)
    for name in ("VID_train_15frames", "VID_val_videos"):
        (place / "unlisted" / "ImageSets" / f"{name}.txt").write_text("")
    (place / "file").write_text("no video, no folder")
    (place / "clip.mp4").write_bytes(b"no video either")
    (place / "empty").mkdir()
    (place / "run").mkdir()
    save_config(load_config(ROOT / "configs/tiny.py"), place / "run" / "config.json")
    return place


MISTAKES = {
    "no such config": (["train.py", "--config", "configs/tinny.py", "--workdir", "W/x"], "configs/tiny.py"),
    "no config": (["train.py", "--workdir", "W/x"], "--config"),
    "unknown field": (["train.py", TINY, "--workdir", "W/x", "--config.train.batch_sise", "2"], "batch_size"),
    "wrong value": (["train.py", TINY, "--workdir", "W/x", "--config.train.batch_size", "two"], "batch_size"),
    "no data": (["train.py", TINY, "--workdir", "W/x", "--config.data.root", "W/nowhere"], "nowhere"),
    "no list": (["train.py", TINY, "--workdir", "W/x", "--config.data.root", "W/empty"], "ImageSets"),
    "empty list": (["train.py", TINY, "--workdir", "W/x", "--config.data.root", "W/unlisted"], "VID_train"),
    "no checkpoint": (["evaluate.py", TINY, "--workdir", "W/run", "--config.data.root", "W/data"], "train"),
    "workdir is a file": (["train.py", TINY, "--workdir", "W/file", "--config.data.root", "W/data",
                          "--config.data.train_lists", "VID_train_15frames"], "W/file"),
    "no source": (["predict.py", "--workdir", "W/run", "--source", "W/no.mp4", "--output", "W/o"], "no.mp4"),
    "no video": (["predict.py", "--workdir", "W/run", "--source", "W/clip.mp4", "--output", "W/o"], "clip.mp4"),
    "no pictures": (["predict.py", "--workdir", "W/run", "--source", "W/empty", "--output", "W/o"], "empty"),
    "no run": (
        ["predict.py", "--workdir", "W/empty", "--source", "W/data/Data/VID/val/ILSVRC2015_val_00000000",
         "--output", "W/o"], "config.json",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_status_2(place, name):
    arguments, named = MISTAKES[name]
    done = run(*(a.replace("W/", f"{place}/") for a in arguments))
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: "), done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert named.replace("W/", f"{place}/") in done.stderr
    assert not done.stdout


@pytest.mark.parametrize("script", ["train.py", "evaluate.py", "predict.py"])
def test_help_tells_all_without_jax(script):
    check = (
        "import runpy, sys; sys.argv = [sys.argv[1], '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: print('JAX' if 'flax' in sys.modules else 'light', file=sys.stderr)"
    )
    done = run("-c", check, script)
    assert done.returncode == 0
    assert "--workdir" in done.stdout
    assert done.stderr.strip() == "light"


def test_a_loss_that_is_not_finite_stops_the_run_and_names_the_step(place):
    workdir = place / "diverged"
    data = ["--config.data.root", place / "data", "--config.data.train_lists", "VID_train_15frames"]
    rate = ["--config.optimizer.learning_rate", "1e30", "--config.train.log_every", "1"]
    done = run("train.py", TINY, "--workdir", workdir, *data, *rate, "--config.train.max_skipped", "2")
    assert done.returncode == 2
    assert re.search(r"error: step \d+: the loss .*is not finite", done.stderr)
    assert "Traceback" not in done.stderr
    assert len(list(workdir.glob("bad_batch_*.npz"))) == 1
