"""Content of a run's JSON file."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import reduce
from operator import getitem
from pathlib import Path

import numpy as np

from lsts_jax.config import Config
from lsts_jax.config_io import check_fields, load_saved_config
from lsts_jax.data.transforms import resized
from lsts_jax.errors import UserError
from lsts_jax.evaluation.displacement import synthvid_motion
from lsts_jax.files import write_whole

SCHEDULES = ("offline", "online")
MOST_MOTION = 2000
"""Pairs of frames that are kept, for each."""


def training_record(folder: Path) -> dict:
    """Numbers from metrics.jsonl: steps, their seconds, the mean length of the offsets."""
    batch_size = read_json(folder / "config.json")["train"]["batch_size"]
    seconds, done, spread = 0.0, 0, []
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        logged = json.loads(line)
        if "images_per_second" in logged:
            seconds += (logged["step"] - done) * batch_size / logged["images_per_second"]
            done = logged["step"]
        if "offset_spread" in logged:
            spread.append([logged["step"], round(logged["offset_spread"], 4)])
    return {"steps": done, "seconds": seconds} | ({"offset spread": spread} if spread else {})


def inside(folder: Path) -> dict:
    """Number of parameters, and the sampling offsets before, during and after the training, in cells."""
    import jax

    from lsts_jax.models.detector import build_detector
    from lsts_jax.training.checkpoints import LATEST, load_detector
    from lsts_jax.training.state import init_variables, initial_offsets

    # the accelerator belongs to the processes that train
    jax.config.update("jax_platforms", "cpu")
    config = load_saved_config(folder / "config.json")
    detector = build_detector(config.model, len(config.data.class_names))
    params = jax.eval_shape(lambda: init_variables(detector, config))["params"]
    found = {"parameters": sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(params))}
    initial = initial_offsets(detector, config)
    if initial is not None:
        steps = sorted(int(path.name) for path in (folder / LATEST).iterdir() if path.name.isdecimal())
        at_step = lambda step: load_detector(config, folder, str(step))[1]["params"]
        learned = {step: detector.temporal.learned_offsets(at_step(step)) for step in steps}
        found["offsets"] = [
            {"step": step, "offsets": [[round(float(x), 4) for x in point] for point in values]}
            for step, values in ({0: initial} | learned).items()
        ]
    return found


def cost(folder: Path, overrides: Mapping[str, object]) -> dict:
    """What a run's detector costs under other settings: `gmac`, 10^9 multiply-adds of a keyframe and of
    another frame, `memory_bytes`, and `delay` in frames."""
    import jax

    from benchmarks.detector import random_frames
    from benchmarks.flops import flops_of
    from lsts_jax.models.detector import build_detector
    from lsts_jax.training.state import init_variables
    from lsts_jax.video import events

    jax.config.update("jax_platforms", "cpu")
    model = {name: value for name, value in overrides.items() if name.startswith("model.")}
    config = overridden(load_saved_config(folder / "config.json"), model)
    detector = build_detector(config.model, len(config.data.class_names))
    bound, temporal = events(detector), detector.temporal
    variables = jax.eval_shape(lambda: init_variables(detector, config))
    data = replace(config.data, canvases=config.data.canvases[:1])
    frame = random_frames(replace(config, data=data))
    memory, _ = jax.eval_shape(bound.start, variables, frame)
    gmac = {"keyframe": flops_of(bound.on_keyframe, variables, memory, frame) / 2e9}
    if temporal.interval(config.model.keyframe_interval) > 1:
        gmac["other frame"] = flops_of(bound.on_frame, variables, memory, frame) / 2e9
    size = sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(memory))
    return {"gmac": gmac, "memory_bytes": size, "delay": temporal.delay}


def overridden(config: Config, overrides: Mapping[str, object]) -> Config:
    values = asdict(config)
    for name, value in overrides.items():
        *path, last = name.split(".")
        reduce(getitem, path, values)[last] = value
    return check_fields(Config, values, "config")


def join(detector: Path, flow: Path, out: Path) -> None:
    """Write the weights of a detector's run and of a flow network into one file."""
    import jax

    from lsts_jax.training.pretrained import open_weights

    jax.config.update("jax_platforms", "cpu")
    stored = {**open_weights(detector).arrays, **open_weights(flow).arrays}
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(out) as part, part.open("wb") as file:
        np.savez(file, **{name: array.read() for name, array in stored.items()})


def write_motion(config: Config, data: Path, results: Path) -> None:
    """motion.json: how far objects are from where they are in the keyframe, in cells, by the schedule.

    SynthVID's alone.
    """
    file, truth = results / "motion.json", data / "synthvid.json"
    if file.exists() or not truth.exists():
        return
    content = read_json(truth)
    size = content["settings"]["height"], content["settings"]["width"]
    scale, _ = resized(size, config.data)
    written = {}
    for schedule in SCHEDULES:
        motion = synthvid_motion(
            content, interval=config.model.keyframe_interval, schedule=schedule, scale=scale
        )
        some = np.random.default_rng(0).permutation(len(motion))[:MOST_MOTION]
        written[schedule] = motion[np.sort(some)].round(3).tolist()
    write_json(file, written)


def machine() -> dict:
    """Devices of the scripts, read in another process, so that this one does not hold the accelerator."""
    program = (
        "import json, jax; d = jax.devices(); print(json.dumps({'platform': d[0].platform, "
        "'device': d[0].device_kind, 'devices': len(d), 'jax': jax.__version__}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip() or "no output").splitlines()[-1]
        raise UserError(f"JAX finds no device: {last}")
    return json.loads(done.stdout) | {"cores": os.cpu_count()}


def read_json(path: Path) -> dict:
    return json.loads(path.read_text())


def write_json(path: Path, content: dict) -> None:
    """A field a line, and whole or not at all: what is there counts as finished."""
    lines = (f" {json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    with write_whole(path) as part:
        part.write_text("{\n" + ",\n".join(lines) + "\n}\n")
