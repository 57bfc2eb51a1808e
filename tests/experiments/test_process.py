"""Scripts as processes: why they failed, and signals handed on."""

import os
import signal
import sys
import threading
import time

import pytest

from experiments.process import ROOT, Failed, call, reason_in
from lsts_jax.errors import Stopped


def test_a_script_that_fails_tells_why(tmp_path):
    log = tmp_path / "log.txt"
    log.write_text("ValueError: of an earlier run\n")
    with pytest.raises(Failed, match=r"-c ended with status 3: last words$"):
        call([sys.executable, "-c", "print('first\\n\\rlast words'); raise SystemExit(3)"], log)
    with pytest.raises(Failed, match=r"-c ended with status 1: ValueError: no$"):
        call([sys.executable, "-c", "import os; print(os.getcwd(), flush=True); raise ValueError('no')"], log)
    assert f"{ROOT}\n" in log.read_text()
    call([sys.executable, "-c", "print('well')"], log)
    assert log.read_text().endswith("well\n")
    jax_error = "jax.errors.TracerError: leaked\n-----\nFor simplicity, JAX has removed frames\n"
    assert reason_in(jax_error) == "jax.errors.TracerError: leaked"
    assert reason_in("50% done\rerror: runs/x: no such file\n") == "error: runs/x: no such file"
    assert reason_in("") == "no output"


def test_a_signal_is_handed_on_and_waited_for(tmp_path):
    log = tmp_path / "log.txt"
    log.touch()
    child = (
        "import signal, sys, time\n"
        "def save(*_): time.sleep(0.3); print('saved', flush=True); sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save); print('ready', flush=True); time.sleep(60)"
    )

    def interrupt():
        while "ready" not in log.read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(Stopped, match="SIGINT: stopped; the same command continues") as stopped:
        call([sys.executable, "-c", child], log)
    thread.join()
    assert stopped.value.signal == signal.SIGINT
    assert log.read_text() == "ready\nsaved\n"
