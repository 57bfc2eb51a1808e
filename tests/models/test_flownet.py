"""FlowNetS: the authors' numbers from the pixels, also on larger canvases, and gradients; pooling."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lsts_jax.models.flownet import FlowNet, average_pool
from lsts_jax.training.pretrained.authors import convert_authors
from tests.models.reference import equal_stored, recorded

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


def reference(shared, case):
    """Arrays of a case, and its pictures on a canvas: (key, current), size."""
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        start = f"flownet/{case}/"
        return {n.removeprefix(start): archive[n] for n in archive.files if n.startswith(start)}


def on_canvas(pictures, canvas):
    """Key frame and current frame (RGB), and their size."""
    height, width = pictures.shape[1:3]
    frames = np.zeros((2, *canvas, 3), np.uint8)
    frames[:, :height, :width] = pictures[..., ::-1]
    return *map(jnp.asarray, frames), jnp.array([height, width], jnp.int32)


@pytest.mark.parametrize(("case", "canvas"), [("odd", (150, 230)), ("odd", (192, 256)), ("a", (128, 192))])
def test_flow_equals_the_authors_graph(network, shared, case, canvas):
    flownet, params = network
    wanted = reference(shared, case)
    key, current, size = on_canvas(wanted["frames_bgr_u8"], canvas)

    @jax.jit
    def run(params):
        inputs, outputs = {}, {}
        with recorded(inputs, outputs):
            found = flownet.apply({"params": params}, current, key, size)
        encoded = [jax.nn.leaky_relu(outputs[name,], 0.1) for name in ("conv2", "conv6_1")]
        return found, (inputs["conv1",], *encoded, inputs["flow2",])

    found, inner = run(params)

    def near(name, ours, *, stride=16, **options):
        cells = -(-size // stride)
        equal_stored(wanted, name, ours[: cells[0], : cells[1]], **options)

    near("flow", found.flow, tolerance=1e-5)
    near("scale_map", found.scale, step=(32, 1, 1))
    for level in (6, 5, 4, 3):
        near(f"Convolution{7 - level}", found.coarse[level], stride=2 ** (level + 1))
    near("input_half", inner[0], stride=2, step=(1, 7, 9))
    near("conv2", inner[1], stride=8, step=(16, 2, 3))
    near("conv6_1", inner[2], stride=128, step=(64, 2, 3))
    near("concat_pooled", inner[3], step=(16, 1, 1))


def test_gradients_equal_those_of_the_authors_graph(network, shared, flow_params):
    """Of every parameter and of both pictures: l2 norms, and 24 values of each."""
    flownet, params = network
    wanted = reference(shared, "a")
    key, current, size = on_canvas(wanted["frames_bgr_u8"], (128, 192))
    of_flow = wanted["grad_flow"][0].transpose(1, 2, 0)
    of_scale = wanted["grad_scale_map"][..., None] * wanted["grad_scale_channel"]

    @jax.jit
    def gradients(params, current, key):
        def loss(params, current, key):
            found = flownet.apply({"params": params}, current, key, size)
            return jnp.sum(found.flow * of_flow) + jnp.sum(found.scale * of_scale)

        return jax.grad(loss, argnums=(0, 1, 2))(params, current, key)

    of_params, *of_pictures = gradients(params, *(x.astype(jnp.float32) for x in (current, key)))
    # Where the authors' arrays, flattened, have the numbers of ours: a conversion of counters tells.
    shapes = flow_params.flownet_shapes()
    found = {
        name: picture.transpose(2, 0, 1)
        for name, picture in zip(("CURRENT_IMAGE", "KEY_IMAGE"), map(np.asarray, of_pictures), strict=True)
    }
    ours = flatten_dict(of_params)
    for name, shape in shapes.items():
        counters = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
        converted, _ = convert_authors({name: counters}, split=4)
        ((path, places),) = flatten_dict(converted["params"]["flownet"]).items()
        found[name] = np.zeros(counters.size, np.float32)
        found[name][places.astype(int).reshape(-1)] = np.asarray(ours.pop(path)).reshape(-1)
    assert not ours
    for name, gradient in found.items():
        flat = gradient.reshape(-1)
        norm, values = wanted[f"grad/{name}#norm"], wanted[f"grad/{name}#sub"]
        np.testing.assert_allclose(np.linalg.norm(flat.astype(np.float64)), norm, rtol=2e-5, err_msg=name)
        thinned = flat[:: max(1, flat.size // 24)][:24]
        np.testing.assert_allclose(thinned, values, atol=2e-5 * np.abs(flat).max(), err_msg=name)


def test_pooling_divides_by_the_cells_of_the_picture():
    x = jnp.arange(1.0, 13.0).reshape(3, 4, 1)
    found = average_pool(x, jnp.array([3, 3], jnp.int32))
    # of the last column only the third cell counts, of the last row only the third
    np.testing.assert_allclose(found[..., 0], [[(1 + 2 + 5 + 6) / 4, (3 + 7) / 2], [(9 + 10) / 2, 11]])
