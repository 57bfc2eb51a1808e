"""Which runs a suite makes, in which order, and that their overrides are settings of the scripts."""

from dataclasses import asdict, replace

import pytest

from experiments import flow
from experiments.plan import plan
from experiments.run import as_arguments, flow_arguments
from experiments.suites import CENTRE, FIXED_WEIGHTS, FLOW, INITIAL, SUITES, Experiment
from lsts_jax import cli
from lsts_jax.commands.train import Options as TrainOptions
from lsts_jax.config import Config
from lsts_jax.config_checks import validate
from lsts_jax.config_io import check_fields
from lsts_jax.errors import UserError
from tests.experiments.suite import ALL, SUITE


def test_a_suite_is_planned_seed_by_seed_and_what_a_run_needs_comes_before_it():
    planned = plan(SUITE, (0, 1))
    assert [each.name for each in planned] == ALL
    by_name = {each.name: each for each in planned}
    assert by_name["interval20-seed1"].after == by_name["lsts-seed1"]
    assert by_name["interval20-seed1"].overrides == {
        "train.epochs": 0.5,
        "model.temporal": "lsts",
        "model.keyframe_interval": 20,
    }
    assert by_name["frozen-seed0"].after == by_name["pretrain-seed0"]
    names = lambda *only: [each.name for each in plan(SUITE, (3, 4), only)]
    assert names("frozen") == ["pretrain-seed3", "frozen-seed3"]
    assert names("interval*") == [
        *("pretrain-seed3", "lsts-seed3", "interval20-seed3"),
        *("pretrain-seed4", "lsts-seed4", "interval20-seed4"),
    ]
    with pytest.raises(UserError, match=r"--only srfu: choose from single, lsts, frozen, interval20"):
        plan(SUITE, (0,), ("srfu",))


def test_a_detector_with_flow_waits_for_its_detector_and_its_flow_network():
    pretraining = {**SUITE.pretraining, "other": {"model.temporal": "none", "train.epochs": 2.0}}
    dff = Experiment("dff", "DFF", {"model.temporal": "dff"}, start="other", flow=True)
    suite = replace(SUITE, pretraining=pretraining, flow={"width": 4}, experiments=(dff,), evaluations=())
    planned = plan(suite, (5,))
    assert [each.name for each in planned] == ["other-seed5", "flow-seed0", "dff-seed5"]
    other, network, last = planned
    assert last.after == other and last.flow == network
    assert network.overrides == {"width": 4}
    assert other.overrides["train.epochs"] == 2.0


@pytest.mark.parametrize("name", SUITES)
def test_the_config_takes_every_override_and_tables_name_experiments(name):
    suite = SUITES[name]
    planned = plan(suite, suite.seeds)
    for each in planned:
        if each.experiment == FLOW:
            cli.parse(flow.Options, flow_arguments({"data": "d", "out": "o"} | dict(each.overrides)))
            continue
        values = asdict(cli.load_config(suite.config))
        for field, value in each.overrides.items():
            *path, last = field.split(".")
            place = values
            for part in path:
                place = place[part]
            place[last] = value
        validate(check_fields(Config, values, "config"))
    assert len({each.name for each in planned}) == len(planned)
    for rows in suite.tables.values():
        assert rows.keys() <= {each.experiment for each in planned} | {INITIAL, CENTRE, *FIXED_WEIGHTS}


def test_overrides_reach_the_scripts():
    overrides = {
        "model.lsts.learn_offsets": False,
        "optimizer.drop_epochs": (0.4, 2.0),
        "data.class_names": (),
        "optimizer.learning_rate": 1e-3,
        "model.temporal": "copy",
    }
    arguments = ["--config", "configs/demo.py", "--workdir", "w", *as_arguments(overrides)]
    config = cli.parse(TrainOptions, arguments).config
    assert config.model.lsts.learn_offsets is False
    assert config.optimizer.drop_epochs == (0.4, 2.0)
    assert config.data.class_names == ()
    assert config.optimizer.learning_rate == 0.001
    assert config.model.temporal == "copy"
