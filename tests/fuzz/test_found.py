"""What fuzzing has found: the smallest input of each, which is now refused in a line (or skipped)."""

import numpy as np
import pytest

from lsts_jax.data.formats.imagenet_lists import MOST_FRAMES
from lsts_jax.evaluation.submissions import read_detections
from tests.fuzz.targets import GT, Attempts, OneVideo, all_targets

TARGETS = all_targets()
DOUBLES = bytes([9, 0, 0, 0, 8, 0, 0, 0])  # the tag of one
CELL = bytes.fromhex("0e000000a8000000 0600000008000000 01000000 00000000")  # and the flags of one
DEEP = b"[" * 100_000
LARGE = TARGETS["config-json"].seeds[0].replace(b'"flow_width": 64', b'"flow_width": 1' + b"0" * 400)
HUGE = TARGETS["config-json"].seeds[0].replace(b"123.15", b"1" + b"0" * 400)
WEBP = TARGETS["animation-webp"].seeds[0]
TALL = WEBP[:27] + bytes([0x2F, 0, 3]) + WEBP[30:]  # 64 x 196,656 pixels in the header


def coco(old: bytes, new: bytes) -> bytes:
    seed = TARGETS["coco-vid"].seeds[0]
    assert old in seed
    return seed.replace(old, new, 1)


def mat(old: bytes, new: bytes) -> bytes:
    seed = TARGETS["mat"].seeds[0]
    assert old in seed
    return seed.replace(old, new, 1)


def frame(number: str) -> bytes:
    return f'{{"frame": {number}, "time": 0, "detections": []}}\n'.encode()


# Reader, input, what is told; before: memory without end, a crash, or another exception than UserError.
FOUND = {
    "a list of a video without end": ("list", f"val/a 1 0 {MOST_FRAMES + 1}\n".encode(), "line 1"),
    "a box beyond float32": ("xml", TARGETS["xml"].seeds[0].replace(b">8<", b">1e39<"), "not finite"),
    "a track id beyond int32": ("mot", GT.replace(b"1,1,5", b"1,2147483648,5"), "line 1"),
    "a box of MOT beyond float32": ("mot", GT.replace(b"1,1,5", b"1,1,1e39"), "line 1"),
    "videos that are no list": ("coco-vid", coco(b'[{"id": 1, "name": "a"}]', b"1.5"), "videos"),
    "a file name past 255 bytes": ("coco-vid", coco(b"a/0.png", b"a" * 300), "file_name"),
    "JSON lines nested without end": ("jsonl", DEEP, "line 1"),
    "a frame beyond int32": ("jsonl", frame("9223372036854775807"), "out of range"),
    "a frame at infinity": ("jsonl", frame("1e999"), "out of range"),
    "config.json nested without end": ("config-json", DEEP, "not JSON"),
    "synthvid.json nested without end": ("synthvid-json", DEEP, "cannot be read"),
    "checksums at infinity": ("checksums", b'{"a/b": 1e999}', ""),
    "checksums nested without end": ("checksums", DEEP, ""),
    "a log with bytes that are no text": ("metrics", b'{"step": 1}\n\xff\n', ""),
    "a log with a line that is no object": ("metrics", b'{"step": 1}\n5\nnull\n', ""),
    "numbers of no type, a crash of scipy": (
        "mat",
        mat(DOUBLES, b"\x29" + DOUBLES[1:]),
        "type 41",
    ),
    "a frame that is text": ("mat", mat(CELL, CELL[:16] + b"\4" + CELL[17:]), "2 are annotated"),
    "an option that is a dash": ("train-options", b"--workx\n-\n--\n---", "options: --workx, -"),
    "a config whose name no file can have": ("train-options", b"--config\n" + b"a" * 5000, "no such file"),
    "a config below a folder of such a name": (
        "train-options",
        b"--config\n" + b"a" * 5000 + b"/b",
        "no such file",
    ),
    "an option of many letters": (
        "train-options",
        b"--workdir\nx\n--config.data.train_lists" + b"<a>" * 5000,
        "no such option",
    ),
    "an integer beyond the floats": ("config-json", LARGE, "flow_width is 1000"),
    "an integer where a float belongs": ("config-json", HUGE, "pixel_mean[0] is an integer beyond"),
    "an animation of large pictures, all of them decoded at once": ("animation-webp", TALL, ""),
    "an option of many dashes": ("train-options", b"x\n" + b"-" * 30, "options"),
    "a data.yaml nested without end, in time that grew with its square": (
        "convert-yolo-data",
        b"[" * 5000,
        "nested deeper",
    ),
    "a data.yaml whose aliases grow without bound": (
        "convert-yolo-data",
        b"a: &a [x,x,x,x,x,x,x,x,x]\n"
        + b"".join(b"%c: &%c [%s]\n" % (i, i, b",".join([b"*%c" % (i - 1)] * 9)) for i in range(98, 109))
        + b"names: *l\n",
        "names is neither a list",
    ),
    "an array header past NumPy's limit": (
        "npz-member",
        b"\x93NUMPY\x01\x00" + (20_000).to_bytes(2, "little") + b"(" * 20_000,
        "damaged",
    ),
}


@pytest.mark.parametrize("case", FOUND)
def test_what_was_found(case):
    name, data, told = FOUND[case]
    with Attempts(TARGETS[name]) as attempt:
        said = attempt(data)
    assert told in said and bool(said) == bool(told), said


def test_frames_past_the_end_of_a_video_are_left_out(tmp_path):
    """They took memory up to their number, and negative ones counted from the end."""
    file = tmp_path / "a.jsonl"
    row = (
        '{{"frame": {}, "time": 0, "detections": [{{"class": "dog", "score": 0.5, "box": [1, 2, 3, 4]}}]}}\n'
    )
    file.write_text("".join(row.format(number) for number in (-4, 2, 5, 2_000_000_000)))
    np.testing.assert_array_equal(read_detections([file], OneVideo()).frame, [2])
