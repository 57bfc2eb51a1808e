"""Videos in lockstep on several devices."""

import os
import subprocess
import sys

PROGRAM = """
import jax, numpy as np
from lsts_jax.streaming import VideoDetector
from tests.tiny import random_frames, tiny_config, tiny_detector

assert jax.device_count() == 4
config = tiny_config()
detector, variables = tiny_detector(config)
video = lambda n: [jax.tree.map(lambda x: np.asarray(x[t]), random_frames(n, seed=n)) for t in range(n)]
videos = [video(n) for n in range(2, 9)]
found = {}
for lanes in (1, 4):
    run = VideoDetector(detector, variables, interval=3, schedule="offline")
    found[lanes] = [[] for _ in videos]
    for video, one in run.stream_many(videos, videos_per_batch=lanes):
        found[lanes][video].append(one)
    devices = {d for x in jax.tree.leaves(run.variables) for d in x.devices()}
    assert len(devices) == lanes, devices
for lanes in (4,):
    for one, other in zip(jax.tree.leaves(found[1]), jax.tree.leaves(found[lanes]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)
assert [len(video) for video in found[4]] == [2, 3, 4, 5, 6, 7, 8]
print("equal")
"""


def test_any_number_of_devices_finds_the_same():
    flags = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
    )
    assert done.stdout == "equal\n", done.stderr[-2000:]
