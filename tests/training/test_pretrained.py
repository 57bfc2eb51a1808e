"""Files of the original: read back, put in place, refused where damaged."""

import struct

import numpy as np
import pytest

from lsts_jax.errors import UserError
from lsts_jax.training.pretrained import convert_authors, load_pretrained, read_mxnet_params


def write(arrays: dict[str, np.ndarray], version: int = 2) -> bytes:
    """What MXNet's `nd.save` writes; version 0 is the form of 2017, without a header."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        if version:
            out += struct.pack("<I", 0xF993FAC7 + version) + (struct.pack("<i", 0) if version > 1 else b"")
        out += struct.pack("<I", array.ndim)
        out += struct.pack(f"<{array.ndim}{'q' if version else 'I'}", *array.shape)
        out += struct.pack("<iii", 1, 0, {"f4": 0, "f2": 2}[array.dtype.str[1:]]) + array.tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


ARRAYS = {
    "arg:conv1_weight": np.arange(8 * 3 * 49, dtype=np.float32).reshape(8, 3, 7, 7),
    "arg:bn_conv1_gamma": np.linspace(0, 1, 8, dtype=np.float16),
}


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version_reads_back(tmp_path, version):
    file = tmp_path / "x.params"
    file.write_bytes(write(ARRAYS, version))
    found = read_mxnet_params(file)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_every_cut_is_refused_in_a_line(tmp_path):
    whole = write({"a": np.ones((2, 3), np.float32)})
    file = tmp_path / "x.params"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"x\.params"):
            read_mxnet_params(file)


def test_absurd_shape_is_refused_without_allocating(tmp_path):
    file = tmp_path / "x.params"
    file.write_bytes(
        write({"a": np.ones(2, np.float32)}).replace(struct.pack("<q", 2), struct.pack("<q", 1 << 60))
    )
    with pytest.raises(UserError, match="damaged or cut short"):
        read_mxnet_params(file)


def test_a_backbone_takes_its_place_and_leaves_the_rest(tmp_path):
    variables = {
        "params": {
            "low_level": {"conv1": {"conv": {"kernel": np.zeros((7, 7, 3, 8), np.float32)}}},
            "rpn": {"boxes": {"conv": {"bias": np.full(4, 5.0, np.float32)}}},
        },
        "batch_stats": {},
    }
    file = tmp_path / "x.params"
    file.write_bytes(write(ARRAYS))
    loaded = load_pretrained(variables, file, split=1)["params"]
    kernel = np.asarray(loaded["low_level"]["conv1"]["conv"]["kernel"])
    assert kernel[2, 3, 1, 4] == ARRAYS["arg:conv1_weight"][4, 1, 2, 3]
    np.testing.assert_array_equal(loaded["rpn"]["boxes"]["conv"]["bias"], 5.0)
    variables["params"]["low_level"]["conv1"]["conv"]["kernel"] = np.zeros((7, 7, 3, 9), np.float32)
    with pytest.raises(UserError, match=r"match --config\.model\.backbone"):
        load_pretrained(variables, file, split=1)


def test_box_head_of_a_final_file_is_divided_by_its_deviations():
    bias = np.ones(8 * 49, np.float32)
    final, _ = convert_authors({"rfcn_bbox_bias": bias}, split=4)
    kept, left_over = convert_authors({"rfcn_bbox_bias": bias, "rfcn_bbox_bias_test": bias}, split=4)
    np.testing.assert_allclose(final["params"]["rfcn"]["boxes"]["conv"]["bias"][:4], [10, 10, 5, 5])
    np.testing.assert_array_equal(kept["params"]["rfcn"]["boxes"]["conv"]["bias"], 1)
    assert left_over == ["rfcn_bbox_bias_test"]
