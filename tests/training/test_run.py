"""A run loses nothing, whenever it is stopped, and logs what it did."""

import json
import signal
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.config import TrainConfig
from lsts_jax.data.bad_samples import BadSamples
from lsts_jax.errors import Stopped, UserError
from lsts_jax.training import run, saving
from lsts_jax.training.bad_log import BadSampleLog
from lsts_jax.training.checkpoints import BEST, LATEST, best_step, score_of, steps_in
from lsts_jax.training.interruption import Interruption
from lsts_jax.training.metrics_log import MetricsLog
from lsts_jax.training.run import Clock, Run
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.skipped import SkippedSteps
from lsts_jax.training.state import TrainState
from tests.faults.test_damage import small_state
from tests.tiny import triplets

SCORES = {2: 0.1, 4: 0.9, 6: 0.3}
"""mAP after each step that is evaluated."""
SETTINGS = TrainConfig(batch_size=1, log_every=1, checkpoint_every=3, evaluate_every=2)


class Killed(BaseException):
    """Nothing that handles exceptions sees a kill."""


class Batches:
    steps_per_epoch = 10

    def __init__(self, fails=lambda step: ()):
        """Args: fails, which samples cannot be read in a step."""
        self.bad, self._fails = BadSamples(20, 0.2), fails

    def iterate(self, start_step, num_steps):
        for step in range(start_step, start_step + num_steps):
            for sample in self._fails(step):
                self.bad.add(sample, "damaged")
            yield step  # `step` below does not look at it

    def make_batch(self, step):
        return triplets(1, seed=step)

    def names(self, step):
        return [f"frame{step}.jpg"]

    def name_of(self, sample):
        return f"frame{sample}.jpg"


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


def step(state: TrainState, batch) -> tuple[TrainState, dict]:
    """One that counts, and loses the third."""
    number = int(state.step) + 1
    lost = number == 3
    metrics = outcome(np.nan if lost else 1 / number, skipped=lost)
    return state._replace(step=jnp.int32(number)), metrics | {"rfcn_foreground_accuracy": jnp.float32(0.5)}


def evaluate(state: TrainState) -> dict:
    return {"mAP": SCORES[int(state.step)]}


def build(workdir, checkpoints, first, interruption, **parts) -> Run:
    """A run of six steps from a step."""
    log = MetricsLog(workdir, first)
    loader = parts.get("loader", Batches())
    skipped = SkippedSteps(loader, 3, workdir, int(log.last("skipped_steps") or 0))
    bad_log = BadSampleLog(workdir, loader.bad, loader.name_of, first)
    given = {
        "settings": SETTINGS, "num_steps": 6, "loader": loader, "bad_log": bad_log, "step": step,
        "evaluate": evaluate, "rate": lambda update: 0.1**update,
        "checkpoints": checkpoints, "log": log, "skipped": skipped,
        "interruption": interruption,
    }  # fmt: skip
    return Run(**given | parts)


def go_on(workdir, **parts) -> TrainState:
    with Interruption() as interruption, Checkpoints(workdir) as checkpoints:
        state = small_state(0)
        if checkpoints.latest_step() is not None:
            state = checkpoints.restore(state)
        built = build(workdir, checkpoints, int(state.step), interruption, **parts)
        with built.log:
            return built.to_the_end(state)


def lines(workdir) -> list[dict]:
    text = (workdir / "metrics.jsonl").read_text()
    return [json.loads(line) | {"images_per_second": None} for line in text.splitlines()]


class LateSaver:
    """Writes as late as it may, when somebody waits for it: a kill before that loses the save. Of the state
    it keeps the step alone, which is the folder's name."""

    pending, target = None, None

    def save(self, checkpoint, metrics=None, **items):
        self.pending, self.target = (checkpoint, metrics), checkpoint

    def wait(self):
        if self.pending:
            (checkpoint, metrics), self.pending = self.pending, None
            (checkpoint / "metrics").mkdir(parents=True)
            if metrics:
                (checkpoint / "metrics" / "metrics").write_text(json.dumps(metrics))

    def close(self):
        pass


def test_a_kill_between_any_two_actions_changes_nothing(tmp_path, monkeypatch):
    """Steps, saves, evaluations and lines of the log, each with a kill before it: the same command ends with
    the same best checkpoint and the same log. The one of the highest mAP was lost where a kill came between
    its line and the end of its writing."""
    monkeypatch.setattr(saving, "CheckedSaver", LateSaver)
    monkeypatch.setattr(saving, "_items", lambda state: {})  # which it would not write
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # takes most of the time, and says nothing here
    restored = lambda self, state: state._replace(step=jnp.int32(self.latest_step()))
    monkeypatch.setattr(Checkpoints, "restore", restored)
    go_on(tmp_path / "untouched")
    remaining = None

    def killed_in_time(action):
        def guarded(*arguments, **named):
            nonlocal remaining
            if remaining == 0:
                raise Killed
            remaining = None if remaining is None else remaining - 1
            return action(*arguments, **named)

        return guarded

    for owner, name in [
        (Checkpoints, "save"),
        (Checkpoints, "save_best"),
        (MetricsLog, "write"),
        (LateSaver, "wait"),
    ]:
        monkeypatch.setattr(owner, name, killed_in_time(getattr(owner, name)))
    parts = {"step": killed_in_time(step), "evaluate": killed_in_time(evaluate)}
    kills = 0
    while True:
        workdir = tmp_path / str(kills)
        checkpoints = Checkpoints(workdir)
        remaining = kills
        try:
            with Interruption() as interruption:
                build(workdir, checkpoints, 0, interruption, **parts).to_the_end(small_state(0))
            break
        except Killed:
            remaining = None
        go_on(workdir)
        assert lines(workdir) == lines(tmp_path / "untouched")
        assert best_step(workdir) == 4 and score_of(workdir / BEST / "4") == 0.9
        assert steps_in(workdir / LATEST) == [4, 6]
        kills += 1
    assert kills > 25


def test_a_failing_evaluation_loses_no_step(tmp_path):
    def fails(state):
        raise UserError("a picture of the val list is damaged")

    with pytest.raises(UserError, match="damaged"):
        go_on(tmp_path, evaluate=fails)
    assert steps_in(tmp_path / LATEST) == [2]
    done = []
    go_on(tmp_path, step=lambda *arguments: (done.append(1), step(*arguments))[1])
    assert len(done) == 4  # none again


def test_an_evaluation_is_logged_with_the_weight_of_the_memory(tmp_path):
    scored = {"mAP": 0.1, "memory weight": {"clean, keyframe": 0.3}, "fps": 5.0}
    go_on(tmp_path, evaluate=lambda state: scored)
    expected = {"step": 4, "mAP": 0.1, "memory weight, clean, keyframe": 0.3}
    assert json.dumps(expected) in (tmp_path / "metrics.jsonl").read_text().splitlines()


def test_a_signal_during_an_evaluation_ends_the_run_at_once(tmp_path):
    def waits(state):
        signal.raise_signal(signal.SIGTERM)
        pytest.fail("the evaluation went on")

    with pytest.raises(Stopped, match="SIGTERM: saved step 2 of 6") as caught:
        go_on(tmp_path, evaluate=waits)
    assert caught.value.signal == signal.SIGTERM
    assert steps_in(tmp_path / LATEST) == [2]


def test_one_of_several_processes_ends_its_evaluation_before_a_signal_ends_it(tmp_path, monkeypatch):
    """The others wait for its share; all stop together at the next step that is logged."""
    monkeypatch.setattr(run, "jax", SimpleNamespace(process_count=lambda: 2))
    monkeypatch.setattr(run, "largest_of_all", lambda number: number)
    scored = []

    def interrupted(state):
        signal.raise_signal(signal.SIGTERM)
        scored.append(int(state.step))
        return {"mAP": 0.1}

    with pytest.raises(Stopped, match="SIGTERM: saved step 3 of 6"):
        go_on(tmp_path, evaluate=interrupted)
    assert scored == [2]


