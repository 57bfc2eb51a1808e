"""What an experiment cannot be is told in a line, at the door."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from lsts_jax import cli
from lsts_jax.config import BackboneConfig, Config, OptimizerConfig
from lsts_jax.config_checks import RANGES, Range, leaves, numbers_in, validate
from lsts_jax.config_io import load_saved_config, save_config
from lsts_jax.errors import UserError
from tests.tiny import tiny_config

ROOT = Path(__file__).resolve().parents[1]


def changed(name: str, value) -> Config:
    """The default experiment with one field replaced."""

    def put(part, path):
        inner = put(getattr(part, path[0]), path[1:]) if path[1:] else value
        return replace(part, **{path[0]: inner})

    return put(Config(), name.split("."))


def like(value, number):
    """`number` in the nesting of a value."""
    return tuple(like(each, number) for each in value) if isinstance(value, tuple) else number


NUMBERS = {name: value for name, value in leaves(Config()) if any(True for _ in numbers_in(value))}
NUMBERS["evaluation.score_thresholds"] = (0.5,)
for literal in ("depth", "deformable"):  # one of a few, as their types say
    del NUMBERS[f"model.backbone.{literal}"]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range_and_keeps_it(name):
    allowed = RANGES[name.rpartition(".")[2]]
    kind = type(next(numbers_in(NUMBERS[name])))
    wrong = [allowed.low] * allowed.above + [allowed.low - 1, allowed.high * 2 + 1]
    wrong = [kind(number) for number in wrong if kind is float or abs(number) < float("inf")]
    for number in wrong + [float("nan")] * (kind is float):
        with pytest.raises(UserError, match=rf"^config\.{name} is .*; give a .*number") as caught:
            validate(changed(name, like(NUMBERS[name], number)))
        assert "\n" not in str(caught.value)


def test_no_range_is_of_a_field_that_is_gone():
    names = {name.rpartition(".")[2] for name, _ in leaves(Config())}
    assert names >= RANGES.keys()


@pytest.mark.parametrize(
    "name, value, told",
    [
        ("model.backbone", BackboneConfig(depth=18, split=4), "stage 4 of depth 18 has 2 units; give 1 to 2"),
        ("model.backbone.split", 0, r"split is 0; give a number of at least 1"),
        ("model.feature_channels", 18, "multiple of 4"),
        ("data.canvases", (), "canvases is empty"),
        ("data.short_side", 2000, "above long_side 1000"),
        ("data.class_names", ("cat", "dog", "cat"), "'cat' twice"),
        ("evaluation.score_thresholds", (0.5, 0.7), "2 values for 30 classes; give one, or"),
        ("train.loss.anchor_negative_iou", 0.8, "above anchor_positive_iou 0.7"),
        ("optimizer.freeze", ("conv1", "layer3"), r"freeze names 'layer3', .*res2 to res5"),
        ("optimizer.freeze", ("",), "freeze names ''"),
        ("optimizer.freeze", ("res5_3", "res5_4"), "freeze names 'res5_4'"),
    ],
)
def test_what_cannot_be_together(name, value, told):
    with pytest.raises(UserError, match=told):
        validate(changed(name, value))


@pytest.mark.parametrize(
    "config",
    [
        replace(Config(), optimizer=OptimizerConfig(freeze=("conv1", "res4_23", "res5", "feature_conv"))),
        tiny_config(),
    ],
)
def test_what_can_be(config):
    assert validate(config) is config


@dataclass(frozen=True)
class Options:
    config: cli.Experiment


def test_the_command_line_a_file_and_a_saved_config_are_checked(tmp_path):
    """What the file says and what the command line makes of it; --config alone cannot be wrong, either."""
    path = str(ROOT / "configs/tiny.py")
    with pytest.raises(UserError, match=r"config\.train\.batch_size is 0; give a number of at least 1"):
        cli.parse(Options, ["--config", path, "--config.train.batch_size", "0"])
    file = tmp_path / "wrong.py"
    file.write_text("from lsts_jax.config import Config\n\n\ndef get_config():\n    return Config(seed=-1)\n")
    with pytest.raises(UserError, match=r"wrong\.py: config\.seed is -1"):
        cli.load_config(file)
    save_config(changed("data.workers", -1), tmp_path / "config.json")
    with pytest.raises(UserError, match=r"config\.json: config\.data\.workers is -1; give a"):
        load_saved_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    "text",
    [
        '{"model": 1, "data": {"schedule": "online"}}',
        '{"model": {"lsts": 3}, "optimizer": {"offset_rate": 1.0}}',
    ],
)
def test_a_saved_config_with_a_number_where_fields_belong(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(
        UserError, match=r"config\.json: config\.model.* is \d, but model\..* is one of its fields"
    ):
        load_saved_config(tmp_path / "config.json")


def test_ranges_by_hand():
    assert str(Range(0, 1)) == "a number from 0 to 1" and str(Range(0, above=True)) == "a number above 0"
    inside = [number for number in (-1, 0, 0.5, 1, 2) if Range(0, 1, above=True).holds(number)]
    assert inside == [0.5, 1]
    assert sum(numbers_in(((1, 2), (3, True)))) == 6
