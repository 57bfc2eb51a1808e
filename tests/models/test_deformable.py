"""Deformable stage 5 and pooling: start, gradients, padding, the authors' files, and their whole graph."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lsts_jax.config import BackboneConfig, Config, ModelConfig
from lsts_jax.models.detector import build_detector
from lsts_jax.models.layers import Conv, DeformableConv
from lsts_jax.models.rfcn import RFCN
from lsts_jax.structs import Frame
from lsts_jax.training.pretrained.arrays import Weights, in_memory
from lsts_jax.training.pretrained.authors import authors_naming
from lsts_jax.training.pretrained.matching import match
from lsts_jax.training.pretrained.torchvision import torchvision_naming
from lsts_jax.training.state import init_variables
from tests.models.reference import equal_heads, equal_stored, recorded
from tests.tiny import tiny_config
from tests.training.test_pretrained import torchvision_arrays

SIZE = jnp.array([5, 6], jnp.int32)


@pytest.fixture(scope="module")
def layer():
    """A layer, its initial parameters, and a map."""
    x = jax.random.normal(jax.random.key(1), (5, 6, 8))
    deformable = DeformableConv(4, dilation=2, border="held")
    return deformable, deformable.init(jax.random.key(0), x, SIZE)["params"], x


def test_it_starts_as_the_plain_convolution_and_its_offsets_learn(layer):
    deformable, params, x = layer
    plain = Conv(4, 3, dilation=2, use_bias=False).apply({"params": {"conv": params["conv"]}}, x, SIZE)

    @jax.jit
    def gradient(params):
        def loss(params):
            out = deformable.apply({"params": params}, x, SIZE)
            return jnp.sum(out**2), out

        return jax.grad(loss, has_aux=True)(params)

    grads, out = gradient(params)
    np.testing.assert_allclose(out, plain, atol=1e-5)
    of_offsets = np.asarray(grads["offset"]["conv"]["kernel"])
    assert (np.abs(of_offsets).max(axis=(0, 1, 2)) > 0).all()


def test_padding_changes_nothing(layer):
    deformable, params, x = layer
    kernel = 0.2 * jax.random.normal(jax.random.key(2), params["offset"]["conv"]["kernel"].shape)
    params = params | {"offset": {"conv": params["offset"]["conv"] | {"kernel": kernel}}}
    padded = jnp.pad(x, ((0, 3), (0, 2), (0, 0)), constant_values=9.0)
    exact, larger = (deformable.apply({"params": params}, data, SIZE) for data in (x, padded))
    np.testing.assert_allclose(larger[:5, :6], exact, atol=1e-5)


def names_of_offsets():
    return [f"arg:res5{unit}_branch2b_offset_{leaf}" for unit in "abc" for leaf in ("weight", "bias")]


def test_every_offset_has_a_place_and_a_file_of_them_says_that_it_is_deformable():
    config = Config(model=ModelConfig(temporal="none", backbone=BackboneConfig(deformable=3)))
    own = flatten_dict(jax.eval_shape(lambda: init_variables(build_detector(config.model, 30), config)))
    offsets = {path: array.shape for path, array in own.items() if "offset" in path}
    naming = authors_naming(names_of_offsets())
    assert {naming.path(name, 4) for name in names_of_offsets()} == offsets.keys()
    assert {naming.layout(path).shape(shape) for path, shape in offsets.items()} == {(72, 512, 3, 3), (72,)}
    # the authors' count, less the second box of R-FCN, which is left out here
    parameters = sum(np.prod(array.shape) for path, array in own.items() if path[0] == "params")
    assert parameters == 63_379_141 - 4 * 49 * (512 + 1)
    assert naming.settings["deformable"] == 3 and naming.settings["deformable_border"] == "held"
    assert "deformable" not in authors_naming(()).settings


def test_a_plain_backbone_starts_a_deformable_one():
    """Its offsets are new, and so at zero."""
    config = tiny_config(temporal="none")
    backbone = replace(config.model.backbone, depth=18, deformable=3, norm="frozen_batch")
    config = replace(config, model=replace(config.model, backbone=backbone))
    variables = jax.eval_shape(lambda: init_variables(build_detector(config.model, 3), config))
    weights = Weights({name: in_memory(array) for name, array in torchvision_arrays().items()})
    matched = match("x", weights, torchvision_naming(), variables, backbone)
    assert {path[2:4] for path in matched.new if path[1] == "high_level" and "offset" in path} == {
        ("res5_1", "conv2"), ("res5_2", "conv2")
    }  # fmt: skip


def test_bins_of_regions_learn_to_move_and_padding_changes_nothing():
    """Every class and the boxes get gradient at the start; afterwards their moves change the votes."""
    head = RFCN(2, 0.1, 0.3, 10, jnp.float32, deformable=True)
    size = jnp.array([75, 92], jnp.int32)
    feature = jax.random.normal(jax.random.key(1), (5, 6, 8))
    rois = jnp.array([[3.0, 5, 60, 40], [20.0, 10, 91, 74]])
    params = jax.tree.map(lambda x: 10 * x, head.init(jax.random.key(0), feature, rois, size)["params"])

    @jax.jit
    def votes(params, feature):
        return jnp.concatenate(head.apply({"params": params}, feature, rois, size), axis=-1)

    still = votes(params, feature)
    grads = jax.grad(lambda params: jnp.sum(votes(params, feature) ** 2))(params)
    for name, groups in (("class_offsets", 3), ("box_offsets", 1)):
        kernel = grads[name]["conv"]["kernel"].reshape(-1, 49, 2 * groups)
        assert (np.abs(kernel).max(axis=(0, 1)) > 0).all()
        moves = jax.random.normal(jax.random.key(2), params[name]["conv"]["kernel"].shape)
        params = params | {name: {"conv": params[name]["conv"] | {"kernel": moves}}}
    moved = votes(params, feature)
    assert (np.abs(moved - still).max(axis=0) > 1e-3).all()
    padded = jnp.pad(feature, ((0, 3), (0, 2), (0, 0)), constant_values=9.0)
    np.testing.assert_allclose(votes(params, padded), moved, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("canvas", [(136, 200), (160, 224)])
def test_the_authors_whole_graph(shared, authors_variables, canvas):
    """Feature, proposals, scores and deltas of the single-frame detector, from the pixels."""
    variables = authors_variables("dcn")
    detector = build_detector(ModelConfig(temporal="none", backbone=BackboneConfig(deformable=3)), 30)
    with np.load(shared / "fixtures" / "temporal_ops.npz") as archive:
        picture = archive["clip/frames_bgr_u8"][3, ..., ::-1]
        wanted = {
            name.removeprefix("dcn_rfcn/"): archive[name]
            for name in archive.files
            if name.startswith("dcn_rfcn/")
        }
    height, width, _ = picture.shape
    cells = -(-height // 16), -(-width // 16)
    pixels = np.zeros((*canvas, 3), np.uint8)
    pixels[:height, :width] = picture
    frame = Frame(jnp.asarray(pixels), jnp.array([height, width], jnp.int32), jnp.float32(1))

    @jax.jit
    def detect(variables, frame):
        bound = detector.bind(variables)
        inputs, outputs = {}, {}
        with recorded(inputs, outputs):
            feature = bound.key(frame).feature
        inputs = {path[-1]: x for path, x in inputs.items() if path[-1] in ("res5_1", "feature_conv")}
        inner = {"res4b22_relu": jax.nn.relu(inputs["res5_1"]), "res5c_relu": inputs["feature_conv"]} | {
            f"offset_res5{'abc'[int(path[-3][-1]) - 1]}": offsets
            for path, offsets in outputs.items()
            if path[-1] == "offset"
        }
        logits, deltas = bound.rpn(feature, frame.size)
        proposals = bound.rpn.propose(logits, deltas, feature.shape[:2], frame.size)
        heads = proposals.boxes, *bound.rfcn(feature, proposals.boxes, frame.size)
        return feature, inner, heads, bound.detect(feature, frame)

    feature, inner, heads, detections = detect(variables, frame)
    for name, ours in {**inner, "feature": feature}.items():
        step = (9, 1, 1) if "offset" in name else (ours.shape[-1] // 32, 2, 3)
        equal_stored(wanted, f"f3/{name}", ours[: cells[0], : cells[1]], step=step)
    equal_heads(wanted, "f3", *heads)
    kept = np.asarray(detections.valid) & (np.asarray(detections.scores) > 1e-3)
    np.testing.assert_allclose(
        np.sort(np.asarray(detections.scores)[kept])[::-1][: len(wanted["f3/det"])],
        np.sort(wanted["f3/det"][:, 1])[::-1],
        atol=1e-4,
    )
