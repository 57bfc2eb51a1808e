"""Reading the checkpoints of a run, without changes to its folder.

WORKDIR/checkpoints/STEP is the latest checkpoint, WORKDIR/best/STEP the one of the highest mAP;
either folder is enough. A checkpoint has two items: `variables`, which detection needs, and
`training`, the rest of the state. A training run may replace checkpoints at any time; the reader
then starts again.
"""

import json
import logging
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from orbax.checkpoint import v1 as ocp

from lsts_jax.config import Config
from lsts_jax.errors import UserError
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.parallel import on_own_device
from lsts_jax.training.checksums import find_damage
from lsts_jax.training.state import init_variables

logger = logging.getLogger(__name__)

LATEST, BEST = "checkpoints", "best"
METRICS = "metrics/metrics"
"""File with the mAP of a checkpoint in best/."""
REPLACED = ".replaced"
"""Ending of the name of a checkpoint that is being replaced."""
ATTEMPTS = 10
"""Attempts to read a folder whose checkpoints are being replaced."""
PATIENCE = 60.0
"""Seconds to wait for the best checkpoint while it is being replaced."""


def steps_in(folder: Path) -> list[int]:
    """Steps of the checkpoints in a folder, in order; empty if the folder does not exist."""
    return sorted(int(path.name) for path in folder.glob("[0-9]*") if path.name.isdecimal())


