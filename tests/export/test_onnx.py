"""ONNX files: the forms that are converted compute the same, and onnxruntime gives the live detections."""

import importlib.util
import sys
from dataclasses import replace

import jax
import numpy as np
import pytest

from lsts_jax.api import LoadedDetector
from lsts_jax.errors import UserError
from lsts_jax.export import plain_events
from lsts_jax.export.__main__ import run
from lsts_jax.export.onnx_files import onnx_forms, write_onnx
from lsts_jax.ops.depthwise import depthwise_conv
from tests.tiny import at, random_frames, tiny_config, tiny_detector

CONFIG = replace(tiny_config(keyframe_interval=3, schedule="online"))


@pytest.fixture(scope="module")
def loaded():
    detector, variables = tiny_detector(CONFIG)
    return LoadedDetector(CONFIG, detector, variables, 0)


def test_the_forms_for_onnx_give_the_same_detections(loaded):
    frames = random_frames(2)
    events = plain_events(loaded.detector)
    flat = jax.tree_util.tree_flatten_with_path(loaded.variables)[0]
    weights = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in flat}

    def both(weights, first, second):
        memory, *found = events["start"](weights, *first)
        return found, events["on_frame"](weights, memory, *second)

    usual = jax.jit(both)(weights, at(frames, 0), at(frames, 1))
    with onnx_forms():
        fresh = lambda *given: both(*given)  # `both` has been traced already
        plain = jax.make_jaxpr(fresh)(weights, at(frames, 0), at(frames, 1))
    names = {str(equation.primitive) for equation in plain.eqns}
    assert not names & {"platform_index", "reduce_window_max", "bitcast_convert_type"}
    leaves = jax.tree.leaves((weights, at(frames, 0), at(frames, 1)))
    found = jax.jit(jax.extend.core.jaxpr_as_fun(plain))(*leaves)
    for one, other in zip(jax.tree.leaves(usual), found, strict=True):
        np.testing.assert_allclose(np.asarray(other, np.float32), np.asarray(one, np.float32), atol=1e-4)


def test_depthwise_convolutions_stay_convolutions():
    """As on other platforms than a CPU: the sum of shifted maps would be dozens of operators each."""
    x, kernel = np.ones((6, 8, 4), np.float32), np.ones((3, 3, 4), np.float32)
    with onnx_forms():
        made = jax.make_jaxpr(lambda *given: depthwise_conv(*given))(x, kernel)
    assert "conv_general_dilated" in str(made)


def test_missing_packages_are_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(UserError, match=r"--format onnx needs packages: pip install onnx .* jax2onnx"):
        run(["--workdir", "synthvid-s", "--out", str(tmp_path / "out"), "--format", "onnx"])


@pytest.mark.skipif(not importlib.util.find_spec("jax2onnx"), reason="needs jax2onnx")
def test_onnxruntime_gives_the_live_detections(loaded, tmp_path):
    write_onnx(tmp_path, loaded, CONFIG.data.canvases)
    spec = importlib.util.spec_from_file_location("onnx_run", tmp_path / "run.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    detector, live = module.Detector(tmp_path), loaded.live()
    pictures = np.random.default_rng(0).integers(0, 256, (7, 60, 90, 3), np.uint8)
    for picture in pictures:
        boxes, scores, classes = detector(picture)
        wanted = live(picture)
        np.testing.assert_array_equal(classes, wanted.classes)
        np.testing.assert_allclose(scores, wanted.scores, atol=1e-5)
        np.testing.assert_allclose(boxes, wanted.boxes, atol=5e-3)
