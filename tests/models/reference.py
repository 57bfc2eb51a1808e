"""Comparison with arrays of the authors' graphs, which are stored whole, thinned out, or as statistics."""

from collections.abc import Mapping

import flax.linen as nn
import numpy as np
from numpy import ndarray

from lsts_jax.ops.boxes import ROI_DEVIATIONS


def equal_stored(wanted: Mapping[str, ndarray], name: str, found, step=(32, 2, 3), tolerance=2e-5) -> None:
    """Asserts that a map [h w C] is `wanted[name]` [1 C h w], by whatever is stored of it: the map itself,
    `#sub` (every `step`-th channel, row and column) and `#stats` (mean, deviation, least, largest, l2 norm,
    mean absolute value)."""
    found = np.asarray(found, np.float64)
    every_channel, every_row, every_column = step
    thinned = found[::every_row, ::every_column, ::every_channel]
    largest, stored = np.abs(found).max(), []
    for suffix, ours in (("", found), ("#sub", thinned)):
        if (theirs := wanted.get(name + suffix)) is not None:
            stored.append(suffix)
            error = np.abs(ours - theirs[0].transpose(1, 2, 0)).max()
            assert error <= tolerance * largest, f"{name}{suffix}: {error / largest:.1e}"
    if (theirs := wanted.get(f"{name}#stats")) is not None:
        stored.append("#stats")
        ours = [found.mean(), found.std(), found.min(), found.max(), 0, np.abs(found).mean()]
        ours[4] = norm = np.linalg.norm(found)
        scale = np.array([largest, largest, largest, largest, norm, largest])
        error = np.abs(ours - theirs) / scale
        assert error.max() <= tolerance, f"{name}#stats: {error}"
    assert stored, f"{name} is not stored"


def equal_heads(wanted: Mapping[str, ndarray], prefix: str, proposals, logits, deltas) -> None:
    """Asserts that proposals, scores and decoded deltas of R-FCN are those stored under `prefix`."""
    np.testing.assert_allclose(proposals, wanted[f"{prefix}/rois"], atol=5e-3)
    np.testing.assert_allclose(nn.softmax(logits), wanted[f"{prefix}/cls_prob"], atol=1e-4)
    # their file holds the box head with its deviations multiplied in
    found, theirs = np.asarray(deltas) * ROI_DEVIATIONS, wanted[f"{prefix}/bbox_pred"]
    np.testing.assert_allclose(found, theirs, atol=1e-4 * np.abs(theirs).max())


def recorded(inputs: dict[tuple[str, ...], object], outputs: dict[tuple[str, ...], object]):
    """Context in which calls of modules leave their first input and their output there, by path."""

    def note(call, args, kwargs, context):
        result = call(*args, **kwargs)
        if context.method_name == "__call__":
            inputs[context.module.path], outputs[context.module.path] = args[0], result
        return result

    return nn.intercept_methods(note)
