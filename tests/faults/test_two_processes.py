"""Two processes on one folder: the second is refused, and the first does not notice."""

import json
import signal
import time

import pytest

from lsts_jax.training.interruption import only_process
from tests.faults.test_disk import one_line


def wait_for(process, log, text: str) -> None:
    deadline = time.monotonic() + 300
    while text not in log.read_text():
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.01)


@pytest.mark.faults
def test_the_second_is_refused(scripts, tmp_path):
    workdir, log = tmp_path / "run", tmp_path / "log"
    options = ("--config.train.epochs", "0.1", "--config.train.checkpoint_every", "2")
    first = scripts.start(scripts.train(workdir, *options), log)
    wait_for(first, log, "step/s")
    first.send_signal(signal.SIGSTOP)  # so that it is there for as long as the second needs
    one_line(scripts.run(scripts.train(workdir, *options)), str(workdir), "another process")
    first.send_signal(signal.SIGCONT)
    assert first.wait(300) == 0
    log.write_text("")
    first = scripts.start(scripts.evaluate(workdir), log)
    wait_for(first, log, "evaluate:")
    first.send_signal(signal.SIGSTOP)
    one_line(scripts.run(scripts.evaluate(workdir)), str(workdir / "eval"), "another process")
    first.send_signal(signal.SIGCONT)
    assert first.wait(300) == 0
    assert json.loads((workdir / "eval" / "metrics.json").read_text())["frames"] == 36


@pytest.mark.faults
def test_a_training_waits_for_an_evaluation(scripts, tmp_path):
    workdir, log = tmp_path / "run", tmp_path / "log"
    with only_process(workdir / "eval"):
        training = scripts.start(scripts.train(workdir, "--config.train.epochs", "0.05"), log)
        wait_for(training, log, "4/4")
        time.sleep(3)
        assert training.poll() is None and not (workdir / "eval" / "metrics.json").exists()
    assert training.wait(300) == 0
    assert (workdir / "eval" / "metrics.json").exists()
