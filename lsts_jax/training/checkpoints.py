"""Checkpoints in WORKDIR/checkpoints (the latest) and WORKDIR/best (the highest mAP), by Orbax.

A checkpoint has two items: `variables`, which is all that detecting needs, and `training`, the rest of the
state. Orbax writes beside the target and renames: a killed process leaves a temporary folder that is never
read.
"""

import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from jaxtyping import PyTree

from lsts_jax.config import Config
from lsts_jax.errors import UserError, writing
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.ops.affinity import smallest_window
from lsts_jax.parallel import is_first, on_own_device, wait_for_all
from lsts_jax.training.checksums import CHECKSUMS, find_damage, is_incomplete, write_checksums
from lsts_jax.training.state import TrainState, init_variables, variables_of

LATEST, BEST = "checkpoints", "best"
UNFINISHED = ".orbax-checkpoint-tmp"
KEPT = 2

logger = logging.getLogger(__name__)


class Checkpoints:
    """The checkpoints of one run; use as a context manager, which waits for the writing to end."""

    def __init__(self, workdir: Path, *, owned: bool = False, create: bool = True):
        """Args:
        owned: nobody else trains there: what a killed process left half deleted is removed.
        create: make the folders; without it nothing is written, and either folder may be missing.
        """
        workdir = Path(workdir).absolute()
        self.workdir = workdir
        handlers = {name: ocp.StandardCheckpointHandler() for name in ("variables", "training")}
        for folder, kept in ((workdir / LATEST, KEPT), (workdir / BEST, 1)):
            if create:
                with writing(folder):
                    folder.mkdir(parents=True, exist_ok=True)
            if owned and is_first():
                finish_deletions(folder, kept)
        wait_for_all("deletions are finished")
        for folder in (workdir / LATEST, workdir / BEST):
            for step in folder.glob("[0-9]*"):  # a manager reads the scores of all
                if step.name.isdecimal() and (file := find_damage(step, ("metrics",))):
                    raise UserError(f"{file}: damaged; all goes on once {step} is removed")
        self._latest = ocp.CheckpointManager(
            workdir / LATEST,
            item_handlers=handlers,
            options=checked(workdir / LATEST, create=create, max_to_keep=KEPT),
        )
        self._best = ocp.CheckpointManager(
            workdir / BEST,
            item_handlers=handlers,
            options=checked(
                workdir / BEST,
                create=create,
                max_to_keep=1,
                best_fn=lambda metrics: metrics["mAP"],
                best_mode="max",
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for manager in (self._latest, self._best):
            with self._writing(manager):
                manager.wait_until_finished()
        for manager in (self._latest, self._best):
            manager.close()

    def latest_step(self) -> int | None:
        return self._latest.latest_step()

    def save(self, state: TrainState) -> None:
        """Write in the background; does nothing where this step is already there.

        Raises `UserError` if the one before could not be written. The end of the context does the same.
        """
        step = int(state.step)
        if step not in self._latest.all_steps():
            with self._writing(self._latest):
                self._latest.save(step, args=_items(state))

    def save_best(self, state: TrainState, mean_average_precision: float) -> None:
        """Keep the state if no earlier one evaluated better. Raises as `save`."""
        step = int(state.step)
        if step not in self._best.all_steps():
            with self._writing(self._best):
                self._best.save(
                    step,
                    args=_items(state),
                    metrics={"mAP": float(mean_average_precision)},
                )

    def restore(self, state: TrainState) -> TrainState:
        """The latest state, in the shapes of `state`. Raises `UserError` if it is damaged, or of another
        model."""
        manager, step = self._find("latest")
        self._require_undamaged(manager, step, ("variables", "training"))
        if "training" not in list(manager.item_metadata(step)):  # weights alone, as an import leaves them
            return state._replace(**self.restore_variables(variables_of(state))[0])
        stored = _restore(manager, step, _items(state, ocp.args.StandardRestore))
        training = stored.training
        return TrainState(**stored.variables, **training | {"key": jax.random.wrap_key_data(training["key"])})

    def restore_variables(self, variables: dict, which: str = "latest") -> tuple[dict, int]:
        """Parameters and statistics of `latest`, `best` or a step, shaped as `variables`, and the step.

        Raises:
          UserError: there is no such checkpoint, it is damaged, or it is of another model.
        """
        manager, step = self._find(which)
        self._require_undamaged(manager, step, ("variables",))
        items = ocp.args.Composite(variables=ocp.args.StandardRestore(variables))
        return _restore(manager, step, items).variables, step

    @contextmanager
    def _writing(self, manager: ocp.CheckpointManager) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # of Python's files, of TensorStore's
            whole = [int(path.name) for path in (self.workdir / LATEST).iterdir() if path.name.isdecimal()]
            begin = f"from step {max(whole)}" if whole else "from the start"
            raise UserError(
                f"{manager.directory}: a checkpoint could not be written ({_reason(error)}); see to the "
                f"disk, then the same command goes on {begin}"
            ) from error

    def _require_undamaged(self, manager: ocp.CheckpointManager, step: int, items: tuple[str, ...]) -> None:
        """Raises `UserError`."""
        folder = Path(manager.directory) / str(step)
        if file := find_damage(folder, items):
            steps = {*self._latest.all_steps(), *self._best.all_steps()} - {step}
            others = f"name another, --checkpoint {max(steps)}" if steps else "there is no other"
            raise UserError(
                f"{file}: damaged, it is not as it was written; {others}; a training goes on without it "
                f"once {folder} is removed"
            )

    def _find(self, which: str) -> tuple[ocp.CheckpointManager, int]:
        for candidate in (self._latest, self._best):
            if which.isdecimal() and int(which) in candidate.all_steps():
                return candidate, int(which)
        if which == "latest" and not self._latest.all_steps() and self._best.all_steps():
            logger.warning("%s: no checkpoint; the best one is used instead", self._latest.directory)
            which = "best"
        manager = self._best if which == "best" else self._latest
        steps = sorted(manager.all_steps())
        if not steps:
            raise UserError(f"{manager.directory}: no checkpoint; train first, or name another --workdir")
        if which in ("latest", "best"):
            return manager, manager.best_step() if which == "best" else steps[-1]
        raise UserError(
            f"--checkpoint {which}: {manager.directory} holds steps {steps}; give latest, best or one of them"
        )


def finish_deletions(folder: Path, kept: int) -> None:
    """Remove checkpoints with missing files where there are more than `kept`.

    Orbax deletes the one that a new one replaces file by file, under its own name.
    """
    steps = [path for path in folder.glob("[0-9]*") if path.name.isdecimal()]
    if len(steps) > kept and any((step / CHECKSUMS).exists() for step in steps):
        for step in filter(is_incomplete, steps):
            shutil.rmtree(step, ignore_errors=True)


def _reason(error: Exception) -> str:
    """What the system said; TensorStore tells much besides."""
    text = str(getattr(error, "strerror", None) or error)
    code = re.search(r"os_error_code='(\d+)'", text)
    return os.strerror(int(code[1])) if code else text


def checked(folder: Path, **options) -> ocp.CheckpointManagerOptions:
    """Options of a manager of `folder` that leaves checksums with each checkpoint."""

    def before_the_renaming():
        if jax.process_index() == 0:
            for unfinished in folder.glob(f"*{UNFINISHED}"):
                write_checksums(unfinished)

    asynchronous = ocp.options.AsyncOptions(post_finalization_callback=before_the_renaming)
    return ocp.CheckpointManagerOptions(async_options=asynchronous, **options)


def _items(state: TrainState, kind: type = ocp.args.StandardSave) -> ocp.args.Composite:
    """The items of a checkpoint; a typed key becomes plain integers, since Orbax stores arrays."""
    state = state._replace(key=jax.random.key_data(state.key))
    # Orbax writes in the background, and on a CPU from the very memory of the arrays, which the next step
    # has been given to write to.
    training = jax.tree.map(jnp.copy, state)._asdict()
    variables = {name: training.pop(name) for name in ("params", "batch_stats")}
    return ocp.args.Composite(variables=kind(variables), training=kind(training))


def _restore(manager: ocp.CheckpointManager, step: int, items: ocp.args.Composite) -> ocp.args.Composite:
    """The items of a checkpoint, in the shapes of what they are to replace.

    These are compared beforehand: a restoration that fails half-way leaves reads under way that write to
    memory which others have been given since.
    """
    path = manager.directory / str(step)
    stored = manager.item_metadata(step)
    for name, item in items.items():
        wanted, there = (_shapes(tree) for tree in (item.item, stored[name].tree))
        for key in sorted(wanted.keys() | there.keys()):
            if wanted.get(key) != there.get(key):
                raise UserError(
                    f"{path}: the checkpoint does not fit the model of this config ({key} has shape "
                    f"{there.get(key)} there, {wanted.get(key)} in the model); use the config that it was "
                    "trained with, or another --workdir"
                )
    found = manager.restore(step, args=items)
    return ocp.args.Composite(**{name: jax.tree.map(jnp.copy, found[name]) for name in items})


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shape of every leaf by its path, whatever the containers are."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(_name(key)) for key in path): tuple(leaf.shape) for path, leaf in leaves}


def _name(key) -> str:
    """Name of a step of a path: Orbax turns tuples and NamedTuples into dictionaries."""
    return next(str(getattr(key, kind)) for kind in ("key", "name", "idx") if hasattr(key, kind))


def require_checkpoints(workdir: Path) -> None:
    """Raises `UserError` if the folder is not that of a run; a copy may lack one of the two folders."""
    if not any((Path(workdir) / folder).is_dir() for folder in (LATEST, BEST)):
        raise UserError(f"{workdir}: no checkpoints there; train first, or name another --workdir")


def load_detector(config: Config, workdir: Path, which: str = "latest") -> tuple[Detector, dict, int]:
    """A detector, its variables and their step from the folder of a training run.

    Its LSTS window is the smallest that holds the offsets of the checkpoint: less work, and none is lost.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or it is of another model.
    """
    require_checkpoints(workdir)
    detector = build_detector(config.model, len(config.data.class_names))
    shapes = jax.eval_shape(lambda: init_variables(detector, config))
    shapes = {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}
    with Checkpoints(workdir, create=False) as checkpoints:
        variables, step = checkpoints.restore_variables(on_own_device(shapes), which)
    if "offsets" in variables["params"]:
        window = smallest_window(variables["params"]["offsets"])
        model = replace(config.model, lsts=replace(config.model.lsts, window=window))
        detector = build_detector(model, len(config.data.class_names))
    return detector, variables, step
