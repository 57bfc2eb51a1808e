"""What is kept of a run."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from experiments.record import inside, training_record, write_motion
from lsts_jax.config_io import save_config
from lsts_jax.training.optimizer import build_optimizer
from lsts_jax.training.saving import Checkpoints
from lsts_jax.training.state import init_state
from tests.tiny import tiny_config, tiny_detector


def test_steps_and_seconds_are_those_of_the_log(tmp_path):
    save_config(tiny_config(), tmp_path / "config.json")  # batches of 2
    lines = (
        {"step": 1, "images_per_second": 0.5, "offset_spread": 1.00004},
        {"step": 21, "images_per_second": 10.0, "offset_spread": 1.25},
        {"step": 21, "mAP": 0.5},
    )
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert training_record(tmp_path) == {
        "steps": 21,
        "seconds": 4.0 + 4.0,
        "offset spread": [[1, 1.0], [21, 1.25]],
    }


def test_offsets_before_during_and_after_the_training_are_kept(tmp_path):
    config = tiny_config()
    detector, variables = tiny_detector(config)
    optimizer = build_optimizer(config.optimizer, 10, detector.temporal)
    save_config(config, tmp_path / "config.json")
    with Checkpoints(tmp_path) as checkpoints:
        for step, shift in ((4, 0.25), (10, 0.5)):
            params = variables["params"]
            moved = {"params": params | {"offsets": params["offsets"] + shift}}
            state = init_state(detector, optimizer, moved, config.seed)
            checkpoints.save(state._replace(step=jnp.int32(step)))
    found = inside(tmp_path)
    assert found["parameters"] == sum(leaf.size for leaf in jax.tree.leaves(variables["params"]))
    assert [stored["step"] for stored in found["offsets"]] == [0, 4, 10]
    grid = [[float(x), float(y)] for x in (-1, 0, 1) for y in (-1, 0, 1)]
    assert found["offsets"][0]["offsets"] == grid
    np.testing.assert_allclose(found["offsets"][2]["offsets"], np.array(grid) + 0.5)


def test_motion_is_kept_where_nothing_can_be_drawn(tmp_path, monkeypatch):
    """An object goes 8 pixels right a frame, half a cell; matplotlib is not installed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "lsts_jax.plots", raising=False)
    track = {"centre": [[8.0 * t, 5.0] for t in range(3)], "annotated": [1, 1, 1]}
    videos = {"VID/val/a": {"defocus": [0, 0, 0], "tracks": [track]}}
    truth = {"settings": {"height": 64, "width": 96}, "videos": videos}
    (tmp_path / "synthvid.json").write_text(json.dumps(truth))
    write_motion(tiny_config(), tmp_path, tmp_path)
    written = json.loads((tmp_path / "motion.json").read_text())
    assert written["online"] == [[-0.5, 0.0], [-1.0, 0.0]]
