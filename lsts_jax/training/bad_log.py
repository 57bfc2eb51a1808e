"""WORKDIR/bad_samples.jsonl: unreadable samples of a run, from all of its processes."""

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from lsts_jax.errors import writing
from lsts_jax.files import write_whole
from lsts_jax.parallel import any_of_all, is_first


@runtime_checkable
class BadSamples(Protocol):
    """A loader's counts of samples that cannot be read (`data.bad_samples`)."""

    total: int  # samples, good and bad
    samples: set[int]  # the bad ones

    def __len__(self) -> int: ...

    def merge(self, samples: Iterable[int]) -> None: ...


class BadSampleLog:
    """Log with one line per bad sample: the step at which it was noted, its number and its frame.

    Lines after step `first` are removed, since those steps will be repeated. The others are merged into `bad`
    if their sample is still the same frame.
    """

    def __init__(self, workdir: Path, bad: BadSamples, name_of: Callable[[int], str], first: int):
        self.path = Path(workdir) / "bad_samples.jsonl"
        self._bad, self._name_of = bad, name_of
        self._noted: set[int] = set()
        if not self.path.exists():
            return
        with writing(self.path):
            lines = self.path.read_text(errors="replace").splitlines()
        kept = []
        for line in lines:
            step, sample, frame = _read(line)
            if step <= first and 0 <= sample < bad.total and name_of(sample) == frame:
                kept.append(line)
                self._noted.add(sample)
        if is_first():
            with write_whole(self.path) as part:
                part.write_text("".join(f"{line}\n" for line in kept))
        bad.merge(self._noted)

    def note(self, step: int) -> None:
        """Adds the new bad samples since the last call. All processes must call this: their samples are
        merged, and the first writes.

        Raises `UserError` if there are too many.
        """
        flags = np.zeros(self._bad.total, bool)
        flags[list(self._bad.samples)] = True
        self._bad.merge(np.flatnonzero(any_of_all(flags)).tolist())
        new = sorted(self._bad.samples - self._noted)
        self._noted.update(new)
        if new and is_first():
            with writing(self.path), self.path.open("a") as file:
                for sample in new:
                    about = {"step": step, "sample": sample, "frame": self._name_of(sample)}
                    file.write(json.dumps(about) + "\n")


def _read(line: str) -> tuple[float, int, str]:
    """Step, sample and frame of a line; an infinite step if the line is damaged or unfinished."""
    try:
        values = json.loads(line)
        return float(values["step"]), int(values["sample"]), str(values["frame"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf, 0, ""
