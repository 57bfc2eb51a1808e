"""A disk that is full, read-only, or has something else in the way: a line, status 2, and nothing is lost."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsts_jax.training.saving import Checkpoints
from tests.faults.conftest import ROOT
from tests.faults.test_damage import small_state

UNSHARE = shutil.which("unshare")
SAVES = """
import resource, sys
from lsts_jax import cli
from lsts_jax.errors import UserError
from lsts_jax.training.saving import Checkpoints
from tests.faults.test_damage import small_state

def run(arguments):
    for when, workdir in zip(("again", "end"), arguments):
        with Checkpoints(workdir) as checkpoints:
            checkpoints.save(small_state(1))
        try:
            with Checkpoints(workdir) as checkpoints:
                resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
                checkpoints.save(small_state(2))
                if when == "again":
                    checkpoints.save(small_state(3))
                print("done", when)
        except UserError as error:
            print(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

cli.main(run)
"""


def one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    """A user's mistake is told at the end, and nothing but what a run always says stands before."""
    assert done.returncode == 2, done.stderr
    last = done.stderr.replace("\r", "\n").strip().splitlines()[-1]
    assert last.startswith("error: ") and all(word in last for word in words), done.stderr
    for noise in ("Traceback", "Exception", "Warning", "never retrieved"):
        assert noise not in done.stderr


def test_a_save_that_fails_is_noticed_at_the_next_or_at_the_end(tmp_path):
    """No file may be longer than 1000 bytes after the first save; the limit stands for a full disk."""
    folders = [tmp_path / "again", tmp_path / "end"]
    command = [sys.executable, "-c", SAVES, *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    said = [
        f"{folder / 'checkpoints'}: a checkpoint could not be written (File too large); check the disk, "
        "then the same command continues from step 1"
        for folder in folders
    ]
    assert done.stdout.splitlines() == [said[0], "done end", said[1]]
    for folder in folders:
        with Checkpoints(folder) as checkpoints:
            assert int(checkpoints.restore(small_state(7)).step) == 1


@pytest.mark.parametrize("name", ["checkpoints", "best", "metrics.jsonl", "config.json", ".lock", ""])
@pytest.mark.faults
def test_something_else_in_the_way(scripts, tmp_path, name):
    workdir = tmp_path / "run"
    file = workdir / name if name else workdir
    file.parent.mkdir(exist_ok=True, parents=True)
    if "." in name:
        file.mkdir()
    else:
        file.write_text("not what you expected\n")
    done = scripts.run(scripts.train(workdir))
    one_line(done, str(file))


def in_mount(scripts, mount: str, script: str) -> subprocess.CompletedProcess:
    """Runs a shell script where `mount` has been done, for it and nobody else. Root needs no sudo for that,
    and others not either where user namespaces are permitted."""
    if UNSHARE is None:
        pytest.skip("unshare is not installed, and nothing can be mounted for a test alone")
    inside = [UNSHARE, "--mount", "--map-root-user", "sh", "-c"]
    if subprocess.run([*inside, mount], capture_output=True).returncode:
        pytest.skip(f"not permitted here: {mount}")
    return scripts.run([*inside, f"{mount} && {script}"])


def shell(command: list[str]) -> str:
    return " ".join(f"'{word}'" for word in command)


@pytest.mark.faults
def test_a_full_disk_ends_a_training_which_then_goes_on(scripts, tmp_path):
    """Room for two checkpoints of three; the folder is then copied to where there is more."""
    disk, rescued = tmp_path / "disk", tmp_path / "rescued"
    disk.mkdir()
    options = ("--config.train.checkpoint_every", "3", "--config.train.epochs", "0.3")
    train = shell(scripts.train(disk / "run", *options))
    done = in_mount(
        scripts,
        f"mount -t tmpfs -o size=5m tmpfs '{disk}'",
        f"{{ {train}; status=$?; rm -f '{disk}'/run/tensorboard/*; cp -r '{disk}/run' '{rescued}'; "
        f"exit $status; }}",
    )
    one_line(done, "No space left on device", "continues from step")
    steps = [int(path.name) for path in (rescued / "checkpoints").glob("*") if path.name.isdecimal()]
    assert steps
    done = scripts.run(scripts.train(rescued, *options))
    assert done.returncode == 0, done.stderr
    assert f"continuing from step {max(steps)} of 24" in done.stderr
    lines = [json.loads(line) for line in (rescued / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if "loss" in line] == list(range(1, 25))


@pytest.mark.faults
def test_a_read_only_folder(scripts, tmp_path):
    """Nothing can be trained or evaluated there, and everything can be read."""
    workdir, out = tmp_path / "run", tmp_path / "out"
    workdir.mkdir()
    options = ("--config.train.epochs", "0.05")
    assert scripts.run(scripts.train(workdir, *options)).returncode == 0
    before = sorted(workdir.rglob("*"))
    mount = f"mount --bind '{workdir}' '{workdir}' && mount -o remount,bind,ro '{workdir}'"
    for command, told in (
        (scripts.train(workdir, *options), "Read-only file system"),
        (scripts.evaluate(workdir), "name another folder, --output"),
    ):
        one_line(in_mount(scripts, mount, shell(command)), told, str(workdir))
    source = next(scripts.data.glob("Data/VID/val/*"))
    predict = [sys.executable, "predict.py", "--workdir", workdir, "--source", source, "--output", out]
    done = in_mount(scripts, mount, shell(map(str, [*predict, "--save", "jsonl"])))
    assert done.returncode == 0, done.stderr
    assert len((out / "detections.jsonl").read_text().splitlines()) == 12
    assert sorted(workdir.rglob("*")) == before


@pytest.mark.faults
def test_a_damaged_checkpoint_as_users_meet_it(scripts, tmp_path):
    """train.py and evaluate.py name the file; what they say helps."""
    workdir = tmp_path / "run"
    options = ("--config.train.checkpoint_every", "2", "--config.train.epochs", "0.05")
    assert scripts.run(scripts.train(workdir, *options)).returncode == 0
    newest, older = 4, 2
    folder: Path = workdir / "checkpoints" / str(newest)
    file = max(folder.glob("variables/ocdbt.process_0/d/*"), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    for command in (scripts.train(workdir, *options), scripts.evaluate(workdir)):
        one_line(scripts.run(command), str(file), f"--checkpoint {older}", f"remove {folder}")
    assert scripts.run(scripts.evaluate(workdir, "--checkpoint", str(older))).returncode == 0
    shutil.rmtree(folder)
    done = scripts.run(scripts.train(workdir, *options))
    assert done.returncode == 0 and f"continuing from step {older}" in done.stderr, done.stderr
