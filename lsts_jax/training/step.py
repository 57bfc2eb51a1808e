"""A training step as a pure function: the three events on a triplet, the losses, the update (paper, 3.4)."""

from functools import partial

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P
from jaxtyping import Array, Float, Float32, PRNGKeyArray, PyTree

from lsts_jax.config import Config
from lsts_jax.models.detector import Detector
from lsts_jax.ops.losses import ohem_select, rfcn_losses, rpn_losses
from lsts_jax.ops.matching import anchor_targets, roi_targets
from lsts_jax.parallel import AXIS
from lsts_jax.structs import Triplet
from lsts_jax.training.optimizer import parameter_groups
from lsts_jax.training.state import TrainState

Metrics = dict[str, Float32[Array, ""]]


def triplet_feature(detector: Detector, variables: PyTree, triplet: Triplet) -> Float[Array, "h w C"]:
    """Feature that the current frame of one triplet is detected on.

    The flags choose by mask: a batch runs one program, and a still passes through the backbone alone.
    """
    call = partial(detector.apply, variables)
    size = triplet.current.size
    if detector.srfu is None and detector.dfa is None and not detector.copies_memory:
        return call(call(triplet.current, method="low"), size, method="high")
    frames = jax.tree.map(
        lambda *x: jnp.stack(x), triplet.old_key, triplet.new_key, triplet.current
    )  # as one batch: three passes of one picture are slower
    low = jax.vmap(lambda frame: call(frame, method="low"))(frames)
    high = jax.vmap(lambda x: call(x, size, method="high"))(low[:2])
    memory = high[1]
    if detector.srfu is not None:
        updated = call(high[0], memory, size, method="update").feature
        memory = jnp.where(triplet.new_is_old, high[0], updated)
    if detector.dfa is None:
        return memory
    feature = call(memory, low[2], size, method="enhance").feature
    return jnp.where(triplet.current_is_new, memory, feature)


def triplet_losses(
    detector: Detector, config: Config, variables: PyTree, key: PRNGKeyArray, triplet: Triplet
) -> tuple[Float32[Array, ""], Metrics]:
    """Sum of the four losses of one triplet, and what one watches."""
    call = partial(detector.apply, variables)
    settings = config.train.loss
    frame, truth = triplet.current, triplet.ground_truth
    feature = triplet_feature(detector, variables, triplet)

    anchor_logits, anchor_deltas = call(feature, frame.size, method="score_anchors")
    anchors = detector.anchors(*feature.shape[:2])
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

    proposals = call(anchor_logits, anchor_deltas, feature, frame.size, method="propose")
    targets = roi_targets(
        proposals.boxes, truth, positive_iou=settings.roi_positive_iou, ignore_iou=settings.ignore_iou
    )
    logits, deltas = call(feature, targets.rois, frame.size, method="classify")
    kept = ohem_select(logits, deltas, targets.labels, targets.deltas, targets.valid, rois=settings.ohem_rois)
    rfcn = rfcn_losses(logits, deltas, targets.labels, targets.deltas, kept, rois=settings.ohem_rois)

    correct = jnp.argmax(logits, axis=-1) == targets.labels
    foreground = kept & (targets.labels > 0)
    share = lambda hits, of: jnp.sum(hits & of) / jnp.maximum(jnp.sum(of), 1)
    loss = rpn[0] + rpn[1] + rfcn[0] + rfcn[1]
    return loss, {
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

    Where the loss or a gradient is not finite nothing but the step changes, and `skipped` is 1.

    Args:
      mesh: whose devices share the batch (`parallel.data_mesh`).
    """
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), len(batch.new_is_old))
    groups = parameter_groups(state.params, config.optimizer.freeze)
    each = jax.vmap(partial(triplet_losses, detector, config), in_axes=(None, 0, 0))
    if mesh is not None:  # the transpose of this sums the gradients over the devices
        rows = P(AXIS)
        each = jax.shard_map(each, mesh=mesh, in_specs=(P(), rows, rows), out_specs=rows, check_vma=False)

    def batch_loss(params):
        # Cut here, so that XLA drops the backward pass of the frozen stages.
        params = jax.tree.map(
            lambda p, group: jax.lax.stop_gradient(p) if group == "frozen" else p, params, groups
        )
        variables = {"params": params, "batch_stats": state.batch_stats}
        losses, metrics = each(variables, keys, batch)
        return jnp.sum(losses), jax.tree.map(jnp.mean, metrics)

    grads, metrics = jax.grad(batch_loss, has_aux=True)(state.params)
    updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
    params = optax.apply_updates(state.params, updates)
    grad_norm = optax.tree.norm(grads)
    finite = jnp.isfinite(metrics["loss"]) & jnp.isfinite(grad_norm)
    metrics |= {
        "grad_norm": grad_norm,
        "update_norm": optax.tree.norm(updates),
        "skipped": 1.0 - finite.astype(jnp.float32),
    }
    if "offsets" in params:
        params, projected = project_offsets(params, config.model.lsts.window)
        metrics |= {
            "offset_grad_norm": optax.tree.norm(grads["offsets"]),
            "offset_update_norm": optax.tree.norm(updates["offsets"]),
            "offset_spread": jnp.mean(jnp.linalg.norm(params["offsets"], axis=-1)),
            "offsets_projected": projected,
        }
    after = state._replace(params=params, optimizer=optimizer_state)
    state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), after, state)
    return state._replace(step=state.step + 1), metrics


def project_offsets(params: PyTree, window: int) -> tuple[PyTree, Float32[Array, ""]]:
    """Bring offsets back into [-window, window), beyond which the factorised form is blind.

    A projection after the update keeps their gradient alive, which clipping in the forward pass would not.
    Returns the parameters and how many coordinates were moved.
    """
    offsets = params["offsets"]
    inside = jnp.clip(offsets, -window, window - 1e-3)
    return {**params, "offsets": inside}, jnp.sum(inside != offsets).astype(jnp.float32)
