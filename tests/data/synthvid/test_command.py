"""The command: benchmarks by name, options, and what it says."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lsts_jax.data.synthvid import BENCHMARKS, __main__
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from tests.data.synthvid.common import BURSTS, contents


def run_command(*arguments):
    __main__.run([str(argument) for argument in arguments])


def test_a_benchmark_is_rendered_and_named(marked, tmp_path, monkeypatch):
    monkeypatch.setitem(BENCHMARKS, "s", BURSTS)
    run_command("--benchmark", "s", "--out", tmp_path / "s", "--workers", 2, "--frames", 30)
    found, expected = contents(tmp_path / "s"), contents(marked)
    header = json.loads(found.pop("synthvid.json"))
    assert (header["benchmark"], header["version"]) == ("s", 1)
    assert "benchmark" not in json.loads(expected.pop("synthvid.json"))
    assert found == expected  # with another number of workers


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--videos", "64", "--videos 64: --benchmark s has 240"),  # the default of that option
        ("--difficulty", "hard", "--difficulty hard: --benchmark s has bursts"),
        ("--backgrounds", "photos", "--backgrounds photos: --benchmark s has none"),
    ],
)
def test_a_benchmark_takes_no_other_setting(tmp_path, option, value, message):
    with pytest.raises(UserError, match=message):
        run_command("--benchmark", "s", "--out", tmp_path / "s", option, value)
    assert not (tmp_path / "s").exists()


def test_a_clip_is_one_video_and_nothing_else(tmp_path):
    small = ("--frames", 4, "--height", 64, "--width", 96)
    run_command("--clip", tmp_path / "clip.mp4", *small)
    assert [file.name for file in tmp_path.iterdir()] == ["clip.mp4"]
    frames = [frame.picture for frame in open_source(tmp_path / "clip.mp4")]
    assert [frame.shape for frame in frames] == [(64, 96, 3)] * 4


@pytest.mark.parametrize("given", [(), ("--out", "x", "--clip", "x.mp4")])
def test_either_a_data_set_or_a_clip(given):
    with pytest.raises(UserError, match=r"^give either --out FOLDER for a data set or --clip FILE\.mp4"):
        run_command(*given)


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "lsts_jax.data.synthvid"]
    (tmp_path / "note").write_text("")
    refused = subprocess.run([*command, "--out", str(tmp_path)], capture_output=True, text=True)
    assert refused.returncode == 2
    assert len(refused.stderr.splitlines()) == 1 and "not empty" in refused.stderr
    chosen = {"videos": 1, "val-videos": 0, "stills": 0, "frames": 2, "height": 32, "width": 40, "workers": 1}
    options = [word for name, value in chosen.items() for word in (f"--{name}", str(value))]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "set"), *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "set").rglob("*.JPEG"))) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file/set: Not a directory; name another folder"):
        run_command("--out", tmp_path / "file" / "set")


def test_ctrl_c_ends_all_processes_with_one_line(tmp_path):
    """As in a terminal, every process of the command is interrupted: as workers start, and as they render."""
    # A job in the background of a shell ignores Ctrl-C and hands that on; an exec keeps the default set here.
    heeding = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); "
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    )
    options = ["--out", str(tmp_path / "set"), "--workers", "2", "--frames", "2"]
    started = subprocess.Popen(
        [sys.executable, "-c", heeding, "-m", "lsts_jax", "synthvid", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    while not list((tmp_path / "set").rglob("*.JPEG")):
        time.sleep(0.01)
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=60)
    assert started.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted" and "Traceback" not in said
