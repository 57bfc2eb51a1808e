"""Text files as people's editors save them."""

import codecs
from pathlib import Path

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(file: Path) -> str:
    """The text of a file in UTF-8 or, with the mark of its byte order at the beginning, UTF-16; without the
    mark. Raises OSError, or ValueError where it is no text."""
    data = file.read_bytes()
    return data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")
