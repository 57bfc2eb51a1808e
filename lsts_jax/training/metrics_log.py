"""WORKDIR/metrics.jsonl: metrics of a run, step by step."""

import json
import math
from pathlib import Path

from lsts_jax.errors import writing
from lsts_jax.files import write_whole
from lsts_jax.parallel import is_first
from lsts_jax.training.tensorboard import Board


class MetricsLog:
    """Writer of WORKDIR/metrics.jsonl, one object per line, and of TensorBoard files if tensorboardX is
    installed. Context manager. With several processes, only the first writes.

    Lines after step `first` are removed, since those steps will be repeated.
    """

    def __init__(self, workdir: Path, first: int = 0):
        self.path = Path(workdir) / "metrics.jsonl"
        self._board = None
        if not is_first():
            return
        self.cut_back(first)
        self._board = Board(Path(workdir) / "tensorboard")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._board:
            self._board.close()

    def cut_back(self, step: int) -> None:
        """Removes the lines after `step`."""
        if self.path.exists():
            kept = [line for line in self._lines() if _step_of(line) <= step]
            with write_whole(self.path) as part:
                part.write_text("".join(line + "\n" for line in kept))

    def has_evaluation(self, step: int) -> bool:
        return any(_step_of(line) == step and "mAP" in json.loads(line) for line in self._lines())

    def last(self, name: str) -> float | int | None:
        """The last number logged under a name."""
        values = (json.loads(line).get(name) for line in reversed(self._lines()) if _step_of(line) < math.inf)
        return next((value for value in values if isinstance(value, int | float)), None)

    def write(self, values: dict) -> None:
        if not is_first():
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps(finite) + "\n")
        if self._board:
            self._board.write(values)

    def _lines(self) -> list[str]:
        if not self.path.exists():
            return []
        with writing(self.path):
            return self.path.read_text(errors="replace").splitlines()


def _step_of(line: str) -> float:
    """Step of a line; infinite if the line is unfinished (from a killed process) or damaged."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf
