"""A run as the folder that a repository of the hub is, and repositories in the hub's cache, offline."""

import json
import shutil
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest
from huggingface_hub import constants

import lsts_jax
from lsts_jax import cli
from lsts_jax.cli import load_config
from lsts_jax.commands import evaluate
from lsts_jax.commands.predict import Options as Prediction
from lsts_jax.commands.publish import Options, publish
from lsts_jax.data.synthvid import BENCHMARKS, class_names
from lsts_jax.data.synthvid.clip import render_video
from lsts_jax.errors import UserError
from lsts_jax.export.__main__ import Options as Export
from lsts_jax.hub import locate
from lsts_jax.training.pretrained import load_pretrained, open_weights
from lsts_jax.training.pretrained.published import load_trained, write_published
from lsts_jax.training.pretrained.run_folder import write_run
from tests.tiny import tiny_config, tiny_detector


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    workdir, config = tmp_path_factory.mktemp("runs") / "run", tiny_config()
    workdir.mkdir()
    write_run(workdir, {"batch_stats": {}} | tiny_detector(config)[1], config)
    (workdir / "metrics.jsonl").write_text('{"step": 0, "loss": 1.0}\n{"step": 0, "mAP": 0.87654}\n')
    return workdir


@pytest.fixture(scope="module")
def published(run) -> Path:
    publish(Options(run, run.parent / "shapes"))
    return run.parent / "shapes"


