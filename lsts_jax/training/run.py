"""A run from its first to its last step: steps, logs, saves and evaluations when due."""

import signal
import time
from collections.abc import Callable, Generator
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import optax
from tqdm import tqdm

from lsts_jax.config import TrainConfig
from lsts_jax.errors import Stopped
from lsts_jax.parallel import largest_of_all
from lsts_jax.structs import Triplet
from lsts_jax.training.bad_log import BadSampleLog, BadSamples
from lsts_jax.training.interruption import Interruption
from lsts_jax.training.metrics_log import MetricsLog
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.skipped import Batches, SkippedSteps
from lsts_jax.training.state import TrainState
from lsts_jax.training.step import Metrics


@runtime_checkable
class Loader(Batches, Protocol):
    """Batches as a function of the step."""

    steps_per_epoch: int

    @property
    def bad(self) -> BadSamples: ...

    def name_of(self, sample: int) -> str: ...

    def iterate(self, start_step: int, num_steps: int) -> Generator[Triplet, None, None]: ...


class Due(NamedTuple):
    """Actions after a step."""

    log: bool
    save: bool
    score: bool


def what_is_due(step: int, last: int, settings: TrainConfig) -> Due:
    """Actions that are due after step `step`, counted from 1; after the last step, all of them.

    A step is saved before it is scored, so that an evaluation cannot lose it, and a resumed run has
    the log line of every saved step.
    """
    due = lambda every: step >= last or (every > 0 and step % every == 0)
    score = due(settings.evaluate_every)
    save = score or due(settings.checkpoint_every)
    return Due(save or due(settings.log_every), save, score)


class Clock:
    """Measures images per second, without the time between a stop and the next start."""

    def __init__(self, step: int, batch_size: int):
        self._batch_size = batch_size
        self.restart(step)

    def restart(self, step: int) -> None:
        self._begin, self._step = time.perf_counter(), step

    def speed(self, step: int) -> float:
        """Images per second since the last call or restart."""
        seconds = max(time.perf_counter() - self._begin, 1e-9)
        images = (step - self._step) * self._batch_size
        self.restart(step)
        return images / seconds


@dataclass
class Run:
    """The parts of a run; `to_the_end` executes it."""

    settings: TrainConfig
    num_steps: int
    loader: Loader
    step: Callable[[TrainState, Triplet], tuple[TrainState, Metrics]]
    evaluate: Callable[[TrainState], dict]
    """Metrics of a state, mAP among them."""
    rate: optax.Schedule
    checkpoints: Checkpoints
    log: MetricsLog
    skipped: SkippedSteps
    bad_log: BadSampleLog
    interruption: Interruption
    _unchecked: list[tuple[int, Metrics]] = field(default_factory=list)

    def to_the_end(self, state: TrainState) -> TrainState:
        """Runs all steps and returns the last state. Raises `UserError`, or `Stopped` after a
        signal, once the state is saved."""
        first = int(state.step)
        clock = Clock(first, self.settings.batch_size)
        if first and what_is_due(first, self.num_steps, self.settings).score:
            if not self.log.has_evaluation(first):  # an earlier process was stopped before it ended
                self._score(state)
            clock.restart(first)
        if first >= self.num_steps:
            return state
        remaining = self.num_steps - first
        with (
            closing(self.loader.iterate(first, remaining)) as batches,
            tqdm(total=self.num_steps, initial=first, unit="step", dynamic_ncols=True) as bar,
        ):
            for step, batch in enumerate(batches, first + 1):
                state, metrics = self.step(state, batch)
                bar.update()
                self._unchecked.append((step, metrics))
                due = what_is_due(step, self.num_steps, self.settings)
                stop = self._signal(due)
                if stop or due.log or step == 1:
                    bar.set_postfix(self._report(step, clock), refresh=False)
                if stop or due.save:
                    self.checkpoints.save(state)
                if stop:
                    raise self._stopped(step, stop)
                if due.score:
                    bar.refresh()  # which may lag behind, and this takes a while
                    self._score(state)
                    clock.restart(step)
        return state

    def _signal(self, due: Due) -> int:
        """The signal that ends the run after this step, or 0."""
        number = self.interruption.signal or 0
        if jax.process_count() > 1:  # all must stop at the same step, and the agreement takes time
            return largest_of_all(number) if due.log else 0
        return number

    def _report(self, step: int, clock: Clock) -> dict[str, str]:
        """Logs the step and returns the progress bar's text. The host waits for the device only here."""
        self.bad_log.note(step)
        metrics = self.skipped.check(self._unchecked)
        self._unchecked.clear()
        speed = clock.speed(step)
        about = {
            "step": step,
            "learning_rate": float(np.asarray(self.rate(self.skipped.updates))),
            "images_per_second": speed,
            "bad_samples": len(self.loader.bad),
            "skipped_steps": self.skipped.count,
        }
        self.log.write(about | metrics)
        return {
            "loss": f"{metrics['loss']:.3f}",
            "accuracy": f"{metrics['rfcn_foreground_accuracy']:.2f}",
            "images": f"{speed:.1f}/s",
        }

    def _score(self, state: TrainState) -> None:
        """Evaluates a saved state, keeps it if it is the best, and logs its mAP and memory weights.

        They are logged last: a run killed before that evaluates again.
        """
        step = int(state.step)
        self.checkpoints.save(state)
        self.checkpoints.wait()
        # if one of several processes left, the others would wait for its share of the videos
        stops = self.interruption.at_once(lambda number: self._stopped(step, number))
        with stops if jax.process_count() == 1 else nullcontext():
            metrics = self.evaluate(state)
        self.checkpoints.save_best(state, metrics["mAP"])
        weights = {f"memory weight, {name}": x for name, x in metrics.get("memory weight", {}).items()}
        self.log.write({"step": step, "mAP": metrics["mAP"]} | weights)

    def _stopped(self, step: int, number: int) -> Stopped:
        name = signal.Signals(number).name
        return Stopped(number, f"{name}: saved step {step} of {self.num_steps}; the same command continues")
