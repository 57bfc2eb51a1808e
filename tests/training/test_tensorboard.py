"""TensorBoard's file holds what was logged, and a disk that refuses it stops no run."""

import os
from pathlib import Path

import pytest
from tensorboardX import record_writer
from tensorboardX.proto.event_pb2 import Event

from lsts_jax.training.metrics_log import MetricsLog
from lsts_jax.training.tensorboard import Board


def events(file: Path) -> list[Event]:
    """Records of length, checksum, data, checksum."""
    data, found = file.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        found.append(Event.FromString(data[12 : 12 + size]))
        data = data[16 + size :]
    return found


def test_numbers_by_name_and_step(tmp_path):
    with MetricsLog(tmp_path) as log:
        log.write({"step": 3, "loss": 0.5, "mAP": float("nan")})
        (file,) = (tmp_path / "tensorboard").iterdir()
        _, *written = events(file)  # a kill after this line loses none of it
    found = [(event.step, *((v.tag, v.simple_value) for v in event.summary.value)) for event in written]
    assert found[0] == (3, ("loss", 0.5)) and found[1][1][0] == "mAP"


def test_a_full_disk_stops_the_file_and_not_the_run(tmp_path, caplog, monkeypatch):
    """/dev/full takes no byte. More lines than a queue would hold."""
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    monkeypatch.setattr(record_writer, "open_file", lambda path: Path("/dev/full").open("wb"))  # noqa: SIM115
    board = Board(tmp_path)
    for step in range(40):
        board.write({"step": step, "loss": 1.0})
    board.close()
    (message,) = (record.getMessage() for record in caplog.records)
    assert "No space left on device; no further TensorBoard events" in message
