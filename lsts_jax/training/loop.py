"""The training run: load, step, log, save, evaluate, and go on from where an earlier run stopped."""

import json
import logging
import math
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

import jax
import numpy as np
import optax
from jax.sharding import Mesh
from tqdm import tqdm

from lsts_jax.config import Config
from lsts_jax.errors import Stopped, UserError, writing
from lsts_jax.files import write_whole
from lsts_jax.models.detector import Detector, build_detector
from lsts_jax.parallel import (
    data_mesh,
    is_first,
    largest_of_all,
    place,
    spread_batch,
    whole_copy,
)
from lsts_jax.structs import Triplet
from lsts_jax.training.interruption import Interruption, only_process
from lsts_jax.training.optimizer import build_optimizer, learning_rate
from lsts_jax.training.pretrained import load_pretrained
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import TrainState, init_state, init_variables, variables_of
from lsts_jax.training.step import Metrics, train_step

logger = logging.getLogger(__name__)


@runtime_checkable
class Loader(Protocol):
    """Batches as a function of the step."""

    steps_per_epoch: int
    bad_samples: int  # that could not be read so far

    def make_batch(self, step: int) -> Triplet: ...

    def names(self, step: int) -> list[str]: ...

    def iterate(self, start_step: int, num_steps: int) -> Iterator[Triplet]: ...


Evaluate = Callable[[Detector, dict], dict]


def restore_or_init(
    config: Config, steps_per_epoch: int, checkpoints: Checkpoints, mesh: Mesh
) -> tuple[Detector, optax.GradientTransformation, TrainState]:
    """The state of the last checkpoint, or that of the seed, on the devices of a mesh."""
    detector = build_detector(config.model, len(config.data.class_names))
    optimizer = build_optimizer(config.optimizer, steps_per_epoch)
    variables = init_variables(detector, config)
    if config.train.pretrained and checkpoints.latest_step() is None:
        variables = load_pretrained(variables, config.train.pretrained, config.model.backbone)
    state = init_state(detector, optimizer, variables, config.seed)
    state = place(state, mesh, config.train.parameters)
    if checkpoints.latest_step() is not None:
        state = checkpoints.restore(state)
    return detector, optimizer, state


def train(config: Config, workdir: Path, loader: Loader, evaluate: Evaluate) -> TrainState:
    """Train to the end of the last epoch.

    Args:
      loader: where the batches come from; of several processes each has its rows of them
        (`parallel.own_rows`).
      evaluate: (detector, variables) -> metrics with "mAP"; called every `train.evaluate_every` steps and
        at the end.

    Raises:
      UserError: the loss was not finite `train.max_skipped` times in a row; its batch is saved, and the last
        checkpoint kept. Or another process trains in the folder.
      Stopped: SIGTERM or SIGINT; the state is saved.
    """
    settings = config.train
    num_steps = max(1, int(settings.epochs * loader.steps_per_epoch))
    mesh = data_mesh(settings.batch_size)
    if mesh.size < jax.device_count():
        logger.warning(
            "config.train.batch_size %d keeps %d of %d devices busy; give a multiple of their number",
            settings.batch_size, mesh.size, jax.device_count(),
        )  # fmt: skip
    with (
        only_process(workdir) if is_first() else nullcontext(),
        Interruption() as interruption,
        Checkpoints(workdir) as checkpoints,
        MetricsLog(workdir) as log,
    ):
        detector, optimizer, state = restore_or_init(config, loader.steps_per_epoch, checkpoints, mesh)
        first = int(state.step)
        log.cut_back(first)
        if first:
            logger.info("%s: going on from step %d of %d", workdir, first, num_steps)
        # with jax_debug_nans a step is done again, operation by operation, from the same arguments
        donated = () if jax.config.jax_debug_nans else (0,)
        step_fn = jax.jit(
            partial(train_step, detector, optimizer, config, mesh=mesh),
            donate_argnums=donated,
            out_shardings=(jax.tree.map(lambda x: x.sharding, state), None),
        )
        rate = learning_rate(config.optimizer, loader.steps_per_epoch)

        def due(step, every):
            return step >= num_steps or (every > 0 and step % every == 0)

        def score(step, state):
            found = evaluate(detector, whole_copy(variables_of(state), mesh))
            checkpoints.save_best(state, found["mAP"])
            log.write({"step": step, "mAP": found["mAP"]})

        if first and due(first, settings.evaluate_every) and not log.has_evaluation(first):
            score(first, state)  # the earlier run was stopped between its checkpoint and this
        if first >= num_steps:
            return state
        clock, counted = time.perf_counter(), first
        watch = SkippedSteps(loader, settings.max_skipped, workdir)
        unchecked = []
        with tqdm(total=num_steps, initial=first, unit="step", dynamic_ncols=True) as bar:
            for step, batch in enumerate(loader.iterate(first, num_steps - first), first + 1):
                state, metrics = step_fn(state, spread_batch(batch, mesh))
                bar.update()
                unchecked.append((step, metrics))
                save, look = due(step, settings.checkpoint_every), due(step, settings.evaluate_every)
                log_now = due(step, settings.log_every)
                stop = interruption.signal
                if jax.process_count() > 1:  # all have to stop at the same step, and agreeing takes a while
                    stop = largest_of_all(stop or 0) if log_now else 0
                if stop or save or look or log_now or step == 1:
                    # Only here does the host wait for the device.
                    metrics = watch.check(unchecked)
                    unchecked.clear()
                    now = time.perf_counter()
                    speed = (step - counted) * settings.batch_size / max(now - clock, 1e-9)
                    clock, counted = now, step
                    log.write(
                        {
                            "step": step,
                            "learning_rate": float(rate(step - 1)),
                            "images_per_second": speed,
                            "bad_samples": loader.bad_samples,
                            "skipped_steps": watch.count,
                        }
                        | metrics
                    )
                    bar.set_postfix(
                        loss=f"{metrics['loss']:.3f}",
                        accuracy=f"{metrics['rfcn_foreground_accuracy']:.2f}",
                        images=f"{speed:.1f}/s",
                        refresh=False,
                    )
                if save or stop:
                    checkpoints.save(state)
                if stop:
                    name = signal.Signals(stop).name
                    raise Stopped(stop, f"{name}: saved step {step} of {num_steps}; the same command goes on")
                if look:
                    bar.refresh()  # which may lag behind, and this takes a while
                    score(step, state)
    return state


