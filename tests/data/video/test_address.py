"""Which addresses end."""

import pytest

from lsts_jax.data.video.address import has_end
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
