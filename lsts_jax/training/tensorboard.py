"""WORKDIR/tensorboard: the numbers of metrics.jsonl, for TensorBoard."""

import logging
import os
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class Board:
    """An event file. Without tensorboardX, or after a write error, nothing is written and the run continues.

    Events are written without a thread: tensorboardX's SummaryWriter waits forever for its thread after a
    full disk has ended it.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self._file: Any = None
        try:
            from tensorboardX import record_writer
        except ImportError:
            logger.info("no TensorBoard files: tensorboardX is not installed; pip install tensorboardX")
            return
        name = f"events.out.tfevents.{int(time.time())}.{socket.gethostname()}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = record_writer.RecordWriter(str(folder / name))
        except OSError as error:
            self._give_up(error)
        else:
            self._append({"file_version": "brain.Event:2"})

    def write(self, values: dict) -> None:
        """Args:
        values: numbers by name, one of them `step`."""
        if self._file:
            from tensorboardX.summary import scalar

            numbers = [(name, value) for name, value in values.items() if name != "step"]
            self._append(*({"step": values["step"], "summary": scalar(*number)} for number in numbers))

    def close(self) -> None:
        """Closes the file."""
        if self._file:
            with suppress(OSError):  # reported before
                self._file.close()
        self._file = None

    def _append(self, *events: dict) -> None:
        # the module makes its classes while it is imported
        from tensorboardX.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]

        try:
            for event in events:
                self._file.write(Event(wall_time=time.time(), **event).SerializeToString())
            self._file.flush()
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        logger.warning("%s: %s; no further TensorBoard events are written", self._folder, error.strerror)
        self.close()
