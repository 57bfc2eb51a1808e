"""A training step as a pure function: the three events on a triplet, the losses, the update (paper, 3.4)."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float32, PRNGKeyArray, PyTree

from lsts_jax.config import Config
from lsts_jax.models.detector import Detector
from lsts_jax.models.folding import fold
from lsts_jax.models.temporal.protocol import FROZEN
from lsts_jax.ops.losses import ohem_select, rfcn_losses, rpn_losses
from lsts_jax.ops.matching import anchor_targets, roi_targets
from lsts_jax.parallel import AXIS
from lsts_jax.structs import Triplet
from lsts_jax.training.optimizer import parameter_groups
from lsts_jax.training.state import TrainState

Metrics = dict[str, Float32[Array, ""]]


def triplet_losses(
    detector: Detector, config: Config, variables: PyTree, key: PRNGKeyArray, triplet: Triplet
) -> tuple[Float32[Array, ""], Metrics]:
    """Total loss of one triplet (the four losses of the detector and that of the temporal method),
    and the metrics to log."""
    bound = detector.bind(variables)
    settings = config.train.loss
    frame, truth = triplet.current, triplet.ground_truth
    feature, method_loss = bound.on_triplet(triplet)
    cells = feature.shape[0], feature.shape[1]

    anchor_logits, anchor_deltas = bound.rpn(feature, frame.size)
    anchors = bound.rpn.anchors(*cells)
    anchor_labels, anchor_goals = anchor_targets(
        key,
        anchors,
        truth,
        frame.size,
        batch=settings.anchor_batch,
        positive_fraction=settings.anchor_positive_fraction,
        positive_iou=settings.anchor_positive_iou,
        negative_iou=settings.anchor_negative_iou,
        ignore_iou=settings.ignore_iou,
    )
    rpn = rpn_losses(anchor_logits, anchor_deltas, anchor_labels, anchor_goals, batch=settings.anchor_batch)

    proposals = bound.rpn.propose(anchor_logits, anchor_deltas, cells, frame.size)
    targets = roi_targets(
        proposals.boxes, truth, positive_iou=settings.roi_positive_iou, ignore_iou=settings.ignore_iou
    )
    logits, deltas = bound.rfcn(feature, targets.rois, frame.size)
    kept = ohem_select(logits, deltas, targets.labels, targets.deltas, targets.valid, rois=settings.ohem_rois)
    rfcn = rfcn_losses(logits, deltas, targets.labels, targets.deltas, kept, rois=settings.ohem_rois)

    correct = jnp.argmax(logits, axis=-1) == targets.labels
    foreground = kept & (targets.labels > 0)
    share = lambda hits, of: jnp.sum(hits & of) / jnp.maximum(jnp.sum(of), 1)
    loss = rpn[0] + rpn[1] + rfcn[0] + rfcn[1]
    own = {}
    if method_loss is not None:
        loss, own = loss + method_loss, {"method_loss": method_loss}
    return loss, own | {
        "loss": loss,
        "rpn_class_loss": rpn[0],
        "rpn_box_loss": rpn[1],
        "rfcn_class_loss": rfcn[0],
        "rfcn_box_loss": rfcn[1],
        "rpn_accuracy": share(
            (anchor_logits[:, 1] > anchor_logits[:, 0]) == (anchor_labels == 1), anchor_labels >= 0
        ),
        "rfcn_accuracy": share(correct, kept),
        "rfcn_foreground_accuracy": share(correct, foreground),
        "foreground_rois": jnp.sum(foreground).astype(jnp.float32),
    }


def norm(tree: PyTree) -> Float32[Array, ""]:
    """Euclidean norm of all numbers of a tree.

    A GPU concatenates them first: one reduction per leaf would be hundreds of launches. A CPU does
    not, since it would only pay for the copy.
    """
    joined = lambda leaves: jnp.linalg.norm(jnp.concatenate([leaf.ravel() for leaf in leaves]))
    leaves = jax.tree.leaves(tree)
    return lax.platform_dependent(leaves, cuda=joined, rocm=joined, default=optax.tree.norm)


def train_step(
    detector: Detector,
    optimizer: optax.GradientTransformation,
    config: Config,
    state: TrainState,
    batch: Triplet,
    *,
    mesh: Mesh | None = None,
) -> tuple[TrainState, Metrics]:
    """One update on a batch [B ...]; gradients are summed over it, metrics are means.

    If the loss or a gradient is not finite, only the step counter changes, and `skipped` is 1.

    Args:
      mesh: devices that share the batch (`parallel.data_mesh`).
    """
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), len(batch.new_is_old))
    each = jax.vmap(partial(triplet_losses, detector, config), in_axes=(None, 0, 0))
    if mesh is not None:  # the transpose of this sums the gradients over the devices
        rows = P(AXIS)
        each = jax.shard_map(each, mesh=mesh, in_specs=(P(), rows, rows), out_specs=rows, check_vma=False)

    def held(params):  # cut here, so that XLA drops the backward pass of the frozen stages
        groups = parameter_groups(params, config.optimizer.freeze, detector.temporal)
        return jax.tree.map(lambda p, group: lax.stop_gradient(p) if group == FROZEN else p, params, groups)

    def batch_loss(params):
        variables = {"params": held(params), "batch_stats": state.batch_stats}
        folded = fold(variables, config.model.backbone.norm_epsilon)["params"]
        # again: scales of frozen and of trained stages are computed together
        variables = {"params": held(folded)}
        losses, metrics = each(variables, keys, batch)
        return jnp.sum(losses), jax.tree.map(jnp.mean, metrics)

    grads, metrics = jax.grad(batch_loss, has_aux=True)(state.params)
    updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    grad_norm = norm(grads)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(grad_norm)
    metrics |= {
        "grad_norm": grad_norm,
        "update_norm": norm(updates),
        "skipped": 1.0 - finite.astype(jnp.float32),
    }
    params, watched = detector.temporal.after_update(params, grads, updates)
    metrics |= watched
    after = state._replace(params=params, optimizer=optimizer_state)
    state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
    return state._replace(step=state.step + 1), metrics
