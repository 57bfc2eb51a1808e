"""Training in a folder, from initial weights or from the last checkpoint of the run."""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

import jax
import optax
from jax.sharding import Mesh

from lsts_jax.compiling import jit_training
from lsts_jax.config import Config
from lsts_jax.config_io import save_config
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.parallel import data_mesh, is_first, place, spread_batch, whole_copy
from lsts_jax.structs import Triplet
from lsts_jax.training.bad_log import BadSampleLog
from lsts_jax.training.interruption import Interruption
from lsts_jax.training.metrics_log import MetricsLog
from lsts_jax.training.optimizer import build_optimizer, learning_rate
from lsts_jax.training.pretrained import load_pretrained
from lsts_jax.training.run import Loader, Run
from lsts_jax.training.same_run import require_same_run
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.skipped import SkippedSteps
from lsts_jax.training.state import TrainState, init_state, init_variables, variables_of
from lsts_jax.training.step import Metrics, train_step

logger = logging.getLogger(__name__)

Evaluate = Callable[[Detector, dict, int], dict]


def train(config: Config, workdir: Path, loader: Loader, evaluate: Evaluate) -> TrainState:
    """Trains to the end of the last epoch, in a folder that the caller has locked (`only_process`).

    Args:
      loader: source of the batches; with several processes, of this process's rows (`parallel.own_rows`).
      evaluate: (detector, variables, step) -> metrics with "mAP"; called every `train.evaluate_every` steps
        and at the end.

    Raises:
      UserError: the folder belongs to a run with other settings (nothing in it is changed), or the loss was
        not finite `train.max_skipped` times in a row (the batch is saved, the last checkpoint kept).
      Stopped: SIGTERM or SIGINT; the state is saved.
    """
    require_same_run(config, workdir)
    settings, mesh = config.train, data_mesh(config.train.batch_size)
    if mesh.size < jax.device_count():
        logger.warning(
            "config.train.batch_size %d uses %d of %d devices; give a multiple of their number",
            settings.batch_size, mesh.size, jax.device_count(),
        )  # fmt: skip
    num_steps = max(1, int(settings.epochs * loader.steps_per_epoch))
    with Interruption() as interruption, Checkpoints(workdir) as checkpoints:
        detector, optimizer, state = restore_or_init(config, loader.steps_per_epoch, checkpoints, mesh)
        if is_first():
            save_config(config, Path(workdir) / "config.json")
        first = int(state.step)
        if 0 < first < num_steps:
            logger.info("%s: continuing from step %d of %d", workdir, first, num_steps)
        elif first:
            logger.info("%s: training is complete, step %d of %d is done", workdir, first, num_steps)
        with MetricsLog(workdir, first) as log:
            earlier = int(log.last("skipped_steps") or 0)
            run = Run(
                settings=settings,
                num_steps=num_steps,
                loader=loader,
                step=compiled_step(detector, optimizer, config, mesh, state),
                evaluate=lambda state: evaluate(
                    detector, whole_copy(variables_of(state), mesh), int(state.step)
                ),
                rate=learning_rate(config.optimizer, loader.steps_per_epoch),
                checkpoints=checkpoints,
                log=log,
                skipped=SkippedSteps(loader, settings.max_skipped, workdir, earlier),
                bad_log=BadSampleLog(workdir, loader.bad, loader.name_of, first),
                interruption=interruption,
            )
            return run.to_the_end(state)


def restore_or_init(
    config: Config, steps_per_epoch: int, checkpoints: Checkpoints, mesh: Mesh
) -> tuple[Detector, optax.GradientTransformation, TrainState]:
    """The state of the last checkpoint, or the initial state of the seed, on the devices of a mesh."""
    detector = build_detector(config.model, len(config.data.class_names))
    optimizer = build_optimizer(config.optimizer, steps_per_epoch, detector.temporal)
    variables = init_variables(detector, config)
    if config.train.pretrained and checkpoints.latest_step() is None:
        variables = load_pretrained(
            variables, config.train.pretrained, config.model.backbone, config.data.class_names
        )
    state = init_state(detector, optimizer, variables, config.seed)
    state = place(state, mesh, config.train.parameters)
    if checkpoints.latest_step() is not None:
        state = checkpoints.restore(state)
    return detector, optimizer, state


def compiled_step(
    detector: Detector,
    optimizer: optax.GradientTransformation,
    config: Config,
    mesh: Mesh,
    state: TrainState,
) -> Callable[[TrainState, Triplet], tuple[TrainState, Metrics]]:
    """`train_step`, compiled, on this process's rows of a batch. The new state has the sharding of `state`
    and reuses its memory."""
    # with jax_debug_nans a step is done again, operation by operation, from the same arguments
    # JAX makes the attributes of its config while it runs
    donated = () if jax.config.jax_debug_nans else (0,)  # pyright: ignore[reportAttributeAccessIssue]
    step = jit_training(
        partial(train_step, detector, optimizer, config, mesh=mesh),
        donate_argnums=donated,
        out_shardings=(jax.tree.map(lambda x: x.sharding, state), None),
    )
    return lambda state, rows: step(state, spread_batch(rows, mesh))
