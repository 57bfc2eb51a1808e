"""R-FCN: position-sensitive score maps, pooled and averaged for each region (Dai et al. 2016).

Deviation from the authors' file format: their class-agnostic box head also predicts a background box, whose
weight in the loss is always zero; this head does not.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Float32, Int32

from lsts_jax.models.layers import NEW_LAYER, Conv
from lsts_jax.ops.boxes import ROI_DEVIATIONS, decode
from lsts_jax.ops.canvas import size_at_stride
from lsts_jax.ops.deform_psroi_pool import deform_psroi_pool
from lsts_jax.ops.detections import select_detections
from lsts_jax.ops.psroi_pool import psroi_pool
from lsts_jax.structs import STRIDE, Detections, Frame

POOL = 7


class RFCN(nn.Module):
    """Reads the last half of the feature."""

    num_classes: int
    score_threshold: float
    nms_threshold: float
    max_detections: int
    dtype: DTypeLike
    deformable: bool = False
    """Every bin of a region moves by an offset, which is pooled from maps of its own: one for each class, and
    one for the boxes. Offsets start at zero."""

    @nn.compact
    def __call__(
        self, feature: Float[Array, "h w C"], rois: Float32[Array, "R 4"], size: Int32[Array, "2"]
    ) -> tuple[Float32[Array, "R N1"], Float32[Array, "R 4"]]:
        """Class logits (background first) and class-agnostic box deltas (divided by their deviations).

        Args: rois in pixels, size (height, width) of the picture in pixels.
        """

        def score_maps(channels, name, kernel_init=NEW_LAYER, dtype=self.dtype):
            conv = Conv(POOL * POOL * channels, 1, kernel_init=kernel_init, dtype=dtype, name=name)
            maps = conv(x, size_at_stride(size, STRIDE))
            return maps.reshape(*maps.shape[:2], POOL, POOL, channels).astype(jnp.float32)

        def pool_moved(maps, offset_maps):
            still = jnp.zeros((len(rois), POOL, POOL, 1, 2))
            offsets = deform_psroi_pool(offset_maps, rois, still, size=size, stride=STRIDE)
            offsets = offsets.reshape(*offsets.shape[:3], -1, 2)
            return deform_psroi_pool(maps, rois, offsets, size=size, stride=STRIDE)

        x = feature[..., feature.shape[-1] // 2 :]
        classes = self.num_classes + 1
        maps = score_maps(classes, "classes"), score_maps(4, "boxes")
        if self.deformable:
            zeros = nn.initializers.zeros
            offset_maps = (
                score_maps(2 * classes, "class_offsets", zeros, jnp.float32),
                score_maps(2, "box_offsets", zeros, jnp.float32),
            )
            pooled = jnp.concatenate([*map(pool_moved, maps, offset_maps)], axis=-1)
        else:
            pooled = psroi_pool(jnp.concatenate(maps, axis=-1), rois, size=size, stride=STRIDE)
        votes = jnp.mean(pooled, axis=(1, 2))
        return votes[:, :classes], votes[:, classes:]

    def detect(self, feature: Float[Array, "h w C"], rois: Float32[Array, "R 4"], frame: Frame) -> Detections:
        """Detections after per-class NMS, with refined boxes in pixels of the original picture."""
        logits, deltas = self(feature, rois, frame.size)
        return select_detections(
            decode(rois, deltas * jnp.array(ROI_DEVIATIONS)[None]),
            jax.nn.softmax(logits),
            size=frame.size,
            scale=frame.scale,
            score_threshold=self.score_threshold,
            nms_threshold=self.nms_threshold,
            max_detections=self.max_detections,
        )
