"""Addresses of videos: their names in messages, and whether they are files or endless streams."""

import os
import re
from base64 import b64encode
from http.client import HTTPException
from pathlib import Path
from urllib.parse import unquote_to_bytes
from urllib.request import Request, urlopen

import cv2

from lsts_jax.data.video.opencv import TIMEOUT, frame_count

SCHEMES = ("http", "https", "rtsp")
ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
# Fields of a path that cameras read like those of a query: user=admin_password=secret_channel=1.
SECRET = re.compile(r"((?:pass|pwd|secret|token)\w*?=)(.*?)(?=_[a-z]+=|[&;/]|$)", re.IGNORECASE)
PLAYLIST, END_OF_PLAYLIST = b"#EXTM3U", b"#EXT-X-ENDLIST"
LONGEST_PLAYLIST = 1 << 20  # bytes


def is_address(text: str) -> bool:
    """True if a text is an address, of any scheme, and not a path."""
    return ADDRESS.match(text) is not None and not os.path.exists(text)


def has_scheme(address: str) -> bool:
    """True if the scheme of an address is supported."""
    return address.partition("://")[0].lower() in SCHEMES


def name_of(target: int | str | Path) -> str:
    """Name of a camera (its number), an address or a file in messages. *** replaces accounts,
    passwords, and the values of a query except short numbers, which are channels."""
    if isinstance(target, int):
        return f"camera {target}"
    if isinstance(target, Path) or not ADDRESS.match(target):
        return str(target)
    account, address = split_account(target)
    scheme, _, rest = address.partition("://")
    path, mark, query = rest.partition("?")
    path = SECRET.sub(r"\1***", path)
    query = re.sub(r"=(?!\d{1,2}(?:&|$))[^&]+", "=***", query) if "=" in query else "***" * bool(query)
    return f"{scheme}://{'***@' if account else ''}{path}{mark}{query}"


def split_account(address: str) -> tuple[str, str]:
    """The account before the host of an address, USER:PASSWORD, and the address without it. A
    password may contain the characters that end a host, since people forget to write them as
    %2F."""
    scheme, _, rest = address.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    if "@" not in host and re.match(r"[^\[:]*:(?!\d*$)", host):  # the text after the colon is not a port
        host = rest
    account, at, _ = host.rpartition("@")
    return account, f"{scheme}://{rest[len(account + at) :]}"


def is_finite(address: str, capture: cv2.VideoCapture) -> bool:
    """True if the video that `capture` reads from `address` ends: it has a number of frames, or the
    server gives a number of bytes, or a playlist its end."""
    if not capture.isOpened():
        return False
    return frame_count(capture) > 0 or (address.lower().startswith("http") and has_end(address))


def has_end(address: str) -> bool:
    """True if the server gives the number of bytes of an address, or the end of a playlist."""
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
    """Request for an address, with its user and password, if any, in a header, where servers expect
    them. Raises ValueError if the text is not an address."""
    account, address = split_account(address)
    request = Request(address)
    if account:
        user, _, password = account.partition(":")
        decoded = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        request.add_unredirected_header("Authorization", f"Basic {b64encode(decoded).decode()}")
    return request
