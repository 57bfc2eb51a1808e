"""Every format reads back; a damaged or hostile file is one line that names it, and takes no memory."""

import io
import json
import struct
import sys
import tracemalloc
import zipfile
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lsts_jax.errors import UserError
from lsts_jax.models.detector import build_detector
from lsts_jax.training.pretrained import open_weights, read_mxnet_params
from lsts_jax.training.pretrained.matching import match, recognise
from lsts_jax.training.state import init_variables
from tests.training.test_pretrained import batch_config, torchvision_arrays

MXNET_TYPES = {"f4": 0, "f8": 1, "f2": 2, "i4": 4}
SAFE_TYPES = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64"}


def params(arrays: dict[str, np.ndarray], version: int = 2) -> bytes:
    """What MXNet's `nd.save` writes; version 0 is the form of 2017, without a header."""
    out = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        if version:
            out += struct.pack("<I", 0xF993FAC7 + version) + (struct.pack("<i", 0) if version > 1 else b"")
        out += struct.pack("<I", array.ndim)
        out += struct.pack(f"<{array.ndim}{'q' if version else 'I'}", *array.shape)
        out += struct.pack("<iii", 1, 0, MXNET_TYPES[array.dtype.str[1:]]) + array.tobytes()
    out += struct.pack("<Q", len(arrays))
    for name in arrays:
        out += struct.pack("<Q", len(name)) + name.encode()
    return out


