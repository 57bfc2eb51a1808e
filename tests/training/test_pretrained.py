"""Every array of a file finds its place; whatever does not is told."""

import logging
import re
import sys
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from lsts_jax.config import BackboneConfig, Config, ModelConfig
from lsts_jax.errors import UserError
from lsts_jax.models.detector import build_detector
from lsts_jax.training import pretrained
from lsts_jax.training.pretrained import convert_authors, import_weights, load_pretrained
from lsts_jax.training.pretrained.arrays import Weights, in_memory
from lsts_jax.training.pretrained.authors import authors_naming
from lsts_jax.training.pretrained.run_folder import write_run
from lsts_jax.training.pretrained.safetensors_file import write_safetensors
from lsts_jax.training.pretrained.torchvision import torchvision_naming
from lsts_jax.training.state import init_variables
from tests.tiny import tiny_config, tiny_detector

UNITS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
NORM = ("weight", "bias", "running_mean", "running_var")


def torchvision_shapes(depth: int, width: int = 64) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a state dict of torchvision's ResNet."""
    shapes = {"conv1.weight": (width, 3, 7, 7)}
    norms = {"bn1": width}
    inputs, expansion = width, 4 if depth >= 50 else 1
    for layer, count in enumerate(UNITS[depth], 1):
        middle = width * 2 ** (layer - 1)
        output = middle * expansion
        for unit in range(count):
            prefix = f"layer{layer}.{unit}"
            convolutions = (
                [(inputs, middle, 1), (middle, middle, 3), (middle, output, 1)]
                if expansion == 4
                else [(inputs, middle, 3), (middle, output, 3)]
            )
            for i, (before, after, kernel) in enumerate(convolutions, 1):
                shapes[f"{prefix}.conv{i}.weight"] = (after, before, kernel, kernel)
                norms[f"{prefix}.bn{i}"] = after
            if inputs != output:
                shapes[f"{prefix}.downsample.0.weight"] = (output, inputs, 1, 1)
                norms[f"{prefix}.downsample.1"] = output
            inputs = output
    for name, channels in norms.items():
        shapes |= {f"{name}.{leaf}": (channels,) for leaf in NORM} | {f"{name}.num_batches_tracked": ()}
    return shapes | {"fc.weight": (10, inputs), "fc.bias": (10,)}


def torchvision_arrays(depth: int = 18, width: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        name: rng.random(shape, np.float32) if shape else np.array(7)
        for name, shape in torchvision_shapes(depth, width).items()
    }


def authors_name(name: str) -> str:
    """What the authors call an array of torchvision's bottleneck network."""
    layer, leaf = name.rsplit(".", 1)
    leaf = {"running_mean": "moving_mean", "running_var": "moving_var"}.get(leaf, leaf)
    kind = "bn" if "bn" in layer or layer.endswith("downsample.1") else "res"
    if kind == "bn":
        leaf = {"weight": "gamma", "bias": "beta"}.get(leaf, leaf)
    if layer in ("conv1", "bn1"):
        return f"{'bn_conv1' if kind == 'bn' else 'conv1'}_{leaf}"
    stage, unit, part = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", layer).groups()
    stage, unit = int(stage) + 1, int(unit)
    # MSRA: letters in stages of three units, a, b1, b2, ... in the longer ones
    letter = "abc"[unit] if stage in (2, 5) else "a" if unit == 0 else f"b{unit}"
    branch = "1" if "downsample" in part else f"2{'abc'[int(part[-1]) - 1]}"
    return f"{kind}{stage}{letter}_branch{branch}_{leaf}"


def of(arrays: dict[str, np.ndarray], config: Config | None = None) -> Weights:
    return Weights({name: in_memory(array) for name, array in arrays.items()}, config)


def batch_config(**backbone) -> Config:
    """The tiny detector with frozen batch normalisation."""
    return tiny_config(backbone=BackboneConfig(**{"depth": 18, "width": 8, "split": 1} | backbone))


@pytest.fixture(scope="module")
def initial() -> dict:
    config = batch_config()
    return init_variables(build_detector(config.model, 3), config)


@pytest.fixture
def uninitialised(monkeypatch):
    """Zeros in place of initial parameters, which take seconds to compile."""

    def zeros(*arguments):
        shapes = jax.eval_shape(lambda: init_variables(*arguments))
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    monkeypatch.setattr(pretrained, "init_variables", zeros)


