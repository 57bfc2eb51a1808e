"""Checks that a command continues the run in a folder and does not turn it into another run."""

from pathlib import Path
from typing import Any

from lsts_jax.config import Config
from lsts_jax.config_checks import leaves
from lsts_jax.config_io import load_saved_config, method_identity
from lsts_jax.errors import UserError
from lsts_jax.training.checkpoints import LATEST, steps_in

MAY_CHANGE = (
    "data.root",
    "data.format",
    "data.val_lists",
    "data.workers",
    "data.max_bad_share",
    "data.max_objects",
    "model.backbone.remat",
    "model.dtype",
    "model.detections",
    "model.proposals",
    "model.lsts.implementation",
    "model.lsts.window",
    "model.lsts.learn_offsets",
    "model.lsts.offset_rate",
    "model.lsts.alignment_rate",
    "model.lsts.quality_rate",
    "optimizer.learning_rate",
    "optimizer.momentum",
    "optimizer.weight_decay",
    "optimizer.drop_epochs",
    "optimizer.warmup_steps",
    "train.epochs",
    "train.log_every",
    "train.checkpoint_every",
    "train.evaluate_every",
    "train.max_skipped",
    "train.pretrained",
    "train.parameters",
    "train.loss",
    "evaluation",
)
"""Fields, and groups of fields, that may differ when a run continues. All other fields determine the meaning
of the weights, or the batch of a step."""
OF_THE_WEIGHTS = ("model", "data.class_names", "data.short_side", "data.long_side")
"""Fields that determine only the meaning of the weights, before the first step."""


def require_same_run(config: Config, workdir: Path) -> None:
    """Raises `UserError` naming the first field that differs from the folder's run and would change the
    meaning of its checkpoints. A folder without checkpoints passes."""
    steps, file = steps_in(Path(workdir) / LATEST), Path(workdir) / "config.json"
    if not steps or not file.exists():
        return
    stored, wanted = (dict(leaves(each)) for each in (load_saved_config(file), config))
    for name in wanted:
        if stored.get(name) == wanted[name] or _is_of(name, MAY_CHANGE):
            continue
        if name == "model.temporal" and method_identity(stored[name]) == method_identity(wanted[name]):
            continue
        if steps[-1] or _is_of(name, OF_THE_WEIGHTS):
            raise UserError(
                f"{file}: the run has {_difference(name, stored.get(name), wanted[name])}; go on with its "
                f"value, or name another --workdir, with --config.train.pretrained {workdir} for its weights"
            )


def _is_of(name: str, groups: tuple[str, ...]) -> bool:
    return any(name == group or name.startswith(f"{group}.") for group in groups)


def _difference(name: str, stored: Any, wanted: Any) -> str:
    if isinstance(stored, tuple) and isinstance(wanted, tuple):
        if len(stored) != len(wanted):
            return f"{len(stored)} values in config.{name}, this command {len(wanted)}"
        place = next(i for i, (old, new) in enumerate(zip(stored, wanted, strict=True)) if old != new)
        return f"config.{name}[{place}] = {stored[place]!r}, this command {wanted[place]!r}"
    return f"config.{name} = {stored!r}, this command {wanted!r}"