@pytest.fixture
def cache(published, tmp_path, monkeypatch) -> Path:
    """The hub's cache with org/shapes, and no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository, commit = tmp_path / "models--org--shapes", "0" * 40
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    return shutil.copytree(published, repository / "snapshots" / commit)


def assert_is(variables: dict, original: dict):
    def check(path, found, wanted):
        rounded = np.asarray(wanted).astype(np.float16 if path[0].key == "params" else np.float32)
        np.testing.assert_array_equal(found, rounded.astype(np.float32))
        assert found.dtype == np.float32

    jax.tree_util.tree_map_with_path(check, variables, original)


def test_the_folder_is_the_detector_in_half_the_bytes(run, published):
    assert {file.name for file in published.iterdir()} == {"model.safetensors", "config.json", "README.md"}
    first, second = lsts_jax.load(run), lsts_jax.load(published)
    assert first.config == second.config == open_weights(published).config
    assert first.step == second.step
    assert_is(second.variables, first.variables)
    stored = sum(array.size for array in jax.tree.leaves(first.variables["params"]))
    assert (published / "model.safetensors").stat().st_size < 2 * stored + 40_000
    assert lsts_jax.load(published / "model.safetensors").config == first.config
    with pytest.raises(UserError, match=r"--checkpoint best: .*shapes is not a run"):
        lsts_jax.load(published, "best")


def test_statistics_and_values_beyond_float16_stay_float32(tmp_path):
    arrays = {"small": np.float32([1.5]), "large": np.float32([1e6])}
    write_published(
        tmp_path, {"params": arrays, "batch_stats": {"var": arrays["small"]}}, tiny_config(), "", 7
    )
    weights = open_weights(tmp_path)
    assert {name: array.dtype for name, array in weights.arrays.items()} == {
        "params/small": "float16",
        "params/large": "float32",
        "batch_stats/var": "float32",
    }
    assert weights.step == 7


def test_the_card_names_classes_map_and_command(published):
    card = (published / "README.md").read_text()
    assert "value: 0.8765\n" in card and "| mAP | 0.8765 on " in card
    assert "| classes | disc, square, star |" in card
    assert "    lsts train --config tiny --workdir runs/shapes --config." in card


def test_without_an_evaluation_the_card_says_so(run, tmp_path, caplog):
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.jsonl").write_text('{"step": 5, "mAP": 1.0}\n{"st')
    publish(Options(tmp_path / "run", tmp_path / "out"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| mAP | not evaluated |" in card and "model-index" not in card
    assert "step 0 was not evaluated; run lsts evaluate --workdir " in caplog.text


def test_the_detector_of_the_package_is_loaded_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config, _, _, step = load_trained("synthvid-s")
    assert (set(config.data.class_names), step) == (set(class_names("bursts")), 941)
    assert config.model == load_config("synthvid_s").model
    assert sum(file.stat().st_size for file in locate("synthvid-s").iterdir()) < 2_500_000
    (tmp_path / "synthvid-s").mkdir()
    assert locate("synthvid-s") == Path("synthvid-s"), "a folder of that name comes first"
    with pytest.raises(UserError, match=r"^synthvid: no such folder; .* of the package: synthvid-s$"):
        lsts_jax.load("synthvid")


@pytest.mark.slow
def test_the_detector_of_the_package_finds_what_the_clip_shows(tmp_path):
    render_video(tmp_path / "clip.mp4", BENCHMARKS["s"])
    results = list(lsts_jax.load("synthvid-s").stream(tmp_path / "clip.mp4"))
    named = Counter(
        result.class_names[c - 1] for result in results for c in result.classes[result.scores > 0.5]
    )
    assert len(results) == 40
    assert named["red_striped"] >= 35 and named["green_checked"] >= 30 and named["red_dotted"] >= 10, named


def test_other_files_stay(run, published, tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(UserError, match=r"README\.md: exists but"):
        publish(Options(run, tmp_path))
    with pytest.raises(UserError, match="is the folder of the run"):
        publish(Options(run, run))
    assert [file.name for file in tmp_path.iterdir()] == ["README.md"]
    publish(Options(run, published))  # it was written by the command


def test_a_detector_of_the_hub(run, cache):
    for name in ("hf://org/shapes", "hf://org/shapes/", "hf://org/shapes/model.safetensors"):
        config, _, variables, _ = load_trained(name)
        assert config == tiny_config()
    assert_is(variables, lsts_jax.load(run).variables)
    initial = tiny_detector(tiny_config())[1]
    backbone = tiny_config().model.backbone
    assert_is(load_pretrained(initial, "hf://org/shapes", backbone), initial)
    assert cli.parse(
        Prediction, ["--workdir", "hf://org/shapes", "--source", "0", "--output", "x"]
    ).workdir == ("hf://org/shapes")


def test_a_published_detector_is_evaluated(published, cache, tmp_path, monkeypatch):
    evaluated = []
    monkeypatch.setattr("lsts_jax.data.open.open_dataset", lambda config, lists: None)
    monkeypatch.setattr("lsts_jax.evaluation.runner.evaluate", lambda *given, **_: evaluated.append(given))
    for name, output in ((published, ()), ("hf://org/shapes", ("--output", str(tmp_path / "out")))):
        with pytest.raises(AttributeError):  # there are no results
            evaluate.run(["--workdir", str(name), *output, "--config.model.keyframe_interval", "3"])
        _, variables, config, _, folder = evaluated.pop()
        assert config.model == replace(tiny_config().model, keyframe_interval=3)
        assert_is(variables, load_trained(published)[2])
        assert folder == (tmp_path / "out" if output else published / "eval")
    with pytest.raises(
        UserError, match=r"^--output is missing: results cannot be written into hf://org/shapes"
    ):
        evaluate.run(["--workdir", "hf://org/shapes"])
    assert cli.parse(Export, ["--workdir", "hf://org/shapes", "--out", "x"]).workdir == "hf://org/shapes"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("hf://org/none", r"hf://org/none: model\.safetensors cannot be downloaded: "),
        ("hf://org/shapes/x.pth", r"hf://org/shapes/x\.pth: x\.pth cannot be downloaded: "),
        ("hf://org", "hf://org: not an address of the hub; write hf://ORG/NAME"),
        ("hf://org/a..b", r"hf://org/a\.\.b: model\.safetensors cannot be downloaded: "),
    ],
)
def test_an_address_without_a_file_is_one_line(cache, name, message):
    with pytest.raises(UserError, match=message) as caught:
        lsts_jax.load(name)
    assert "\n" not in str(caught.value)


def test_the_hub_needs_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r'^hf://org/shapes: needs a package: pip install "lsts_jax\[hub\]"$'):
        lsts_jax.load("hf://org/shapes")


def test_code_of_the_hub_is_not_run(cache):
    (cache / "temporal.py").write_text("raise SystemExit('was run')")
    values = json.loads((cache / "config.json").read_text())
    values["model"]["temporal"] = "temporal.py:Mine"
    (cache / "config.json").write_text(json.dumps(values))
    with pytest.raises(UserError, match="hf://org/shapes: its temporal method is a file of code"):
        lsts_jax.load("hf://org/shapes")