def test_the_log_of_skipped_updates(tmp_path):
    """Step 3 is skipped: from then on the optimizer, which counts updates, is one behind. A run that goes on
    knows of it."""
    stop = replace(SETTINGS, evaluate_every=0, checkpoint_every=0)
    with pytest.raises(Stopped):
        go_on(tmp_path, settings=stop, step=lambda *a: (signal.raise_signal(signal.SIGINT), step(*a))[1])
    stop = replace(stop, evaluate_every=2)
    go_on(tmp_path, settings=stop, num_steps=4)
    go_on(tmp_path, settings=stop)
    logged = [line for line in lines(tmp_path) if "loss" in line]
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    assert [line["skipped_steps"] for line in logged] == [0, 0, 1, 1, 1, 1]
    rates = [line["learning_rate"] for line in logged]
    np.testing.assert_allclose(rates, [1, 0.1, 0.01, 0.01, 0.001, 0.0001])


def test_bad_samples_are_counted_over_all_of_a_run(tmp_path):
    """A process that goes on counts what it meets again once, and forgets what came after its checkpoint."""
    fails = {0: [3], 2: [7], 3: [3, 9], 5: [1]}
    evaluate = lambda state: {"mAP": 0.1}
    given = lambda: {"loader": Batches(lambda step: fails.get(step, ())), "evaluate": evaluate}
    with pytest.raises(Killed):
        go_on(tmp_path, **given() | {"evaluate": killed_after(2)})
    noted = (tmp_path / "bad_samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample"] for line in noted] == [3, 7, 9]
    with (tmp_path / "bad_samples.jsonl").open("a") as file:
        file.write(
            '{"step": 5, "sample": 11, "frame": "frame11.jpg"}\n{"step": 3, "sample": 12, "frame": "x"}\n{'
        )
    go_on(tmp_path, **given())
    counts = [line["bad_samples"] for line in lines(tmp_path) if "loss" in line]
    assert counts == [1, 1, 2, 3, 3, 4]
    noted = (tmp_path / "bad_samples.jsonl").read_text().splitlines()
    assert [json.loads(line)["sample"] for line in noted] == [3, 7, 9, 1]
    assert json.loads(noted[-1]) == {"step": 6, "sample": 1, "frame": "frame1.jpg"}
    with pytest.raises(UserError, match=r"5 of 20 samples .*max_bad_share = 0\.2"):  # 4 of them noted before
        go_on(tmp_path, num_steps=8, **given() | {"loader": Batches(lambda step: [15] if step == 7 else ())})


def killed_after(evaluations):
    """An evaluation that is killed when it is done for the last time."""

    def evaluate(state):
        nonlocal evaluations
        evaluations -= 1
        if not evaluations:
            raise Killed
        return {"mAP": 0.1}

    return evaluate


def test_the_speed_is_that_of_training_alone(monkeypatch):
    now = iter([0.0, 10.0, 10.0, 100.0, 104.0, 104.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(now))
    clock = Clock(20, batch_size=4)
    assert clock.speed(30) == 4.0
    clock.restart(30)  # after an evaluation of 90 seconds
    assert clock.speed(40) == 10.0


def test_metrics_are_json_whatever_they_are(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write({"step": 3, "loss": float("nan"), "update_norm": float("inf")})
    line = (tmp_path / "metrics.jsonl").read_text()
    refuse = lambda constant: pytest.fail(constant)
    assert json.loads(line, parse_constant=refuse) == {"step": 3, "loss": None, "update_norm": None}


def test_a_log_that_is_damaged_is_cut_back(tmp_path):
    (tmp_path / "metrics.jsonl").write_text(
        '{"step": 1, "skipped_steps": 2}\n\xff{\n{"step": 2, "mAP": 0.5}\n{"step": 3}\n{"step": 1'
    )
    with MetricsLog(tmp_path, 2) as log:
        assert log.has_evaluation(2) and not log.has_evaluation(1)
        assert (log.last("skipped_steps"), log.last("bad_samples")) == (2, None)
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 2
