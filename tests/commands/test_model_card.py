"""The command in a model card trains the config of the card."""

import shlex
from dataclasses import dataclass, replace

import pytest

from lsts_jax import cli
from lsts_jax.cli import load_config
from lsts_jax.commands.model_card import commands
from tests.tiny import tiny_config


@dataclass(frozen=True)
class Options:
    config: cli.Experiment
    workdir: str


def test_an_experiment_as_it_stands_has_the_commands_of_its_file():
    data, train, _ = commands(load_config("demo"), "x")
    assert data == (
        "python -m lsts_jax.data.synthvid --out runs/demo/synthvid --videos 120 --val-videos 12 --frames 40"
    )
    assert train == "python train.py --config configs/demo.py --workdir runs/demo"


def test_one_field_is_one_option():
    config = replace(load_config("variants/paper"), seed=3)
    assert commands(config, "x") == [
        "lsts train --config variants/paper --workdir runs/x --config.seed 3",
    ]


@pytest.mark.parametrize("config", [tiny_config(), replace(tiny_config(), seed=7)])
def test_the_options_give_the_config_back(config):
    (command,) = commands(config, "x")
    program, train, *options = shlex.split(command)
    assert (program, train) == ("lsts", "train")
    assert cli.parse(Options, options).config == config