@pytest.mark.parametrize("depth", [50, 101])
def test_torchvision_and_the_authors_name_the_same_places(depth):
    """The authors' side of it is checked against their own graph in tests/models."""
    places = set()
    for name in torchvision_shapes(depth):
        path = torchvision_naming().path(name, 4)
        if name.startswith("fc.") or name.endswith("tracked"):
            assert path is None and torchvision_naming().ignored.fullmatch(name)
            continue
        assert path == authors_naming(()).path(f"arg:{authors_name(name)}", 4), name
        places.add(path)
    assert len(places) == 5 * (53 if depth == 50 else 104)


def test_units_of_two_convolutions_have_their_places():
    path = torchvision_naming().path
    at = lambda name: "/".join(path(name, 1))
    assert at("layer1.1.conv2.weight") == "params/low_level/res2_2/conv2/conv/kernel"
    assert at("layer3.0.bn2.running_var") == "batch_stats/low_level/res4_1/norm2/norm/var"
    assert at("layer3.1.bn1.weight") == "params/high_level/res4_2/norm1/norm/scale"
    assert at("layer4.0.downsample.0.weight") == "params/high_level/res5_1/shortcut_conv/conv/kernel"
    assert at("layer4.0.downsample.1.running_mean") == "batch_stats/high_level/res5_1/shortcut_norm/norm/mean"
    assert at("module.backbone.body.bn1.bias") == "params/low_level/norm1/norm/bias"
    for stranger in (
        "layer5.0.conv1.weight",
        "layer1.0.conv1.bias",
        "layer1.0.se.fc1.weight",
        "conv1.0.weight",
    ):
        assert path(stranger, 1) is None


@pytest.mark.parametrize("prefix", ["", "module.", "backbone."])
def test_a_backbone_takes_its_place_and_the_rest_is_new(prefix, initial):
    arrays = torchvision_arrays()
    config, variables, matched = import_weights(
        "x.pth", of({prefix + name: array for name, array in arrays.items()}), batch_config()
    )
    low, high = variables["params"]["low_level"], variables["params"]["high_level"]
    assert low["conv1"]["conv"]["kernel"][2, 3, 1, 4] == arrays["conv1.weight"][4, 1, 2, 3]
    np.testing.assert_array_equal(
        high["res5_2"]["conv1"]["conv"]["kernel"], arrays["layer4.1.conv1.weight"].transpose(2, 3, 1, 0)
    )
    stats = variables["batch_stats"]["high_level"]["res4_2"]["norm2"]["norm"]
    np.testing.assert_array_equal(stats["var"], arrays["layer3.1.bn2.running_var"])
    # all that the file does not have is what the seed makes of it
    flat, fresh = flatten_dict(variables), flatten_dict(initial)
    assert flat.keys() == fresh.keys()
    for path in matched.new:
        np.testing.assert_array_equal(flat[path], fresh[path])
    assert {path[1] for path in matched.new} == {"high_level", "rpn", "rfcn", "dfa", "srfu", "offsets"}
    assert {path[2] for path in matched.new if path[1] == "high_level"} == {"feature_conv"}
    assert len(matched.found) == 20 * 5 and len(matched.unused) == 20 + 2
    assert config.model.backbone.pixel_std == (58.395, 57.12, 57.375)


def test_bgr_weights_are_turned_round(uninitialised):
    arrays = torchvision_arrays()
    config, variables, _ = import_weights("x.pth", of(arrays), batch_config(), channel_order="bgr")
    kernel = variables["params"]["low_level"]["conv1"]["conv"]["kernel"]
    assert kernel[2, 3, 0, 4] == arrays["conv1.weight"][4, 2, 2, 3]
    assert config.model.backbone.pixel_std == (1.0, 1.0, 1.0)
    with pytest.raises(UserError, match="channel_order bgr is for torchvision"):
        import_weights("x", of({"conv1_weight": np.ones(1)}), batch_config(), channel_order="bgr")


