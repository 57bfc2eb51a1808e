"""Decoding of unusual pictures, and natural order."""

import base64
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from lsts_jax.data.video.pictures import decode_picture, natural_order, pictures_in, read_picture
from lsts_jax.errors import UserError
from tests.data.trees import write_turned_photo

# 8 x 8 JPEG of cyan 0, magenta 1, yellow 1, black 0: red
CMYK = base64.b85decode(
    "|JeWT01iQ9Z(?NtWB>pF0095n07C#24i6F!4HOa(5*HN|7#=bq9vmDVJuEIHGD$#8OGiLPMNnFEVo+6WRz*f+h-Gbedx3(1PGF6fjD4"
    "1Ket~@dzyK5o00;mG1Va%3O%VWD5dcdO0RO}Q6aWDL000000000000000000L6!~hf!0RR910000000000000000RP$m4g^C0O#oQ{O8@"
    "{r0A?5%X8+j"
)


NOISE = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
JPEGS = {
    "baseline": [],
    "optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 2],
}


def encode(image, suffix=".jpg"):
    return cv2.imencode(suffix, image)[1].tobytes()


def test_colours_are_rgb():
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 2] = 255  # BGR
    assert decode_picture(encode(red, ".png"), "x")[0, 0].tolist() == [255, 0, 0]
    assert np.abs(decode_picture(CMYK, "x").astype(int) - [255, 0, 0]).max() < 5
    assert np.unique(decode_picture(encode(np.full((8, 8), 200, np.uint8)), "x")).tolist() == [200]


@pytest.mark.parametrize("channels, dtype, scale", [(1, np.uint8, 1), (1, np.uint16, 257), (4, np.uint8, 1)])
def test_grey_deep_and_transparent_pictures_become_rgb(channels, dtype, scale):
    image = np.full((6, 9, channels), 130 * scale, dtype).squeeze()
    decoded = decode_picture(encode(image, ".png"), "x")
    assert decoded.dtype == np.uint8 and decoded.shape == (6, 9, 3) and np.unique(decoded).tolist() == [130]


@pytest.mark.parametrize("orientation, corner", [(1, (0, 0)), (3, (5, 9)), (6, (0, 5)), (8, (9, 0))])
def test_exif_orientation_is_followed_where_people_see_it(orientation, corner):
    """The white corner of the stored pixels is where viewers show it. ImageNet's authors annotate
    and read the pixels as they are stored."""
    image = np.zeros((6, 10, 3), np.uint8)
    image[0, 0] = 255
    rotated = with_orientation(encode(image, ".png"), orientation)
    upright = decode_picture(rotated, "x")
    assert upright.shape == ((6, 10, 3) if orientation < 5 else (10, 6, 3))
    assert upright[corner].tolist() == [255] * 3 and upright.sum() == 3 * 255
    np.testing.assert_array_equal(decode_picture(rotated, "x", as_stored=True), image)


def test_exif_orientation_of_a_jpeg(tmp_path):
    write_turned_photo(tmp_path / "a.jpg", np.zeros((6, 10, 3), np.uint8))
    assert read_picture(tmp_path / "a.jpg").shape == (10, 6, 3)
    assert read_picture(tmp_path / "a.jpg", as_stored=True).shape == (6, 10, 3)


def with_orientation(png: bytes, orientation: int) -> bytes:
    """A PNG with a chunk of EXIF."""
    exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + bytes(6)
    chunk = b"eXIf" + exif
    head = 8 + 25  # signature and IHDR
    return (
        png[:head] + struct.pack(">I", len(exif)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[head:]
    )


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no picture",
        *(encode(NOISE, s)[:200] for s in (".png", ".bmp", ".webp", ".ppm", ".tif")),
    ],
)
def test_what_cannot_be_decoded_is_named_and_no_library_reports(data, tmp_path, capfd):
    (tmp_path / "bad.jpg").write_bytes(data)
    with pytest.raises(UserError, match=r"bad\.jpg: (cannot be decoded|is cut off)"):
        read_picture(tmp_path / "bad.jpg")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("options", JPEGS.values(), ids=JPEGS)
def test_a_jpeg_that_is_cut_off_is_named(options, capfd):
    """OpenCV before 5 makes a picture of it that is grey from there on."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    whole = cv2.imencode(".jpg", noise, options)[1].tobytes()
    thumbnail = b"\xff\xe1\x10\x00" + (encode(noise[:16, :16]) + bytes(1 << 12))[: (1 << 12) - 2]
    for data in (whole, whole[:2] + thumbnail + whole[2:]):
        np.testing.assert_array_equal(decode_picture(data, "x"), decode_picture(whole, "x"))
        for length in [2, 3, 20, *range(21, len(data), 97), len(data) - 2, len(data) - 1]:
            with pytest.raises(UserError, match=r"^x: is cut off; restore it"):
                decode_picture(data[:length], "x")
    assert capfd.readouterr().err == ""  # libjpeg has seen none of it


@pytest.mark.parametrize("tail", [b"\0", b"\xff\xda\0\x0c", b"\xff\xd8 another picture", b"\xff" * 9])
def test_anything_may_follow_a_jpeg(tail):
    """Phones append videos and depth maps."""
    whole = encode(np.full((40, 50, 3), 90, np.uint8))
    np.testing.assert_array_equal(decode_picture(whole + tail, "x"), decode_picture(whole, "x"))


def test_a_missing_picture_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.jpg: no such picture"):
        read_picture(tmp_path / "gone.jpg")


def test_natural_order():
    names = ["frame10", "frame2", "frame1", "Frame3", "a", "10", "9", "frame02", "frame2b", "frame"]
    ordered = [path.name for path in natural_order(map(Path, names))]
    assert ordered == ["9", "10", "a", "frame", "frame1", "frame02", "frame2", "frame2b", "Frame3", "frame10"]


def test_pictures_in_a_folder_are_told_by_suffix(tmp_path):
    for name in ("b.PNG", "a10.jpeg", "a9.JPEG", "notes.txt", "thumbs.db", "._b.PNG", ".hidden.png"):
        (tmp_path / name).touch()
    assert [path.name for path in pictures_in(tmp_path)] == ["a9.JPEG", "a10.jpeg", "b.PNG"]