def npz(arrays: dict[str, np.ndarray], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    members = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.lib.format.write_array(file, array)
        members[f"{name}.npy"] = file.getvalue()
    return archive(members, compression)


def archive(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return file.getvalue()


def safetensors(arrays: dict[str, np.ndarray], **metadata: str) -> bytes:
    header, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, array in arrays.items():
        header[name] = {
            "dtype": SAFE_TYPES[array.dtype.str[1:]],
            "shape": array.shape,
            "data_offsets": (len(data), len(data) + array.nbytes),
        }
        data += array.tobytes()
    return header_of(header) + data


def header_of(header: object) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def npy_header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


ARRAYS = {
    "conv1.weight": np.arange(8 * 3 * 49, dtype=np.float32).reshape(8, 3, 7, 7),
    "bn1.weight": np.linspace(0, 1, 8, dtype=np.float16),
    "bn1.bias": np.linspace(0, 1, 8, dtype=np.float64),
}


@pytest.mark.parametrize("write, ending", [(params, "params"), (npz, "npz"), (safetensors, "safetensors")])
def test_every_format_reads_back(tmp_path, write, ending):
    file = tmp_path / f"x.{ending}"
    file.write_bytes(write(ARRAYS))
    found = open_weights(file).arrays
    assert sorted(found) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, str(array.dtype))
        np.testing.assert_array_equal(found[name].read(), array)


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_every_version_of_mxnet_reads_back(tmp_path, version):
    file = tmp_path / "x.params"
    file.write_bytes(params(ARRAYS, version))
    found = read_mxnet_params(file)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_bfloat16_of_safetensors_is_read(tmp_path):
    file = tmp_path / "x.safetensors"
    header = {"bn1.bias": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    file.write_bytes(header_of(header) + struct.pack("<HH", 0x3F80, 0xC000))
    stored = open_weights(file).arrays["bn1.bias"]
    assert stored.dtype == "bfloat16"
    np.testing.assert_array_equal(stored.read().astype(np.float32), [1.0, -2.0])


GOOD = torchvision_arrays()
PAIR = {"a": np.ones((2, 3), np.float32), "b": np.ones(2, np.float32)}
HUGE = 1 << 40


def changed(old: bytes, new: bytes, content: bytes | None = None) -> bytes:
    content = params(PAIR) if content is None else content
    assert old in content
    return content.replace(old, new)


def q(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}q", *numbers)


def i(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def npy(header: str, content: bytes = b"") -> bytes:
    return archive({"conv1.weight.npy": npy_header(header) + content})


def shaped(shape: str, kind: str = "<f4") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"


def npz_with(name: str, array: np.ndarray) -> bytes:
    return npz(GOOD | {name: array})


def one_value(name: str, value: float) -> np.ndarray:
    array = GOOD[name].copy()
    array.flat[3] = value
    return array


def entry(**changes: object) -> bytes:
    right = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    return header_of({"conv1.weight": right | changes}) + bytes(8)


PARAMS = {
    "empty": lambda: b"",
    "of another kind": lambda: b"PK\3\4" + bytes(60),
    "cut in its header": lambda: params(PAIR)[:20],
    "cut in an array": lambda: params(PAIR)[:70],
    "cut in the names": lambda: params(PAIR)[:-5],
    "more after its end": lambda: params(PAIR) + b"more",
    "absurd count of arrays": lambda: q(0x112, 0, HUGE) + bytes(80),
    "absurd side": lambda: changed(q(2, 3), q(2, 1 << 60)),
    "sides whose product overflows": lambda: changed(q(2, 3), q(1 << 32, 1 << 32)),
    "negative side": lambda: changed(q(2, 3), q(2, -3)),
    "a side of nothing": lambda: changed(q(2, 3), q(0, 1 << 62)),
    "absurd dimensions": lambda: changed(i(2) + q(2, 3), i(1 << 30) + q(2, 3)),
    "no dimensions": lambda: changed(i(2) + q(2, 3), i(0) + q(2, 3)),
    "unknown element type": lambda: changed(q(2, 3) + i(1, 0, 0), q(2, 3) + i(1, 0, 99)),
    "sparse": lambda: changed(i(0xF993FAC9, 0, 2), i(0xF993FAC9, 1, 2)),
    "absurd length of a name": lambda: params(PAIR)[:-9] + q(HUGE) + b"b",
    "fewer names than arrays": lambda: params(PAIR)[:-26] + q(0),
    "one name twice": lambda: params(PAIR)[:-1] + b"a",
    "names that are no text": lambda: params({"abc": PAIR["a"]})[:-3] + b"\xff\n\xfe",
    "half of a detector": lambda: params({"conv1_weight": PAIR["a"], "rpn_cls_score_bias": PAIR["b"]}),
    "a head whose sides do not divide": lambda: params({"rfcn_cls_weight": np.ones((50, 8, 1, 1), "f4")}),
}
NPZ = {
    "empty": lambda: b"",
    "no archive": lambda: bytes(1000),
    "cut short": lambda: npz(GOOD)[:-30],
    "an archive of other things": lambda: archive({"readme.txt": b"no weights"}),
    "a member that is no array": lambda: archive({"conv1.weight.npy": b"no array"}),
    "a wrong checksum": lambda: changed(
        GOOD["conv1.weight"].tobytes()[:8], bytes(8), npz(GOOD, zipfile.ZIP_STORED)
    ),
    "shape past the content": lambda: npy(shaped(f"({HUGE},)")),
    "shape that overflows": lambda: npy(shaped(f"({1 << 62}, {1 << 62})")),
    "negative shape": lambda: npy(shaped("(-8,)"), bytes(32)),
    "Python objects": lambda: npy(shaped("(1,)", "|O"), b"cos\nsystem\n(S'true'\ntR."),
    "header that is no literal": lambda: npy("{'descr': __import__('os')}"),
    "header of brackets": lambda: npy("(" * 9000),
    "a version that does not exist": lambda: archive({"conv1.weight.npy": b"\x93NUMPY\x09\x00" + bytes(99)}),
    "little that unpacks to much": lambda: npy(shaped(f"({1 << 24},)"), bytes(1 << 26)),
    "whole numbers": lambda: npz_with("conv1.weight", GOOD["conv1.weight"].astype(np.int64)),
    "a value that is not finite": lambda: npz_with("bn1.bias", one_value("bn1.bias", np.nan)),
    "a value past float32": lambda: npz_with("bn1.bias", np.full(8, 1e300)),
    "a variance below 0": lambda: npz_with("bn1.running_var", one_value("bn1.running_var", -1)),
    "a kernel of no dimension": lambda: npz_with("conv1.weight", np.ones((), np.float32)),
}
SAFETENSORS = {
    "empty": lambda: b"",
    "absurd header": lambda: q(HUGE) + b"{}",
    "header that is no JSON": lambda: q(4) + b"{{{{",
    "cut short": lambda: safetensors(GOOD)[:-9],
    "absurd shape": lambda: entry(shape=[1 << 60, 1 << 60]),
    "shape past the content": lambda: entry(shape=[3]),
    "offsets past the end": lambda: entry(data_offsets=[8, 16]),
    "unknown element type": lambda: entry(dtype="F7"),
    "no arrays": lambda: header_of({}),
    "ours with a config that is none": lambda: safetensors(GOOD, config='{"seeds": 0}'),
    "names that resemble ours": lambda: safetensors({"params/low_level": PAIR["b"], "params/": PAIR["b"]}),
}
DAMAGED = {
    f"{ending}: {what}": (ending, content)
    for ending, cases in (("params", PARAMS), ("npz", NPZ), ("safetensors", SAFETENSORS))
    for what, content in cases.items()
}


@pytest.fixture(scope="module")
def shapes() -> dict:
    config = batch_config()
    return jax.eval_shape(lambda: init_variables(build_detector(config.model, 3), config))


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_one_clear_line(tmp_path, shapes, case):
    ending, content = DAMAGED[case]
    file, backbone = tmp_path / f"weights.{ending}", batch_config().model.backbone
    file.write_bytes(content())
    tracemalloc.start()
    with pytest.raises(UserError) as error:
        weights = open_weights(file)
        match(str(file), weights, recognise(str(file), weights, backbone), shapes, backbone)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    message = str(error.value)
    assert f"weights.{ending}: " in message
    assert "\n" not in message and len(message) < 600
    assert peak < 4e6, message


@pytest.mark.parametrize("ending", ["params", "npz"])
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_told_or_harmless(tmp_path, ending, data):
    """Bytes changed and the end cut off anywhere: arrays or a `UserError`, and nothing else."""
    small = {"conv1.weight": np.ones((2, 3), np.float32), "bn1.bias": np.ones(4, np.float16)}
    content = bytearray({"params": params, "npz": npz}[ending](small))
    for position in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=4)):
        content[position] = data.draw(st.integers(0, 255))
    file = tmp_path / f"x.{ending}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        for stored in open_weights(file).arrays.values():
            assert stored.read().shape == stored.shape
    except UserError as error:
        assert f"x.{ending}" in str(error)


def test_every_cut_of_a_params_file_is_refused(tmp_path):
    whole = params({"a": np.ones((2, 3), np.float32)})
    file = tmp_path / "x.params"
    for length in range(len(whole)):
        file.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"x\.params"):
            read_mxnet_params(file)


def test_nothing_at_the_path(tmp_path):
    with pytest.raises(UserError, match=r"none\.pth: no such file"):
        open_weights(tmp_path / "none.pth")
    with pytest.raises(UserError, match=r"config\.json: no such file"):
        open_weights(tmp_path)
    (tmp_path / "x.h5").write_bytes(b"x")
    with pytest.raises(UserError, match=r"x\.h5: weights come as \.params, "):
        open_weights(tmp_path / "x.h5")


def test_a_package_that_is_absent_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "x.pth").write_bytes(b"x")
    with pytest.raises(UserError, match="pip install torch"):
        open_weights(tmp_path / "x.pth")


def test_whatever_torch_says_is_one_line(tmp_path, monkeypatch):
    """Without PyTorch; with it see test_pretrained_torch.py."""

    def load(*_, **options):
        assert options["weights_only"] is True
        raise RuntimeError("Weights only load failed.\nMuch more\nof this")

    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))
    (tmp_path / "x.pth").write_bytes(b"x")
    with pytest.raises(
        UserError, match=r"x\.pth: damaged, or no file of PyTorch's: Weights only load failed\.$"
    ):
        open_weights(tmp_path / "x.pth")
