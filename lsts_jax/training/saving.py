"""Writing and restoring the checkpoints of a run, with Orbax.

A checkpoint is written under another name and renamed when it is complete, and renamed again before it is
removed: under its own name it is complete or absent. Folders that a killed process leaves are never read.
"""

import json
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from lsts_jax.errors import UserError, writing
from lsts_jax.parallel import is_first, largest_of_all, wait_for_all
from lsts_jax.training.checkpoints import (
    BEST,
    LATEST,
    METRICS,
    REPLACED,
    best_step,
    require_undamaged,
    restore_item,
    score_of,
    steps_in,
)
from lsts_jax.training.checksums import CHECKSUMS, is_incomplete, write_checksums
from lsts_jax.training.state import TrainState, variables_of

UNFINISHED = ".unfinished"
"""Ending of the name of a checkpoint that is being written; Orbax appends another one."""
KEPT = 2
"""Number of checkpoints in WORKDIR/checkpoints; during a save, and until the next one starts, there
is one more."""


class Checkpoints:
    """Checkpoints of a run that this process has locked (`only_process`).

    A context manager, which waits for the last save at the end.
    """

    def __init__(self, workdir: Path):
        """Removes unfinished checkpoints of killed processes.

        Raises `UserError` if the folder cannot be written to, or the score of a checkpoint in best/ cannot be
        read.
        """
        self.workdir = Path(workdir).absolute()
        for folder, kept in ((self.workdir / LATEST, KEPT), (self.workdir / BEST, 1)):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
            if is_first():
                clean_up(folder, kept)
        wait_for_all("what was left unfinished is removed")
        best_step(self.workdir)
        self._saver = CheckedSaver()

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.wait()
            if kind is None or jax.process_count() == 1:  # the other processes may be elsewhere
                self._remove_surplus()
        finally:
            self._saver.close()

    def latest_step(self) -> int | None:
        """The step of the checkpoint that `restore` reads; None if there is none."""
        return max(steps_in(self.workdir / LATEST), default=None)

    def save(self, state: TrainState) -> None:
        """Writes in the background, after the previous save. Does nothing if the step is already saved.

        Raises `UserError` if the previous save failed. `wait` and the end of the context do the same.
        """
        self.wait()
        checkpoint = self.workdir / LATEST / str(int(state.step))
        # The first process decides, as others may see the folder later, and either all processes must save or
        # none.
        if not largest_of_all(int(is_first() and checkpoint.exists())):
            self._save(checkpoint, **_items(state))

    def save_best(self, state: TrainState, score: float) -> None:
        """Saves the state unless a saved one has a higher score (mAP). Returns once it is written.

        A checkpoint of the same step with a lower score is replaced: the run has repeated the step.

        Raises as `save`.
        """
        self.wait()
        step, best = int(state.step), best_step(self.workdir)
        highest = -1.0 if best is None else score_of(self.workdir / BEST / str(best))
        wait_for_all("the highest score is known")
        if score > highest or (score == highest and step != best):
            self._save(self.workdir / BEST / str(step), {"mAP": float(score)}, **_items(state))
            self.wait()

    def wait(self) -> None:
        """Returns once all saves are written. Raises as `save`."""
        with self._naming_the_failure():
            self._saver.wait()

    def restore(self, state: TrainState) -> TrainState:
        """The latest state, in the shapes of `state`. Raises `UserError` if the checkpoint is damaged or
        belongs to another model."""
        checkpoint = self.workdir / LATEST / str(self.latest_step())
        require_undamaged(checkpoint, ("variables", "training"))
        items = _items(state)
        variables = restore_item(checkpoint, "variables", items["variables"])
        if not (checkpoint / "training").is_dir():  # only weights, from an import
            return state._replace(**variables)
        training = restore_item(checkpoint, "training", items["training"])
        return TrainState(**variables, **training | {"key": jax.random.wrap_key_data(training["key"])})

    def _save(self, checkpoint: Path, metrics: dict[str, float] | None = None, **items: PyTree) -> None:
        self.wait()
        self._remove_surplus()
        if is_first() and checkpoint.exists():
            set_aside(checkpoint)
        wait_for_all("there is room")
        with self._naming_the_failure():
            self._saver.save(checkpoint, metrics, **items)

    def _remove_surplus(self) -> None:
        """Removes checkpoints that later or better ones have replaced. All saves must be written."""
        wait_for_all("checkpoints are written")
        if not is_first():
            return
        kept = {LATEST: steps_in(self.workdir / LATEST)[-KEPT:], BEST: [best_step(self.workdir)]}
        for kind, steps in kept.items():
            for step in steps_in(self.workdir / kind):
                if step not in steps:
                    set_aside(self.workdir / kind / str(step))
            for replaced in (self.workdir / kind).glob(f"*{REPLACED}"):
                shutil.rmtree(replaced, ignore_errors=True)

    @contextmanager
    def _naming_the_failure(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # from Python's files; from TensorStore
            latest = self.latest_step()
            begin = "from the start" if latest is None else f"from step {latest}"
            raise UserError(
                f"{self._saver.target.parent}: a checkpoint could not be written ({_reason(error)}); check "
                f"the disk, then the same command continues {begin}"
            ) from error


class CheckedSaver:
    """Writes checkpoints, with checksums, in the background."""

    def __init__(self):
        self.target = Path()
        self._thread = ThreadPoolExecutor(1)
        self._saving: Future | None = None

    def save(self, checkpoint: Path, metrics: dict[str, float] | None = None, **items: PyTree) -> None:
        """Starts to write a checkpoint. Call `wait` after the previous save first.

        Args:
          metrics: content of the file METRICS.
          items: variables, training, or both.
        """
        self.target = checkpoint
        unfinished = checkpoint.with_name(checkpoint.name + UNFINISHED)
        written = ocp.save_checkpointables_async(str(unfinished), items)

        def finish() -> None:
            written.result()
            if is_first():
                if metrics:  # not an item, since Orbax reserves the name
                    (unfinished / METRICS).parent.mkdir()
                    (unfinished / METRICS).write_text(json.dumps(metrics))
                write_checksums(unfinished)
                unfinished.rename(checkpoint)

        self._saving = self._thread.submit(finish)

    def wait(self) -> None:
        """Waits for the save and raises its error, if any."""
        if self._saving:
            saving, self._saving = self._saving, None
            saving.result()
            wait_for_all("the checkpoint has its name")

    def close(self) -> None:
        self._thread.shutdown()


def clean_up(folder: Path, kept: int) -> None:
    """Undoes or completes the unfinished work of a killed process in a folder of checkpoints."""
    for pattern in (f"*{UNFINISHED}*", "*.orbax-checkpoint-tmp"):  # the latter from earlier versions
        for unfinished in folder.glob(pattern):
            shutil.rmtree(unfinished, ignore_errors=True)
    for replaced in folder.glob(f"*{REPLACED}"):
        checkpoint = replaced.with_name(replaced.name.removesuffix(REPLACED))
        # its replacement does not exist
        if len(steps_in(folder)) < kept and not checkpoint.exists() and not is_incomplete(replaced):
            replaced.rename(checkpoint)
        shutil.rmtree(replaced, ignore_errors=True)
    # Earlier versions removed checkpoints file by file, under their own names.
    steps = [folder / str(step) for step in steps_in(folder)]
    if len(steps) > kept and any((step / CHECKSUMS).exists() for step in steps):
        for step in filter(is_incomplete, steps):
            shutil.rmtree(step, ignore_errors=True)


def set_aside(checkpoint: Path) -> None:
    """Renames a checkpoint before its removal, so that readers see the whole checkpoint or none."""
    aside = checkpoint.with_name(checkpoint.name + REPLACED)
    shutil.rmtree(aside, ignore_errors=True)
    with writing(checkpoint):
        checkpoint.rename(aside)


def _reason(error: Exception) -> str:
    """The system's message, without TensorStore's additions."""
    text = str(getattr(error, "strerror", None) or error)
    code = re.search(r"os_error_code='(\d+)'", text)
    return os.strerror(int(code[1])) if code else text


def _items(state: TrainState) -> dict[str, dict]:
    """The items of a checkpoint, with typed random keys as integers, since Orbax stores arrays."""
    state = state._replace(key=jax.random.key_data(state.key))
    # Orbax writes in the background, on a CPU directly from the memory of the arrays, which the next step
    # overwrites.
    training = jax.tree.map(jnp.copy, state)._asdict()
    variables = {name: training.pop(name) for name in variables_of(state)}
    return {"variables": variables, "training": training}
