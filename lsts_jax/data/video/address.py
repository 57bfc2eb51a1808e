"""Addresses of videos: how messages name them, and which are of files, which end."""

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
    """Whether a text is an address, of whatever scheme, and no path."""
    return ADDRESS.match(text) is not None and not os.path.exists(text)


def has_scheme(address: str) -> bool:
    """Whether the scheme of an address is one that is read."""
    return address.partition("://")[0].lower() in SCHEMES


def name_of(target: int | str | Path) -> str:
    """How messages name a camera (its number), an address or a file: with *** in the place of an account,
    passwords, and what a query holds, short numbers aside, which are those of channels."""
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
    """What stands before the host of an address, USER:PASSWORD, and the address without it. A password may
    hold the characters that end a host, as people forget to write them as %2F."""
    scheme, _, rest = address.partition("://")
    host = re.split("[/?]", rest, maxsplit=1)[0]
    if "@" not in host and re.match(r"[^\[:]*:(?!\d*$)", host):  # what follows the colon is no port
        host = rest
    account, at, _ = host.rpartition("@")
    return account, f"{scheme}://{rest[len(account + at) :]}"


def is_finite(address: str, capture: cv2.VideoCapture) -> bool:
    """Whether what `capture` reads from `address` ends: it has a number of frames, or the server says how
    many bytes it has, or a playlist its end."""
    if not capture.isOpened():
        return False
    return frame_count(capture) > 0 or (address.lower().startswith("http") and has_end(address))


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
    account, address = split_account(address)
    request = Request(address)
    if account:
        user, _, password = account.partition(":")
        decoded = unquote_to_bytes(user) + b":" + unquote_to_bytes(password)
        request.add_unredirected_header("Authorization", f"Basic {b64encode(decoded).decode()}")
    return request