def test_settings_of_the_weights_win_and_are_told(caplog, uninitialised):
    caplog.set_level(logging.INFO, "lsts_jax")
    arrays = torchvision_arrays(50, 8)
    config = batch_config(depth=50, norm="group")
    backbone = import_weights("x.pth", of(arrays), config)[0].model.backbone
    expected = {
        "norm": "frozen_batch",
        "stride_on": "3x3",
        "pixel_mean": (123.675, 116.28, 103.53),
        "pixel_std": (58.395, 57.12, 57.375),
    }
    assert backbone == replace(config.model.backbone, **expected)
    assert "stride_on is 3x3" in caplog.text and "norm is frozen_batch" in caplog.text


def test_training_demands_the_settings_of_the_weights(tmp_path, initial, caplog):
    caplog.set_level(logging.INFO, "lsts_jax")
    np.savez(tmp_path / "x.npz", **torchvision_arrays())
    backbone = batch_config().model.backbone
    with pytest.raises(UserError) as error:
        load_pretrained(initial, tmp_path / "x.npz", backbone)
    assert "set --config.model.backbone.pixel_mean 123.675 116.28 103.53 --config.model" in str(error.value)
    assert "stride_on" not in str(error.value)  # units of two convolutions have one way to stride
    backbone = replace(backbone, pixel_mean=(123.675, 116.28, 103.53), pixel_std=(58.395, 57.12, 57.375))
    loaded = load_pretrained(initial, tmp_path / "x.npz", backbone)
    assert jax.tree.structure(loaded) == jax.tree.structure(initial)
    kernel = loaded["params"]["low_level"]["conv1"]["conv"]["kernel"]
    np.testing.assert_array_equal(kernel[2, 3, :, 4], torchvision_arrays()["conv1.weight"][4, :, 2, 3])
    np.testing.assert_array_equal(loaded["params"]["rpn"]["boxes"]["conv"]["kernel"],
                                  initial["params"]["rpn"]["boxes"]["conv"]["kernel"])  # fmt: skip
    assert "100 of 137 arrays of the model come from it; new: dfa, high_level, offsets" in caplog.text


def test_training_demands_the_epsilon_of_a_detector_of_ours(tmp_path, initial):
    """FGFA's normalisation has 2e-5; a detector that starts from it with 1e-5 would be another."""
    config = batch_config(depth=18, norm_epsilon=2e-5)
    write_safetensors(tmp_path / "x.safetensors", initial, config)
    with pytest.raises(UserError, match="norm_epsilon 2e-05"):
        load_pretrained(initial, tmp_path / "x.safetensors", batch_config().model.backbone)
    load_pretrained(initial, tmp_path / "x.safetensors", config.model.backbone)


def test_what_is_missing_left_over_or_of_another_shape_is_an_error_unless_named():
    arrays = torchvision_arrays()
    del arrays["layer4.1.conv2.weight"]
    arrays["layer4.1.se.weight"] = arrays["layer4.1.se.bias"] = np.ones(3, np.float32)
    arrays["layer2.0.bn1.bias"] = np.ones(17, np.float32)
    with pytest.raises(UserError) as error:
        import_weights("x.pth", of(arrays), batch_config())
    for part in (
        "x.pth: 1 missing (high_level/res5_2/conv2/conv/kernel);",
        "1 of another shape (low_level/res3_1/norm1/norm/bias: (17,) there, (16,) by --config.model.",
        "2 without a place in the model (layer4.1.se.weight, layer4.1.se.bias);",
    ):
        assert part in str(error.value)
    missing = ["high_level/res5_2", "low_level/res3_1/norm1"]
    with pytest.raises(UserError, match=r"x\.pth: 2 without"):
        import_weights("x.pth", of(arrays), batch_config(), allow_missing=missing)
    _, variables, matched = import_weights(
        "x.pth", of(arrays), batch_config(), allow_missing=missing, allow_unused=["layer4.1.se"]
    )
    assert ("params", "low_level", "res3_1", "norm1", "norm", "bias") in matched.new
    np.testing.assert_array_equal(variables["params"]["low_level"]["res3_1"]["norm1"]["norm"]["bias"], 0)


def test_another_depth_is_told_first():
    with pytest.raises(
        UserError, match=r"a ResNet-34, not the ResNet-18 .*depth 34, and \.split to at most 6"
    ):
        import_weights("x.pth", of(torchvision_arrays(34)), batch_config())


