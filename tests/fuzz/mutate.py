"""Changes to valid input that keep most of its structure: numbers, words and lines first, then bytes."""

import json
import re
from collections.abc import Sequence
from random import Random
from typing import Any

LONGEST = 1 << 16
NUMBERS = (
    "0", "-1", "1", "2", "255", "65536", "2147483647", "2147483648", "-2147483649", "4294967295",
    "1099511627776", "9223372036854775807", "9223372036854775808", "1e9", "1e39", "1e309", "-1e309", "nan",
    "inf", "-inf", "0.5", "1e-400", "NaN", "Infinity", "1_0", "0x10", "٣", "9" * 5000,
)  # fmt: skip
WORDS = ("", " ", "\x00", "..", "/", "../..", "null", "true", "\ufeff", "\ud7ff", "ß" * 300, "-", "--", "%s")
VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 2**31, 2**40, 2**63, 2**64, -(2**63), 1e308, float("nan"), float("inf"),
    "", "x", "\x00", "1", "../x", [], [[]], {}, {"id": 1}, [None], [0] * 5, [1e39] * 4, 10**400,
)  # fmt: skip
INTEGERS = (0, 1, 2, 0x7F, 0xFF, 0xFFFF, 1 << 31, (1 << 32) - 1, 1 << 40, (1 << 63) - 1, (1 << 64) - 1)


def mutate(seeds: Sequence[bytes], random: Random) -> bytes:
    """One of the seeds after one to four changes."""
    data = random.choice(seeds)
    for _ in range(random.randint(1, 4)):
        change = random.choice(CHANGES)
        data = change(data, random)[:LONGEST]
    return data


def _number(data: bytes, random: Random) -> bytes:
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?", data))
    if not found:
        return data
    match = random.choice(found)
    return data[: match.start()] + random.choice(NUMBERS).encode() + data[match.end() :]


def _word(data: bytes, random: Random) -> bytes:
    parts = re.split(rb"(\W)", data)
    place = random.randrange(len(parts))
    new = random.choice(WORDS).encode("utf-8", "surrogatepass")
    parts[place] = random.choice([b"", parts[place] * 2, new, random.choice(parts)])
    return b"".join(parts)


def _line(data: bytes, random: Random) -> bytes:
    lines = data.splitlines(keepends=True) or [b""]
    place = random.randrange(len(lines))
    lines[place : place + 1] = random.choice([[], [lines[place]] * 2, [random.choice(lines)], [b"\n"]])
    return b"".join(lines)


def _json(data: bytes, random: Random) -> bytes:
    """A node of the tree replaced, removed or doubled."""
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return _word(data, random)
    holders = [([tree], 0)]
    for holder, key in holders:
        node = holder[key]
        if isinstance(node, dict | list) and len(holders) < 5000:
            holders += [(node, key) for key in (node if isinstance(node, dict) else range(len(node)))]
    holder, key = random.choice(holders)
    match random.randrange(4):
        case 0 if isinstance(holder, dict):
            del holder[key]
        case 1 if isinstance(holder, list) and holder[key] is not tree:
            holder.append(holder[key])
        case 2 if isinstance(holder, dict):
            holder[random.choice(["id", "", "x", "name", *holder])] = holder.pop(key)
        case _:
            tree = random.choice(VALUES) if holder[key] is tree else tree
            holder[key] = random.choice(VALUES)
    return json.dumps(tree).encode()


def _nested(data: bytes, random: Random) -> bytes:
    place, deep = random.randint(0, len(data)), random.choice([50, 5000])
    return data[:place] + random.choice([b"[", b"{", b'{"a":', b"(", b"<a>"]) * deep + data[place:]


def _byte(data: bytes, random: Random) -> bytes:
    changed = bytearray(data or b"\0")
    changed[random.randrange(len(changed))] = random.randrange(256)
    return bytes(changed)


def _integer(data: bytes, random: Random) -> bytes:
    """Of a binary header: little-endian, of 2, 4 or 8 bytes."""
    size = random.choice([2, 4, 8])
    place = random.randint(0, max(0, min(len(data), 512) - size))
    value = random.choice(INTEGERS) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randint(0, len(data))]


def _splice(data: bytes, random: Random) -> bytes:
    first, second = sorted(random.randint(0, len(data)) for _ in range(2))
    return random.choice([data[:first] + data[second:], data[:second] + data[first:]])


CHANGES = (_number, _number, _word, _line, _json, _json, _nested, _byte, _integer, _integer, _cut, _splice)
