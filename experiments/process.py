"""Scripts of the repository as processes: their output goes to a file, signals are handed on."""

import re
import signal
import subprocess
import time
from pathlib import Path

from lsts_jax.errors import Stopped
from lsts_jax.training.interruption import Interruption

ROOT = Path(__file__).resolve().parents[1]


class Failed(Exception):
    """A run came to nothing; the message tells why."""


def call(command: list[str], log: Path) -> None:
    """Run a script of the repository; its output goes to the end of a file.

    SIGTERM and Ctrl-C are handed on, so that a training is saved. Raises `Failed` with the line of the output
    that tells why, and `Stopped`.
    """
    with log.open("ab") as output, Interruption() as interruption:
        begin = output.tell()
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C would come twice
        )
        told = False
        while process.poll() is None:
            if interruption.signal and not told:
                process.send_signal(signal.SIGTERM)
                told = True
            time.sleep(0.2)
    if interruption.signal:
        name = signal.Signals(interruption.signal).name
        raise Stopped(interruption.signal, f"{name}: stopped; the same command continues")
    if process.returncode:
        written = log.read_bytes()[begin:].decode(errors="replace")
        raise Failed(f"{command[1]} ended with status {process.returncode}: {reason_in(written)}")


def reason_in(output: str) -> str:
    """The last line that is of an error, or else the last one."""
    lines = [line.strip() for line in re.split("[\r\n]+", output) if line.strip()]
    errors = [line for line in lines if re.match(r"error: |[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["no output"])[-1]
