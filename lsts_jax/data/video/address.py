"""Whether an address is that of a file, which ends, or that of a stream, which may not."""

from base64 import b64encode
from http.client import HTTPException
from urllib.parse import unquote_to_bytes, urlsplit
from urllib.request import Request, urlopen

import cv2

from lsts_jax.data.video.opencv import TIMEOUT, frame_count

ADDRESSES = ("http://", "https://", "rtsp://")
PLAYLIST, END_OF_PLAYLIST = b"#EXTM3U", b"#EXT-X-ENDLIST"
LONGEST_PLAYLIST = 1 << 20  # bytes


def is_finite(address: str, capture: cv2.VideoCapture) -> bool:
    """Whether what `capture` reads from `address` ends: it has a number of frames, or the server says how
    many bytes it has, or a playlist its end."""
    if not capture.isOpened():
        return False
    return frame_count(capture) > 0 or (address.startswith("http") and has_end(address))


def has_end(address: str) -> bool:
    """Whether the server names the number of bytes behind an address, or of a playlist the end."""
    try:
        with urlopen(request_of(address), timeout=TIMEOUT) as answer:
            has_length = answer.headers.get("Content-Length") is not None
            is_stream = answer.headers.get_content_maintype() == "multipart"
            if is_stream or not has_length:
                return False
            begin = answer.read(len(PLAYLIST))
            return begin != PLAYLIST or END_OF_PLAYLIST in answer.read(LONGEST_PLAYLIST)
    except (OSError, ValueError, HTTPException):
        return False


def request_of(address: str) -> Request:
    """Request for an address; its user and password, if it has them, go into a header, where servers read
    them. Raises ValueError if it is no address."""
    about = urlsplit(address)
    account, _, host = about.netloc.rpartition("@")
    request = Request(about._replace(netloc=host).geturl())
    if account:
        user, _, password = account.partition(":")
        decoded = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        request.add_unredirected_header("Authorization", f"Basic {b64encode(decoded).decode()}")
    return request