class SkippedSteps:
    """Counts the updates that were skipped because they were not finite, and ends a run of too many."""

    def __init__(self, loader: Loader, most: int, workdir: Path):
        self.count = 0
        self._in_a_row, self._loader, self._most, self._workdir = 0, loader, most, Path(workdir)

    def check(self, steps: list[tuple[int, Metrics]]) -> dict[str, float]:
        """The metrics of the last of these steps as numbers.

        Raises `UserError` naming the step, what was not finite, and the files of the batch, which it saves.
        """
        for step, metrics in jax.device_get(steps):
            metrics = {name: float(value) for name, value in metrics.items()}
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
        leaves = jax.tree_util.tree_leaves_with_path(self._loader.make_batch(step - 1))
        np.savez_compressed(
            file, **{jax.tree_util.keystr(path, simple=True, separator="."): x for path, x in leaves}
        )
        return (
            f"{about}, and was {self._in_a_row} times in a row; it was on "
            f"{', '.join(self._loader.names(step - 1))}, the batch is in {file}; lower "
            "--config.optimizer.learning_rate, or find the operation with --debug_nans True"
        )


class MetricsLog:
    """WORKDIR/metrics.jsonl, one object a line, and the same for TensorBoard where tensorboardX is there.

    Of several processes the first writes.
    """

    def __init__(self, workdir: Path):
        self.path = Path(workdir) / "metrics.jsonl"
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._board = None
        if not is_first():
            return
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            logger.info("no TensorBoard files: pip install tensorboardX to have them")
        else:
            self._board = SummaryWriter(str(Path(workdir) / "tensorboard"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._board:
            self._board.close()

    def cut_back(self, step: int) -> None:
        """Forget what was logged after `step`: those steps are about to be done again."""
        if self.path.exists() and is_first():
            with write_whole(self.path) as part:
                lines = self.path.read_text(errors="replace").splitlines()
                part.write_text("".join(line + "\n" for line in lines if _step_of(line) <= step))

    def has_evaluation(self, step: int) -> bool:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return any(_step_of(line) == step and '"mAP"' in line for line in lines)

    def write(self, values: dict) -> None:
        if not is_first():
            return
        finite = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with writing(self.path), self.path.open("a") as file:
            file.write(json.dumps(finite) + "\n")
        if self._board:
            for name, value in values.items():
                if name != "step":
                    self._board.add_scalar(name, value, values["step"])


def _step_of(line: str) -> float:
    """Step of a line; infinite for one that a killed process left unfinished, or that is damaged."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf
