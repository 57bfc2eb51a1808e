"""Skipped updates, whose loss or gradient was not finite."""

import logging
import math
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import numpy as np

from lsts_jax.errors import UserError
from lsts_jax.files import write_whole
from lsts_jax.structs import Triplet
from lsts_jax.training.step import Metrics

logger = logging.getLogger(__name__)


@runtime_checkable
class Batches(Protocol):
    """The batch of a step, identified for messages."""

    def make_batch(self, step: int) -> Triplet: ...

    def names(self, step: int) -> list[str]: ...


class SkippedSteps:
    """Counts skipped updates and ends the run after `most` in a row."""

    def __init__(self, batches: Batches, most: int, workdir: Path, count: int = 0):
        """Args:
        count: skipped updates of earlier processes of the run."""
        self.count = count
        self.updates = 0
        """Number of updates before the last checked step."""
        self._in_a_row, self._batches, self._most, self._workdir = 0, batches, most, Path(workdir)

    def check(self, steps: list[tuple[int, Metrics]]) -> dict[str, float]:
        """Checks steps for skipped updates and returns the metrics of the last step, as numbers.

        Raises `UserError` naming the step, the values that are not finite, and the files of the
        batch, which is saved.
        """
        metrics: dict[str, float] = {}
        for step, values in jax.device_get(steps):
            metrics = {name: float(value) for name, value in values.items()}
            self.updates = step - 1 - self.count
            if not metrics.pop("skipped"):
                self._in_a_row = 0
                continue
            self.count, self._in_a_row = self.count + 1, self._in_a_row + 1
            bad = ", ".join(
                f"{name} = {value}" for name, value in metrics.items() if not math.isfinite(value)
            )
            about = f"step {step}: the loss or its gradient is not finite ({bad})"
            logger.warning("%s; the update is skipped", about)
            if self._in_a_row >= self._most:
                raise UserError(self._last_words(step, about))
        return metrics

    def _last_words(self, step: int, about: str) -> str:
        process = f"_process{jax.process_index()}" if jax.process_count() > 1 else ""
        file = self._workdir / f"bad_batch_{step}{process}.npz"
        leaves = jax.tree_util.tree_leaves_with_path(self._batches.make_batch(step - 1))
        arrays = {jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
        with write_whole(file) as part, part.open("wb") as archive:
            np.savez_compressed(archive, **arrays)
        return (
            f"{about}, {self._in_a_row} times in a row; frames of the batch: "
            f"{', '.join(self._batches.names(step - 1))}; arrays: {file}; lower "
            "--config.optimizer.learning_rate, or rerun with --debug_nans to stop at the operation that "
            "makes the NaN"
        )
