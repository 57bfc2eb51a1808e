"""Small videos, written by OpenCV, and damage in them."""

import http.server
import struct
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import cv2
import numpy as np

SIZE = (48, 64)
DURATIONS = [100, 200, 50, 50, 100]  # milliseconds


def picture_of(t: int) -> np.ndarray:
    """RGB: red tells the frame, noise keeps its code from being that of another."""
    noise = np.random.default_rng(t).integers(0, 12, (*SIZE, 3), np.uint8)
    return noise + np.array([15 * t % 240, 100, 50], np.uint8)


def write_clip(file: Path, count: int, *, codec: str = "mp4v", fps: float = 10) -> Path:
    """A video of `picture_of` 0..count - 1."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(file), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), fps, SIZE[::-1])
    assert writer.isOpened(), (file, codec)
    for t in range(count):
        writer.write(cv2.cvtColor(picture_of(t), cv2.COLOR_RGB2BGR))
    writer.release()
    return file


def write_animation(file: Path) -> Path:
    """Five pictures whose red is 0, 40, 80, 120, 160, shown for DURATIONS."""
    animation = cv2.Animation()
    animation.frames = [np.full((*SIZE, 3), (50, 100, red), np.uint8) for red in (0, 40, 80, 120, 160)]
    animation.durations = np.array(DURATIONS)
    done, data = cv2.imencodeanimation(file.suffix, animation, [cv2.IMWRITE_WEBP_QUALITY, 100])
    assert done
    file.write_bytes(data.tobytes())
    return file


def damage(file: Path, *frames: int) -> Path:
    """Overwrites the code of these frames with zeros; what the container says of them stays."""
    capture = cv2.VideoCapture(str(file), cv2.CAP_FFMPEG, [cv2.CAP_PROP_FORMAT, -1])
    packets = []
    while (read := capture.read())[0]:
        packets.append(read[1].tobytes())
    capture.release()
    data = file.read_bytes()
    for frame in frames:
        assert data.count(packets[frame]) == 1
        data = data.replace(packets[frame], bytes(len(packets[frame])))
    file.write_bytes(data)
    return file


def retime(file: Path, times: Sequence[float]) -> Path:
    """Gives the frames of an mp4 file other times, in seconds: its table of durations (ISO 14496-12, 8.6.1.2)
    becomes one with a duration for each frame."""
    data = file.read_bytes()
    at = data.index(b"mdhd") - 4
    (scale,) = struct.unpack_from(">I", data, at + 20)
    ticks = np.diff([*times, times[-1] + 0.1])
    entries = b"".join(struct.pack(">II", 1, round(scale * seconds)) for seconds in ticks)
    begin = data.index(b"stts") - 4
    (size,) = struct.unpack_from(">I", data, begin)
    table = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(ticks)) + entries
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):  # the boxes around it grow
        at = data.index(name) - 4
        grown = struct.pack(">I", struct.unpack_from(">I", data, at)[0] + len(table) - size)
        data = data[:at] + grown + data[at + 4 :]
    data = data[:begin] + table + data[begin + size :]
    file.write_bytes(data.replace(b"edts", b"free"))  # the list of edits has the old length
    return file


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Address of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