def test_two_arrays_of_one_place_are_told():
    arrays = torchvision_arrays()
    with pytest.raises(UserError, match="2 arrays of it are low_level/conv1/conv/kernel"):
        import_weights("x.pth", of(arrays | {"module.conv1.weight": arrays["conv1.weight"]}), batch_config())


def test_a_part_of_a_detector_is_no_backbone():
    """One array above the backbone: then all of the detector must be there."""
    bias = {"rpn_cls_score_bias": np.ones(12, np.float32), "conv1_weight": np.ones((8, 3, 7, 7), np.float32)}
    with pytest.raises(UserError, match=r"135 missing \(high_level/res4_2"):
        import_weights("x.params", of(bias), batch_config())


@pytest.fixture(scope="module")
def make_params(shared):
    sys.path.insert(0, str(shared / "fixtures"))
    try:
        import make_params
    finally:
        sys.path.pop(0)
    return make_params


def test_the_authors_detector_is_ours_array_by_array(make_params):
    """Names and shapes of the whole ResNet-101 detector; nothing is new, nothing left over."""
    detector = build_detector(ModelConfig(), 30)
    own = flatten_dict(jax.eval_shape(lambda: init_variables(detector, Config())))
    shapes = make_params.shapes() | {"arg:init_offset": (81, 2)}
    naming = authors_naming(shapes)
    paths = {name: naming.path(name, 4) for name in shapes}
    assert set(paths.values()) == own.keys() and len(paths) == len(own)
    for name, path in paths.items():
        assert naming.layout(path).shape(own[path].shape) == shapes[name], name


def test_box_head_of_a_final_file_is_divided_by_its_deviations():
    bias = np.ones(8 * 49, np.float32)
    final, _ = convert_authors({"rfcn_bbox_bias": bias}, split=4)
    kept, left_over = convert_authors({"rfcn_bbox_bias": bias, "rfcn_bbox_bias_test": bias}, split=4)
    np.testing.assert_allclose(final["params"]["rfcn"]["boxes"]["conv"]["bias"][:4], [10, 10, 5, 5])
    np.testing.assert_array_equal(kept["params"]["rfcn"]["boxes"]["conv"]["bias"], 1)
    assert left_over == ["rfcn_bbox_bias_test"]
    assert authors_naming(()).ignored.fullmatch("arg:rfcn_bbox_bias_test")


def test_position_sensitive_channels_are_turned_round():
    """Theirs is class, row, column; of the box head the second group of four is the object's."""
    classes = np.arange(5 * 49, dtype=np.float32).reshape(-1, 1, 1, 1) * [[[[1]], [[10]]]]
    boxes = np.arange(8 * 49, dtype=np.float32)
    found, _ = convert_authors(
        {"rfcn_cls_weight": classes, "rfcn_bbox_bias": boxes, "rfcn_bbox_bias_test": boxes}, split=4
    )
    kernel = found["params"]["rfcn"]["classes"]["conv"]["kernel"]
    assert kernel.shape == (1, 1, 2, 5 * 49)
    row, column, which = 3, 5, 4
    assert kernel[0, 0, 1, (row * 7 + column) * 5 + which] == 10 * (which * 49 + row * 7 + column)
    bias = found["params"]["rfcn"]["boxes"]["conv"]["bias"]
    assert bias[(row * 7 + column) * 4 + 2] == (4 + 2) * 49 + row * 7 + column


@pytest.mark.parametrize(("before", "after"), [("none", "lsts"), ("lsts", "none"), ("dfa", "srfu")])
def test_a_run_starts_a_detector_that_uses_the_memory_otherwise(tmp_path, before, after):
    configs = {temporal: tiny_config(temporal=temporal) for temporal in (before, after)}
    trees = {
        temporal: tiny_detector(replace(config, seed=seed))[1]
        for seed, (temporal, config) in enumerate(configs.items(), start=5)
    }
    write_run(tmp_path, {"batch_stats": {}} | trees[before], configs[before])
    found = flatten_dict(load_pretrained(trees[after], tmp_path, configs[after].model.backbone))
    own, given = flatten_dict(trees[after]), flatten_dict(trees[before])
    assert found.keys() == own.keys()
    for path, array in found.items():
        np.testing.assert_array_equal(array, given.get(path, own[path]), err_msg=str(path))
    assert own.keys() - given.keys() or given.keys() - own.keys()
