"""Reading text files as editors save them."""

import codecs
import re
from pathlib import Path

UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(file: Path) -> str:
    """The text of a file in UTF-8 or, with a byte order mark, UTF-16; without the mark. Raises
    OSError, or ValueError if it is not text."""
    data = file.read_bytes()
    return data.decode("utf-16" if data.startswith(UTF16) else "utf-8-sig")


def split_number(name: str) -> tuple[str, int, str] | None:
    """Splits a name at its last number: text before it, the number, text after it. None if the name
    has no number of at most 15 digits."""
    found = re.fullmatch(r"(.*?)([0-9]{1,15})([^0-9]*)", name, re.DOTALL)
    return (found[1], int(found[2]), found[3]) if found and not found[1][-1:].isdecimal() else None
