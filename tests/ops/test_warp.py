"""Warping: the numbers of the authors' operator, forward and in both gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.ops.warp import warp


def hwc(array):
    return jnp.asarray(array.transpose(1, 2, 0))


@pytest.mark.parametrize(("case", "image"), [("frac", 0), ("frac", 1), ("halves", 0)])
def test_warp_equals_the_authors_operator(authors_temporal, case, image):
    data, flow, grad = (
        hwc(authors_temporal[f"warp/{case}/{name}"][image]) for name in ("data", "flow", "grad_out")
    )
    out, backward = jax.vjp(warp, data, flow)
    for found, name in zip((out, *backward(grad)), ("out", "grad_data", "grad_flow"), strict=True):
        wanted = hwc(authors_temporal[f"warp/{case}/{name}"][image])
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max(), err_msg=name)


def test_propagation_of_deep_feature_flow(authors_temporal):
    """warp times scale map, with all three gradients."""
    names = ("feat_key", "flow", "scale_map", "grad_out")
    feature, flow, scale, grad = (hwc(authors_temporal[f"dff_propagate/a/{name}"][0]) for name in names)
    out, backward = jax.vjp(lambda f, d, s: warp(f, d) * s, feature, flow, scale)
    names = ("out", "grad_feat_key", "grad_flow", "grad_scale_map")
    for found, name in zip((out, *backward(grad)), names, strict=True):
        wanted = hwc(authors_temporal[f"dff_propagate/a/{name}"][0])
        np.testing.assert_allclose(found, wanted, atol=2e-5 * np.abs(wanted).max(), err_msg=name)


def test_a_flow_of_whole_cells_moves_the_map():
    data = jnp.arange(24.0).reshape(4, 6, 1)
    found = warp(data, jnp.broadcast_to(jnp.array([2.0, -1.0]), (4, 6, 2)))
    np.testing.assert_array_equal(found[1:, :4], data[:3, 2:])
    assert not found[0].any() and not found[:, 4:].any()  # from outside
