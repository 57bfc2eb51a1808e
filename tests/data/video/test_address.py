"""Which addresses end."""

import pytest

from lsts_jax.data.video.address import has_end, request_of
from tests.data.video.clips import serve

HEAD = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nv0.ts\n"


@pytest.mark.parametrize(
    "name, content, finite",
    [
        ("v.ts", "anything with a length", True),
        ("live.m3u8", HEAD, False),
        ("vod.m3u8", HEAD + "#EXT-X-ENDLIST\n", True),
        ("gone", None, False),
    ],
)
def test_what_the_server_says_decides(tmp_path, name, content, finite):
    if content is not None:
        (tmp_path / name).write_text(content)
    with serve(tmp_path) as address:
        assert has_end(f"{address}/{name}") == finite


def test_user_and_password_go_into_a_header(tmp_path):
    (tmp_path / "v.ts").write_text("anything with a length")
    with serve(tmp_path) as address:
        assert has_end(f"{address.replace('//', '//me:secret@')}/v.ts")
    request = request_of("http://me:p%40ss@host:81/v.mp4?a=1")
    assert (request.full_url, request.host) == ("http://host:81/v.mp4?a=1", "host:81")
    assert request.get_header("Authorization") == "Basic bWU6cEBzcw=="  # me:p@ss
    assert not request_of("http://host/v.mp4").has_header("Authorization")
