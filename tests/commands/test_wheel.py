"""The whole way of a user who installed the wheel, in an empty folder, on a few frames."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.wheel import ROOT, install_wheel

TINY = "--config=tiny"
SET = {"videos": 1, "val-videos": 1, "frames": 4, "height": 64, "width": 96, "stills": 0, "workers": 1}
DATA = ("--config.data.root", "set", "--config.data.train-lists", "VID_train_15frames")


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def lsts(site, tmp_path_factory):
    """Runs the installed console command in a folder that is empty at first."""
    folder = tmp_path_factory.mktemp("empty")
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(site)}

    def run(*arguments: str) -> subprocess.CompletedProcess:
        command = [sys.executable, site / "bin" / "lsts", *arguments]
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
        )

    run.folder = folder
    return run


def test_the_wheel_holds_every_module_and_experiment(site):
    modules = {file.relative_to(ROOT) for file in (ROOT / "lsts_jax").rglob("*.py")}
    configs = {"lsts_jax" / file.relative_to(ROOT) for file in (ROOT / "configs").rglob("*.py")}
    assert {file.relative_to(site) for file in site.rglob("*.py")} == modules | configs
    assert (site / "lsts_jax" / "py.typed").is_file()
    shipped = {file.name for file in (site / "lsts_jax/detectors/synthvid-s").iterdir()}
    assert shipped == {"model.safetensors", "config.json", "README.md"}


def test_train_evaluate_predict(lsts):
    folder = lsts.folder
    done = lsts("synthvid", "--out", "set", *(f"--{name}={value}" for name, value in SET.items()))
    assert done.returncode == 0, done.stderr
    done = lsts("train", TINY, "--workdir", "run", *DATA, "--config.train.epochs", "0.5")
    assert done.returncode == 0, done.stderr
    done = lsts("evaluate", "--workdir", "run", "--checkpoint", "best", "--no-speed")
    assert done.returncode == 0, done.stderr
    assert "mAP" in done.stdout
    source = "set/Data/VID/val/ILSVRC2015_val_00000000"
    done = lsts("predict", "--workdir", "run", "--source", source, "--output", "watch")
    assert done.returncode == 0, done.stderr
    assert len((folder / "watch/detections.jsonl").read_text().splitlines()) == 4
    assert (folder / "watch/ILSVRC2015_val_00000000.mp4").stat().st_size > 0
    for name in ("config.json", "metrics.jsonl", "eval/metrics.json", "eval/detections.txt"):
        assert (folder / "run" / name).stat().st_size > 0, name
    done = lsts("evaluate", TINY, "--workdir", "run", *DATA, "--config.model.feature-channels", "48")
    assert done.returncode == 2
    assert "does not fit the model" in done.stderr
    assert done.stderr.count("\n") == 1


def test_experiments_need_a_checkout(lsts):
    done = lsts("experiments", "run")
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "checkout" in done.stderr
