"""Streams that are slow to be read, that break off, and that come back."""

import logging
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, islice, pairwise, repeat
from types import SimpleNamespace
from unittest.mock import Mock

import cv2
import numpy as np
import pytest

from lsts_jax.data.video import live_source
from lsts_jax.data.video.live_source import QUEUE, LiveFrames
from lsts_jax.data.video.opencv import open_capture
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from tests.data.trees import picture


class MJPEG(BaseHTTPRequestHandler):
    """A camera of the network: `server.cut` frames, then the connection breaks."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        try:
            for _ in range(self.server.cut):
                red = min(self.server.sent, 250)
                data = cv2.imencode(".jpg", picture(red, self.server.size)[..., ::-1])[1].tobytes()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                self.server.sent += 1
                time.sleep(0.01)
        except OSError:  # the reader has left
            pass

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), MJPEG)
    server.sent, server.cut, server.size, server.daemon_threads = 0, 40, (48, 64), True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def address(server):
    return f"http://127.0.0.1:{server.server_address[1]}/video.mjpg"


def test_a_stream_that_breaks_off_comes_back(address, server, monkeypatch, caplog):
    monkeypatch.setattr(live_source, "FIRST_WAIT", 0.05)
    source = open_source(address)
    assert (source.size, source.num_frames, source.is_live) == ((48, 64), None, True)
    numbers, reds = [], []
    with caplog.at_level(logging.WARNING):
        for number, _, image, _ in source:
            numbers.append(number)
            reds.append(float(image[..., 0].mean()))
            if server.sent > 100 and len(numbers) > 60:
                break
    assert numbers == sorted(set(numbers))
    assert max(reds) > 45  # of the second connection, and RGB
    assert any("interrupted; trying again" in record.getMessage() for record in caplog.records)


def test_a_stream_that_comes_back_in_another_size_goes_on(address, server, monkeypatch):
    monkeypatch.setattr(live_source, "FIRST_WAIT", 0.05)
    server.cut = 5
    sizes, times = [], []
    for frame in open_source(address):
        server.size = (96, 32)  # of the next connection
        sizes.append(frame.picture.shape[:2])
        times.append(frame.time)
        if sizes[-1] == server.size:
            break
    assert set(sizes) == {(48, 64), (96, 32)}
    assert times[0] < 1 and all(a < b for a, b in pairwise(times))


def camera(reads):
    """A capture whose reads return these values or raise them, and then fail."""
    capture = Mock(spec=cv2.VideoCapture)
    capture.read.side_effect = chain(reads, repeat((False, None)))
    capture.get.return_value, capture.isOpened.return_value = 0.0, True
    return capture


def test_a_frame_that_opencv_refuses_is_an_interruption(monkeypatch):
    monkeypatch.setattr(live_source, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(live_source, "open_capture", lambda target: camera([(True, picture(2))] * 3))
    frames = LiveFrames(0, camera([(True, picture(1)), cv2.error("no memory for so many pixels")]))
    assert [frame.number for frame in islice(frames, 2)] == [0, 1]
    frames.close()


def test_the_wait_between_attempts_doubles_up_to_the_longest(monkeypatch):
    waits = []

    class Clock(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            return self.set() if len(waits) == 9 else False

    clocked = SimpleNamespace(Event=Clock, Condition=threading.Condition, Thread=threading.Thread)
    monkeypatch.setattr(live_source, "threading", clocked)
    monkeypatch.setattr(live_source, "open_capture", lambda target: camera([]))
    LiveFrames(0, camera([(True, picture(1))]))._thread.join(10)
    assert waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


def test_frames_that_come_too_fast_are_dropped_and_counted(address, server):
    server.cut = 10**6
    frames = LiveFrames(address, open_capture(address))
    iterator = iter(frames)
    numbers = []
    for _ in range(6):
        numbers.append(next(iterator).number)
        time.sleep(0.15)
    iterator.close()
    assert frames.dropped > 0
    assert len(frames._frames) <= QUEUE
    assert numbers[-1] - numbers[0] > 5 + QUEUE  # what was shown last is new
    assert not frames._thread.is_alive()


def test_the_newest_frames_wait_for_the_reader(monkeypatch):
    monkeypatch.setattr(live_source, "FIRST_WAIT", 60.0)
    frames = LiveFrames(0, camera([(True, picture(1))] * 20))
    while frames._received < 20:
        time.sleep(0.01)
    assert [frame.number for frame in islice(frames, QUEUE)] == list(range(20 - QUEUE, 20))
    assert frames.dropped == 20 - QUEUE
    frames.close()


@pytest.mark.parametrize("told, fps", [(25.0, 25.0), (90000.0, None), (None, None)])
def test_the_rate_of_a_clock_is_no_rate_of_frames(address, monkeypatch, told, fps):
    monkeypatch.setattr(live_source, "frame_rate", lambda capture: told)
    frames = LiveFrames(address, open_capture(address))
    assert frames.fps == fps
    frames.close()


def test_nothing_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(UserError, match=r"127\.0\.0\.1.*no frame can be read"):
        open_source(f"http://127.0.0.1:{port}/none")
    with pytest.raises(UserError, match="no frame can be read"):
        open_source("97")  # a camera


def test_an_image_is_rgb(address):
    number, _, image, _ = next(iter(open_source(address)))
    assert number == 0
    assert np.abs(image.reshape(-1, 3).mean(0) - [0, 100, 50]).max() < 8
