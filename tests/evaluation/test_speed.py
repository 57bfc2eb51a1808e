"""Every part of a frame's time is measured, waited for, and defined."""

import time
from dataclasses import replace

from lsts_jax.evaluation import speed
from lsts_jax.evaluation.speed import DEFINITIONS, measure_speed, speed_table
from tests.evaluation.test_runner import setting  # noqa: F401


def test_all_parts(setting, monkeypatch):  # noqa: F811
    read = speed.read_frame
    monkeypatch.setattr(speed, "read_frame", lambda *args: time.sleep(0.02) or read(*args))
    found = measure_speed(*setting)
    assert found.keys() == DEFINITIONS.keys()
    assert all(value >= 0 for value in found.values())
    assert found["decode"] > 0.02
    lines = speed_table(found).splitlines()
    assert len(lines) == len(DEFINITIONS)
    assert lines[0].split()[1] == f"{1e3 * found['decode']:.2f}"


def test_a_detector_of_one_frame_a_segment(setting):  # noqa: F811

    detector, variables, config, dataset = setting
    config = replace(config, model=replace(config.model, keyframe_interval=1))
    found = measure_speed(detector, variables, config, dataset)
    assert DEFINITIONS.keys() - found.keys() == {"live, other frame"}
