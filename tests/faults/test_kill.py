"""Killed 20 times, a run ends where one ends that was not, bit for bit, and so does its evaluation."""

import json
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.training.checksums import CHECKSUMS, find_damage
from lsts_jax.training.saving import KEPT, UNFINISHED
from tests.faults.arrays import read_arrays

SEED = 20
TRAINING = ("step", "save", "evaluation") * 5  # what the process is at when it is killed
EVALUATION = 5  # kills of evaluate.py
STEPS, SAVE_EVERY, EVALUATE_EVERY = 160, 6, 30
PATIENCE = 300.0
METHODS = {
    "lsts": (),
    "dff": ("--config.model.dff.flow_width", "8"),
    "fgfa": (
        "--config.model.fgfa.flow_width", "8", "--config.model.fgfa.embedding_channels", "16",
        "--config.model.fgfa.radius", "1",
    ),
}  # fmt: skip


def whole(folder: Path) -> list[int]:
    """Steps that Orbax has given their name."""
    return sorted(int(path.name) for path in folder.glob("*") if path.name.isdecimal())


def lines(workdir: Path) -> list[dict]:
    file = workdir / "metrics.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def logged(workdir: Path) -> int:
    """Bytes, since the last line can be half written."""
    file = workdir / "metrics.jsonl"
    return file.stat().st_size if file.exists() else 0


def wait(process, happened: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not happened():
        assert process.poll() is None, f"it ended by itself with status {process.returncode}"
        assert time.monotonic() < deadline
        time.sleep(0.002)


def kill(process) -> None:
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL


@pytest.mark.faults
@pytest.mark.parametrize("method", METHODS)
def test_twenty_kills_change_nothing(scripts, tmp_path, method):
    model = ("--config.model.temporal", method, *METHODS[method])
    options = (
        *model, "--config.train.checkpoint_every", str(SAVE_EVERY),
        "--config.train.evaluate_every", str(EVALUATE_EVERY),
        "--config.train.epochs", "2", "--config.data.workers", "2",
    )  # fmt: skip
    untouched, killed, log = tmp_path / "untouched", tmp_path / "killed", tmp_path / "log"
    scripts.run(scripts.train(untouched, *options), check=True)
    one_by_one = (*model, "--config.evaluation.videos_per_batch", "1")
    scripts.run(scripts.evaluate(untouched, *one_by_one), check=True)
    rng = random.Random(SEED)
    moments, unfinished, expected = rng.sample(TRAINING, len(TRAINING)), 0, 0
    folder = killed / "checkpoints"
    for moment in moments:
        log.write_text("")
        before = whole(folder)
        process = scripts.start(scripts.train(killed, *options), log)
        if before:
            wait(process, lambda: "continuing from step" in log.read_text())
            assert f"continuing from step {expected} of {STEPS}" in log.read_text()
        match moment:
            case "step":
                size = logged(killed)
                wait(process, lambda size=size: logged(killed) > size)
                time.sleep(rng.uniform(0, 1.5))
            case "save":
                wait(process, lambda before=before: whole(folder) != before)  # not one of an earlier kill's
                wait(process, lambda: list(folder.glob(f"*{UNFINISHED}*")))
                time.sleep(rng.uniform(0, 0.1))
            case "evaluation":
                wait(process, lambda: "evaluate:" in log.read_text())
                time.sleep(rng.uniform(0, 1.5))
        kill(process)
        left = {path.name for path in folder.glob(f"*{UNFINISHED}*")}
        unfinished += bool(left)
        now = whole(folder)
        expected = max(now, default=0)
        assert expected >= max(before, default=0)
        print(f"{moment}: step {last_step(killed)}, goes on from {expected}, unfinished {sorted(left)}")
        # What is saved is known in the background: no later than one more save.
        assert last_step(killed) - expected <= 2 * SAVE_EVERY
        assert len(now) <= KEPT + 1
        for step in now:
            assert (folder / str(step) / CHECKSUMS).exists()
            assert find_damage(folder / str(step), ("variables", "training")) is None
    assert unfinished >= 3
    scripts.run(scripts.train(killed, *options), check=True)
    scored, kept = killed / "eval" / "videos", []
    for number in range(EVALUATION):
        log.write_text("")
        process = scripts.start(scripts.evaluate(killed, *one_by_one), log)
        wait(process, lambda: "evaluate:" in log.read_text())
        if number % 2 and len(kept) < 2:  # one video more is finished
            wait(process, lambda kept=kept: len(list(scored.glob("00*[0-9].npz"))) > len(kept))
        else:
            time.sleep(rng.uniform(0, 1.0))
        kill(process)
        kept = sorted(path.name for path in scored.glob("00*[0-9].npz"))
        print(f"evaluate.py: {len(kept)} of 3 videos are kept")
    assert kept
    scripts.run(scripts.evaluate(killed, *one_by_one), check=True)

    for kind in ("checkpoints", "best"):
        assert whole(killed / kind) == whole(untouched / kind)
        for step in whole(untouched / kind):
            wanted, found = (read_arrays(run / kind / str(step)) for run in (untouched, killed))
            assert wanted.keys() == found.keys()
            for name, array in wanted.items():
                np.testing.assert_array_equal(found[name], array, err_msg=name)
    plain = lambda run: [line | {"images_per_second": 0} for line in lines(run)]
    assert plain(killed) == plain(untouched)
    assert lines(killed)[-1]["step"] == STEPS
    texts = [(run / "eval" / "detections.txt").read_bytes() for run in (killed, untouched)]
    assert texts[0] == texts[1]


def last_step(workdir: Path) -> int:
    """The last one that was logged whole."""
    text = (workdir / "metrics.jsonl").read_text() if (workdir / "metrics.jsonl").exists() else ""
    steps = [json.loads(line)["step"] for line in text.splitlines()[:-1]]
    return max(steps, default=0)