def score_of(checkpoint: Path) -> float:
    """mAP of a checkpoint in best/. Raises `UserError` if the file is damaged, `FileNotFoundError` if it does
    not exist."""
    file = checkpoint / METRICS
    try:
        text = file.read_text()
        if find_damage(checkpoint, ("metrics",)) is None:
            return float(json.loads(text)["mAP"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        pass
    raise UserError(f"{file}: damaged; remove {checkpoint} to use the others")


def best_step(workdir: Path) -> int | None:
    """Step of the highest mAP in best/; the last one if several are equal. Raises as `score_of`."""
    scores = {step: score_of(workdir / BEST / str(step)) for step in steps_in(workdir / BEST)}
    return max(scores, key=lambda step: (scores[step], step), default=None)


def find_checkpoint(workdir: Path, which: str) -> Path:
    """The folder of checkpoint `which`: latest, best or a step. If only best/ was
    copied, the latest is in it.

    Raises `UserError` if there is none.
    """
    require_checkpoints(workdir)
    steps = {kind: steps_in(workdir / kind) for kind in (LATEST, BEST)}
    if which == "best" and steps[BEST]:
        return workdir / BEST / str(best_step(workdir))
    for kind in (LATEST, BEST):
        if which == "latest" and steps[kind]:
            if kind == BEST:
                logger.warning("%s: no checkpoint; using the best one", workdir / LATEST)
            return workdir / kind / str(steps[kind][-1])
        if which.isdecimal() and int(which) in steps[kind]:
            return workdir / kind / str(int(which))
    there = "; ".join(f"{workdir / kind} has {steps[kind] or 'none'}" for kind in steps)
    raise UserError(f"--checkpoint {which}: does not exist; {there}; name latest, best or one of these steps")


def restore_item(checkpoint: Path, name: str, wanted: PyTree) -> PyTree:
    """Restores an item of a checkpoint in the shapes of `wanted`.

    Raises `UserError` if it is damaged or belongs to another model.
    """
    require_undamaged(checkpoint, (name,))
    # Compared beforehand: if a restoration fails half-way, its remaining reads still write to memory that may
    # belong to other arrays by then.
    there, needed = _shapes(ocp.metadata(str(checkpoint), name).metadata), _shapes(wanted)
    for key in sorted(needed.keys() | there.keys()):
        if needed.get(key) != there.get(key):
            raise UserError(
                f"{checkpoint}: the checkpoint does not fit the model of this config ({key} has shape "
                f"{there.get(key)} there, {needed.get(key)} in the model); use the config that it was "
                "trained with, or another --workdir"
            )
    found = ocp.load(str(checkpoint), wanted, checkpointable_name=name)
    return jax.tree.map(jnp.copy, found)


def require_undamaged(checkpoint: Path, items: Collection[str]) -> None:
    """Raises `UserError` naming the first file of the items that was changed after it was written."""
    if file := find_damage(checkpoint, items):
        workdir = checkpoint.parents[1]
        steps = {*steps_in(workdir / LATEST), *steps_in(workdir / BEST)} - {int(checkpoint.name)}
        others = f"name another, --checkpoint {max(steps)}" if steps else "there is no other"
        raise UserError(
            f"{file}: damaged, changed after it was written; {others}; to continue the training without it, "
            f"remove {checkpoint}"
        )


def read_variables(workdir: Path, wanted: dict, which: str = "latest") -> tuple[dict, int]:
    """Parameters and statistics of checkpoint `which` (latest, best or a step), shaped as `wanted`, and its
    step.

    Raises `UserError` if there is no such checkpoint, it is damaged, or it is of another model.
    """
    workdir = Path(workdir).absolute()
    for _ in range(ATTEMPTS):
        checkpoint = before = None
        if which == "best":
            _wait_for_best(workdir)
        listing = _listing(workdir)
        try:
            checkpoint = find_checkpoint(workdir, which)
            before = checkpoint.stat().st_ino
            return restore_item(checkpoint, "variables", wanted), int(checkpoint.name)
        except FileNotFoundError:
            if checkpoint is not None and _is_there(checkpoint, before):
                raise
        except Exception:
            # Checkpoints are replaced as a whole: if this one still exists, the error is its own.
            if _listing(workdir) == listing if checkpoint is None else _is_there(checkpoint, before):
                raise
    raise UserError(
        f"{workdir}: checkpoints were replaced during {ATTEMPTS} attempts to read them; try again"
    )


def _wait_for_best(workdir: Path) -> None:
    """Returns once best/ has a checkpoint, or no process seems to be replacing one."""
    folder, end = workdir / BEST, time.monotonic() + PATIENCE
    while not steps_in(folder) and any(folder.glob(f"*{REPLACED}")) and time.monotonic() < end:
        time.sleep(0.1)


def _listing(workdir: Path) -> list[tuple[str, int]]:
    """Path and inode of every checkpoint of a run."""
    found = []
    for checkpoint in (
        workdir / kind / str(step) for kind in (LATEST, BEST) for step in steps_in(workdir / kind)
    ):
        with suppress(FileNotFoundError):
            found.append((str(checkpoint), checkpoint.stat().st_ino))
    return found


def _is_there(checkpoint: Path, inode: int | None) -> bool:
    """True if the folder still has this inode, that is, was not replaced."""
    try:
        return checkpoint.stat().st_ino == inode
    except FileNotFoundError:
        return False


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    """Shape of every leaf by its path, for any containers."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(_name(key)) for key in path): tuple(leaf.shape) for path, leaf in leaves}


def _name(key) -> str:
    """Name of one part of a path: Orbax turns tuples and NamedTuples into dictionaries."""
    return next(str(getattr(key, kind)) for kind in ("key", "name", "idx") if hasattr(key, kind))


def require_checkpoints(workdir: Path) -> None:
    """Raises `UserError` if the folder does not belong to a run."""
    if not any(steps_in(Path(workdir) / kind) for kind in (LATEST, BEST)):
        raise UserError(f"{workdir}: no checkpoints there; train first, or name another --workdir")


def load_detector(config: Config, workdir: Path, which: str = "latest") -> tuple[Detector, dict, int]:
    """Loads a detector, its variables and their step from the folder of a training run.

    The temporal method is the version for inference: equal results at less cost.

    Raises:
      UserError: there is no such checkpoint, it is damaged, or it is of another model.
    """
    require_checkpoints(workdir)
    detector = build_detector(config.model, len(config.data.class_names))
    shapes = jax.eval_shape(lambda: init_variables(detector, config))
    shapes = {"params": shapes["params"], "batch_stats": shapes.get("batch_stats", {})}
    variables, step = read_variables(workdir, on_own_device(shapes), which)
    temporal = detector.temporal.for_test(variables["params"])
    return detector.clone(temporal=temporal), variables, step
