"""FlowNetS: the authors' numbers from the pixels on, also on a larger canvas; the pooling of odd sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lsts_jax.models.flownet import FlowNet, average_pool
from lsts_jax.training.pretrained.authors import convert_authors

MEAN = (123.15, 115.90, 103.06)


@pytest.fixture(scope="module")
def network(flow_params):
    """The authors' network with the parameters of the reference runs."""
    shapes = flow_params.flownet_shapes()
    variables, left_over = convert_authors(
        {name: flow_params.param(name, shape) for name, shape in shapes.items()}, split=4
    )
    assert not left_over
    return FlowNet(64, 1024, MEAN, jnp.float32), jax.tree.map(jnp.asarray, variables["params"]["flownet"])


@pytest.mark.parametrize(("case", "canvas"), [("odd", (150, 230)), ("odd", (192, 256)), ("a", (128, 192))])
def test_flow_equals_the_authors_graph(network, shared, case, canvas):
    flownet, params = network
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        wanted = {
            name.removeprefix(f"flownet/{case}/"): archive[name]
            for name in archive.files
            if name.startswith(f"flownet/{case}/") and "grad" not in name
        }
    pictures = wanted["frames_bgr_u8"][..., ::-1]
    height, width = pictures.shape[1:3]
    key, current = (np.zeros((*canvas, 3), np.uint8) for _ in range(2))
    key[:height, :width], current[:height, :width] = pictures
    found = jax.jit(flownet.apply)({"params": params}, current, key, jnp.array([height, width], jnp.int32))

    def near(ours, theirs, tolerance):
        theirs = theirs[0].transpose(1, 2, 0)
        ours = np.asarray(ours)[: theirs.shape[0], : theirs.shape[1]]
        assert np.abs(ours - theirs).max() <= tolerance * np.abs(theirs).max()

    near(found.flow, wanted["flow"], 1e-5)
    near(found.scale[..., ::32], wanted["scale_map#sub"], 2e-5)
    for level in (6, 5, 4, 3):
        near(found.coarse[level], wanted[f"Convolution{7 - level}"], 2e-5)


def test_pooling_divides_by_the_cells_of_the_picture():
    x = jnp.arange(1.0, 13.0).reshape(3, 4, 1)
    found = average_pool(x, jnp.array([3, 3], jnp.int32))
    # of the last column only the third cell counts, of the last row only the third
    np.testing.assert_allclose(found[..., 0], [[(1 + 2 + 5 + 6) / 4, (3 + 7) / 2], [(9 + 10) / 2, 11]])
