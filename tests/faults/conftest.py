"""A tiny data set, and the scripts run on it as users run them."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from lsts_jax.data.synthvid import SynthVIDConfig, render_dataset

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Scripts:
    """Command lines, and what they need around them."""

    data: Path
    environment: dict[str, str]

    def train(self, workdir: Path, *more: str) -> list[str]:
        return self._command("train.py", workdir, "--config.train.log_every", "1", *more)

    def evaluate(self, workdir: Path, *more: str) -> list[str]:
        return self._command("evaluate.py", workdir, "--no_speed", "--no_report", *more)

    def start(self, command: list[str], log: Path) -> subprocess.Popen:
        with log.open("a") as file:
            return subprocess.Popen(command, cwd=ROOT, env=self.environment, stdout=file, stderr=file)

    def run(self, command: list[str], **options) -> subprocess.CompletedProcess:
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=900, **options
        )

    def _command(self, script: str, workdir: Path, *more: str) -> list[str]:
        return [
            sys.executable, script, "--config", "configs/tiny.py", "--workdir", str(workdir),
            "--config.data.root", str(self.data), *more,
        ]  # fmt: skip


@pytest.fixture(scope="session")
def scripts(tmp_path_factory) -> Scripts:
    data = tmp_path_factory.mktemp("data")
    settings = SynthVIDConfig(videos=4, val_videos=3, frames=12, height=64, width=96)
    render_dataset(data, settings, workers=1, progress=False)
    cache = str(tmp_path_factory.mktemp("xla"))
    more = {"JAX_PLATFORMS": "cpu", "JAX_COMPILATION_CACHE_DIR": cache, "PYTHONPATH": str(ROOT)}
    return Scripts(data, os.environ | more)
