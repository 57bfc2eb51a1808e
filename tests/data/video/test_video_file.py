"""Video files: damage anywhere, the times of the container, codecs that are not there, names, addresses."""

import base64
import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from lsts_jax.data.video.source import select
from lsts_jax.data.video.video_file import typical_rate
from lsts_jax.data.video.video_io import open_source
from lsts_jax.errors import UserError
from tests.data.video.clips import damage, retime, serve, write_clip

# Two frames of 16x16 in AV1.
AV1 = base64.b85decode(
    "L`z9V001BWK~^v^5C9MW3IG5A0RR910ssI2000008vp<R00000000005&#Mc00001pZT@&0Dv+J5CFgc00Mvj005j700001000000000"
    "I05TCU1Hga)00zJS00MvjAOLod"
)


def red_of(picture):
    """The frame that a picture of `write_clip` is."""
    return round((float(picture[..., 0].mean()) - 6) / 15)


@pytest.mark.parametrize("name, codec", [("v.mp4", "mp4v"), ("v.avi", "MJPG"), ("v.mkv", "mp4v")])
@pytest.mark.parametrize("lost", [(0,), (5,), (5, 6, 9), (13,)])
def test_damaged_frames_are_skipped_and_keep_their_numbers(tmp_path, caplog, name, codec, lost):
    clip = damage(write_clip(tmp_path / name, 14, codec=codec), *lost)
    source = open_source(clip)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        frames = list(source)
    kept = [t for t in range(14) if t not in lost]
    assert [frame.number for frame in frames] == kept
    np.testing.assert_allclose([frame.time for frame in frames], np.array(kept) / 10, atol=1e-6)
    if codec == "MJPG":  # the others need the frames before them
        assert [red_of(frame.picture) for frame in frames] == kept
    (record,) = caplog.records
    assert record.getMessage() == (
        f"{clip}: frames that cannot be decoded are left out: {', '.join(map(str, lost))} ({len(lost)} of 14)"
    )


def test_damage_is_counted_when_the_reader_leaves_early(tmp_path, caplog):
    clip = damage(write_clip(tmp_path / "v.avi", 14, codec="MJPG"), 2)
    assert [frame.number for frame in select(open_source(clip), start=1, end=6, stride=2)] == [1, 3, 5]
    assert "left out: 2 (1 of" in caplog.text


def test_a_long_hole_is_no_end(tmp_path):
    clip = write_clip(tmp_path / "v.avi", 16, codec="MJPG")
    assert [frame.number for frame in open_source(damage(clip, *range(1, 15)))] == [0, 15]


def test_a_file_that_is_cut_off_ends(tmp_path, caplog):
    clip = write_clip(tmp_path / "v.avi", 60, codec="MJPG")
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    frames = list(open_source(clip))
    assert [frame.number for frame in frames] == list(range(len(frames))) and 10 < len(frames) < 40
    assert "frames; its header says 60" in caplog.text


def test_times_of_a_variable_rate(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 2.5, 2.55, 2.6, 2.65]
    source = open_source(retime(write_clip(tmp_path / "v.mp4", 8), times))
    assert [frame.number for frame in source] == list(range(8))
    np.testing.assert_allclose([frame.time for frame in source], times, atol=0.001)
    chosen = select(source, start=1, end=None, stride=3)
    np.testing.assert_allclose([frame.time for frame in chosen], [0.1, 2.5, 2.65], atol=0.001)


def test_damage_where_the_rate_is_variable(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 2.5, 2.55, 2.6, 2.65]
    clip = damage(retime(write_clip(tmp_path / "v.mp4", 8), times), 2, 5, 6)
    found = [(frame.number, round(frame.time, 3)) for frame in open_source(clip)]
    assert found == [(t, times[t]) for t in (0, 1, 3, 4, 7)]


def test_a_rate_above_1000(tmp_path):
    source = open_source(write_clip(tmp_path / "v.mp4", 8, fps=2000))
    assert source.fps == 2000
    np.testing.assert_allclose([frame.time for frame in source], np.arange(8) / 2000, atol=1e-6)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_codec_that_is_not_there_is_named(tmp_path, suffix):
    clip = damage(write_clip(tmp_path / f"a clip{suffix}", 6), *range(6))
    with pytest.raises(UserError) as caught:
        open_source(clip)
    message = str(caught.value)
    assert message.startswith(f"{clip}: not one frame can be decoded") and "\n" not in message
    assert "codec" in message and f"ffmpeg -i '{clip}' -c:v libx264 " in message


def test_a_codec_without_a_decoder_is_named(tmp_path):
    clip = write_clip(tmp_path / "v.mov", 3, codec="jpeg")
    clip.write_bytes(clip.read_bytes().replace(b"jpeg", b"abcd"))
    with pytest.raises(UserError, match=r"lacks its codec, abcd, .*; try ffmpeg -i "):
        open_source(clip)


def test_av1_is_decoded_or_named(tmp_path):
    (tmp_path / "v.ivf").write_bytes(AV1)
    try:
        assert open_source(tmp_path / "v.ivf").size == (16, 16)
    except UserError as error:
        assert "lacks its codec, AV1, " in str(error)


def test_names_that_are_no_text(tmp_path):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    try:
        shutil.copy(write_clip(tmp_path / "v.mp4", 3), file)
    except OSError:
        pytest.skip("this file system wants UTF-8")
    assert [frame.number for frame in open_source(file)] == [0, 1, 2]


@pytest.mark.parametrize("name, codec", [("v.mp4", "mp4v"), ("v.ts", "mpg2"), ("v.mkv", "MJPG")])
def test_a_video_by_address_is_a_file(tmp_path, name, codec):
    write_clip(tmp_path / name, 9, codec=codec)
    with serve(tmp_path) as address:
        source = open_source(f"{address}/{name}")
        assert not source.is_live and source.size == (48, 64)
        for _ in range(2):  # it can be read again
            assert [frame.number for frame in source] == list(range(9))


def test_a_playlist_with_an_end_is_a_file(tmp_path):
    write_clip(tmp_path / "v0.ts", 9, codec="mpg2")
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1", "#EXTINF:0.9,", "v0.ts"]
    (tmp_path / "v.m3u8").write_text("\n".join([*lines, "#EXT-X-ENDLIST", ""]))
    with serve(tmp_path) as address:
        source = open_source(f"{address}/v.m3u8")
        assert not source.is_live
        assert [frame.number for frame in source] == list(range(9))


def test_a_damaged_video_by_address(tmp_path):
    damage(write_clip(tmp_path / "v.avi", 9, codec="MJPG"), 0, 4)
    with serve(tmp_path) as address:
        assert [frame.number for frame in open_source(f"{address}/v.avi")] == [1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(
    "times, mean, rate",
    [
        ([0, 0.04, 0.08, 0.12], 25.0, 25.0),
        ([0, 0.1, 0.2, 0.3, 2.5, 2.55, 2.6], 2.3, 20.0),
        ([0, 0.04, 0.08, 0.12, 9.0, 9.04], 25.0, 25.0),  # a pause alone
        ([0, 0.033, 0.067, 0.1, 0.133], 1000.0, 1 / 0.033),  # a header without a rate
        ([0, 1e-6, 2e-6], 25.0, 240.0),
        ([0, 0, 0], 25.0, 25.0),
        ([], 25.0, 25.0),
    ],
)
def test_the_rate_at_which_every_frame_can_be_shown(times, mean, rate):
    assert typical_rate([float(time) for time in times], mean) == pytest.approx(rate)
