"""Writing the checkpoints of a run, by Orbax, and going on from them.

Orbax writes beside the target and renames, so that a killed process leaves a temporary folder that is never
read. A checkpoint that makes way for another is renamed before it is removed: under its own name it is whole,
or not there.
"""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp

from lsts_jax.errors import UserError, writing
from lsts_jax.parallel import is_first, largest_of_all, wait_for_all
from lsts_jax.training.checkpoints import (
    BEST,
    LATEST,
    REPLACED,
    best_step,
    require_undamaged,
    restore_item,
    score_of,
    steps_in,
)
from lsts_jax.training.checksums import CHECKSUMS, is_incomplete, write_checksums
from lsts_jax.training.state import TrainState, variables_of

UNFINISHED = ".orbax-checkpoint-tmp"
KEPT = 2
"""Checkpoints in WORKDIR/checkpoints; from the start of a save to the start of the next there is one more."""


class Checkpoints:
    """The checkpoints of a run that this process holds (`only_process`); use as a context manager, which
    waits for the writing to end."""

    def __init__(self, workdir: Path):
        """Removes what killed processes left unfinished.

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
            if kind is None or jax.process_count() == 1:  # of several, the others may be elsewhere
                self._remove_surplus()
        finally:
            self._saver.close()

    def latest_step(self) -> int | None:
        """The step of the checkpoint that `restore` reads; None if there is none."""
        return max(steps_in(self.workdir / LATEST), default=None)

    def save(self, state: TrainState) -> None:
        """Write in the background, once the one before is written; does nothing where this step is there.

        Raises `UserError` if the one before could not be written. `wait` and the end of the context do the
        same.
        """
        self.wait()
        checkpoint = self.workdir / LATEST / str(int(state.step))
        # The first process decides: others may see the folder later, and all have to save or none.
        if not largest_of_all(int(is_first() and checkpoint.exists())):
            self._save(checkpoint, **_items(state))

    def save_best(self, state: TrainState, score: float) -> None:
        """Keep the state if no other one has a higher score (mAP); returns once it is written.

        One of the same step makes way if its score is lower: the run went back and took another course.

        Raises as `save`.
        """
        self.wait()
        step, best = int(state.step), best_step(self.workdir)
        highest = -1.0 if best is None else score_of(self.workdir / BEST / str(best))
        wait_for_all("the highest score is known")
        if score > highest or (score == highest and step != best):
            metrics = ocp.args.JsonSave({"mAP": float(score)})
            self._save(self.workdir / BEST / str(step), **_items(state), metrics=metrics)
            self.wait()

    def wait(self) -> None:
        """Returns once all that was saved is written. Raises as `save`."""
        with self._naming_the_failure():
            self._saver.wait()

    def restore(self, state: TrainState) -> TrainState:
        """The latest state, in the shapes of `state`. Raises `UserError` if it is damaged, or of another
        model."""
        checkpoint = self.workdir / LATEST / str(self.latest_step())
        require_undamaged(checkpoint, ("variables", "training"))
        items = _items(state)
        variables = restore_item(checkpoint, "variables", items["variables"].item)
        if not (checkpoint / "training").is_dir():  # weights alone, as an import leaves them
            return state._replace(**variables)
        training = restore_item(checkpoint, "training", items["training"].item)
        return TrainState(**variables, **training | {"key": jax.random.wrap_key_data(training["key"])})

    def _save(self, checkpoint: Path, **items: object) -> None:
        self.wait()
        self._remove_surplus()
        if is_first() and checkpoint.exists():
            set_aside(checkpoint)
        wait_for_all("there is room")
        with self._naming_the_failure():
            self._saver.save(checkpoint, **items)

    def _remove_surplus(self) -> None:
        """Remove what later and better checkpoints have replaced. All that was saved is written."""
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
        except (OSError, ValueError) as error:  # of Python's files, of TensorStore's
            latest = self.latest_step()
            begin = "from the start" if latest is None else f"from step {latest}"
            raise UserError(
                f"{self._saver.target.parent}: a checkpoint could not be written ({_reason(error)}); see to "
                f"the disk, then the same command goes on {begin}"
            ) from error


class CheckedSaver:
    """Writes checkpoints in the background and leaves checksums with each."""

    def __init__(self):
        items: dict[str, Any] = {name: ocp.StandardCheckpointHandler() for name in ("variables", "training")}
        items["metrics"] = ocp.JsonCheckpointHandler("metrics")
        options = ocp.options.AsyncOptions(post_finalization_callback=self._before_the_renaming)
        self.target = Path()
        self._saver = ocp.AsyncCheckpointer(ocp.CompositeCheckpointHandler(**items), async_options=options)

    def save(self, checkpoint: Path, **items: object) -> None:
        """Args: items, some of variables, training and metrics. The one before must have been waited for."""
        self.target = checkpoint
        self._saver.save(checkpoint, args=ocp.args.Composite(**items))

    def wait(self) -> None:
        """Raises what went wrong in the background."""
        self._saver.wait_until_finished()

    def close(self) -> None:
        self._saver.close()

    def _before_the_renaming(self) -> None:
        if is_first():
            write_checksums(self.target.with_name(self.target.name + UNFINISHED))


def clean_up(folder: Path, kept: int) -> None:
    """Undo or end what a killed process was at in a folder of checkpoints."""
    for unfinished in folder.glob(f"*{UNFINISHED}"):
        shutil.rmtree(unfinished, ignore_errors=True)
    for replaced in folder.glob(f"*{REPLACED}"):
        checkpoint = replaced.with_name(replaced.name.removesuffix(REPLACED))
        # what was to replace it is not there
        if len(steps_in(folder)) < kept and not checkpoint.exists() and not is_incomplete(replaced):
            replaced.rename(checkpoint)
        shutil.rmtree(replaced, ignore_errors=True)
    # Earlier versions removed checkpoints file by file, under their own names.
    steps = [folder / str(step) for step in steps_in(folder)]
    if len(steps) > kept and any((step / CHECKSUMS).exists() for step in steps):
        for step in filter(is_incomplete, steps):
            shutil.rmtree(step, ignore_errors=True)


def set_aside(checkpoint: Path) -> None:
    """Rename a checkpoint that is to be removed: whoever reads it finds all of it or nothing."""
    aside = checkpoint.with_name(checkpoint.name + REPLACED)
    shutil.rmtree(aside, ignore_errors=True)
    with writing(checkpoint):
        checkpoint.rename(aside)


def _reason(error: Exception) -> str:
    """The system's message, without TensorStore's additions."""
    text = str(getattr(error, "strerror", None) or error)
    code = re.search(r"os_error_code='(\d+)'", text)
    return os.strerror(int(code[1])) if code else text


def _items(state: TrainState) -> dict[str, ocp.args.StandardSave]:
    """The items of a checkpoint; a typed key becomes plain integers, since Orbax stores arrays."""
    state = state._replace(key=jax.random.key_data(state.key))
    # Orbax writes in the background, and on a CPU from the very memory of the arrays, which the next step
    # has been given to write to.
    training = jax.tree.map(jnp.copy, state)._asdict()
    variables = {name: training.pop(name) for name in variables_of(state)}
    return {"variables": ocp.args.StandardSave(variables), "training": ocp.args.StandardSave(training)}
