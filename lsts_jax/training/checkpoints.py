"""Checkpoints in WORKDIR/checkpoints (the latest) and WORKDIR/best (the highest mAP), by Orbax.

Orbax writes beside the target and renames: a killed process leaves a temporary folder that is never read.
"""

from pathlib import Path

import jax
import orbax.checkpoint as ocp

from lsts_jax.errors import UserError
from lsts_jax.training.state import TrainState

LATEST, BEST = "checkpoints", "best"
KEPT = 2


class Checkpoints:
    """The checkpoints of one run; use as a context manager, which waits for the writing to end."""

    def __init__(self, workdir: Path):
        workdir = Path(workdir).absolute()
        self.workdir = workdir
        self._latest = ocp.CheckpointManager(
            workdir / LATEST, options=ocp.CheckpointManagerOptions(max_to_keep=KEPT)
        )
        self._best = ocp.CheckpointManager(
            workdir / BEST,
            options=ocp.CheckpointManagerOptions(
                max_to_keep=1, best_fn=lambda metrics: metrics["mAP"], best_mode="max"
            ),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for manager in (self._latest, self._best):
            manager.wait_until_finished()
            manager.close()

    def latest_step(self) -> int | None:
        return self._latest.latest_step()

    def save(self, state: TrainState) -> None:
        """Write in the background; does nothing where this step is already there."""
        step = int(state.step)
        if step not in self._latest.all_steps():
            self._latest.save(step, args=ocp.args.StandardSave(_storable(state)))

    def save_best(self, state: TrainState, mean_average_precision: float) -> None:
        """Keep the state if no earlier one evaluated better."""
        step = int(state.step)
        if step not in self._best.all_steps():
            self._best.save(
                step,
                args=ocp.args.StandardSave(_storable(state)),
                metrics={"mAP": float(mean_average_precision)},
            )

    def restore(self, state: TrainState, which: str = "latest") -> TrainState:
        """The state `latest`, `best` or of a step, in the shapes of `state`.

        Raises:
          UserError: there is no such checkpoint, or it belongs to another model.
        """
        manager, step = self._find(which)
        try:
            stored = manager.restore(step, args=ocp.args.StandardRestore(_storable(state)))
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{manager.directory / str(step)}: the checkpoint does not fit the model of this config "
                f"({_first_line(error)}); use the config that it was trained with, or another --workdir"
            ) from error
        return stored._replace(key=jax.random.wrap_key_data(stored.key))

    def _find(self, which: str) -> tuple[ocp.CheckpointManager, int]:
        manager = self._best if which == "best" else self._latest
        steps = sorted(manager.all_steps())
        if not steps:
            raise UserError(f"{manager.directory}: no checkpoint; train first, or name another --workdir")
        if which in ("latest", "best"):
            return manager, steps[-1]
        for candidate in (self._latest, self._best):
            if which.isdecimal() and int(which) in candidate.all_steps():
                return candidate, int(which)
        raise UserError(
            f"--checkpoint {which}: {manager.directory} holds steps {steps}; give latest, best or one of them"
        )


def _storable(state: TrainState) -> TrainState:
    """Typed keys as plain integers: Orbax stores arrays."""
    return state._replace(key=jax.random.key_data(state.key))


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]
